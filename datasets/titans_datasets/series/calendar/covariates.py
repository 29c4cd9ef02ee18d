"""Calendar covariates by name: what is known of a day without any data, such as weekends and paydays.

A covariate is a function of days. For steps of a day and less it has the value of the local day; for longer steps the
sum over the days of the step, less what an average step has: trading days of a month are those more or less than usual.

Shapes: T time steps, N days, C columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.time.frequency import DAY_NS, MONTHS, WEEKDAYS, Frequency
from titans_datasets.text import lookup

Float64Array = npt.NDArray[np.float64]
# Days without a time of day, datetime64[D].
Days = npt.NDArray[Any]
DAYS_OF_MONTH = 30.436875


@dataclass(frozen=True)
class CalendarCovariate:
    """What a covariate is.

    Attributes:
        values: days (N,) and the weekmask of open days → (N, C).
        columns: C.
        share: mean of a column over all days.
    """

    values: Callable[[Days, str], Float64Array]
    columns: int
    share: float


def _weekday(days: Days) -> npt.NDArray[np.int64]:
    """Monday = 0; 1970-01-01 was a Thursday."""
    return np.asarray((days.astype(np.int64) + 3) % 7)


def _flag(values: npt.NDArray[Any]) -> Float64Array:
    return values.astype(np.float64)[:, None]


def _edge(step: int, months: int) -> Callable[[Days, str], Float64Array]:
    """Flag of the first (step −1) or last (step 1) open day of every `months` months."""

    def values(days: Days, weekmask: str) -> Float64Array:
        """1.0 on edges, 0.0 else (T, 1)."""
        beside = np.busday_offset(days, step, roll="backward" if step > 0 else "forward", weekmask=weekmask)
        period, other = (x.astype("datetime64[M]").astype(np.int64) // months for x in (days, beside))
        return _flag((period != other) & np.is_busday(days, weekmask=weekmask))

    return values


def _paydays(days: Days, weekmask: str) -> Float64Array:
    """The 15th and the last day of a month, or the working day (Monday to Friday) before."""
    month = days.astype("datetime64[M]")
    last = (month + 1).astype("datetime64[D]") - 1
    wanted = (month.astype("datetime64[D]") + 14, last)
    return np.concatenate([_flag(days == np.busday_offset(day, 0, roll="backward")) for day in wanted], axis=1)


# Name → covariate; each documented in docs/calendar.md.
CALENDAR: dict[str, CalendarCovariate] = {
    "weekday": CalendarCovariate(lambda days, _: np.eye(7)[_weekday(days)], 7, 1 / 7),
    "weekend": CalendarCovariate(lambda days, _: _flag(_weekday(days) >= 5), 1, 2 / 7),
    "trading_days": CalendarCovariate(lambda days, _: _flag(_weekday(days) < 5), 1, 5 / 7),
    "month_start": CalendarCovariate(_edge(-1, 1), 1, 1 / DAYS_OF_MONTH),
    "month_end": CalendarCovariate(_edge(1, 1), 1, 1 / DAYS_OF_MONTH),
    "quarter_start": CalendarCovariate(_edge(-1, 3), 1, 1 / (3 * DAYS_OF_MONTH)),
    "quarter_end": CalendarCovariate(_edge(1, 3), 1, 1 / (3 * DAYS_OF_MONTH)),
    "payday": CalendarCovariate(_paydays, 2, 1 / DAYS_OF_MONTH),
    "days_in_step": CalendarCovariate(lambda days, _: np.ones((len(days), 1)), 1, 1.0),
}


def is_daily(frequency: Frequency) -> bool:
    """Whether a step is a day or less, so that it lies within one day."""
    return frequency.multiple <= (DAY_NS if frequency.unit == "ns" else 1 if frequency.unit == "business" else 0)


def days_of(index: pd.DatetimeIndex) -> Days:
    """The day (T,) of each stamp, datetime64[D]."""
    return np.asarray(index.to_numpy().astype("datetime64[D]"))


def step_days(index: pd.DatetimeIndex, frequency: Frequency) -> tuple[Days, Days]:
    """First day (T,) of each step longer than a day, and the day after its last one (T,).

    Months, quarters and years are whole ones: those that end with the stamp of an end ("ME"), or begin with that of a
    start ("MS"). Weeks end with their stamp as in pandas, those of Mondays begin with it as in ISO 8601. Other steps
    begin with their stamp.

    Example:
        >>> from titans_datasets.series import parse_frequency
        >>> first, after = step_days(pd.DatetimeIndex(["2024-02-29"]), parse_frequency("ME"))
        >>> str(first[0]), str(after[0])
        ('2024-02-01', '2024-03-01')
    """
    days = days_of(index)
    if frequency.unit == "month":
        month, count = days.astype("datetime64[M]"), frequency.multiple
        first = month if frequency.rule.endswith("S") else month - (count - 1)
        return first.astype("datetime64[D]"), (first + count).astype("datetime64[D]")
    if frequency.unit == "business":
        return days, np.busday_offset(days, frequency.multiple, roll="forward", weekmask=frequency.weekmask)
    if frequency.unit != "ns":
        # Steps of other units, none of a fixed length, last until the next stamp.
        return days, days_of(pd.DatetimeIndex([frequency.shift(stamp, 1) for stamp in index]))
    length = max(1, frequency.multiple // DAY_NS)
    if frequency.rule == "W" and frequency.anchor != "MON":
        return days - (length - 1), days + 1
    return days, days + length


def over_steps(
    index: pd.DatetimeIndex, frequency: Frequency, values: Callable[[Days, str], Float64Array]
) -> Float64Array:
    """A function of days at each step: (T, C), of its day, or the sum over its days where it is longer than a day.

    Args:
        index: local stamps (T,).
        frequency: their step.
        values: days (N,) and the weekmask of open days → (N, C).
    """
    if len(index) == 0:
        return values(np.empty(0, dtype="datetime64[D]"), frequency.weekmask)
    if is_daily(frequency):
        days, place = np.unique(days_of(index), return_inverse=True)
        return values(days, frequency.weekmask)[place.reshape(-1)]
    first, after = step_days(index, frequency)
    every = np.arange(first.min(), after.max())
    found = values(every, frequency.weekmask)
    sums = np.concatenate([np.zeros((1, found.shape[1])), np.cumsum(found, axis=0)])
    return np.asarray(sums[(after - every[0]).astype(np.int64)] - sums[(first - every[0]).astype(np.int64)])


def calendar_covariate(index: pd.DatetimeIndex, name: str, frequency: Frequency) -> Float64Array:
    """The columns (T, C) of a covariate by name.

    Raises:
        ValueError: there is none of that name.

    Example:
        >>> from titans_datasets.series import parse_frequency
        >>> months = pd.date_range("2024-01-01", periods=3, freq="MS")
        >>> calendar_covariate(months, "trading_days", parse_frequency("MS")).round(2)[:, 0].tolist()
        [1.26, -0.74, -0.74]
    """
    covariate = lookup(CALENDAR, name, "calendar covariate")
    found = over_steps(index, frequency, covariate.values)
    return found if is_daily(frequency) else found - covariate.share * _mean_days(frequency)


def check_covariate(name: str, frequency: Frequency) -> None:
    """Refuse a covariate that is the same in every step.

    Raises:
        ValueError: it is, or there is none of that name.
    """
    lookup(CALENDAR, name, "calendar covariate")
    index = _sample(frequency)
    if np.ptp(calendar_covariate(index, name, frequency), axis=0).max() < 1e-9:
        raise ValueError(f"calendar covariate {name!r} is the same in every step of {frequency}: leave it out")


def _sample(frequency: Frequency) -> pd.DatetimeIndex:
    """Stamps of at least some years; steps within a day differ by their day only."""
    start = pd.Timestamp("2000-01-01")
    if is_daily(frequency):
        return pd.date_range(start, periods=1000)
    if frequency.unit == "month":
        month = MONTHS.index(frequency.anchor) if frequency.anchor else 0
        return frequency.range(pd.Timestamp(2000, month + 1, 1), max(2, min(40, 2400 // frequency.multiple)))
    if frequency.rule == "W":
        start += pd.Timedelta(days=(WEEKDAYS.index(str(frequency.anchor)) - start.dayofweek) % 7)
    return frequency.range(start, max(2, min(500, int(50_000 / _mean_days(frequency)))))


def _mean_days(frequency: Frequency) -> float:
    """Days of an average step that is longer than a day."""
    if frequency.unit == "month":
        return DAYS_OF_MONTH * frequency.multiple
    if frequency.unit == "business":
        return frequency.multiple * 7 / frequency.weekmask.count("1")
    return frequency.multiple / DAY_NS if frequency.unit == "ns" else DAYS_OF_MONTH / 2
