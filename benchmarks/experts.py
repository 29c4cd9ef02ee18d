#!/usr/bin/env python
"""The mixture of experts, without any training, on the tasks of GIFT-Eval and Chronos Benchmark II.

    python benchmarks/experts.py --data DIR                       # all 34 tasks
    python benchmarks/experts.py --data DIR --tasks m1_,hospital
    python benchmarks/experts.py --data DIR --csv scores.csv

The seasonal naive forecast is scored first, beside the value that the suite published for it: a task whose two values
differ by more than 1 % is marked with "*". Then follow our MASE, WQL, coverage of the central 80 and 40 % and CPU
seconds, and published MASE/WQL of others; below each suite, geometric means relative to the published seasonal naive.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from titans_recipes.suite import evaluate, geometric_means, load_tasks, published_scores, seasonal_naive
from titans_recipes.suite.protocol import BASELINE, FloatArray
from titans_recipes.suite.tasks import CHRONOS, GIFT, SuiteTask
from titans_ts.forecasting.experts import ExpertMixture

PEERS = {
    GIFT: ("FLAIR", "auto_ets", "auto_theta", "auto_arima", "PatchTST", "chronos_bolt_small", "chronos-2"),
    CHRONOS: ("auto_ets", "auto_theta", "auto_arima", "chronos_bolt_small", "chronos_bolt_base", "tirex"),
}


def mixture(histories: FloatArray, task: SuiteTask) -> FloatArray:
    """Quantiles (N, H, 9) of the mixture for the histories (N, T) of a window."""
    return ExpertMixture(task.period, task.second_period).forecast(histories, task.horizon).quantiles


def main() -> None:
    """Print a table a suite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TITANS_TS_DATA"), help="folder of the archives")
    parser.add_argument("--tasks", default="", help="parts of names of tasks, separated by commas")
    parser.add_argument("--csv", type=Path, help="file that gets a row a task")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or $TITANS_TS_DATA must name the folder of the archives")
    rows = []
    for suite in (GIFT, CHRONOS):
        rows += suite_table(suite, Path(args.data), tuple(filter(None, args.tasks.split(","))))
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ("task", "MASE", "WQL", "coverage_80", "coverage_60", "coverage_40", "coverage_20", "cpu_s")
            )
            writer.writerows(rows)


def suite_table(suite: str, data: Path, names: tuple[str, ...]) -> list[tuple[object, ...]]:
    """Print a suite's tasks as they are scored, then the geometric means; returns rows of our scores."""
    published = published_scores(suite)
    peers = [p for p in PEERS[suite] if p in published]
    ours: dict[str, tuple[float, float]] = {}
    rows: list[tuple[object, ...]] = []
    for task in load_tasks(data, names, (suite,)):
        naive = evaluate(seasonal_naive, task).mase
        reference = published[BASELINE].get(task.name, (float("nan"), float("nan")))
        if not rows:
            print(
                f"\n{suite}\n{'task':26s} naive/published    MASE    WQL  rel.      80 %  40 %  CPU s | "
                + "  ".join(peers)
            )
        score = evaluate(mixture, task)
        ours[task.name] = score.mase, score.wql
        mark = "*" if abs(naive / reference[0] - 1) > 0.01 else " "
        others = "  ".join("{:.3f}/{:.4f}".format(*published[p][task.name]) for p in peers if task.name in published[p])
        print(
            f"{task.name:26s} {naive:6.3f}/{reference[0]:6.3f}{mark} {score.mase:7.4f} {score.wql:7.4f} "
            f"{score.mase / reference[0]:.3f}/{score.wql / reference[1]:.3f} {score.coverage[0]:.3f} "
            f"{score.coverage[2]:.3f} {score.seconds:6.1f} | {others}",
            flush=True,
        )
        rows.append((task.name, score.mase, score.wql, *score.coverage, round(score.seconds, 1)))
    if rows:
        cover = np.mean([row[3:7] for row in rows], axis=0)
        print("ours {:.3f}/{:.3f}".format(*geometric_means(ours, published[BASELINE])), end="")
        for peer in peers:
            same = {task: published[peer][task] for task in ours if task in published[peer]}
            print("  {} {:.3f}/{:.3f}".format(peer, *geometric_means(same, published[BASELINE])), end="")
        print("\ncoverage of 80, 60, 40 and 20 %, mean over tasks: " + " ".join(f"{c:.3f}" for c in cover))
    return rows


if __name__ == "__main__":
    main()
