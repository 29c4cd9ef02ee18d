"""Running a recall recipe with progress, trained networks that are kept, and earlier rows in the picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import get_type_hints

from rich.console import Console

from titans_recipes.catalogue import load_recipe
from titans_recipes.page import newest
from titans_recipes.pictures import picture_path
from titans_recipes.recall.rows import RecallRow
from titans_recipes.recall.task import TASK, rows_of
from titans_recipes.runner import append_rows, select

# Steps of training between two lines of progress.
EVERY = 100


def report_recall(
    path: Path,
    console: Console,
    *,
    only: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
    output: Path | None = None,
    plot: str | None = None,
    networks: Path | None = None,
) -> None:
    """Run a recall recipe: lines of progress, a line at each length, the table, a picture.

    Args:
        path: the recipe.
        console: prints.
        only, seeds: as `titans_recipes.runner.select`.
        lengths: these of the recipe's only.
        output: CSV file to which rows are appended; the picture also shows the earlier rows in it.
        plot: file of the picture.
        networks: trained networks are kept in this folder, and loaded from it instead of trained again.

    Raises:
        ValueError: the recipe is of another task or has no such run or length, the picture's format is unknown, or the
            folder of networks holds one with other settings.
    """
    recipe = load_recipe(path)
    if recipe["task"] != "recall":
        raise ValueError(f"{path} is a recipe of task {recipe['task']!r}: use titans-ts recipes run {path.stem}")
    picture = picture_path(plot) if plot else None
    rows: list[RecallRow] = []
    for name, settings, seed in select(path, recipe, seeds, only, lengths).models():
        progress = Progress(console, name)
        for row in rows_of(recipe, name, settings, seed, lengths, report=progress.step, networks=networks):
            rows.append(row)
            console.print(
                f"{name}, {row.length:>9,} tokens: {row.correct:.0%} of {row.questions} questions, "
                f"{row.tokens_per_second:,} tokens per CPU second"
            )
            if output is not None:
                append_rows(output, path, "recall", [row])
    console.print(TASK.table([TASK.values(row) for row in rows]).rich())
    if picture is not None and TASK.plot is not None:
        TASK.plot(rows if output is None else stored(output, path.stem), picture, path.stem)
        console.print(f"plot: {picture}")


def stored(file: Path, recipe: str) -> list[RecallRow]:
    """The newest rows of a recipe in a file of results, those of earlier calls among them.

    Args:
        file: to which `titans_recipes.runner.append_rows` wrote.
        recipe: its name.
    """
    with file.open(encoding="utf-8") as stream:
        rows = newest(row for row in csv.DictReader(stream) if row["recipe"] == recipe)
    kinds = get_type_hints(RecallRow)
    return [RecallRow(**{name: kind(row[name]) for name, kind in kinds.items()}) for row in rows]


class Progress:
    """Prints mean loss and accuracy every 100 steps.

    Args:
        console: prints.
        name: of the run.
    """

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name
        self.losses: list[float] = []
        self.right: list[float] = []

    def step(self, step: int, length: int, loss: float, right: float) -> None:
        """Called after the gradients of each step."""
        self.losses.append(loss)
        self.right.append(right)
        if len(self.losses) == EVERY:
            mean, share = sum(self.losses) / EVERY, sum(self.right) / EVERY
            self.console.print(f"{self.name}, step {step + 1:,}: loss {mean:.3f} nats, {share:.0%} of tokens right")
            self.losses, self.right = [], []
