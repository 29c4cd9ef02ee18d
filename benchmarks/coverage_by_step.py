#!/usr/bin/env python
"""Coverage of central 80 % intervals at every tenth of the horizon, over the tasks of a suite.

    python benchmarks/coverage_by_step.py --data DIR                    # GIFT-Eval, pretrained weights
    python benchmarks/coverage_by_step.py --data DIR --suite chronos_benchmark_ii --forecaster experts

Intervals that do not shrink with the horizon cover as much at its end as at its beginning. A line a task and the mean
over tasks; nothing may be chosen on these windows.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from titans_recipes.suite import load_tasks
from titans_recipes.suite.forecasters import OURS
from titans_recipes.suite.protocol import LEVELS, Forecaster
from titans_recipes.suite.tasks import GIFT, SUITES, SuiteTask
from titans_recipes.suite.windows import windows

TENTHS = 10
LOW, HIGH = LEVELS.index(0.1), LEVELS.index(0.9)
SETTINGS = {
    "reads": ("reads", {}),
    "zero": ("titans", {"max_steps": 0, "options": {"network": False}}),
    "experts": ("experts", {}),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TITANS_TS_DATA"), help="folder of the archives")
    parser.add_argument("--suite", choices=SUITES, default=GIFT)
    parser.add_argument("--tasks", default="", help="parts of names of tasks, separated by commas")
    parser.add_argument("--forecaster", choices=SETTINGS, default="reads")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or $TITANS_TS_DATA must name the folder of the archives")
    kind, settings = SETTINGS[args.forecaster]
    found = []
    for task in load_tasks(Path(args.data), tuple(filter(None, args.tasks.split(","))), (args.suite,)):
        found.append(covered(OURS[kind](task, settings, 0), task))
        print(f"{task.name:32s} H {task.horizon:4d}", *(f"{share:6.3f}" for share in found[-1]), flush=True)
    mean = np.nanmean(found, axis=0)
    print(f"{f'mean of {len(found)} tasks':39s}", *(f"{share:6.3f}" for share in mean))
    print(f"furthest from .8: {np.abs(mean - 0.8).max():.3f}")


def covered(forecaster: Forecaster, task: SuiteTask) -> np.ndarray:
    """Share (10,) of the values within the interval, by tenths of the horizon; NaN for tenths without a step."""
    inside, count = np.zeros(task.horizon), np.zeros(task.horizon)
    for window in windows(task):
        quantiles, actual = forecaster(window), window.actual
        inside += ((actual >= quantiles[..., LOW]) & (actual <= quantiles[..., HIGH])).sum(axis=0)
        count += np.isfinite(actual).sum(axis=0)
    tenth = (TENTHS * (np.arange(task.horizon) + 0.5) / task.horizon).astype(int)
    total, seen = (np.bincount(tenth, weights=values, minlength=TENTHS) for values in (inside, count))
    return np.divide(total, seen, out=np.full(TENTHS, np.nan), where=seen > 0)


if __name__ == "__main__":
    main()
