"""Rows, the table and the picture of recipes of task `genome_recall`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from titans_recipes.genome_recall.reading import Curves
from titans_recipes.pictures import save_picture
from titans_recipes.tables import Rows, Table, mean_of

EVERYWHERE, HOMOLOGOUS = "everywhere", "homologous"


@dataclass(frozen=True)
class GenomeRow:
    """One model after so many bases of the first genome.

    Attributes:
        run, seed: which model.
        windows: "homologous": windows of the relative with a counterpart in what was read; "everywhere": windows spread
            evenly over the relative.
        length: bases read before; pieces: number of windows.
        empty, carried, control: bits per base with an empty memory, after the genome, after as much of the control's
            (less where that is shorter).
        gain: empty − carried; gain_error: its standard error over windows.
        reverse_gain: the gain on the windows' reverse complements.
        memory: numbers in the memory of one stream; cpu_seconds: of everything up to this row.
        protocol: what is read.
        curves: bits of each window, for the picture; not stored.
    """

    run: str
    seed: int
    windows: str
    length: int
    pieces: int
    empty: float
    carried: float
    control: float
    gain: float
    gain_error: float
    reverse_gain: float
    memory: int
    cpu_seconds: float
    protocol: str
    curves: Curves | None = field(default=None, repr=False, compare=False, metadata={"column": False})


def label(row: GenomeRow) -> str:
    """What was read and the kind of windows, for the line of a row."""
    return f", {row.length:,} bases read, windows {row.windows}"


def genome_table(rows: Rows) -> Table:
    """A line for each run, amount read and kind of windows: bits per base, means over seeds, gain ± standard error."""
    lines = []
    for run, length, windows in dict.fromkeys((row["run"], int(row["length"]), row["windows"]) for row in rows):
        mine = [r for r in rows if (r["run"], int(r["length"]), r["windows"]) == (run, length, windows)]
        bits = [mean_of(mine, name, "{:.3f}") for name in ("empty", "carried", "control")]
        gain = f"{mean_of(mine, 'gain', '{:.3f}')} ± {mean_of(mine, 'gain_error', '{:.3f}')}"
        rest = [mean_of(mine, "reverse_gain", "{:.3f}"), mean_of(mine, "memory", "{:,.0f}")]
        shown = f"{mine[0]['pieces']} {windows}"
        lines.append((run, f"{length:,}", shown, *bits, gain, *rest, mean_of(mine, "cpu_seconds", "{:.0f}")))
    header = ("run", "bases read", "windows", "empty memory", "after the genome", "after the control", "gain")
    return Table((*header, "gain, other strand", "memory", "CPU s"), lines)


def plot_curves(rows: Sequence[GenomeRow], path: Path, title: str) -> None:
    """Bits per base against position along the relative, a line for each condition, of the last model.

    Args:
        rows: results of one recipe.
        path: .png, .pdf or .svg; replaced as a whole.
        title: of the recipe.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    row = [one for one in rows if one.windows == EVERYWHERE][-1]
    curves = row.curves
    assert curves is not None, "rows of a run have their curves"
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    middle = (curves.starts + curves.size / 2) / 1e6
    for name, values in (
        ("empty memory", curves.empty),
        ("after the genome", curves.carried),
        ("after the control", curves.control),
    ):
        axes.plot(middle, values, linewidth=1, label=f"{name}, mean {values.mean():.3f}")
    axes.set(xlabel="position (million bases)", ylabel="bits per base")
    axes.set_title(f"{title}, {row.run}: windows of {curves.size:,} bases")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_picture(figure, path)
