"""`titans-ts recall`: train short, ask long, and a plot of accuracy against length.

Shapes: none.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from titans_recipes.pictures import picture_path, save_picture
from titans_recipes.recall.task import RecallRow, recall_rows
from titans_recipes.runner import append_rows, find_recipe, load_recipe

if TYPE_CHECKING:
    from rich.console import Console

# Steps of training between two lines of progress.
EVERY = 100


def recall(arguments: argparse.Namespace) -> None:
    """Run a recall recipe.

    Raises:
        ValueError, FileNotFoundError: no such recipe, run or length, a plot in an unknown format, or a network of other
            settings in the folder of networks.
    """
    from rich.table import Table

    from titans_cli.output.tables import make_console
    from titans_recipes.tables import summary

    path = find_recipe(arguments.task)
    recipe = load_recipe(path)
    if recipe["task"] != "recall":
        raise ValueError(f"{path} is a recipe of task {recipe['task']!r}: use titans-ts recipes run {path.stem}")
    plot = picture_path(arguments.plot) if arguments.plot else None
    missing = sorted(set(arguments.only or []) - set(recipe["runs"]))
    if missing:
        raise ValueError(f"{path} has no run {missing[0]!r}: choose among {list(recipe['runs'])}")
    console = make_console(quiet=False)
    rows: list[RecallRow] = []
    for seed in arguments.seeds or recipe["seeds"]:
        for name in arguments.only or recipe["runs"]:
            progress = _Progress(console, name)
            for row in recall_rows(
                recipe,
                name,
                recipe["runs"][name] or {},
                int(seed),
                arguments.lengths,
                report=progress.step,
                networks=Path(arguments.networks) if arguments.networks else None,
            ):
                rows.append(row)
                console.print(
                    f"{name}, {row.length:>9,} tokens: {row.correct:.0%} of {row.questions} questions, "
                    f"{row.tokens_per_second:,} tokens a CPU second"
                )
                if arguments.output:
                    append_rows(Path(arguments.output), path, [row])
    header, lines = summary([row._asdict() for row in rows])
    table = Table(*header, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for line in lines:
        table.add_row(*line)
    console.print(table)
    if plot is not None:
        plot_recall(stored(Path(arguments.output), path.stem) if arguments.output else rows, plot, path.stem)
        console.print(f"plot: {plot}")


def stored(file: Path, recipe: str) -> list[RecallRow]:
    """The newest rows of a recipe in a file of results, those of earlier calls among them.

    Args:
        file: to which `titans_recipes.runner.append_rows` wrote.
        recipe: its name.
    """
    from titans_recipes.tables import newest

    with file.open(encoding="utf-8") as stream:
        rows = newest(row for row in csv.DictReader(stream) if row["recipe"] == recipe)
    kinds = get_type_hints(RecallRow)
    return [RecallRow(**{name: kind(row[name]) for name, kind in kinds.items()}) for row in rows]


class _Progress:
    """A line every so many steps: means over these."""

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name
        self.losses: list[float] = []
        self.right: list[float] = []

    def step(self, step: int, length: int, loss: float, right: float) -> None:
        """Called after each gradient step."""
        self.losses.append(loss)
        self.right.append(right)
        if len(self.losses) == EVERY:
            mean, share = sum(self.losses) / EVERY, sum(self.right) / EVERY
            self.console.print(f"{self.name}, step {step + 1:,}: loss {mean:.3f} nats, {share:.0%} of tokens right")
            self.losses, self.right = [], []


def plot_recall(rows: Sequence[RecallRow], path: Path, title: str) -> None:
    """Share of questions answered against length, a line a run, the mean over seeds.

    Args:
        rows: results of one recipe.
        path: .png, .pdf or .svg; replaced as a whole.
        title: name of the task.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    markers = "osD^vPX*"
    for number, run in enumerate(dict.fromkeys(row.run for row in rows)):
        mine = [row for row in rows if row.run == run]
        lengths = sorted({row.length for row in mine})
        shares = []
        for n in lengths:
            here = [row.correct for row in mine if row.length == n]
            shares.append(sum(here) / len(here))
        # Open markers of falling size: runs with the same shares stay visible inside each other.
        axes.plot(
            lengths,
            shares,
            marker=markers[number % len(markers)],
            markersize=max(4.0, 15.0 - 2.0 * number),
            markerfacecolor="none",
            markeredgewidth=1.5,
            label=run,
        )
    chance, trained = max(row.chance for row in rows), max(row.trained for row in rows)
    axes.axhline(chance, color="grey", linestyle=":", linewidth=1, label="guessing")
    axes.axvline(trained, color="grey", linestyle="--", linewidth=1, label=f"longest in training ({trained:,})")
    lengths = sorted({row.length for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [_short(n) for n in lengths])
    axes.minorticks_off()
    axes.set(xlabel="tokens of a stream", ylabel="questions answered", ylim=(-0.03, 1.03), title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    save_picture(figure, path)


def _short(count: int) -> str:
    """Tokens as 512, 4K, 2M."""
    for size, letter in ((2**20, "M"), (2**10, "K")):
        if count % size == 0:
            return f"{count // size}{letter}"
    return f"{count:,}"
