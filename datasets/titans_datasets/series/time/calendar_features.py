"""Calendar features of timestamps: cycles as sine and cosine pairs, calendar covariates, public holidays.

Names of features travel with windows and networks (`WindowSpec.calendar`, `NetworkConfig.calendar`), so that every
window gets the same columns wherever it is cut: first cycles, then covariates, which the linear part reads as known
covariates. Days and hours are local ones where the stamps have a time zone.

Shapes: T time steps, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.calendar.covariates import CALENDAR, calendar_covariate, check_covariate
from titans_datasets.series.calendar.holidays import check_country, holiday_columns, holiday_features
from titans_datasets.series.time.frequency import DAY_NS, Frequency, parse_frequency

HOLIDAYS = "holidays:"


def time_feature_names(freq: str | Frequency) -> tuple[str, ...]:
    """The cycles used at a frequency; each gives a sine and a cosine column.

    Below a minute: minute, hour, day, week, year; below an hour: hour, day, week, year; below a day: day, week, year;
    daily and business days: week, month, year; weekly to quarterly: year; yearly: none.
    """
    frequency = parse_frequency(freq)
    if frequency.unit in ("month", "half"):
        return ("year",) if frequency.multiple < 12 else ()
    if frequency.unit == "business":
        return ("week", "month", "year")
    step = frequency.multiple
    if step >= DAY_NS:
        return ("week", "month", "year") if step < 7 * DAY_NS else ("year",) if step < 364 * DAY_NS else ()
    short = (("minute",) if step < DAY_NS // 1440 else ()) + (("hour",) if step < DAY_NS // 24 else ())
    return (*short, "day", "week", "year")


# Nanoseconds of the cycles that a short history may not cover twice.
_LENGTHS = {"week": 7 * DAY_NS, "month": 30 * DAY_NS, "year": 365 * DAY_NS}


def seen_cycles(freq: str | Frequency, steps: int) -> tuple[str, ...]:
    """The cycles that a history of `steps` steps covers at least twice.

    Within one year the phase of the year only counts time: a network that reads it memorises dates.

    Example:
        >>> seen_cycles("h", 14 * 24)
        ('day', 'week')
    """
    frequency = parse_frequency(freq)
    week = _LENGTHS["week"] / frequency.weekmask.count("1")
    unit = {"ns": 1, "month": 30.4 * DAY_NS, "half": 15.2 * DAY_NS, "business": week}[frequency.unit]
    span = steps * frequency.multiple * unit
    return tuple(name for name in time_feature_names(frequency) if span >= 2 * _LENGTHS.get(name, 0))


def covariate_names(
    freq: str | Frequency, calendar: str | Sequence[str] = (), holidays: str | Sequence[str] = ()
) -> tuple[str, ...]:
    """Names of calendar covariates and of holidays, as `time_features` takes them.

    Args:
        freq: the time step.
        calendar: names in `CALENDAR`.
        holidays: countries such as "DE", or "DE-BY" with a subdivision.

    Raises:
        ValueError: a name or country is unknown or comes twice, or a covariate is the same in every step.

    Example:
        >>> covariate_names("D", ["weekend"], "DE")
        ('weekend', 'holidays:DE')
    """
    frequency = parse_frequency(freq)
    covariates, countries = names_of(calendar), names_of(holidays)
    for what, given in (("calendar", covariates), ("holidays", countries)):
        if len(set(given)) < len(given):
            raise ValueError(f"{what} has a name twice, got {', '.join(given)}: leave one out")
    for name in covariates:
        check_covariate(name, frequency)
    for country in countries:
        check_country(country)
    return (*covariates, *(HOLIDAYS + country for country in countries))


def names_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or several, as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given)


def covariate_columns(freq: str | Frequency, names: Sequence[str]) -> int:
    """Columns of the calendar covariates and holidays among names of features; cycles do not count.

    Example:
        >>> covariate_columns("D", ("week", "year", "weekend", "holidays:DE"))
        5
    """
    holidays = holiday_columns(parse_frequency(freq))
    return sum(
        holidays if name.startswith(HOLIDAYS) else CALENDAR[name].columns for name in names if not is_cycle(name)
    )


def time_features(
    index: pd.DatetimeIndex, freq: str | Frequency, cycles: tuple[str, ...] | None = None
) -> npt.NDArray[np.float32]:
    """Features (T, F) float32: of each cycle its sine, then its cosine; of each covariate its columns.

    The week counts whole weekdays and the year months for monthly data, so that equal calendar positions get equal
    features in every year.

    Args:
        index: local stamps (T,), without a zone.
        freq: their step.
        cycles: names of cycles and of `covariate_names`; by default `time_feature_names`.

    Raises:
        ValueError: a name is unknown.

    Example:
        >>> time_features(pd.date_range("2024-01-01", periods=5, freq="6h"), "h", ("day",))[:2].round(2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    frequency = parse_frequency(freq)
    names = time_feature_names(frequency) if cycles is None else cycles
    columns = [_feature(index, name, frequency) for name in names]
    return np.concatenate([np.empty((len(index), 0)), *columns], axis=1).astype(np.float32)


def local_index(index: pd.DatetimeIndex, timezone: tzinfo | None) -> pd.DatetimeIndex:
    """Stamps in UTC as local ones, without a zone; the same without a time zone.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> hours = pd.date_range("2024-03-31", periods=3, freq="h")
        >>> local_index(hours, ZoneInfo("Europe/Berlin")).hour.tolist()
        [1, 3, 4]
    """
    return index if timezone is None else index.tz_localize("UTC").tz_convert(timezone).tz_localize(None)


def is_cycle(name: str) -> bool:
    """Whether a feature is a cycle, and no calendar covariate or country."""
    return name in ("minute", "hour", "day", "week", "month", "year")


def _feature(index: pd.DatetimeIndex, name: str, frequency: Frequency) -> npt.NDArray[np.float64]:
    """Columns (T, C) of one name."""
    if is_cycle(name):
        angle = 2 * np.pi * _phase(index, name, frequency)
        return np.stack([np.sin(angle), np.cos(angle)], axis=1)
    if name.startswith(HOLIDAYS):
        return holiday_features(index, name.removeprefix(HOLIDAYS), frequency)
    return calendar_covariate(index, name, frequency)


def _phase(index: pd.DatetimeIndex, name: str, frequency: Frequency) -> npt.NDArray[np.float64]:
    """Position (T,) within the cycle `name`, in [0, 1)."""
    stamps = index.as_unit("ns").to_numpy().astype(np.int64)
    lengths = {"minute": 60 * 10**9, "hour": DAY_NS // 24, "day": DAY_NS}
    if name in lengths:
        return np.asarray(stamps % lengths[name] / lengths[name], dtype=np.float64)
    if name == "week":
        return index.day_of_week.to_numpy() / 7.0
    if name == "month":
        return (index.day.to_numpy() - 1) / 31.0
    if frequency.unit == "month":
        return (index.month.to_numpy() - 1) / 12.0
    return (index.day_of_year.to_numpy() - 1) / 366.0
