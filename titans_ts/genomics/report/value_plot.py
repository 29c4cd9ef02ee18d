"""Pictures of regression reports: predictions against truth.

Shapes: R rows (sequences, or bases), K targets.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from titans_datasets.writing import in_place_of
from titans_ts.genomics.analysis.plot import DOTS_PER_INCH, check_picture

FloatArray = npt.NDArray[np.float64]
# More points than that are drawn as the counts of hexagons.
MOST_POINTS = 5_000


def plot_values(
    predicted: FloatArray,
    truth: FloatArray,
    names: list[Any],
    *,
    title: str | None = None,
    path: str | PathLike[str] | None = None,
) -> Figure:
    """A panel for each target, with the line on which predictions are right.

    Args:
        predicted, truth: (R, K).
        names: (K,) of the targets.
        title: of the figure.
        path: where to write it.

    Raises:
        ValueError: the path has no suffix of a picture.
    """
    check_picture(path)
    figure = Figure(figsize=(4 * len(names), 4), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)
    for k, panel in enumerate(panels[0]):
        x, y = truth[:, k], predicted[:, k]
        if len(x) > MOST_POINTS:
            panel.hexbin(x, y, gridsize=60, bins="log", mincnt=1, cmap="viridis")
        else:
            panel.plot(x, y, ".", markersize=3, alpha=0.5)
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        panel.plot(ends, ends, color="0.6", linewidth=1)
        panel.set(xlabel=f"{names[k]}, measured", ylabel=f"{names[k]}, predicted")
    if title is not None:
        figure.suptitle(title)
    if path is not None:
        with in_place_of(path) as beside:
            figure.savefig(beside, dpi=DOTS_PER_INCH)
    return figure
