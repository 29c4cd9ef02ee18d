"""The picture of a demand recipe: what memory gains as history grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from titans_recipes.demand.rows import DemandRow
from titans_recipes.pictures import save_picture


def plot_demand(rows: Sequence[DemandRow], path: Path, title: str) -> None:
    """Gain over the run `against` by days in memory: a panel for each series, means over seeds, 95 % intervals.

    Args:
        rows: results of one recipe.
        path: .png, .pdf or .svg; replaced as a whole.
        title: of the figure.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    items, runs = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("item", "run"))
    figure, panels = plt.subplots(
        1, len(items), figsize=(4 * len(items), 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    segments = sorted({(row.history, row.days) for row in rows})
    for axes, item in zip(panels[0], items, strict=True):
        for number, run in enumerate(runs):
            if run != rows[0].against:
                points = _points([row for row in rows if (row.item, row.run) == (item, run)])
                places = [segments.index(segment) + 0.06 * (number - len(runs) / 2) for segment in points]
                low, middle, high = zip(*points.values(), strict=True)
                ends = np.abs(np.stack([low, high]) - middle)
                axes.errorbar(places, middle, ends, marker="osD^vPX*"[number % 8], capsize=3, label=run)
        axes.axhline(0, color="grey", linewidth=1)
        axes.set_xticks(range(len(segments)), [f"{first:,} to\n{first + days:,}" for first, days in segments])
        axes.set(title=item, xlabel="days since the stream began")
        axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel(f"error below that of\n“{rows[0].against}” (%)")
    figure.suptitle(title)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    save_picture(figure, path)


def _points(rows: Sequence[DemandRow]) -> dict[tuple[int, int], tuple[float, float, float]]:
    """Means over seeds of (lower end, gain, upper end), by segment (first day, number of days)."""
    found = {}
    for segment in sorted({(row.history, row.days) for row in rows}):
        here = [row for row in rows if (row.history, row.days) == segment]
        found[segment] = (
            mean(row.gain_low for row in here),
            mean(row.gain for row in here),
            mean(row.gain_high for row in here),
        )
    return found
