"""Rows, the table and the picture of recipes of task `recall`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from titans_recipes.pictures import save_picture
from titans_recipes.tables import Rows, Table, by_run, mean_of, numbers, spread


@dataclass(frozen=True)
class RecallRow:
    """One model at one length of streams.

    Attributes:
        run, seed: which model.
        length: tokens of a stream; trained: the longest in training.
        correct: share of questions whose whole answer is right; questions: their number; chance: the share right by
            guessing.
        nats: mean loss of an answer token.
        parameters: of the network; cpu_seconds: of training; tokens_per_second: of the test, in CPU time.
    """

    run: str
    seed: int
    length: int
    trained: int
    correct: float
    questions: int
    chance: float
    nats: float
    parameters: int
    cpu_seconds: float
    tokens_per_second: int


def label(row: RecallRow) -> str:
    """The length, for the line of a row."""
    return f", {row.length:,} tokens"


def recall_table(rows: Rows) -> Table:
    """A line for each run: share of questions answered right at each length, mean over seeds; and one for guessing."""
    lengths = sorted({int(row["length"]) for row in rows})
    lines = []
    for run, mine in by_run(rows).items():
        at = [numbers([row for row in mine if int(row["length"]) == length], "correct") for length in lengths]
        seeds, trained = {row["seed"] for row in mine}, max(int(row["trained"]) for row in mine)
        shares = [spread(values, 2) for values in at]
        lines.append((run, str(len(seeds)), f"{trained:,}", *shares, mean_of(mine, "cpu_seconds", "{:.0f}")))
    chance = max(numbers(rows, "chance"))
    lines.append(("guessing", "", "", *(f"{chance:.2g}" for _ in lengths), ""))
    return Table(("run", "seeds", "trained to", *(f"{length:,}" for length in lengths), "CPU s"), lines)


def plot_recall(rows: Sequence[RecallRow], path: Path, title: str) -> None:
    """Share of questions answered right against length, a line for each run, mean over seeds.

    Args:
        rows: results of one recipe.
        path: .png, .pdf or .svg; replaced as a whole.
        title: name of the recipe.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    markers = "osD^vPX*"
    for number, run in enumerate(dict.fromkeys(row.run for row in rows)):
        mine = [row for row in rows if row.run == run]
        lengths = sorted({row.length for row in mine})
        shares = [mean(row.correct for row in mine if row.length == length) for length in lengths]
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
    axes.set(xlabel="tokens of a stream", ylabel="questions answered right", ylim=(-0.03, 1.03), title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    save_picture(figure, path)


def _short(count: int) -> str:
    """Tokens as 512, 4K, 2M."""
    for size, letter in ((2**20, "M"), (2**10, "K")):
        if count % size == 0:
            return f"{count // size}{letter}"
    return f"{count:,}"
