"""Scores that others have published on the suites' tasks (published.csv): MASE and WQL of a model on a task."""

from __future__ import annotations

import csv
from pathlib import Path

FILE = Path(__file__).with_name("published.csv")


def published_scores(suite: str) -> dict[str, dict[str, tuple[float, float]]]:
    """MASE and WQL by model and task of "gift_eval" or "chronos_benchmark_ii"; a missing number leaves the task out."""
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    with FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["suite"] == suite and row["MASE"] and row["WQL"]:
                scores.setdefault(row["model"], {})[row["task"]] = float(row["MASE"]), float(row["WQL"])
    return scores
