"""The picture of a suite: accuracy against CPU time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean

from titans_recipes.pictures import save_picture
from titans_recipes.suite.rows import SuiteRow, others, summary
from titans_recipes.tables import by_run


def plot_suite(rows: Sequence[SuiteRow], path: Path, title: str) -> None:
    """Relative WQL against CPU seconds of all tasks, a point for each forecaster that has them all.

    Published scores, whose time is not known, are lines; those above the seasonal naive forecast are left out.

    Args:
        rows: results of one recipe.
        path: .png, .pdf or .svg; replaced as a whole.
        title: of the figure.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    table = [asdict(row) for row in rows]
    tasks = {row.set: (row.naive_mase, row.naive_wql) for row in rows}
    found = {run: summary(mine) for run, mine in by_run(table).items()}
    found = {run: one for run, one in found.items() if one.tasks == len(tasks)}
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for number, (run, one) in enumerate(found.items()):
        axes.plot(max(one.cpu_seconds, 0.1), one.wql, "osD^vPX*"[number % 8], markersize=9, label=run)
    heights = {name: means[1] for name, (means, count) in others(table, tasks).items() if count == len(tasks)}
    for height, names in _together({name: height for name, height in heights.items() if height < 1}):
        axes.axhline(height, color="grey", linewidth=0.8, linestyle=":")
        text = f" {', '.join(names)}"
        axes.text(1.0, height, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7)
    axes.set_xscale("log")
    axes.set(xlabel=f"CPU seconds, {len(tasks)} tasks", ylabel="WQL relative to seasonal naive", title=title)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    save_picture(figure, path)


def _together(heights: Mapping[str, float], apart: float = 0.012) -> list[tuple[float, list[str]]]:
    """Names by height, those that would be written over each other at one height, their mean."""
    groups: list[list[str]] = []
    for name in sorted(heights, key=lambda name: heights[name]):
        if groups and heights[name] - heights[groups[-1][0]] < apart:
            groups[-1].append(name)
        else:
            groups.append([name])
    return [(mean(heights[name] for name in names), names) for names in groups]
