"""Dates as people write them beside ISO 8601: numbers such as 20240131 and 202401, weeks, quarters, names of months,
and dates of which the day or the month may come first.

Shapes: N stamps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from titans_datasets.series.time.frequency import DAY_NS, MONTHS, BoolArray, Frequency, Int64Array
from titans_datasets.series.time.regularity import Regularity, disorder, regularity
from titans_datasets.text import some

FIRST_YEAR, LAST_YEAR = 1700, 2199
# Seconds since 1970 have ten digits too.
FIRST_YEAR_OF_HOURS = 1900
_DIGITS = {"YYYY": 4, "YYYYQ": 5, "YYYYMM": 6, "YYYYWW": 6, "YYYYMMDD": 8}
_DIGITS |= {"YYYYMMDDHH": 10, "YYYYMMDDHHMM": 12, "YYYYMMDDHHMMSS": 14}
WHAT = {"YYYY": "years", "YYYYQ": "quarters YYYYQ", "YYYYMM": "months YYYYMM", "YYYYWW": "ISO weeks YYYYWW"}
ORDERS = ("month/day/year", "day/month/year", "year/month/day")


class Reading(NamedTuple):
    """One way to read a column.

    Attributes:
        name: a key of `_DIGITS`, one of `ORDERS`, or "step numbers".
        stamps: (N,) nanoseconds.
    """

    name: str
    stamps: Int64Array


def number_readings(numbers: Int64Array) -> list[Reading]:
    """The spellings under which all whole numbers (N,) are dates."""
    if not len(numbers) or numbers.min() <= 0:
        return []
    found = []
    for name, digits in _DIGITS.items():
        if numbers.min() >= 10 ** (digits - 1) and numbers.max() < 10**digits:
            stamps, valid = _of_number(numbers, name)
            if valid.all():
                found.append(Reading(name, stamps))
    return found


def step_regularity(numbers: Int64Array, codes: Int64Array | None) -> Regularity:
    """How regular whole numbers are as step numbers."""
    codes = np.zeros(len(numbers), dtype=np.int64) if codes is None else codes
    groups = pd.Series(numbers).groupby(codes)
    cells = int((groups.max() - groups.min() + 1).sum())
    doubled = pd.DataFrame({"code": codes, "number": numbers}).duplicated().mean()
    return Regularity(disorder(numbers, codes), float(doubled), 1 - len(numbers) / max(cells, len(numbers)), 0, "")


def as_numbers(index: pd.DatetimeIndex, name: str) -> Int64Array:
    """Dates (N,) as whole numbers of a spelling: the inverse of `number_readings`."""
    year, month = index.year.to_numpy(np.int64), index.month.to_numpy(np.int64)
    if name == "YYYY":
        return year
    if name == "YYYYQ":
        return year * 10 + (month + 2) // 3
    if name == "YYYYWW":
        iso = index.isocalendar()
        return iso["year"].to_numpy(np.int64) * 100 + iso["week"].to_numpy(np.int64)
    number = year * 100 + month
    for part, digits in (("day", 8), ("hour", 10), ("minute", 12), ("second", 14)):
        if _DIGITS[name] >= digits:
            number = number * 100 + getattr(index, part).to_numpy(np.int64)
    return np.asarray(number, dtype=np.int64)


def _of_number(numbers: Int64Array, name: str) -> tuple[Int64Array, BoolArray]:
    """Stamps (N,), and whether each is one."""
    digits = _DIGITS[name]
    year, rest = np.divmod(numbers, 10 ** (digits - 4))
    valid = (year >= (FIRST_YEAR if digits < 10 else FIRST_YEAR_OF_HOURS)) & (year <= LAST_YEAR)
    if name == "YYYYWW":
        return _of_weeks(year, rest, valid)
    one = np.ones_like(numbers)
    parts = [rest // 10 ** (digits - 6 - 2 * k) % 100 if digits >= 6 + 2 * k else None for k in range(5)]
    month = 3 * rest - 2 if name == "YYYYQ" else one if parts[0] is None else parts[0]
    if name == "YYYYQ":
        valid, parts = valid & (rest >= 1) & (rest <= 4), [None] * 5
    day = one if parts[1] is None else parts[1]
    hour, minute, second = (np.zeros_like(numbers) if part is None else part for part in parts[2:])
    valid &= (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    months = np.where(valid, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    lengths = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    stamps = months.astype("datetime64[ns]").astype(np.int64) + (day - 1) * DAY_NS
    return stamps + ((hour * 60 + minute) * 60 + second) * 10**9, valid & (day <= lengths)


def _of_weeks(year: Int64Array, week: Int64Array, valid: BoolArray) -> tuple[Int64Array, BoolArray]:
    """Mondays (N,) of ISO weeks, and whether there are such weeks: the first one has the 4th of January."""
    valid = valid & (week >= 1) & (week <= 53)
    fourth = (np.where(valid, year, 1970) - 1970).astype("datetime64[Y]").astype("datetime64[D]") + 3
    monday = fourth - (fourth.astype(np.int64) + 3) % 7
    stamps = (monday + 7 * (np.where(valid, week, 1) - 1)).astype("datetime64[ns]").astype(np.int64)
    # The Thursday of a week lies in its year.
    same = (stamps + 3 * DAY_NS).view("datetime64[ns]").astype("datetime64[Y]").astype(np.int64) + 1970 == year
    return stamps, valid & same


def read_words(texts: Sequence[str]) -> tuple[str, Int64Array] | None:
    """Weeks, quarters, half years, months: what all texts (N,) are, and their first days; None where they are not.

    Known: 2023-W05, 2023W05, W05 2023; 2023Q1, 2023-Q1, Q1 2023; 2023H1, 2023-S1; 2023M01; 01/2023; Jan 2023, 2023-Jan,
    January 2023, Jan-23.
    """
    for what, pattern, convert in _WORDS:
        if not pattern.fullmatch(texts[0].strip()):
            continue
        parts = [match.groupdict() for text in texts if (match := pattern.fullmatch(text.strip()))]
        if len(parts) == len(texts) and parts:
            stamps, valid = convert(parts)
            return (what, stamps) if valid.all() else None
    return None


def _years(parts: list[dict[str, str]]) -> Int64Array:
    years = np.array([int(part.get("y") or part["z"]) for part in parts], dtype=np.int64)
    # Two digits as in POSIX: 69 to 99 are of the last century.
    short = np.array([len(part.get("y") or part["z"]) == 2 for part in parts])
    return years + np.where(short, np.where(years < 69, 2000, 1900), 0)


def _every(months: int) -> Callable[[list[dict[str, str]]], tuple[Int64Array, BoolArray]]:
    def convert(parts: list[dict[str, str]]) -> tuple[Int64Array, BoolArray]:
        number = np.array([_part(part) for part in parts], dtype=np.int64)
        return _of_number(_years(parts) * 100 + (number - 1) * months + 1, "YYYYMM")

    return convert


def _part(part: dict[str, str]) -> int:
    name = (part.get("n") or part.get("m") or "")[:3].upper()
    return int(name) if name.isdigit() else _GERMAN.get(name) or MONTHS.index(name) + 1


def _weeks(parts: list[dict[str, str]]) -> tuple[Int64Array, BoolArray]:
    stamps, valid = _of_weeks(_years(parts), np.array([int(p.get("n") or p["m"]) for p in parts]), np.array([True]))
    return stamps + np.array([(int(part.get("d") or 1) - 1) * DAY_NS for part in parts]), valid


def _word(what: str, letters: str, numbers: str, convert: Any) -> tuple[str, re.Pattern[str], Any]:
    day = r"(?:-?(?P<d>[1-7]))?" if what == "ISO weeks" else ""
    first = rf"(?P<y>\d{{4}})[-\s/]?[{letters}](?P<n>{numbers}){day}"
    return what, re.compile(rf"{first}|[{letters}](?P<m>{numbers})[-\s/]?(?P<z>\d{{4}})"), convert


_GERMAN = {"MÄR": 3, "MRZ": 3, "MAI": 5, "OKT": 10, "DEZ": 12}
_NAMES = "|".join(f"{month}[a-z]*" for month in ("jan", "feb", "mar", "apr", "may", "jun"))
_NAMES += "|" + "|".join(f"{month}[a-z]*" for month in ("jul", "aug", "sep", "oct", "nov", "dec", *_GERMAN))
_WORDS = [
    _word("ISO weeks", "Ww", r"\d{1,2}", _weeks),
    _word("quarters", "Qq", "[1-4]", _every(3)),
    _word("half years", "HhSs", "[12]", _every(6)),
    _word("months", "Mm", r"\d{1,2}", _every(1)),
    ("months", re.compile(r"(?P<n>\d{1,2})[-/.](?P<y>\d{4})"), _every(1)),
    ("months", re.compile(rf"(?P<n>{_NAMES})\.?[-\s/,]+(?P<y>\d{{4}}|\d\d)", re.IGNORECASE), _every(1)),
    ("months", re.compile(rf"(?P<y>\d{{4}})[-\s/]?(?P<n>{_NAMES})\.?", re.IGNORECASE), _every(1)),
]
_DATE = re.compile(r"\s*(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)(.*)")


def date_readings(texts: pd.Index[Any]) -> list[Reading] | None:
    """Readings of dates (N,) such as 01/02/2024 or 01.02.24, in the order in which they are preferred.

    None where the texts are not such dates; an empty list where no single order of day, month and year fits them all.
    """
    if not _DATE.fullmatch(texts[0]):
        return None
    matches = [_DATE.fullmatch(text) for text in texts]
    parts = [match.groups() for match in matches if match]
    if not parts or len(parts) < len(matches):
        return None
    a, _, b, c, rest = (list(column) for column in zip(*parts, strict=True))
    orders = [(ORDERS[0], c, a, b), (ORDERS[1], c, b, a)]
    if all(len(year) == 2 for year in c):
        orders.append((ORDERS[2], a, b, c))
    readings = [(name, _of_parts(years, months, days, rest)) for name, years, months, days in orders]
    found = [Reading(name, stamps) for name, stamps in readings if stamps is not None]
    # Nobody writes month.day.year with points.
    european = parts[0][1] == "." and any(reading.name == ORDERS[1] for reading in found)
    return [reading for reading in found if not european or reading.name != ORDERS[0]]


def _of_parts(years: list[str], months: list[str], days: list[str], rest: list[str]) -> Int64Array | None:
    if max(map(int, months)) > 12 or max(map(int, days)) > 31 or min(map(int, months + days)) < 1:
        return None
    full = [year if len(year) == 4 else str(int(year) + (2000 if int(year) < 69 else 1900)) for year in years]
    texts = [f"{y}-{int(m):02d}-{int(d):02d}{r}" for y, m, d, r in zip(full, months, days, rest, strict=True)]
    try:
        found = pd.DatetimeIndex(pd.to_datetime(pd.Index(texts), format=None if any(rest) else "%Y-%m-%d"))
    except (ValueError, TypeError):
        return None
    return found.as_unit("ns").to_numpy().view(np.int64) if found.tz is None else None


def choose_reading(
    readings: Sequence[Reading], places: Int64Array, codes: Int64Array | None, freq: Frequency | None
) -> tuple[Reading, list[tuple[Reading, Regularity]]]:
    """The reading whose stamps are the most regular, the first of equals; and the others that fit as well.

    Args:
        readings: of the different values of a column.
        places: (N,) value of each row.
        codes, freq: as in `regularity`.
    """
    measured = [(reading, regularity(reading.stamps[places], codes, freq)) for reading in readings]
    best = min(measured, key=lambda pair: pair[1].rank)
    equal = [pair for pair in measured if pair is not best and pair[1].fit == best[1].fit]
    return best[0], [pair for pair in equal if (pair[0].stamps != best[0].stamps).any()]


def order_note(texts: pd.Index[Any], chosen: Reading, others: Sequence[tuple[Reading, Regularity]], own: str) -> str:
    """How dates were read, by an example that other readings change; and how to have them read otherwise.

    Args:
        texts: the different values of the column.
        chosen: the reading.
        others: readings that fit as well.
        own: frequency of the chosen one.
    """
    unlike = [i for i, text in enumerate(texts) if (m := _DATE.fullmatch(text)) and int(m[1]) != int(m[3])]
    place = unlike[0] if unlike else 0
    moment = pd.Timestamp(int(chosen.stamps[place]))
    note = f"dates such as {texts[place]!r} were read as {moment:%d %B %Y} ({chosen.name})"
    if not others:
        return note
    way = others[0][1].frequency
    by_step = f"pass freq={way!r} for {others[0][0].name}, or " if way and way != own else ""
    return f"{note}; {some([pair[0].name for pair in others])} fits as well: {by_step}write YYYY-MM-DD"
