"""The demand task of recipes: day-ahead forecasts of series that no weight has seen, their habits told by their past.

Shapes: N days.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from titans_recipes.settings import GROUPS, configurations

if TYPE_CHECKING:
    from titans_recipes.demand.model import DayNetwork, Days, LinearMap

FloatArray = npt.NDArray[np.float64]
ALL = "all held out"
# Blocks of this many days are drawn together: the weather of one day is that of the next.
BLOCK_DAYS = 14
DRAWS = 2000
# The day a year ago is one of the same weekday.
YEAR = 364


class DemandRow(NamedTuple):
    """One model on a stretch of days of a held-out series.

    Attributes:
        run, seed: which model.
        item: the series, or all of them: the mean over series of a day's relative error.
        history: days of the series that the memory has read before the stretch.
        days: of the stretch.
        wape: mean absolute error over the series' mean demand (of all its days), in per cent.
        emptied: wape of the same weights when their memory stays as it begins; None where nothing is written anyway.
        against: the run that this one is compared with.
        gain: by how many per cent the error is below that of `against`; low, high: 95 % interval of a paired bootstrap
            over blocks of 14 days.
        parameters: of the network; cpu_seconds: of training.
    """

    run: str
    seed: int
    item: str
    history: int
    days: int
    wape: float
    emptied: float | None
    against: str
    gain: float
    gain_low: float
    gain_high: float
    parameters: int
    cpu_seconds: float


class _Errors(NamedTuple):
    """Relative errors (I, N) of one model, and of the same with its memory emptied; they count from day `since` on."""

    own: FloatArray
    emptied: FloatArray | None
    parameters: int
    cpu_seconds: float = 0.0
    since: int = 0


def check_demand(path: Any, recipe: Mapping[str, Any]) -> None:
    """Refuse unknown groups and settings.

    Raises:
        ValueError: with what is known.
    """
    against, stretches = recipe.get("against"), recipe.get("stretches")
    if against not in recipe["runs"]:
        raise ValueError(f"{path}: against must be one of the runs {list(recipe['runs'])}, got {against!r}")
    if not stretches or stretches != sorted(stretches) or not all(isinstance(s, int) and s > 1 for s in stretches):
        raise ValueError(f"{path}: stretches must be a rising list of days ≥ 2 at which one begins, got {stretches!r}")
    if not recipe.get("held_out") or not isinstance(recipe.get("train_days"), int):
        raise ValueError(f"{path} must say held_out, a list of series, and train_days, how many days are learned from")
    for name, run in [("defaults", recipe.get("defaults") or {}), *recipe["runs"].items()]:
        unknown = sorted(set(run or {}) - {*GROUPS, "writes"})
        if unknown:
            raise ValueError(f"{path}: {name} has unknown entries {unknown}: known are {[*GROUPS, 'writes']}")


def demand_rows(recipe: Mapping[str, Any], runs: Mapping[str, Any], seed: int) -> Iterator[DemandRow]:
    """Train every run with a seed; a row for every series, all of them, and every stretch. `against` is always trained.

    Linear maps stand beside with the first seed: of the other series, the same with the day a year ago, and of the
    series' own days before the last stretch.

    Raises:
        ValueError: an unknown series or setting.
    """
    from titans_datasets.series.public.demand import electricity_demand
    from titans_recipes.demand.model import days_of

    panel = electricity_demand()
    held = [str(name) for name in recipe["held_out"]]
    unknown = sorted(set(held) - set(panel.names))
    if unknown or len(held) >= len(panel.names):
        raise ValueError(f"held_out must be some, not all, of {list(panel.names)}, got {held}")
    days, units = days_of(panel)
    test = [panel.names.index(name) for name in held]
    task = _Task(recipe, held, days, units.numpy(), panel.demand.mean(-1), test)
    reference = task.train(recipe["runs"][recipe["against"]] or {}, seed)
    for name, run in runs.items():
        found = reference if name == recipe["against"] else task.train(run or {}, seed)
        yield from task.rows(name, seed, found, reference)
    if seed == min(recipe["seeds"]):
        for name, found in task.baselines():
            yield from task.rows(name, seed, found, reference)


class _Task:
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
        recipe: Mapping[str, Any],
        held: list[str],
        days: Days,
        units: FloatArray,
        level: FloatArray,
        test: list[int],
    ) -> None:
        from titans_recipes.demand.model import FIRST, LinearMap

        self.recipe, self.held = recipe, held
        self.known = days.rows([i for i in range(len(units)) if i not in test])
        self.test = days.rows(test)
        self.scale = units[test][:, None] / level[test].mean(1, keepdims=True)
        self.last = int(recipe["train_days"])
        self.linear = LinearMap(self.known, slice(FIRST, self.last))

    def train(self, run: Mapping[str, Any], seed: int) -> _Errors:
        """Train a network and forecast the held-out series from their first day to their last."""
        import torch

        from titans_recipes.demand.model import SHUT, DayNetwork, DayTraining, forecasts, train
        from titans_ts.core.options import PLAIN

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
        return _Errors(own, emptied, sum(p.numel() for p in network.parameters()), round(spent, 1))

    def _emptied(self, network: DayNetwork) -> FloatArray:
        from titans_recipes.demand.model import SHUT, forecasts

        return self._errors(forecasts(network, self.test, self.linear, SHUT).numpy())

    def baselines(self) -> Iterator[tuple[str, _Errors]]:
        """Linear maps; that of the series' own days learns from all of them but those of the last stretch."""
        from titans_recipes.demand.model import FIRST, LinearMap

        end = int(self.recipe["stretches"][-1])
        yield "linear map of the other series", self._linear(self.linear)
        if self.last > YEAR + FIRST:
            yearly = LinearMap(self.known, slice(FIRST, self.last), lags=(1, 2, YEAR))
            yield "the same and the day a year ago", self._linear(yearly, since=YEAR + 1)
        maps = [LinearMap(self.test.rows([i]), slice(FIRST, end)) for i in range(len(self.held))]
        errors = [self._errors(one(self.test).numpy())[i] for i, one in enumerate(maps)]
        yield "linear map of the series' own past", _Errors(np.stack(errors), None, maps[0].weight.numel(), since=end)

    def _linear(self, one: LinearMap, since: int = 0) -> _Errors:
        return _Errors(self._errors(one(self.test).numpy()), None, one.weight.numel(), since=since)

    def _errors(self, forecast: npt.NDArray[np.float32]) -> FloatArray:
        """Mean absolute error of each day over the series' mean demand, per cent (I, N)."""
        error: FloatArray = np.abs(forecast - self.test.values.numpy()).mean(-1, dtype=np.float64) * self.scale * 100
        return error

    def rows(self, name: str, seed: int, found: _Errors, reference: _Errors) -> Iterator[DemandRow]:
        """The rows of one model."""
        starts = self.recipe["stretches"]
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
        block: days that are drawn together, with replacement, in both (moving blocks that wrap around).
    """
    rng = np.random.default_rng(0)
    count, block = len(own), min(block, len(own))
    starts = rng.integers(0, count, (DRAWS, -(-count // block)))
    drawn = (starts[..., None] + np.arange(block)).reshape(DRAWS, -1)[:, :count] % count
    gains = 100 * (1 - own[drawn].mean(1) / other[drawn].mean(1))
    low, high = np.quantile(gains, (0.025, 0.975))
    return float(100 * (1 - own.mean() / other.mean())), float(low), float(high)
