"""The task `demand`: day-ahead demand of series that no weight was trained on, from a memory of their past.

Shapes: I series, N days.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.series.public.demand import electricity_demand
from titans_recipes.demand.model import FIRST, SHUT, DayNetwork, Days, LinearModel, days_of, forecasts
from titans_recipes.demand.plot import plot_demand
from titans_recipes.demand.rows import ALL, DemandRow, demand_table, label
from titans_recipes.demand.training import DayTraining, train
from titans_recipes.settings import GROUPS, configurations
from titans_recipes.task import Recipe, Selection, Task
from titans_ts.core.options import PLAIN

FloatArray = npt.NDArray[np.float64]
# Blocks of this many days are drawn together: the weather of one day is that of the next.
BLOCK_DAYS = 14
DRAWS = 2000
# The day a year ago is one of the same weekday.
YEAR = 364


class Errors(NamedTuple):
    """How well one model forecasts.

    Attributes:
        own: relative errors (I, N) in per cent.
        emptied: those of the same weights with an empty memory; None where nothing is written anyway.
        parameters: of the model; cpu_seconds: of training.
        since: the first day that counts.
    """

    own: FloatArray
    emptied: FloatArray | None
    parameters: int
    cpu_seconds: float = 0.0
    since: int = 0


def check(path: Path, recipe: Recipe) -> None:
    """Refuse unknown groups and settings.

    Raises:
        ValueError: with what is known.
    """
    against, segments = recipe.get("against"), recipe.get("segments")
    if against not in recipe["runs"]:
        raise ValueError(f"{path}: against must be one of the runs {list(recipe['runs'])}, got {against!r}")
    if not segments or segments != sorted(segments) or not all(isinstance(s, int) and s > 1 for s in segments):
        raise ValueError(f"{path}: segments must be a rising list of days ≥ 2 at which one begins, got {segments!r}")
    if not recipe.get("held_out") or not isinstance(recipe.get("train_days"), int):
        raise ValueError(f"{path} must have held_out, a list of series, and train_days, the number of days to train on")
    for name, run in [("defaults", recipe.get("defaults") or {}), *recipe["runs"].items()]:
        unknown = sorted(set(run or {}) - {*GROUPS, "writes"})
        if unknown:
            raise ValueError(f"{path}: {name} has unknown entries {unknown}: known are {[*GROUPS, 'writes']}")


def run(recipe: Recipe, selection: Selection) -> Iterator[DemandRow]:
    """Every selected run with every seed: a row for each held-out series, all of them, and each segment of days.

    The run `against` is always trained. With the first seed come linear models: of the other series, the same with the
    day a year ago, and of the series' own days before the last segment.

    Raises:
        ValueError: an unknown series or setting.
    """
    for seed in selection.seeds:
        yield from rows_of(recipe, selection.runs, seed)


def rows_of(recipe: Recipe, runs: Mapping[str, Mapping[str, Any]], seed: int) -> Iterator[DemandRow]:
    """The rows of one seed; see `run`."""
    panel = electricity_demand()
    held = [str(name) for name in recipe["held_out"]]
    unknown = sorted(set(held) - set(panel.names))
    if unknown or len(held) >= len(panel.names):
        raise ValueError(f"held_out must be some, not all, of {list(panel.names)}, got {held}")
    days, units = days_of(panel)
    test = [panel.names.index(name) for name in held]
    trial = Trial(recipe, held, days, units.numpy(), panel.demand.mean(-1), test)
    reference = trial.train(recipe["runs"][recipe["against"]] or {}, seed)
    for name, own in runs.items():
        found = reference if name == recipe["against"] else trial.train(own, seed)
        yield from trial.rows(name, seed, found, reference)
    if seed == min(recipe["seeds"]):
        for name, found in trial.baselines():
            yield from trial.rows(name, seed, found, reference)


class Trial:
    """The days of training and of test, and how a model is scored on them.

    Args:
        recipe: the checked recipe.
        held: names of the held-out series.
        days: of all series.
        units: (S,) MW of one unit of the days' values.
        level: (S, N) mean demand of each day, MW.
        test: numbers of the held-out series.
    """

    def __init__(
        self,
        recipe: Recipe,
        held: list[str],
        days: Days,
        units: FloatArray,
        level: FloatArray,
        test: list[int],
    ) -> None:
        self.recipe, self.held = recipe, held
        self.known = days.rows([i for i in range(len(units)) if i not in test])
        self.test = days.rows(test)
        self.scale = units[test][:, None] / level[test].mean(1, keepdims=True)
        self.last = int(recipe["train_days"])
        self.linear = LinearModel(self.known, slice(FIRST, self.last))

    def train(self, run: Mapping[str, Any], seed: int) -> Errors:
        """Train a network and forecast the held-out series from their first day to their last."""
        backbone, training = configurations(self.recipe, run, seed, DayTraining)
        writes = bool(run.get("writes", True))
        torch.manual_seed(seed)
        network = DayNetwork(self.known.known().shape[-1], backbone)
        started = time.process_time()
        options = PLAIN if writes else SHUT
        train(network, self.known, self.linear, self.last, training, options)
        spent = time.process_time() - started
        own = self._errors(forecasts(network, self.test, self.linear, options).numpy())
        emptied = self._emptied(network) if writes and backbone.block != "attention" else None
        return Errors(own, emptied, sum(p.numel() for p in network.parameters()), round(spent, 1))

    def _emptied(self, network: DayNetwork) -> FloatArray:
        return self._errors(forecasts(network, self.test, self.linear, SHUT).numpy())

    def baselines(self) -> Iterator[tuple[str, Errors]]:
        """Linear models; that of the series' own days is fitted on all of them but those of the last segment."""
        end = int(self.recipe["segments"][-1])
        yield "linear model of the other series", self._linear(self.linear)
        if self.last > YEAR + FIRST:
            yearly = LinearModel(self.known, slice(FIRST, self.last), lags=(1, 2, YEAR))
            yield "linear model with the day a year ago", self._linear(yearly, since=YEAR + 1)
        own = [LinearModel(self.test.rows([i]), slice(FIRST, end)) for i in range(len(self.held))]
        errors = [self._errors(one(self.test).numpy())[i] for i, one in enumerate(own)]
        yield "linear model of the series' own past", Errors(np.stack(errors), None, own[0].weight.numel(), since=end)

    def _linear(self, one: LinearModel, since: int = 0) -> Errors:
        return Errors(self._errors(one(self.test).numpy()), None, one.weight.numel(), since=since)

    def _errors(self, forecast: npt.NDArray[np.float32]) -> FloatArray:
        """Mean absolute error of each day over the series' mean demand, per cent (I, N)."""
        error: FloatArray = np.abs(forecast - self.test.values.numpy()).mean(-1, dtype=np.float64) * self.scale * 100
        return error

    def rows(self, name: str, seed: int, found: Errors, reference: Errors) -> Iterator[DemandRow]:
        """The rows of one model."""
        starts = self.recipe["segments"]
        items: list[tuple[slice, str]] = [(slice(i, i + 1), item) for i, item in enumerate(self.held)]
        for first, last in zip(starts, [*starts[1:], found.own.shape[1]], strict=True):
            if first < found.since:
                continue
            for place, item in [*items, (slice(None), ALL)]:
                own, other = (x[place, first:last].mean(0) for x in (found.own, reference.own))
                emptied = None if found.emptied is None else float(found.emptied[place, first:last].mean())
                gain, low, high = paired_gain(own, other)
                yield DemandRow(
                    *(name, seed, item, first, last - first, float(own.mean()), emptied),
                    *(self.recipe["against"], gain, low, high, found.parameters, found.cpu_seconds),
                )


def paired_gain(own: FloatArray, other: FloatArray, block: int = BLOCK_DAYS) -> tuple[float, float, float]:
    """By how many per cent the mean of `own` is below that of `other`, and the ends of its 95 % interval.

    Args:
        own, other: errors (N,) on the same days.
        block: days that are drawn together, with replacement, from both (moving blocks that wrap around).
    """
    rng = np.random.default_rng(0)
    count, block = len(own), min(block, len(own))
    starts = rng.integers(0, count, (DRAWS, -(-count // block)))
    drawn = (starts[..., None] + np.arange(block)).reshape(DRAWS, -1)[:, :count] % count
    gains = 100 * (1 - own[drawn].mean(1) / other[drawn].mean(1))
    low, high = np.quantile(gains, (0.025, 0.975))
    return float(100 * (1 - own.mean() / other.mean())), float(low), float(high)


TASK = Task(
    row=DemandRow,
    results="results_demand.csv",
    check=check,
    run=run,
    reads=("held_out", "train_days", "segments", "against", "defaults"),
    table=demand_table,
    scores=("wape",),
    keys=("item", "history"),
    label=label,
    plot=plot_demand,
)
