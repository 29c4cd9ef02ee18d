"""`plot_forecast`: history, median and bands, one panel a series, fit for a report.

Figures are made without pyplot: no window, no global state, any backend.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.figure import Figure

from titans_datasets.series.quantile_columns import levels_of, quantile_at
from titans_datasets.series.read.tables import with_dates
from titans_datasets.series.time.timestamps import read_stamps
from titans_datasets.writing import in_place_of

FloatArray = npt.NDArray[np.float64]

MOST_PANELS = 6
SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
WIDTH_INCHES, DOTS_PER_INCH = 12.0, 100
_HISTORY, _FORECAST, _ACTUAL, _BACKTEST = "#3b3b3b", "#0b6e99", "#d1495b", "#e08e2b"
_BANDS = ((0.9, "#a9d3e5"), (0.5, "#5ba7c7"))


@dataclass(frozen=True)
class Columns:
    """What the frames' columns are called."""

    item: str
    timestamp: str
    target: str


def plot_forecast(
    history: pd.DataFrame,
    forecast: pd.DataFrame,
    *,
    id_column: str = "item_id",
    timestamp_column: str = "timestamp",
    target_column: str = "target",
    items: Sequence[Hashable] | None = None,
    actual: pd.DataFrame | None = None,
    backtest: pd.DataFrame | None = None,
    history_steps: int | None = None,
    title: str | None = None,
    path: str | PathLike[str] | None = None,
) -> Figure:
    """Draw forecasts after their history.

    Args:
        history: long frame with the timestamp and target columns, and the id column if there are several series.
            A missing value or an absent time step is a gap in the line.
        forecast: long frame with the timestamp column and quantile levels as column names ("0.1", "0.5" …).
            A band needs both its levels, or levels around them: 0.25 is interpolated between 0.2 and 0.3.
        id_column, timestamp_column, target_column: column names.
        items: series to draw, in this order; the first six of the forecast by default.
        actual: frame like `history` with the values after the cutoff.
        backtest: forecasts made earlier (frame like `forecast`, with or without a "cutoff" column).
        history_steps: steps of history to show; by default four horizons (eight with a backtest), at least 60 steps.
        title: above the figure.
        path: file to write (png, svg, pdf, jpg, webp); readers see the old file or the whole new one.

    Returns:
        The figure, 1200 pixels wide; `figure.savefig` writes it elsewhere.

    Raises:
        ValueError: a column is missing, the frames share no item, or the path's suffix is unknown.

    Example:
        >>> from titans_ts import load_air_passengers, plot_forecast
        >>> table = load_air_passengers()
        >>> figure = plot_forecast(table[:-12], table[-12:].rename(columns={"target": "0.5"}), title="Passengers")
        >>> figure.axes[0].get_xlabel()
        '01 Jan 1955 – 01 Dec 1960'
    """
    columns = Columns(id_column, timestamp_column, target_column)
    forecast = of_channel(forecast, target_column)
    backtest = None if backtest is None else of_channel(backtest, target_column)
    suffix = None if path is None else picture_suffix(path)
    need(history, "history", (timestamp_column, target_column))
    need(forecast, "forecast", (timestamp_column,))
    chosen, left_out = choose_items(history, forecast, columns, items)
    if pd.api.types.is_integer_dtype(history[timestamp_column].dtype):
        # Dates such as 20240131 belong on an axis of dates.
        time = read_stamps(history[timestamp_column], timestamp_column).time
        history, forecast = (with_dates(x, timestamp_column, time) for x in (history, forecast))
        actual, backtest = (None if x is None else with_dates(x, timestamp_column, time) for x in (actual, backtest))
    figure, axes = _panels(len(chosen))
    for panel, item in zip(axes, chosen, strict=True):
        rows = [None if x is None else rows_of(x, item, columns) for x in (history, forecast, actual, backtest)]
        assert rows[0] is not None and rows[1] is not None
        past = _recent(rows[0], len(rows[1]), backtest is not None, history_steps)
        _draw(panel, past, rows[1], rows[2], rows[3], columns)
        if item is not None:
            panel.set_title(str(item), loc="left", fontsize=11, fontweight="bold", color="#222222")
        panel.set_ylabel(target_column, color="#444444")
    finish(figure, axes, title, left_out)
    if path is not None and suffix is not None:
        with in_place_of(path) as beside:
            figure.savefig(beside, format=suffix.removeprefix("."), dpi=DOTS_PER_INCH)
    return figure


def of_channel(frame: pd.DataFrame, channel: str) -> pd.DataFrame:
    """Rows of one channel, where the frame holds the forecasts of several, named in its column "target"."""
    if "target" not in frame.columns or pd.api.types.is_numeric_dtype(frame["target"]):
        return frame
    return frame[frame["target"] == channel]


