"""Timestamps of any kind (datetime, string, Period, integer) become int64 nanoseconds, and back.

Shapes: N stamps.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from titans_datasets.series.frequency import DAY_NS, Frequency, Int64Array, parse_frequency
from titans_datasets.series.records import some

ORIGIN = pd.Timestamp("2000-01-01")
_EARLIEST, _LATEST = pd.Timestamp.min.year + 1, pd.Timestamp.max.year - 1


@dataclass(frozen=True)
class TimeKind:
    """What the caller's timestamps were, so that a forecast can be stamped alike.

    Args:
        kind: "datetime", "period", or "ordinal" for step numbers, which are counted from 2000-01-01.
        timezone: the zone of tz-aware stamps, else None.
        wall: True when tz-aware stamps were read as local wall time, False when as UTC.
    """

    kind: Literal["datetime", "period", "ordinal"] = "datetime"
    timezone: Any = None
    wall: bool = False

    def restore(self, index: pd.DatetimeIndex, frequency: Frequency) -> pd.Index:
        """Internal stamps as the caller's kind: step numbers, periods or stamps in the caller's time zone."""
        if self.kind == "ordinal":
            origin = np.full(len(index), self._origin(frequency), dtype=np.int64)
            return pd.Index(frequency.positions(to_nanoseconds(index), origin)[0])
        if self.kind == "period":
            return index.to_period(frequency.period_alias)
        if self.timezone is None:
            return index
        if self.wall:
            return index.tz_localize(self.timezone, ambiguous=True, nonexistent="shift_forward")
        return index.tz_localize("UTC").tz_convert(self.timezone)

    def default_frequency(self, numbers: Int64Array) -> Frequency:
        """The step given to bare step numbers: a day, or what is short enough for them to end before 2262."""
        years = (int(numbers.max()) - min(int(numbers.min()), 0)) / 365
        return parse_frequency("D" if years < 200 else "h" if years < 200 * 24 else "min")

    def resolve_ordinals(self, numbers: Int64Array, frequency: Frequency) -> Int64Array:
        """Step numbers (N,) as stamps: step 0 is the first stamp of the grid at or after 2000-01-01."""
        low, high = int(numbers.min()), int(numbers.max())
        if max(abs(low), abs(high)) > 100_000_000:
            raise ValueError(
                f"integer timestamps are read as step numbers, but these run from {low} to {high}: for seconds since "
                "1970 convert them first, for example with pandas.to_datetime(column, unit='s')"
            )
        try:
            grid = frequency.range(frequency.shift(pd.Timestamp(self._origin(frequency)), low), high - low + 1)
        except (OverflowError, ValueError) as error:
            raise ValueError(
                f"step numbers {low} to {high} at freq={frequency} leave the years {_EARLIEST}–{_LATEST}"
            ) from error
        return to_nanoseconds(grid)[numbers - low]

    @staticmethod
    def _origin(frequency: Frequency) -> int:
        if frequency.unit == "ns" and frequency.rule != "W":
            return ORIGIN.as_unit("ns").value
        return int(pd.date_range(ORIGIN, periods=1, freq=frequency.offset_alias).as_unit("ns")[0].value)


@dataclass(frozen=True)
class Stamps:
    """Parsed timestamps.

    Args:
        values: (N,) nanoseconds, or step numbers when `time.kind` is "ordinal".
        time: what they were.
        frequency: the frequency that a period column states, else None.
        notes: what was done to them.
    """

    values: Int64Array
    time: TimeKind
    frequency: Frequency | None = None
    notes: tuple[str, ...] = ()


def read_stamps(column: pd.Series[Any] | pd.Index[Any], name: str, like: TimeKind | None = None) -> Stamps:
    """Parse a timestamp column or index; time zones are treated as those of `like` were.

    Time zones: stamps that all fall on one local time of day (daily and coarser data) are read as local wall time, so
    that a day stays a day when the clocks change; anything finer is read as UTC, where no hour is missing or doubled.

    Raises:
        ValueError: a stamp is missing, cannot be read, or lies outside the years 1678–2261.
    """
    index = pd.Index(column)
    if index.hasnans:
        raise ValueError(
            f"{int(index.isna().sum())} of {len(index)} rows have no {name!r}: drop or complete these rows"
        )
    if isinstance(index, pd.PeriodIndex):
        return Stamps(
            to_nanoseconds(index.to_timestamp(how="start")), TimeKind("period"), parse_frequency(index.freqstr)
        )
    if pd.api.types.is_integer_dtype(index.dtype):
        return Stamps(index.to_numpy().astype(np.int64), TimeKind("ordinal"))
    if pd.api.types.is_numeric_dtype(index.dtype):
        raise ValueError(
            f"{name!r} holds numbers of type {index.dtype}: pass datetimes, strings, periods or integer steps"
        )
    if len(index) and isinstance(index[0], pd.Period):
        return read_stamps(pd.PeriodIndex(index), name, like)
    moments = _to_datetimes(index, name)
    if moments.tz is None:
        return Stamps(to_nanoseconds(moments), TimeKind())
    return _without_zone(moments, like)


def to_nanoseconds(index: pd.DatetimeIndex) -> Int64Array:
    """Stamps (N,) as int64 nanoseconds since 1970."""
    return index.as_unit("ns").to_numpy().astype("datetime64[ns]").view(np.int64)


def _to_datetimes(index: pd.Index[Any], name: str) -> pd.DatetimeIndex:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # A mixture of UTC offsets is a FutureWarning before it becomes an error.
        warnings.simplefilter("error", FutureWarning)
        try:
            return pd.DatetimeIndex(pd.to_datetime(index)).as_unit("ns")
        except (ValueError, TypeError, OverflowError, FutureWarning):
            pass
    with warnings.catch_warnings():
        # pandas warns that it reads row by row; that is what a mixture of formats or offsets needs.
        warnings.simplefilter("ignore")
        parsed = pd.DatetimeIndex(pd.to_datetime(index, errors="coerce", utc=True, format="mixed"))
    if parsed.hasnans:
        raise ValueError(
            f"{name!r} holds values that are no timestamps between {_EARLIEST} and {_LATEST}: "
            f"{some(index[parsed.isna()].unique())}; correct them or name another timestamp_column"
        )
    return parsed.as_unit("ns") if _has_offset(index) else parsed.tz_localize(None).as_unit("ns")


def _has_offset(index: pd.Index[Any]) -> bool:
    return any(pd.Timestamp(value).tzinfo is not None for value in index[:1])


def _without_zone(moments: pd.DatetimeIndex, like: TimeKind | None) -> Stamps:
    if like is not None and like.timezone is not None:
        moments = moments.tz_convert(like.timezone)
    zone, wall = moments.tz, to_nanoseconds(moments.tz_localize(None))
    daily = like.wall if like is not None else bool((wall % DAY_NS == wall[:1] % DAY_NS).all())
    if daily:
        note = f"timestamps in time zone {zone} were read as local calendar days"
        return Stamps(wall, TimeKind("datetime", zone, wall=True), notes=(note,))
    time = TimeKind("datetime", zone)
    utc = to_nanoseconds(moments.tz_convert("UTC").tz_localize(None))
    return Stamps(utc, time, notes=(f"timestamps in time zone {zone} were converted to UTC",))
