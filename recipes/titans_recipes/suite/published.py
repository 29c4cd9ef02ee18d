"""Scores that others have published on the suites' tasks (published.csv): MASE and WQL of a model on a task.

From the result files of the GIFT-Eval leaderboard, of the evaluation in the chronos-forecasting repository, and of the
fev leaderboard, rounded to five digits; models are named as there, but for fev's "Seasonal Naive".
"""

from __future__ import annotations

import csv
from pathlib import Path

FILE = Path(__file__).with_name("published.csv")


def published_scores(suite: str) -> dict[str, dict[str, tuple[float, float]]]:
    """MASE and WQL by model and task of a suite (see `tasks`); a missing number leaves the task out."""
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    with FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["suite"] == suite and row["MASE"] and row["WQL"]:
                scores.setdefault(row["model"], {})[row["task"]] = float(row["MASE"]), float(row["WQL"])
    return scores