def picture_suffix(path: str | PathLike[str]) -> str:
    """The suffix of a picture's path, in lower case.

    Raises:
        ValueError: there is no such kind of picture.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"path must end in one of {', '.join(SUFFIXES)}, got {os.fspath(path)!r}: rename the picture")
    return suffix


def need(frame: pd.DataFrame, name: str, wanted: Sequence[str]) -> None:
    """Raise ValueError where the frame lacks one of the columns."""
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        have = ", ".join(map(str, frame.columns))
        raise ValueError(
            f"{name} must have the columns {', '.join(wanted)}, but {', '.join(missing)} is not among: {have}"
        )


def choose_items(
    history: pd.DataFrame, forecast: pd.DataFrame, columns: Columns, items: Sequence[Hashable] | None
) -> tuple[list[Hashable], int]:
    """Items to draw (None for a frame without ids) and how many more there are."""
    if columns.item not in forecast.columns or columns.item not in history.columns:
        if items is not None:
            raise ValueError(f"items= needs the column {columns.item!r} in history and forecast: pass id_column=")
        return [None], 0
    there = list(pd.unique(forecast[columns.item]))
    known = set(pd.unique(history[columns.item]))
    wanted = there if items is None else list(items)
    unknown = [item for item in wanted if item not in known or item not in there]
    if unknown or not wanted:
        raise ValueError(
            f"items must be in both history and forecast, got {unknown or wanted}: the forecast has {there[:8]}"
        )
    return wanted[:MOST_PANELS], max(0, len(wanted) - MOST_PANELS)


def rows_of(frame: pd.DataFrame, item: Hashable, columns: Columns) -> pd.DataFrame:
    """Rows of one item in time order, timestamps as datetimes or, for step numbers, as they are."""
    rows = frame if item is None or columns.item not in frame.columns else frame[frame[columns.item] == item]
    stamps = rows[columns.timestamp]
    if isinstance(stamps.dtype, pd.PeriodDtype):
        stamps = stamps.dt.to_timestamp()
    elif not pd.api.types.is_numeric_dtype(stamps):
        stamps = pd.to_datetime(stamps)
    return rows.assign(**{columns.timestamp: stamps}).sort_values(columns.timestamp, kind="stable")


def _recent(history: pd.DataFrame, horizon: int, with_backtest: bool, history_steps: int | None) -> pd.DataFrame:
    """The part of the history that is drawn: so much that the forecast stays wide enough to be read."""
    steps = max(60, (8 if with_backtest else 4) * horizon) if history_steps is None else history_steps
    return history.iloc[max(0, len(history) - steps) :]


def _bands(frame: pd.DataFrame) -> list[tuple[str, str, FloatArray, FloatArray]]:
    """Label, colour, low and high of the bands to be drawn, the widest first."""
    found = []
    for coverage, colour in _BANDS:
        low, high = (quantile_at(frame, (1 + sign * coverage) / 2) for sign in (-1, 1))
        if low is not None and high is not None:
            found.append((f"{100 * coverage:.0f} % interval", colour, low, high))
    pairs = [x for x in levels_of(frame) if x < 0.5 and quantile_at(frame, 1 - x) is not None]
    if not found and pairs:
        low, high = quantile_at(frame, pairs[0]), quantile_at(frame, 1 - pairs[0])
        assert low is not None and high is not None
        found.append((f"{100 - 200 * pairs[0]:.0f} % interval", _BANDS[0][1], low, high))
    return found


def _median(frame: pd.DataFrame) -> tuple[str, FloatArray | None]:
    median = quantile_at(frame, 0.5)
    if median is None and "mean" in frame.columns:
        return "mean", frame["mean"].to_numpy(np.float64)
    return "median", median


def _with_gaps(stamps: pd.Series, values: FloatArray) -> tuple[FloatArray | pd.Series, FloatArray]:
    """Values with a NaN put in where time steps are absent, so that no line bridges a gap."""
    if len(stamps) < 3:
        return stamps, values
    distance = stamps.diff()
    # Months and quarters differ in length: only clearly longer distances are gaps.
    wide = (distance > 1.5 * distance.median()).to_numpy()
    if not wide.any():
        return stamps, values
    places = np.flatnonzero(wide)
    between = (stamps.shift(1) + distance / 2).iloc[places]
    joined = pd.concat([stamps, between])
    order = np.argsort(joined.to_numpy(), kind="stable")
    return joined.iloc[order], np.concatenate([values, np.full(len(places), np.nan)])[order]


def _draw(
    panel: Axes,
    past: pd.DataFrame,
    forecast: pd.DataFrame,
    actual: pd.DataFrame | None,
    backtest: pd.DataFrame | None,
    columns: Columns,
) -> None:
    draw_line(panel, past, columns, _HISTORY, "history")
    ahead = forecast[columns.timestamp]
    for label, colour, low, high in _bands(forecast):
        panel.fill_between(ahead, low, high, color=colour, linewidth=0, label=label, zorder=1)
        if len(forecast) == 1:
            panel.vlines(ahead, low, high, color=colour, linewidth=8, zorder=1)
    name, median = _median(forecast)
    if median is not None:
        marker = "o" if len(forecast) == 1 else None
        panel.plot(ahead, median, color=_FORECAST, linewidth=1.8, label=name, marker=marker, zorder=4)
    if backtest is not None:
        _draw_backtest(panel, past, backtest, columns)
    if actual is not None and len(actual):
        draw_line(panel, actual, columns, _ACTUAL, "actual")
    if len(past):
        last = past[columns.timestamp].iloc[-1]
        panel.axvline(last, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)), label="end of history", zorder=2)


def draw_line(panel: Axes, frame: pd.DataFrame, columns: Columns, colour: str, label: str) -> None:
    """The target over time, gaps left open."""
    values = frame[columns.target].to_numpy(np.float64, na_value=np.nan)
    stamps, values = _with_gaps(frame[columns.timestamp], values)
    panel.plot(stamps, values, color=colour, linewidth=1.2, label=label, zorder=3)
    # A value between two gaps has no line to either side.
    known = np.isfinite(np.concatenate([[np.nan], values, [np.nan]]))
    lonely = known[1:-1] & ~known[:-2] & ~known[2:]
    if lonely.any():
        panel.plot(np.asarray(stamps)[lonely], values[lonely], ".", color=colour, markersize=3, zorder=3)


def _draw_backtest(panel: Axes, past: pd.DataFrame, backtest: pd.DataFrame, columns: Columns) -> None:
    """Earlier medians and their widest band over the history, one segment a cutoff."""
    shown = backtest[backtest[columns.timestamp] >= past[columns.timestamp].min()]
    labelled = False
    for _, window in shown.groupby("cutoff") if "cutoff" in shown.columns else [(None, shown)]:
        stamps, bands, (name, median) = window[columns.timestamp], _bands(window), _median(window)
        if bands:
            panel.fill_between(stamps, bands[0][2], bands[0][3], color=_BACKTEST, alpha=0.18, linewidth=0, zorder=1)
        if median is not None:
            label = f"backtest: {name}, {bands[0][0]}" if bands else f"backtest: {name}"
            panel.plot(stamps, median, color=_BACKTEST, linewidth=1.1, label=None if labelled else label, zorder=2)
            labelled = True


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    across = 1 if count <= 3 else 2
    down = -(-count // across)
    height = 5.0 if count == 1 else 1.2 + 2.25 * down if across == 1 else 1.2 + 2.6 * down
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharex=False)
    axes = list(grid.flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def finish(figure: Figure, axes: Sequence[Axes], title: str | None, left_out: int) -> None:
    """Grid, time labels, one legend for all panels, a heading."""
    for place, panel in enumerate(axes):
        panel.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.margins(x=0.01)
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color("#999999")
        panel.tick_params(colors="#444444", labelsize=9)
        _label_time(panel, is_bottom=place >= len(axes) - (2 if len(axes) > 3 else 1))
    labelled = {
        label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        labelled.values(), labelled.keys(), loc="outside lower center", ncols=len(labelled), frameon=False, fontsize=10
    )
    more = f"{left_out} more series not drawn" if left_out else ""
    heading = " · ".join(text for text in (title, more) if text)
    if heading:
        figure.suptitle(heading, fontsize=13, x=0.01, ha="left", color="#222222")


def _label_time(panel: Axes, is_bottom: bool) -> None:
    """Few, short tick labels; the bottom panels show the span of time with the year."""
    if not isinstance(panel.xaxis.get_major_locator(), AutoDateLocator):
        panel.set_xlabel("step" if is_bottom else "", color="#444444", fontsize=9)
        return
    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(
        ConciseDateFormatter(  # type: ignore[no-untyped-call]
            locator,
            formats=["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
            zero_formats=["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
            show_offset=False,
        )
    )
    if is_bottom:
        first, last = (num2date(x) for x in panel.dataLim.intervalx)  # type: ignore[no-untyped-call]
        panel.set_xlabel(f"{first:%d %b %Y} – {last:%d %b %Y}", color="#444444", fontsize=9)
