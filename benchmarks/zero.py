#!/usr/bin/env python
"""A trained network of reads on windows before those of the public suites, beside the mixture of experts.

    python benchmarks/zero.py --data DIR --weights FILE                      # the sets on which defaults are chosen
    python benchmarks/zero.py --data DIR --weights FILE --windows 2 --tasks m4_,ett1/h
    python benchmarks/zero.py --data DIR --weights FILE --windows 20 --tasks epf     # days before those of the prices
    python benchmarks/zero.py --data DIR --weights FILE --flip --csv scores.csv

Without --tasks the twelve sets of `titans_recipes.suite.archives.defaults`, which end before the suites' windows; with
it tasks of GIFT-Eval, Chronos II and fev-bench on windows before the suites' own. Nothing may be chosen on those, but
what covariates do on the days before the prices'. Scores are MASE and WQL relative to the seasonal naive forecast's: of
the network, of the mixture, and of the plain mean of their quantiles; what covariates known ahead add is taken off
before both. In brackets coverage of the central 80 % and CPU seconds.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from titans_recipes.suite import Forecaster, SuiteTask, Window, evaluate, geometric_means, load_tasks, seasonal_naive
from titans_recipes.suite.forecasters import experts
from titans_recipes.suite.protocol import LEVELS
from titans_recipes.suite.tasks import CHRONOS, DEFAULTS, FEV, GIFT
from titans_ts.forecasting.experts import ExpertMixture
from titans_ts.forecasting.experts.covariates import taken_off
from titans_ts.forecasting.experts.panel import aligned
from titans_ts.forecasting.reads import ForecastOptions, ReadingNetwork, forecast
from titans_ts.forecasting.reads.drafts import NAMES as OWN_DRAFTS
from titans_ts.forecasting.reads.expert_drafts import SLOTS, ExpertDrafts

PER_SERIES = ("series", "starts", "known")
NAMES = ("reads", "mixture", "mean of both")
Pairs = dict[str, tuple[float, float]]


def main() -> None:
    """Print a line a task and geometric means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TITANS_TS_DATA"), help="folder of the archives")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file of a pretraining")
    parser.add_argument("--tasks", default="", help="parts of names of tasks of the suites, separated by commas")
    parser.add_argument("--windows", type=int, default=1, help="of each series of --tasks, before those of the suite")
    parser.add_argument("--series", type=int, default=400, help="series of a task at most, evenly spaced")
    parser.add_argument("--context", type=int, action="append", help="last steps that are read; may be repeated")
    parser.add_argument("--flip", action="store_true", help="average with the forecast of the negative series")
    parser.add_argument("--csv", type=Path, help="file that gets a row a task")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or $TITANS_TS_DATA must name the folder of the archives")
    network = ReadingNetwork.load(args.weights)
    options = ForecastOptions(contexts=tuple(args.context or (2048,)), flip=args.flip)
    names = tuple(filter(None, args.tasks.split(",")))
    naive: Pairs = {}
    scores: dict[str, Pairs] = {name: {} for name in NAMES}
    for task in development_tasks(Path(args.data), names, args.windows, args.series):
        base = evaluate(seasonal_naive, task)
        naive[task.name] = base.mase, base.wql
        line, pair = [], Both(network, task, options)
        for name, forecaster in zip(NAMES, (pair.reads, pair.mixture, pair.mean), strict=True):
            score = evaluate(forecaster, task)
            scores[name][task.name] = score.mase, score.wql
            covered = score.coverage[1] or float("nan")
            line.append(
                f"{score.mase / base.mase:.3f}/{score.wql / base.wql:.3f} ({covered:.2f}, {score.seconds:.1f} s)"
            )
        print(f"{task.name:36s}", "  ".join(line), flush=True)
    for name in NAMES:
        print(f"{name:14s} {{:.3f}}/{{:.3f}} of {len(naive)} tasks".format(*geometric_means(scores[name], naive)))
    if args.csv:
        write(args.csv, naive, scores)


def development_tasks(data: Path, names: tuple[str, ...], windows: int, most: int) -> Iterator[SuiteTask]:
    """Tasks whose windows lie before those of the suites."""
    if names:
        tasks = (task.before_test(windows) for task in load_tasks(data, names, (GIFT, CHRONOS, FEV)))
    else:
        tasks = iter(load_tasks(data, (), (DEFAULTS,)))
    for task in tasks:
        if not task.series:
            print(f"{task.name}: no series is long enough for {windows} windows before the suite's")
            continue
        yield thinned(task, most)


def thinned(task: SuiteTask, most: int) -> SuiteTask:
    """The task on so many of its series at most, evenly spaced."""
    if len(task.series) <= most:
        return task
    kept = np.linspace(0, len(task.series) - 1, most).round().astype(int)
    chosen = {name: [values[at] for at in kept] for name in PER_SERIES if (values := getattr(task, name))}
    return replace(task, **chosen)


class Both:
    """Forecasts of a task's windows by the network, the mixture, and the mean of both; each is computed once."""

    def __init__(self, network: ReadingNetwork, task: SuiteTask, options: ForecastOptions) -> None:
        self.network, self.task, self.options = network, task, options
        self.found: dict[tuple[str, int], np.ndarray] = {}

    @cached_property
    def experts(self) -> Forecaster:
        """The mixture."""
        return experts(self.task, {}, 0)

    def reads(self, window: Window) -> np.ndarray:
        """Quantiles (N, H, Q) of the network; what covariates known ahead add is taken off first."""
        task, (histories, ahead) = window.task, without_covariates(window)
        reads_experts = self.network.config.drafts == (*OWN_DRAFTS, *SLOTS)
        given = ExpertDrafts(task.period, task.second_period) if reads_experts else None
        found = forecast(
            *(self.network, histories, task.horizon, task.period, LEVELS),
            given=given,
            options=self.options,
        )
        return self.found.setdefault(("reads", window.number), found + ahead[..., None])

    def mixture(self, window: Window) -> np.ndarray:
        """Quantiles (N, H, Q) of the mixture of experts, likewise."""
        task = window.task
        if not task.known:
            return self.found.setdefault(("mixture", window.number), self.experts(window))
        histories, ahead = without_covariates(window)
        own = ExpertMixture(task.period, task.second_period, levels=LEVELS, nonnegative=False)
        found = own.forecast(aligned(histories), task.horizon).quantiles + ahead[..., None]
        return self.found.setdefault(("mixture", window.number), found)

    def mean(self, window: Window) -> np.ndarray:
        """The mean of both."""
        return (self.found["reads", window.number] + self.found["mixture", window.number]) / 2


def without_covariates(window: Window) -> tuple[list[np.ndarray], np.ndarray]:
    """Histories (T,) less what covariates add, and what they add to the window (N, H)."""
    task, pairs = window.task, list(zip(window.items, window.ends, strict=True))
    histories = [np.asarray(task.series[item][:end], dtype=float) for item, end in pairs]
    if not task.known:
        return histories, np.zeros((len(histories), task.horizon))
    known = [np.asarray(task.known[item], dtype=float).T for item, _ in pairs]
    return taken_off(histories, known, task.period, task.horizon)


def write(path: Path, naive: Pairs, scores: dict[str, Pairs]) -> None:
    """A row a task: MASE and WQL of seasonal naive, and of each forecaster."""
    header = ["task", *(f"{name} {metric}" for name in ("naive", *scores) for metric in ("MASE", "WQL"))]
    rows = [[task, *naive[task], *(v for pairs in scores.values() for v in pairs[task])] for task in naive]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main()
