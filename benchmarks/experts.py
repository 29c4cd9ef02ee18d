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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    rows = list(scored_rows(Path(args.data), names, args.windows))
    for suite in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == suite]
        ours, naive = ({row[1]: (row[at], row[at + 1]) for row in mine} for at in (2, 4))
        print("{}: {:.3f}/{:.3f}".format(suite, *geometric_means(ours, naive)))
    if args.csv:
        with args.csv.open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])


def scored_rows(data: Path, names: tuple[str, ...], windows: int) -> Iterator[tuple[Any, ...]]:
    """Rows of the tasks (see `HEADER`), printed as they come; tasks whose series are too short have none."""
    for task in (task.before_test(windows) for task in load_tasks(data, names, (GIFT, CHRONOS))):
        if not task.series:
            print(f"{task.name}: no series is long enough for {windows} windows before the suite's")
            continue
        base, score = evaluate(seasonal_naive, task), evaluate(experts(task, {}, 0), task)
        shares = ["–" if share is None else f"{share:.3f}" for share in score.coverage]
        relative = f"{score.mase / base.mase:.3f}/{score.wql / base.wql:.3f}"
        print(f"{task.name:26s} {relative}  {' '.join(shares)} {score.seconds:6.1f} CPU s", flush=True)
        pairs = (score.mase, score.wql, base.mase, base.wql)
        yield (task.suite, task.name, *pairs, *score.coverage, round(score.seconds, 1))


if __name__ == "__main__":
    main()
