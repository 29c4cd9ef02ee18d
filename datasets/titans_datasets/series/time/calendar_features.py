"""Calendar features of timestamps as sine and cosine pairs.

Shapes: T time steps, F features (an even number, 0 for yearly data).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.time.frequency import DAY_NS, Frequency, parse_frequency


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
    unit = {"ns": 1, "month": 30.4 * DAY_NS, "half": 15.2 * DAY_NS, "business": 1.4 * DAY_NS}[frequency.unit]
    span = steps * frequency.multiple * unit
    return tuple(name for name in time_feature_names(frequency) if span >= 2 * _LENGTHS.get(name, 0))


def time_features(
    index: pd.DatetimeIndex, freq: str | Frequency, cycles: tuple[str, ...] | None = None
) -> npt.NDArray[np.float32]:
    """Features (T, F) float32 in [-1, 1]: for each cycle (by default `time_feature_names`) its sine, then its cosine.

    The week counts whole weekdays and the year months for monthly data, so that equal calendar positions get equal
    features in every year.

    Example:
        >>> time_features(pd.date_range("2024-01-01", periods=5, freq="6h"), "h", ("day",))[:2].round(2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    frequency = parse_frequency(freq)
    names = time_feature_names(frequency) if cycles is None else cycles
    columns = np.empty((len(index), 2 * len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        angle = 2 * np.pi * _phase(index, name, frequency)
        columns[:, 2 * place], columns[:, 2 * place + 1] = np.sin(angle), np.cos(angle)
    return columns


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
