"""Public holidays as calendar covariates, by country and subdivision, from the package `holidays`.

Shapes: T time steps, N days.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.calendar.covariates import Days, Float64Array, is_daily, over_steps
from titans_datasets.series.time.frequency import Frequency

BoolArray = npt.NDArray[np.bool_]
DAILY_COLUMNS = ("holiday", "day before", "day after", "bridge day")


def check_country(name: str) -> None:
    """Refuse a name that is no country of the package `holidays`, such as "DE" or, with a subdivision, "DE-BY".

    Raises:
        ValueError: the country or its subdivision is unknown; the message has the nearest names.

    Example:
        >>> check_country("DE-BY")
        >>> check_country("Germany")
        Traceback (most recent call last):
            ...
        ValueError: holidays of 'Germany' are unknown: did you mean 'DE'? countries are ISO codes such as 'DE' or \
'US', with a subdivision 'DE-BY' or 'US-CA'
    """
    # Imported here: only holidays need it.
    import holidays

    supported = holidays.list_supported_countries()
    country, _, subdivision = name.partition("-")
    if country not in supported:
        near = [*_by_name(country, holidays), *_near(country, [*supported])]
        raise ValueError(
            f"holidays of {name!r} are unknown: {_hint(near)}countries are ISO codes such as 'DE' or 'US', with a "
            "subdivision 'DE-BY' or 'US-CA'"
        )
    if "-" not in name:
        return
    try:
        holidays.country_holidays(country, subdiv=subdivision)
    except NotImplementedError as error:
        known = supported[country]
        near = [f"{country}-{one}" for one in _near(subdivision, known)]
        listed = f"choose among {', '.join(known)}, or {country!r} alone" if known else f"it has none, use {country!r}"
        raise ValueError(f"holidays of {name!r} are unknown: {_hint(near)}for {country}, {listed}") from error


def holiday_columns(frequency: Frequency) -> int:
    """Columns of `holiday_features`: 4 for steps of a day or less, 1 for longer ones."""
    return len(DAILY_COLUMNS) if is_daily(frequency) else 1


def holiday_features(index: pd.DatetimeIndex, country: str, frequency: Frequency) -> Float64Array:
    """Holidays of a country at local stamps (T,).

    Args:
        index: local stamps.
        country: "DE", or with a subdivision "DE-BY".
        frequency: their step.

    Returns:
        For steps of a day and less (T, 4): 1 where the day is a holiday; is none but the open day before, after one; is
        a bridge day, a working day between a holiday and another free day. For longer steps (T, 1): holidays in the
        step, see `step_days`. Years before or after those the package knows (to 2100 for most countries) have none.

    Example:
        >>> from titans_datasets.series import parse_frequency
        >>> days = pd.date_range("2024-05-08", periods=4)  # Ascension is on Thursday, 9 May.
        >>> holiday_features(days, "DE", parse_frequency("D")).tolist()
        [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    if is_daily(frequency):
        return over_steps(index, frequency, lambda days, weekmask: _flags(days, weekmask, country))
    return over_steps(index, frequency, lambda days, _: _is_holiday(days, country).astype(np.float64)[:, None])


def _flags(days: Days, weekmask: str, country: str) -> Float64Array:
    """The columns of `DAILY_COLUMNS` of days (N,)."""
    before, after = (np.busday_offset(days, *rule, weekmask=weekmask) for rule in ((-1, "forward"), (1, "backward")))
    here, yesterday, tomorrow = (_is_holiday(x, country) for x in (days, before, after))
    free = [_is_free(days + step, country) for step in (-1, 0, 1)]
    holiday_beside = _is_holiday(days - 1, country) | _is_holiday(days + 1, country)
    bridge = ~free[1] & free[0] & free[2] & holiday_beside
    return np.stack([here, tomorrow & ~here, yesterday & ~here, bridge], axis=1).astype(np.float64)


def _is_free(days: Days, country: str) -> BoolArray:
    """Whether days (N,) are holidays or at a weekend, the country's own."""
    weekend = np.isin((days.astype(np.int64) + 3) % 7, _weekend(country))
    return np.asarray(weekend | _is_holiday(days, country))


def _is_holiday(days: Days, country: str) -> BoolArray:
    if len(days) == 0:
        return np.zeros(0, dtype=np.bool_)
    first, last = (int(day.astype("datetime64[Y]").astype(np.int64)) + 1970 for day in (days.min(), days.max()))
    found = [day for year in range(first, last + 1) for day in _holidays(country, year)]
    return np.isin(days.astype(np.int64), np.array(found, dtype=np.int64))


@cache
def _holidays(country: str, year: int) -> tuple[int, ...]:
    """Holidays of a year as days since 1970, with those observed on another day."""
    found = (np.datetime64(day, "D") for day in _calendar(country, year) if day.year == year)
    return tuple(int(day.astype(np.int64)) for day in found)


@cache
def _weekend(country: str) -> tuple[int, ...]:
    return tuple(sorted(_calendar(country).weekend))


def _calendar(country: str, year: int | None = None) -> Any:
    """The package's calendar of a country: a mapping of dates to names."""
    import holidays

    code, _, subdivision = country.partition("-")
    # Older versions count every Sunday of Sweden.
    options = {"include_sundays": False} if code in ("SE", "SWE") else {}
    return getattr(holidays, code)(subdiv=subdivision or None, years=year, **options)


def _near(name: str, known: list[str]) -> list[str]:
    by_upper = {one.upper(): one for one in known}
    return [by_upper[one] for one in get_close_matches(name.upper(), by_upper, n=3, cutoff=0.5)]


def _by_name(name: str, holidays: Any) -> list[str]:
    """Codes of countries of about that English name, or whose name begins with it."""
    codes = {key: entry[1] for key, entry in holidays.registry.COUNTRIES.items()}
    text = name.lower().replace(" ", "_")
    begun = sorted((key for key in codes if len(text) > 2 and key.startswith(text)), key=len)
    return [codes[key] for key in dict.fromkeys([*begun, *get_close_matches(text, codes, n=1)])][:2]


def _hint(near: list[str]) -> str:
    listed = [repr(one) for one in dict.fromkeys(near)][:3]
    return f"did you mean {' or '.join(listed)}? " if listed else ""
