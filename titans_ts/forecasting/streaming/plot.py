"""`plot_surprise`: series with their alarms, and below each its surprise beside the threshold."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from os import PathLike

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from titans_datasets.writing import in_place_of
from titans_ts.forecasting.plot import (
    DOTS_PER_INCH,
    WIDTH_INCHES,
    Columns,
    choose_items,
    draw_line,
    finish,
    need,
    picture_suffix,
    rows_of,
)

MOST_SERIES = 4
_SERIES, _SURPRISE, _ALARM, _BAND = "#3b3b3b", "#0b6e99", "#d1495b", "#f3c6cc"


def plot_surprise(
    series: pd.DataFrame,
    surprise: pd.DataFrame,
    *,
    id_column: str = "item_id",
    timestamp_column: str = "timestamp",
    target_column: str = "target",
    items: Sequence[Hashable] | None = None,
    title: str | None = None,
    path: str | PathLike[str] | None = None,
) -> Figure:
    """Draw series and their surprise.

    Args:
        series: long frame with the timestamp and target columns, and the id column if there are several series.
        surprise: what `TitansForecaster.detect` returned: a row a series and token, with "surprise", and, to be marked,
            "threshold" and "alarm"; or what `TitansForecaster.surprise` returned.
        id_column, timestamp_column, target_column: column names.
        items: series to draw, in this order; by default four, those with most alarms.
        title: above the figure.
        path: file to write (png, svg, pdf, jpg, webp); readers see the old file or the whole new one.

    Returns:
        The figure, 1200 pixels wide: two panels a series. Where a token is an alarm, its steps are shaded.

    Raises:
        ValueError: a column is missing, the frames share no item, or the path's suffix is unknown.

    Example:
        >>> import pandas as pd
        >>> from titans_ts.forecasting import plot_surprise
        >>> days = pd.date_range("2024-01-01", periods=4)
        >>> series = pd.DataFrame({"item_id": "a", "timestamp": days, "target": [1.0, 1, 9, 1]})
        >>> surprise = pd.DataFrame({"item_id": "a", "timestamp": days, "surprise": [0.1, 0.1, 3.0, 0.2]})
        >>> [panel.get_ylabel() for panel in plot_surprise(series, surprise).axes]
        ['target', 'surprise']
    """
    columns = Columns(id_column, timestamp_column, target_column)
    suffix = None if path is None else picture_suffix(path)
    need(series, "series", (timestamp_column, target_column))
    need(surprise, "surprise", (timestamp_column, "surprise"))
    wanted = _most_alarms(series, surprise, id_column) if items is None else list(items)
    chosen, _ = choose_items(series, surprise, columns, wanted and wanted[:MOST_SERIES])
    left_out = len(wanted or chosen) - len(chosen)
    height = 1.2 + 3.4 * len(chosen)
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(2 * len(chosen), 1, squeeze=False, height_ratios=[1.4, 1] * len(chosen))[:, 0]
    for above, below, item in zip(grid[::2], grid[1::2], chosen, strict=True):
        below.sharex(above)
        _draw(above, below, rows_of(series, item, columns), rows_of(surprise, item, columns), columns)
        if item is not None:
            above.set_title(str(item), loc="left", fontsize=11, fontweight="bold", color="#222222")
    finish(figure, list(grid), title, left_out)
    for above in grid[::2]:
        above.tick_params(labelbottom=False)
        above.set_xlabel("")
    if path is not None and suffix is not None:
        with in_place_of(path) as beside:
            figure.savefig(beside, format=suffix.removeprefix("."), dpi=DOTS_PER_INCH)
    return figure


def _most_alarms(series: pd.DataFrame, surprise: pd.DataFrame, id_column: str) -> list[Hashable] | None:
    """Items with most alarms first, None where nothing names them."""
    if id_column not in surprise.columns or id_column not in series.columns:
        return None
    if "alarm" not in surprise.columns:
        return list(pd.unique(surprise[id_column]))
    alarms = surprise.groupby(id_column, sort=False)["alarm"].sum()
    return list(alarms.sort_values(ascending=False, kind="stable").index)


def _draw(above: Axes, below: Axes, series: pd.DataFrame, surprise: pd.DataFrame, columns: Columns) -> None:
    draw_line(above, series, columns, _SERIES, "series")
    above.set_ylabel(columns.target, color="#444444")
    stamps, values = surprise[columns.timestamp], surprise["surprise"].to_numpy(np.float64)
    below.step(stamps, values, where="pre", color=_SURPRISE, linewidth=1.2, label="surprise", zorder=3)
    below.set_ylabel("surprise", color="#444444")
    below.set_ylim(bottom=0)
    if "threshold" in surprise.columns:
        threshold = surprise["threshold"].to_numpy(np.float64)
        below.plot(stamps, threshold, color=_ALARM, linewidth=1, linestyle=(0, (4, 3)), label="threshold", zorder=2)
    if "alarm" not in surprise.columns:
        return
    alarm = surprise["alarm"].to_numpy(bool)
    below.plot(np.asarray(stamps)[alarm], values[alarm], "o", color=_ALARM, markersize=4, label="alarm", zorder=4)
    # A token begins where the one before it ended.
    starts = (stamps - stamps.diff().bfill()).to_numpy()
    ends, label = stamps.to_numpy(), "steps of alarms"
    for place in np.flatnonzero(alarm):
        for panel in (above, below):
            panel.axvspan(starts[place], ends[place], color=_BAND, linewidth=0, zorder=0, label=label)
            label = "_"
