#!/usr/bin/env python
"""Where the forecaster stands in the table of its own backtest, on the tables of the public suites.

    python benchmarks/own_backtest.py --data DIR
    python benchmarks/own_backtest.py --data DIR --tasks m4_,hospital --series 60 --max-steps 300

Each task gives up to `--series` of its series (evenly spread, the last `--length` steps of each) without the windows
of the suite, and `backtest` with its default windows is run on them. A line a task: MASE of the forecaster, of the best
and of the worst row, and the rank among all rows.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd

from titans_datasets.series import SeriesWarning
from titans_recipes.suite import load_tasks
from titans_recipes.suite.tasks import CHRONOS, GIFT, SuiteTask
from titans_recipes.suite.windows import Window
from titans_ts import TitansForecaster


def main() -> None:
    """Print a line a task, and how often the forecaster was the worst and the best row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TITANS_TS_DATA"), help="folder of the archives")
    parser.add_argument("--tasks", default="", help="parts of names of tasks, separated by commas")
    parser.add_argument("--series", type=int, default=40)
    parser.add_argument("--length", type=int, default=1500)
    parser.add_argument("--max-steps", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.data is None:
        parser.error("--data or $TITANS_TS_DATA must name the folder of the archives")
    names = tuple(filter(None, chosen.tasks.split(",")))
    ranks = []
    for task in load_tasks(Path(chosen.data), names, (GIFT, CHRONOS)):
        started = time.process_time()
        scores = backtest_scores(task, chosen.series, chosen.length, chosen.max_steps)
        if scores is None:
            print(f"{task.name}: no series is long enough")
            continue
        ranks.append((int(scores.rank()["titans"]), len(scores)))
        best, worst = scores.idxmin(), scores.idxmax()
        print(
            f"{task.name:26s} titans {scores['titans']:.3f}, best {best} {scores[best]:.3f}, worst {worst} "
            f"{scores[worst]:.3f}; rank {ranks[-1][0]} of {ranks[-1][1]}, {time.process_time() - started:.0f} CPU s",
            flush=True,
        )
    last = sum(rank == rows for rank, rows in ranks)
    print(f"{len(ranks)} tasks: worst row {last} times, best row {sum(rank == 1 for rank, _ in ranks)} times")


def backtest_scores(task: SuiteTask, series: int, length: int, max_steps: int) -> pd.Series[float] | None:
    """MASE of the rows of the backtest, None where no series is long enough."""
    kept = [i for i, x in enumerate(task.series) if len(x) >= task.horizon * (task.windows + 2) + 2 * task.period]
    kept = kept[:: max(1, len(kept) // series)][:series]
    if not kept:
        return None
    ends = [len(task.series[i]) - task.horizon * task.windows for i in kept]
    begins = [max(0, end - length) for end in ends]
    cut = replace(
        task,
        series=[task.series[i][a:b] for i, a, b in zip(kept, begins, ends, strict=True)],
        starts=(),
        known=[task.known[i][a:b] for i, a, b in zip(kept, begins, ends, strict=True)] if task.known else (),
    )
    table = Window(cut, 0, list(range(len(kept))), [len(x) for x in cut.series]).frame()
    forecaster = TitansForecaster(
        task.horizon,
        max_steps=max_steps,
        freq=None if task.freq == "W" else task.freq,
        known_covariates=task.covariates,
        options={"progress": False},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeriesWarning)
        found: pd.Series[float] = forecaster.backtest(table).metrics["MASE"].dropna()
    return found


if __name__ == "__main__":
    main()
