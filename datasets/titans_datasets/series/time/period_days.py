"""Stamps on any day of the month as the months, half months, quarters or years they stand for, and back.

Shapes: N stamps of all series together, sorted by item and time; stamps are int64 nanoseconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from titans_datasets.series.time.frequency import (
    DAY_NS,
    HALVES,
    Frequency,
    Int64Array,
    day_of_month,
    unit_ordinals,
)
from titans_datasets.series.time.inference import align_frequency, calendar_frequency, fixed_steps, most_frequent

LAST = 31
# Of the steps between stamps on mixed days, those that must be the usual number of months.
USUAL_SHARE = 0.8


class PeriodStamps(NamedTuple):
    """Stamps as periods.

    Attributes:
        stamps: (N,) on the first day of their month; of half months on the 1st or 15th.
        days: where they lay, one day for months, two for half months, 31 for the last day; () for mixed days.
        note: what was decided; "" where nothing was.
    """

    stamps: Int64Array
    days: tuple[int, ...]
    note: str = ""


def find_periods(stamps: Int64Array, codes: Int64Array, stated: Frequency | None) -> PeriodStamps | None:
    """The periods of monthly and coarser, or half-monthly stamps that lie on no calendar rule of pandas; else None.

    Args:
        stamps: (N,) ascending and unique within an item.
        codes: (N,) item of each stamp, ascending.
        stated: the frequency that the caller gives.

    One stamp a month on the same day (on the last one in shorter months), or two stamps a month on the same two days,
    are periods; so is one stamp a month on mixed days, unless the steps are of one length.
    """
    within = codes[1:] == codes[:-1]
    steps = (stamps[1:] - stamps[:-1])[within]
    if stated is None:
        if not steps.size or most_frequent(steps) < 10 * DAY_NS:
            return None
    elif stated.unit not in ("month", "half") or _on_grid(stated, stamps, codes):
        return None
    months = unit_ordinals(stamps, "month")
    single = not ((months[1:] == months[:-1]) & within).any()
    if stated is not None:
        return _halves(stamps, codes) if stated.unit == "half" else _months(stamps, codes, False) if single else None
    if calendar_frequency(stamps, within) is not None:
        return None
    if single and np.median(steps) >= 26 * DAY_NS:
        return _months(stamps, codes, fixed_steps(stamps, codes))
    return None if single or steps.size < 2 else _halves(stamps, codes)


def to_first_days(stamps: Int64Array, days: tuple[int, ...]) -> Int64Array:
    """Stamps (N,) on the first day of their month, or on the 1st or 15th where `days` are two."""
    on = day_of_month(stamps)
    first = stamps - (on - 1) * DAY_NS
    if len(days) < 2:
        return first
    second = on >= np.minimum(days[1], _lengths(stamps))
    return first + np.where(second, HALVES[1] - HALVES[0], 0) * DAY_NS


def from_first_days(index: pd.DatetimeIndex, days: tuple[int, ...]) -> pd.DatetimeIndex:
    """The inverse of `to_first_days`: each stamp on its day, on the last one in shorter months."""
    stamps = index.as_unit("ns").to_numpy().astype("datetime64[ns]").view(np.int64)
    on = day_of_month(stamps)
    wanted = np.where(on >= HALVES[1], days[-1], days[0]) if len(days) == 2 else np.full(len(stamps), days[0])
    return pd.DatetimeIndex(stamps + (np.minimum(wanted, _lengths(stamps)) - on) * DAY_NS)


def _months(stamps: Int64Array, codes: Int64Array, regular: bool) -> PeriodStamps | None:
    on, lengths = day_of_month(stamps), _lengths(stamps)
    heads = np.flatnonzero(np.diff(codes, prepend=-1))
    highest = np.maximum.reduceat(on, heads)
    own = np.repeat(highest, np.diff(np.append(heads, len(codes))))
    if (on == np.minimum(own, lengths)).all():
        if len(np.unique(highest)) == 1 or (on == np.minimum(highest.max(), lengths)).all():
            day = int(highest.max())
            return PeriodStamps(to_first_days(stamps, ()), (day,) if day > 1 else ())
    elif regular or not _usual_months(stamps, codes):
        return None
    near_end = bool((on >= 25).all())
    stamped = "the last" if near_end else "the first"
    note = f"one timestamp a month, on different days: read as months, and forecasts have {stamped} day of theirs"
    return PeriodStamps(to_first_days(stamps, ()), (LAST,) if near_end else (), note)


def _usual_months(stamps: Int64Array, codes: Int64Array) -> bool:
    """Whether most steps are the same number of months and the others a multiple of it (gaps)."""
    months = unit_ordinals(stamps, "month")
    steps = (months[1:] - months[:-1])[codes[1:] == codes[:-1]]
    if steps.size < 2:
        return steps.size == 0
    usual = most_frequent(steps)
    return bool((steps % usual == 0).all() and (steps == usual).mean() >= USUAL_SHARE)


def _halves(stamps: Int64Array, codes: Int64Array) -> PeriodStamps | None:
    on, lengths = day_of_month(stamps), _lengths(stamps)
    low, high = int(on.min()), int(on.max())
    if low == high or not ((on == low) | (on == np.minimum(high, lengths))).all():
        return None
    days = (low, high)
    return PeriodStamps(to_first_days(stamps, days), () if days == HALVES else days)


def _on_grid(stated: Frequency, stamps: Int64Array, codes: Int64Array) -> bool:
    heads = np.flatnonzero(np.diff(codes, prepend=-1))
    first = stamps[heads][np.searchsorted(codes[heads], codes)]
    return bool(align_frequency(stated, stamps, first).positions(stamps, first)[1].all())


def _lengths(stamps: Int64Array) -> Int64Array:
    """Days of the month of each stamp (N,)."""
    months = stamps.view("datetime64[ns]").astype("datetime64[M]")
    return ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
