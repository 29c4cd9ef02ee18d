#!/usr/bin/env python
"""The mixture of experts, without any training, on windows before those of the public suites: for choices about it.

    python benchmarks/experts.py --data DIR                              # all tasks of GIFT-Eval and Chronos II
    python benchmarks/experts.py --data DIR --tasks m1_,hospital --windows 3
    python benchmarks/experts.py --data DIR --csv scores.csv

Scores on the suites' own windows, beside published ones: `titans-ts recipes run gift_eval --only "expert mixture"` (and
chronos_ii); nothing may be chosen on those. MASE and WQL are relative to the seasonal naive forecast's.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from titans_recipes.suite import evaluate, geometric_means, load_tasks, seasonal_naive
from titans_recipes.suite.forecasters import experts
from titans_recipes.suite.tasks import CHRONOS, GIFT

COVERAGE = ("coverage_50", "coverage_80", "coverage_90")
HEADER = (
    "suite",
    "task",
    "MASE",
    "WQL",
    "naive_MASE",
    "naive_WQL",
    "coverage_50",
    "coverage_80",
    "coverage_90",
    "cpu_s",
)


def main() -> None:
    """Print a line a task and the geometric means of each suite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TITANS_TS_DATA"), help="folder of the archives")
    parser.add_argument("--tasks", default="", help="parts of names of tasks, separated by commas")
    parser.add_argument("--windows", type=int, default=1, help="of each series, before those of the suite")
    parser.add_argument("--csv", type=Path, help="file that gets a row a task")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or $TITANS_TS_DATA must name the folder of the archives")
    names = tuple(filter(None, args.tasks.split(",")))
    rows = [row for suite in (GIFT, CHRONOS) for row in suite_rows(suite, Path(args.data), names, args.windows)]
    if args.csv:
        with args.csv.open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])


def suite_rows(suite: str, data: Path, names: tuple[str, ...], windows: int) -> list[tuple[object, ...]]:
    """Rows of a suite's tasks (see `HEADER`), printed as they come; tasks whose series are too short have none."""
    rows: list[tuple[object, ...]] = []
    ours, naive = {}, {}
    for task in (task.before_test(windows) for task in load_tasks(data, names, (suite,))):
        if not task.series:
            print(f"{task.name}: no series is long enough for {windows} windows before the suite's")
            continue
        base, score = evaluate(seasonal_naive, task), evaluate(experts(task, {}, 0), task)
        ours[task.name], naive[task.name] = (score.mase, score.wql), (base.mase, base.wql)
        shares = ["–" if share is None else f"{share:.3f}" for share in score.coverage]
        print(
            f"{task.name:26s} {score.mase / base.mase:.3f}/{score.wql / base.wql:.3f}  {' '.join(shares)} "
            f"{score.seconds:6.1f} CPU s",
            flush=True,
        )
        rows.append((suite, task.name, *ours[task.name], *naive[task.name], *score.coverage, round(score.seconds, 1)))
    if rows:
        print("{}: {:.3f}/{:.3f}".format(suite, *geometric_means(ours, naive)))
    return rows


if __name__ == "__main__":
    main()
