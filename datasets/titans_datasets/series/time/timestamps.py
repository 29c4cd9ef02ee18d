"""Timestamps of any kind (datetime, string, Period, integer) to int64 nanoseconds and back.

Shapes: N stamps.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from titans_datasets.series.time.frequency import (
    DAY_NS,
    MONTHS,
    WEEKDAYS,
    Frequency,
    Int64Array,
    monthly_frequency,
    parse_frequency,
    weekly_frequency,
)
from titans_datasets.text import some

ORIGIN = pd.Timestamp("2000-01-01")
_EARLIEST, _LATEST = pd.Timestamp.min.year + 1, pd.Timestamp.max.year - 1


@dataclass(frozen=True)
class TimeKind:
    """The kind of the caller's timestamps, so that a forecast gets stamps of the same kind.

    Args:
        kind: "datetime", "period", or "ordinal" for step numbers, which are counted from 2000-01-01.
        timezone: the zone of tz-aware stamps, else None.
        wall: True when tz-aware stamps were read as local wall time, False when as UTC.
        period: frequency of periods, as pandas spells it.
        base: the step number that belongs to 2000-01-01; 2000 when step numbers are years.
    """

    kind: Literal["datetime", "period", "ordinal"] = "datetime"
    timezone: Any = None
    wall: bool = False
    period: str = ""
    base: int = 0

    def restore(self, index: pd.DatetimeIndex, frequency: Frequency) -> pd.Index:
        """Internal stamps as the caller's kind: step numbers, periods or stamps in the caller's time zone."""
        if self.kind == "ordinal":
            origin = np.full(len(index), self._origin(frequency), dtype=np.int64)
            return pd.Index(frequency.positions(to_nanoseconds(index), origin)[0] + self.base)
        if self.kind == "period":
            return index.to_period(self.period)
        if self.timezone is None:
            return index
        if self.wall:
            return index.tz_localize(self.timezone, ambiguous=True, nonexistent="shift_forward")
        return index.tz_localize("UTC").tz_convert(self.timezone)

    def default_frequency(self, numbers: Int64Array) -> Frequency:
        """The step given to bare step numbers: a day, or what is short enough for them to end before 2262."""
        years = (int(numbers.max()) - min(int(numbers.min()), 0)) / 365
        return parse_frequency("D" if years < 200 else "h" if years < 200 * 24 else "min")

    def based(self, numbers: Int64Array, frequency: Frequency) -> TimeKind:
        """The kind with the base that fits the numbers: yearly steps numbered 1950, 1951 … are years."""
        years = frequency.unit == "month" and frequency.multiple == 12 and int(numbers.min()) >= _EARLIEST
        return replace(self, base=ORIGIN.year) if years and int(numbers.max()) <= _LATEST else self

    def resolve_ordinals(self, numbers: Int64Array, frequency: Frequency) -> Int64Array:
        """Step numbers (N,) as stamps: step `base` is the first stamp of the grid from 2000-01-01 on."""
        numbers = numbers - self.base
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
        if frequency.unit == "business":
            return frequency.range(ORIGIN, 1)[0].value
        return int(pd.date_range(ORIGIN, periods=1, freq=frequency.offset_alias).as_unit("ns")[0].value)


@dataclass(frozen=True)
class Stamps:
    """Parsed timestamps.

    Args:
        values: (N,) nanoseconds, or step numbers when `time.kind` is "ordinal".
        time: their kind.
        frequency: the frequency that a period column states, else None.
        notes: how they were read.
    """

    values: Int64Array
    time: TimeKind
    frequency: Frequency | None = None
    notes: tuple[str, ...] = ()


def read_stamps(column: pd.Series[Any] | pd.Index[Any], name: str, like: TimeKind | None = None) -> Stamps:
    """Parse a timestamp column or index; time zones are treated as in `like`.

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
        frequency, time = _of_starts(parse_frequency(index.freqstr)), TimeKind("period", period=index.freqstr)
        return Stamps(to_nanoseconds(index.to_timestamp(how="start")), time, frequency)
    if pd.api.types.is_integer_dtype(index.dtype):
        return Stamps(index.to_numpy().astype(np.int64), TimeKind("ordinal"))
    if pd.api.types.is_numeric_dtype(index.dtype):
        raise ValueError(
            f"{name!r} holds numbers of type {index.dtype}: pass datetimes, strings, periods or integer steps"
        )
    if len(index) and isinstance(index[0], pd.Period):
        return read_stamps(pd.PeriodIndex(index), name, like)
    moments, notes = _to_datetimes(index, name)
    stamps = Stamps(to_nanoseconds(moments), TimeKind()) if moments.tz is None else _without_zone(moments, like)
    return replace(stamps, notes=(*notes, *stamps.notes))


def to_nanoseconds(index: pd.DatetimeIndex) -> Int64Array:
    """Stamps (N,) as int64 nanoseconds since 1970."""
    return index.as_unit("ns").to_numpy().astype("datetime64[ns]").view(np.int64)


def _of_starts(frequency: Frequency) -> Frequency:
    """The frequency of the first days of periods: M is MS, Q-DEC is QS-JAN, W-SUN (Monday to Sunday) is W-MON."""
    if frequency.rule == "W":
        day = WEEKDAYS[(WEEKDAYS.index(str(frequency.anchor)) + 1) % 7]
        return weekly_frequency(day, frequency.multiple // (7 * DAY_NS))
    if frequency.unit != "month":
        return frequency
    kind = frequency.rule[0]
    month = MONTHS[(MONTHS.index(frequency.anchor) + 1) % 12] if frequency.anchor else ""
    return monthly_frequency(f"{kind}S", frequency.multiple // {"M": 1, "Q": 3, "Y": 12}[kind], month)


def _to_datetimes(index: pd.Index[Any], name: str) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    """Datetimes of anything pandas reads in one format, and a note on how days and months were distinguished."""
    first = str(index[0]) if len(index) and isinstance(index[0], str) else ""
    ambiguous = re.match(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{4}", first) is not None
    # One format for all rows: pandas would otherwise read 01/02 as January and 13/02 as February.
    attempts: list[dict[str, Any]] = [{}, {"dayfirst": True}] if ambiguous else [{}, {"format": "ISO8601", "utc": True}]
    for options in attempts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            # A mixture of UTC offsets is a FutureWarning before it becomes an error.
            warnings.simplefilter("error", FutureWarning)
            try:
                moments = pd.DatetimeIndex(pd.to_datetime(index, **options)).as_unit("ns")
            except (ValueError, TypeError, OverflowError, FutureWarning):
                continue
        if options.get("utc") and all(pd.Timestamp(value).tzinfo is None for value in index[:1]):
            moments = moments.tz_localize(None)
        shown = (f"dates such as {first!r} were read as {moments[0]:%d %B %Y}",) if ambiguous else ()
        return moments, shown
    bad = index[pd.to_datetime(index, errors="coerce", utc=True, format="ISO8601").isna()]
    raise ValueError(
        f"{name!r} holds values that are not timestamps between {_EARLIEST} and {_LATEST}: "
        f"{some(bad.unique())}; correct them or name another timestamp_column"
    )


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
    note = f"timestamps in time zone {zone} were converted to UTC; days and hours of the calendar are local ones"
    return Stamps(utc, time, notes=(note,))
