"""Weekmasks: daily series of the open days of the week, such as those of a shop that is closed on Sundays.

Shapes: n rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from titans_datasets.series.time.frequency import (
    DAY_NS,
    EVERY_DAY,
    WEEKDAYS,
    BoolArray,
    Frequency,
    Int64Array,
    on_calendar_rule,
    open_days_frequency,
    parse_frequency,
    weekday,
)
from titans_datasets.text import counted, some

DAY_NAMES = tuple(day.title() for day in WEEKDAYS)


def parse_weekmask(weekmask: str | Sequence[int]) -> str:
    """Open days as seven digits, Monday first, of anything that numpy's busdaycalendar takes.

    Args:
        weekmask: "Mon Tue Wed Thu Fri Sat" (also with commas), "1111110" or [1, 1, 1, 1, 1, 1, 0].

    Raises:
        ValueError: it is none of these, or closes every day.

    Example:
        >>> parse_weekmask("Mon Tue Wed Thu Fri Sat"), show_weekmask("1111100")
        ('1111110', 'Mon Tue Wed Thu Fri')
    """
    try:
        given = weekmask.replace(",", " ").title() if isinstance(weekmask, str) else list(weekmask)
        found = np.busdaycalendar(weekmask=given).weekmask
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"weekmask must name the open days, such as 'Mon Tue Wed Thu Fri Sat' or '1111110', got {weekmask!r}"
        ) from error
    return "".join("1" if day else "0" for day in found)


def show_weekmask(weekmask: str) -> str:
    """The open days of seven digits by name: "Mon Tue Wed Thu Fri Sat"."""
    return " ".join(name for name, day in zip(DAY_NAMES, weekmask, strict=True) if day == "1")


def masked_frequency(weekmask: str | Sequence[int] | None, freq: str | None) -> str | None:
    """The time step, as an alias, of daily data with a weekmask; `freq` itself where there is none.

    Raises:
        ValueError: no weekmask, or the step is not a day.

    Example:
        >>> masked_frequency("1111110", None), masked_frequency(None, "h")
        ('C-1111110', 'h')
    """
    if weekmask is None:
        return freq
    masked = open_days_frequency(parse_weekmask(weekmask))
    if freq is not None and parse_frequency(freq) not in (parse_frequency("D"), masked):
        raise ValueError(f"a weekmask is for daily data, but freq is {freq!r}: leave out freq or the weekmask")
    return masked.offset_alias


def open_rows(
    stamps: Int64Array, codes: Int64Array, missing: BoolArray, item_ids: Sequence[Hashable], frequency: Frequency
) -> tuple[BoolArray, tuple[str, ...]]:
    """Rows on open days, and a note on the others.

    Args:
        stamps: (n,) nanoseconds.
        codes: (n,) position in `item_ids` of each row.
        missing: (n,) True where a row has no value.
        item_ids: names of the series.
        frequency: of open days.

    Returns:
        (n,) True for the rows to keep: those on closed days without a value are left out.

    Raises:
        ValueError: there are values on closed days; the message names days and how many.
    """
    is_open = on_calendar_rule(stamps, frequency.rule, frequency.anchor)
    against = np.flatnonzero(~is_open & ~missing)
    if against.size:
        first = int(codes[against].min())
        own = np.unique(stamps[against[codes[against] == first]])
        days = np.bincount(weekday(stamps[against]), minlength=7)
        closed = ", ".join(f"{DAY_NAMES[day]} {days[day]:,}" for day in np.flatnonzero(days))
        raise ValueError(
            f"item {item_ids[first]!r} has values on closed days: {some([_date(stamp) for stamp in own])}; "
            f"{counted(int(against.size), 'value')} in {counted(len(np.unique(codes[against])), 'item')} ({closed}), "
            f"the open days are {show_weekmask(frequency.weekmask)}: open these days in the weekmask, or leave the "
            "rows out"
        )
    closed_rows = int((~is_open).sum())
    if not closed_rows:
        return is_open, ()
    return is_open, (f"{counted(closed_rows, 'row')} without a value on closed days left out",)


def closed_weekdays(stamps: Int64Array, frequency: Frequency) -> str | None:
    """The weekmask of daily stamps (n,) that never fall on some days of the week, None where they fall on all.

    Less than four weeks say nothing.
    """
    if frequency.unit != "ns" or frequency.multiple != DAY_NS or len(stamps) == 0:
        return None
    if stamps.max() - stamps.min() < 28 * DAY_NS:
        return None
    seen = np.bincount(weekday(stamps), minlength=7) > 0
    weekmask = "".join("1" if day else "0" for day in seen)
    return None if weekmask == EVERY_DAY else weekmask


def _date(stamp: int) -> str:
    return f"{pd.Timestamp(stamp):%a %Y-%m-%d}"
