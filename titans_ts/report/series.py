"""Series of a report: which have a picture, how much of each is drawn, and their tracks.

A track is a line or a band of a picture: "name", "role" (its colour), "axis" (number of its timestamps), "at" (its
first place on them), and "values", or "low" and "high"; "ahead" marks forecasts, "panel" the lower picture.

Shapes: T steps of a series, H horizon, n rows.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.quantile_columns import quantile_at
from titans_datasets.series.read.tables import with_dates
from titans_datasets.series.time.timestamps import read_stamps

FloatArray = npt.NDArray[np.float64]

# Most series with a picture, and most numbers of all of them: about 1.5 MB.
MOST_SERIES, MOST_NUMBERS = 50, 210_000
# Steps of a history that are drawn at most, and at least where there are so many.
LONGEST, SHORTEST = 1500, 60


class Columns(NamedTuple):
    """What the frames' columns are called.

    Example:
        >>> Columns("shop", "day", "units").target
        'units'
    """

    item: str
    timestamp: str
    target: str


class Plan(NamedTuple):
    """Which series have a picture, how many steps of their history it shows, and why not all do."""

    items: list[Hashable]
    steps: int
    note: str


def plan(
    there: Sequence[Hashable],
    horizon: int,
    worst: Sequence[Hashable],
    wanted: Sequence[Hashable] | None = None,
    why: str = "with the largest errors in the backtest",
) -> Plan:
    """Choose the series that have a picture.

    Args:
        there: all series, in the caller's order.
        horizon: H.
        worst: series to be shown first, such as by falling errors of a backtest; empty without one.
        wanted: the caller's choice.
        why: what the first of `worst` are shown for.

    Raises:
        ValueError: a wanted series is not there, or none is wanted.
    """
    known = set(there)
    unknown = [item for item in wanted or () if item not in known]
    if unknown or (wanted is not None and not len(wanted)):
        raise ValueError(
            f"items must name series of the forecast, got {unknown or list(wanted or ())}: it has {list(there[:8])}"
        )
    least = 5 * horizon + 6 * max(SHORTEST, 2 * horizon)
    most = max(1, min(MOST_SERIES, MOST_NUMBERS // least))
    items = list(wanted) if wanted is not None else _spread(there, worst, most)
    left = len(items) - most
    items = items[:most]
    steps = (MOST_NUMBERS // max(len(items), 1) - 5 * horizon) // 6
    note = ""
    if wanted is not None and left > 0:
        note = (
            f"The first {most} of the {len(wanted):,} chosen series have a picture: more would make the file too large."
        )
    elif wanted is None and len(there) > most:
        how = f"the {most // 4} {why}, and some" if len(worst) else "some"
        note = f"{most} of {len(there):,} series have a picture: {how} evenly spread over the others."
    return Plan(items, int(np.clip(steps, SHORTEST, LONGEST)), note)


def _spread(there: Sequence[Hashable], worst: Sequence[Hashable], most: int) -> list[Hashable]:
    """All of few series; of many a quarter with the largest errors, and others at even distances."""
    if len(there) <= most:
        return list(there)
    known = set(there)
    first = [item for item in worst if item in known][: most // 4]
    rest = [item for item in there if item not in set(first)]
    places = np.linspace(0, len(rest) - 1, most - len(first)).round().astype(int)
    return [*first, *(rest[place] for place in places)]


def recent(axis: int, steps: int, horizon: int) -> dict[str, int] | None:
    """Where the part of a history begins that leaves its forecast wide enough to be read; None where that is all."""
    kept = max(SHORTEST, 6 * horizon)
    return {"axis": axis, "at": steps - kept} if steps > 1.5 * kept else None


def dated(frames: Iterable[pd.DataFrame | None], timestamp: str) -> list[pd.DataFrame | None]:
    """Frames with dates where the first one has numbers such as 20240131."""
    found = list(frames)
    assert found[0] is not None
    if len(found[0]) and pd.api.types.is_integer_dtype(found[0][timestamp].dtype):
        time = read_stamps(found[0][timestamp], timestamp).time
        return [None if frame is None else with_dates(frame, timestamp, time) for frame in found]
    return found


class ByItem(Mapping[Hashable, pd.DataFrame]):
    """Rows of each series in time order, in the order of the frame; they are taken out when they are asked for.

    Args:
        frame: long; without a column of names it is one series.
        columns: names of its columns.
    """

    def __init__(self, frame: pd.DataFrame, columns: Columns) -> None:
        self._frame = frame.sort_values(columns.timestamp, kind="stable")
        if columns.item in frame.columns:
            places = self._frame.groupby(columns.item, sort=False, dropna=False).indices
            self._places = {item: places[item] for item in pd.unique(frame[columns.item]) if item in places}
        else:
            self._places = {"series": np.arange(len(frame))} if len(frame) else {}

    def __getitem__(self, item: Hashable) -> pd.DataFrame:
        return self._frame.iloc[self._places[item]]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def longest(self) -> int:
        """Most rows of a series."""
        return max(map(len, self._places.values()), default=0)


def moments(stamps: pd.Series[Any]) -> list[Any]:
    """Timestamps as Plotly reads them: ISO dates of the wall clock, or numbers of steps."""
    if isinstance(stamps.dtype, pd.PeriodDtype):
        stamps = stamps.dt.to_timestamp()
    if pd.api.types.is_numeric_dtype(stamps.dtype):
        return list(stamps.tolist())
    index = pd.DatetimeIndex(pd.to_datetime(stamps))
    index = index.tz_localize(None)
    whole = bool((index == index.normalize()).all())
    return list(index.strftime("%Y-%m-%d" if whole else "%Y-%m-%d %H:%M:%S").tolist())


def rounder(values: FloatArray) -> int:
    """Decimals that tell the ten-thousandth part of the values' range."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 4
    spread = float(np.ptp(known)) or float(np.abs(known).max())
    return int(np.clip(4 - math.floor(math.log10(spread)), -300, 15)) if spread > 0 else 4


def numbers(values: npt.ArrayLike, decimals: int) -> list[Any]:
    """Numbers for JSON, rounded; None for missing ones."""
    found = np.round(np.asarray(values, dtype=np.float64), decimals)
    return [(int(x) if x.is_integer() and abs(x) < 1e15 else x) if math.isfinite(x) else None for x in found.tolist()]


def intervals(frame: pd.DataFrame) -> list[tuple[str, str, FloatArray, FloatArray]]:
    """Name, role, low and high of the bands of a forecast, the widest first."""
    found = []
    for share, role in ((0.9, "wide"), (0.5, "narrow")):
        low, high = (quantile_at(frame, (1 + sign * share) / 2) for sign in (-1, 1))
        if low is not None and high is not None:
            found.append((f"{100 * share:.0f} % interval", role, low, high))
    if not found:
        low, high = quantile_at(frame, 0.1), quantile_at(frame, 0.9)
        if low is not None and high is not None:
            found.append(("80 % interval", "wide", low, high))
    return found


def middle(frame: pd.DataFrame) -> tuple[str, FloatArray] | None:
    """The median of a forecast, or its mean, with its name; None where it has neither."""
    median = quantile_at(frame, 0.5)
    if median is not None:
        return "median", median
    return ("mean", frame["mean"].to_numpy(np.float64)) if "mean" in frame.columns else None
