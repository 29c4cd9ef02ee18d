"""The task `demo`: how well the last value of a random walk forecasts the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from titans_recipes.tables import Rows, Table, by_run, numbers, spread
from titans_recipes.task import Recipe, Selection, Task


@dataclass(frozen=True)
class DemoRow:
    """Mean absolute error of one run and seed."""

    run: str
    seed: int
    mae: float
    cpu_seconds: float | None = None


def check(path: Path, recipe: Recipe) -> None:
    """Refuse runs without a number of steps."""
    for name, run in recipe["runs"].items():
        if not isinstance((run or {}).get("steps"), int):
            raise ValueError(f"{path}: run {name!r} must have steps, a number")


def run(recipe: Recipe, selection: Selection) -> Iterator[DemoRow]:
    """Every selected run with every seed."""
    for name, settings, seed in selection.models():
        walk = np.random.default_rng(seed).normal(size=settings["steps"]).cumsum()
        yield DemoRow(name, seed, float(np.abs(np.diff(walk)).mean()))


def table(rows: Rows) -> Table:
    """A line for each run: the error as mean ± standard deviation over seeds."""
    return Table(("run", "MAE"), [(name, spread(numbers(mine, "mae"))) for name, mine in by_run(rows).items()])


TASK = Task(row=DemoRow, results="results_demo.csv", check=check, run=run, table=table, scores=("mae",))
