"""Rows of one time step as rows of a longer one: days from hours, months from days.

Shapes: n rows, m periods with rows, C columns; stamps are int64 nanoseconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.frequencies import to_offset

from titans_datasets.series.time.frequency import DAY_NS, BoolArray, Frequency, Int64Array
from titans_datasets.series.time.inference import most_frequent
from titans_datasets.text import counted

# Whole periods have rows this close to their edges in nine of ten cases.
USUAL = 0.9
# A period with fewer rows than this share of the usual number is named in a note: its sum is low.
FEW = 0.9


class Resampled(NamedTuple):
    """Rows of periods.

    Attributes:
        codes: (m,) series.
        stamps: (m,) stamps of the periods on the grid of the frequency.
        values: (m, C), NaN where a period has none.
        rows: (m,) a row of the table that lies in the period, for columns that do not change.
        notes: what was left out.
    """

    codes: Int64Array
    stamps: Int64Array
    values: npt.NDArray[np.float64]
    rows: Int64Array
    notes: tuple[str, ...]


def resample(
    codes: Int64Array,
    stamps: Int64Array,
    values: npt.NDArray[np.float64],
    frequency: Frequency,
    aggregate: str,
) -> Resampled:
    """Aggregate the rows of each series and period.

    Args:
        codes: (n,) series of the rows, in any order.
        stamps: (n,) their timestamps, which may repeat.
        values: (n, C), NaN where missing.
        frequency: the longer step. A period begins on its stamp and ends before the next; periods of month, quarter and
            year ends, and weeks that are named by their Sunday, end with the day of their stamp.
        aggregate: one of `titans_datasets.series.schema.AGGREGATES`. A sum with a missing value is missing; the others
            are of the values there are.

    The first and last period of a series are left out where they are not covered: where rows begin (or end) a usual
    step or more inside, and further inside than in nine of ten of the periods between (where there are three).
    """
    order = np.lexsort((stamps, codes))
    codes, stamps, values = codes[order], stamps[order], values[order]
    labels, begins, ends = periods_of(stamps, frequency)
    heads = np.flatnonzero((np.diff(codes, prepend=-1) != 0) | (np.diff(labels, prepend=labels[:1] - 1) != 0))
    tails = np.append(heads[1:], len(codes)) - 1
    found = _aggregated(values, heads, aggregate)
    whole = _covered(codes, stamps, begins, ends, heads, tails)
    sizes = (tails - heads + 1)[whole]
    dropped = int((~whole).sum())
    notes = []
    if dropped:
        items = len(np.unique(codes[heads][~whole]))
        notes.append(f"{counted(dropped, 'period')} at the ends of {counted(items, 'item')} not covered and left out")
    if aggregate == "sum":
        few = int((sizes < FEW * np.median(sizes)).sum()) if sizes.size and _mostly_regular(codes, stamps) else 0
        notes += [f"{counted(few, 'period')} with fewer rows than usual: their sums may be too low"] if few else []
        lost = int((np.isnan(found) & ~np.isnan(_aggregated(values, heads, "max")))[whole].any(axis=1).sum())
        notes += [f"{counted(lost, 'sum')} with a missing value among its rows now missing"] if lost else []
    return Resampled(codes[heads][whole], labels[heads][whole], found[whole], order[heads][whole], tuple(notes))


def periods_of(stamps: Int64Array, frequency: Frequency) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Of each stamp (n,) its period's name on the grid, its begin and the begin of the next one."""
    if frequency.unit == "ns" and frequency.rule != "W":
        begins = stamps // frequency.multiple * frequency.multiple
        return begins, begins, begins + frequency.multiple
    rule = frequency.rule
    grid = _grid(stamps, frequency)
    if rule.endswith("E") or (rule == "W" and frequency.anchor == "SUN"):
        # Named by the last day: a period begins on the day after the stamp before.
        edges = grid // DAY_NS * DAY_NS + DAY_NS
        place = np.searchsorted(edges, stamps, side="right")
        return grid[place], edges[place - 1], edges[place]
    place = np.searchsorted(grid, stamps, side="right") - 1
    return grid[place], grid[place], grid[place + 1]


def _grid(stamps: Int64Array, frequency: Frequency) -> Int64Array:
    """All steps around stamps, at midnight, in steps of `frequency` from the one before the first."""
    offset = to_offset(frequency.offset_alias)
    first = pd.Timestamp(int(stamps.min())).normalize() - 2 * offset
    last = pd.Timestamp(int(stamps.max())).normalize() + 2 * offset
    return pd.date_range(first, last, freq=frequency.offset_alias).as_unit("ns").to_numpy().view(np.int64)


def _aggregated(values: npt.NDArray[np.float64], heads: Int64Array, aggregate: str) -> npt.NDArray[np.float64]:
    group = np.repeat(np.arange(len(heads)), np.diff(np.append(heads, len(values))))
    grouped = pd.DataFrame(values).groupby(group)
    if aggregate == "sum":
        return grouped.sum(min_count=1).where(grouped.count().eq(grouped.size(), axis=0)).to_numpy(np.float64)
    return getattr(grouped, aggregate)().to_numpy(np.float64)


def _mostly_regular(codes: Int64Array, stamps: Int64Array) -> bool:
    """Whether most steps are equal, as those of sensors and unlike those of events."""
    steps = np.diff(stamps)[np.diff(codes) == 0]
    return bool(steps.size and (steps == most_frequent(steps)).mean() > 0.5)


def _covered(
    codes: Int64Array, stamps: Int64Array, begins: Int64Array, ends: Int64Array, heads: Int64Array, tails: Int64Array
) -> BoolArray:
    """Whether each period (m,) is covered by rows up to its edges as far as the usual one is; inner ones always."""
    steps = np.diff(stamps)[np.diff(codes) == 0]
    steps = steps[steps > 0]
    step = most_frequent(steps) if steps.size else 0
    item = codes[heads]
    opens, closes = np.diff(item, prepend=-1) != 0, np.diff(item, append=item[-1:] + 1) != 0
    lead, rest = stamps[heads] - begins[heads], ends[heads] - stamps[tails]
    inner = ~opens & ~closes
    enough = inner.sum() >= 3
    late = np.quantile(lead[inner], USUAL) if enough else -1
    early = np.quantile(rest[inner], USUAL) if enough else -1
    begun, ended = (lead < step) | (lead <= late), (rest <= step) | (rest <= early)
    return np.asarray((begun | ~opens) & (ended | ~closes))
