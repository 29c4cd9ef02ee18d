"""Timestamps of any kind (datetime, string, Period, integer) to int64 nanoseconds and back.

Shapes: N stamps.
"""

from __future__ import annotations

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
from titans_datasets.series.time.period_days import from_first_days, to_first_days
from titans_datasets.series.time.regularity import regularity
from titans_datasets.series.time.spellings import (
    WHAT,
    as_numbers,
    choose_reading,
    date_readings,
    number_readings,
    order_note,
    read_words,
    step_regularity,
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
        digits: spelling of dates that came as whole numbers, such as "YYYYMMDD"; "" for none.
        order: order of day, month and year in dates such as 01/02/2024; "" where they were written otherwise.
        days: day of the month of monthly and coarser stamps that lie on no first or last day, two days of half-monthly
            ones; see `titans_datasets.series.time.period_days`.
    """

    kind: Literal["datetime", "period", "ordinal"] = "datetime"
    timezone: Any = None
    wall: bool = False
    period: str = ""
    base: int = 0
    digits: str = ""
    order: str = ""
    days: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "days", tuple(self.days))

    def restore(self, index: pd.DatetimeIndex, frequency: Frequency) -> pd.Index:
        """Internal stamps as the caller's kind: step numbers, periods or stamps in the caller's time zone."""
        if self.kind == "ordinal":
            origin = np.full(len(index), self._origin(frequency), dtype=np.int64)
            return pd.Index(frequency.positions(to_nanoseconds(index), origin)[0] + self.base)
        if self.kind == "period":
            return index.to_period(self.period)
        if self.days:
            index = from_first_days(index, self.days)
        if self.digits:
            return pd.Index(as_numbers(index, self.digits))
        if self.timezone is None:
            return index
        if self.wall:
            return index.tz_localize(self.timezone, ambiguous=True, nonexistent="shift_forward")
        return index.tz_localize("UTC").tz_convert(self.timezone)

    def on_grid(self, values: Int64Array, frequency: Frequency) -> Int64Array:
        """Parsed stamps (N,) as they lie on the grid: of step numbers their dates, of days of the month the first."""
        if self.kind == "ordinal":
            return self.resolve_ordinals(values, frequency)
        return to_first_days(values, self.days) if self.days else values

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
                f"integer timestamps are read as step numbers, but these run from {low} to {high}: seconds since 1970 "
                "have to be made dates first (in Python with pandas.to_datetime(column, unit='s'))"
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


def read_stamps(
    column: pd.Series[Any] | pd.Index[Any],
    name: str,
    like: TimeKind | None = None,
    *,
    codes: Int64Array | None = None,
    freq: Frequency | None = None,
) -> Stamps:
    """Parse a timestamp column or index; time zones, and dates that can be read in several ways, as in `like`.

    Where several readings fit a whole column (20240105 as a date or a step number, 01/02/2024 with the day or the month
    first), the one is taken that gives the most regular grid with fewest missing steps; a note says which.

    Time zones: stamps that all fall on one local time of day (daily and coarser data) are read as local wall time, so
    that a day stays a day when the clocks change; anything finer is read as UTC, where no hour is missing or doubled.

    Args:
        column: the timestamps (N,).
        name: for messages.
        like: the kind of time of earlier data.
        codes: (N,) the series of each row; None for a single one.
        freq: the step, where it is known.

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
        return _of_numbers(index.to_numpy().astype(np.int64), like, codes, freq)
    if pd.api.types.is_float_dtype(index.dtype) and (index == np.floor(index)).all():
        # Dates such as 20240131.0; step numbers are whole numbers.
        found = _of_numbers(index.to_numpy().astype(np.int64), like, codes, freq)
        if found.time.kind != "ordinal":
            return found
    if pd.api.types.is_numeric_dtype(index.dtype):
        raise ValueError(
            f"{name!r} holds numbers of type {index.dtype}: pass datetimes, strings, periods or integer steps"
        )
    if len(index) and isinstance(index[0], pd.Period):
        return read_stamps(pd.PeriodIndex(index), name, like)
    written = _of_texts(index, like, codes, freq)
    if written is not None:
        return written
    moments = _to_datetimes(index, name)
    return Stamps(to_nanoseconds(moments), TimeKind()) if moments.tz is None else _without_zone(moments, like)


def _of_numbers(numbers: Int64Array, like: TimeKind | None, codes: Int64Array | None, freq: Frequency | None) -> Stamps:
    """Whole numbers: step numbers, or dates where these give a grid at least as regular."""
    steps = Stamps(numbers, TimeKind("ordinal"))
    if like is not None and like.kind == "ordinal":
        return steps
    readings = [r for r in number_readings(numbers) if like is None or like.digits in ("", r.name)]
    if like is None and len(set(numbers.tolist())) == 1:
        # One number alone is a year or month only where the step is of that kind.
        coarse = freq is not None and (freq.unit == "month" or freq.rule == "W")
        readings = [r for r in readings if coarse or r.name not in WHAT]
    if not readings:
        return steps
    chosen, others = choose_reading(readings, np.arange(len(numbers)), codes, freq)
    if like is None and step_regularity(numbers, codes).rank < regularity(chosen.stamps, codes, freq).rank:
        return steps
    what = WHAT.get(chosen.name, f"dates {chosen.name}")
    note = f"whole numbers such as {numbers[0]} were read as {what}"
    note += f" ({some([WHAT.get(r.name, r.name) for r, _ in others])} fits as well)" if others else ""
    return Stamps(chosen.stamps, TimeKind(digits=chosen.name), notes=(note,))


def _of_texts(
    index: pd.Index[Any], like: TimeKind | None, codes: Int64Array | None, freq: Frequency | None
) -> Stamps | None:
    """Texts of which pandas knows too little: numbers, weeks, quarters, months, dates of unknown order; else None."""
    if pd.api.types.infer_dtype(index) != "string":
        return None
    places, levels = pd.factorize(index)
    texts = pd.Index(levels)
    if all(text.isascii() and text.isdigit() and 4 <= len(text) <= 14 for text in texts):
        found = _of_numbers(index.astype(np.int64).to_numpy(), like, codes, freq)
        return None if found.time.kind == "ordinal" else replace(found, time=replace(found.time, digits=""))
    words = read_words(texts)
    if words is not None:
        what, stamps = words
        example = f"{texts[0]!r} as {pd.Timestamp(int(stamps[0])):%Y-%m-%d}"
        return Stamps(
            stamps[places], TimeKind(), notes=(f"timestamps were read as the first days of {what}: {example}",)
        )
    readings = date_readings(texts)
    if not readings:
        return None
    readings = [r for r in readings if like is not None and r.name == like.order] or readings
    chosen, others = choose_reading(readings, places, codes, freq)
    stamps = chosen.stamps[places]
    note = order_note(texts, chosen, others, regularity(stamps, codes, freq).frequency if others else "")
    return Stamps(stamps, TimeKind(order=chosen.name), notes=(note,))


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


def _to_datetimes(index: pd.Index[Any], name: str) -> pd.DatetimeIndex:
    """Datetimes of anything that pandas reads in one format."""
    # One format for all rows: pandas would otherwise read 01/02 as January and 13/02 as February.
    attempts: list[dict[str, Any]] = [{}, {"format": "ISO8601", "utc": True}]
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
        return moments
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
