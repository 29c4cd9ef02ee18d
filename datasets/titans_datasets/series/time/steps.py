"""The steps of series that do not share one, and the step behind jittered stamps.

Shapes: N stamps of all series together, sorted by item and time; stamps are int64 nanoseconds; I items.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from titans_datasets.series.time.frequency import (
    DAY_NS,
    WEEKDAYS,
    Frequency,
    Int64Array,
    fixed_frequency,
    weekly_frequency,
)
from titans_datasets.series.time.inference import infer_frequency
from titans_datasets.text import some

# Two steps are different from this ratio on; months have 28 to 31 days, a day may have 23 to 25 hours.
DIFFERENT = 1.5
# A series has a step of its own where this share of its steps is equal up to a tenth.
REGULAR_SHARE = 0.9
# One stamp that lies off the grid is a mistake, not jitter.
SOME = 0.1 + 1e-9
_SECOND = 10**9
_CLOCK = (1, 2, 5, 10, 15, 20, 30)
USUAL_STEPS = (
    *(number * _SECOND // 1000 for number in (1, 2, 5, 10, 20, 50, 100, 200, 250, 500)),
    *(number * _SECOND for number in _CLOCK),
    *(number * 60 * _SECOND for number in _CLOCK),
    *(number * 3600 * _SECOND for number in (1, 2, 3, 4, 6, 8, 12)),
    *(DAY_NS, 7 * DAY_NS),
)


def refuse_different_steps(stamps: Int64Array, codes: Int64Array, item_ids: Sequence[Hashable]) -> None:
    """Refuse series of which some have a regular step of another length.

    Raises:
        ValueError: with up to three series of each step.
    """
    within = codes[1:] == codes[:-1]
    steps, owner = (stamps[1:] - stamps[:-1])[within].astype(np.float64), codes[1:][within]
    if not steps.size or owner[0] == owner[-1]:
        return
    usual = pd.Series(steps).groupby(owner).transform("median").to_numpy()
    near = pd.DataFrame({"owner": owner, "near": np.abs(steps / usual - 1) < 0.1, "usual": usual}).groupby("owner")
    share, count, median = near["near"].mean().to_numpy(), near.size().to_numpy(), near["usual"].first().to_numpy()
    items = np.unique(owner)
    sure = (share >= REGULAR_SHARE) & (count >= 8)
    # A few rows of a sparse series may be equally far apart by chance.
    short = (share == 1) & (count >= 3)
    panel = float(np.median(steps))
    others = short & ((median > DIFFERENT * panel) | (median < panel / DIFFERENT))
    if others.sum() >= 0.05 * len(items):
        sure = sure | short
    items, median = items[sure], median[sure]
    if len(items) < 2 or median.max() < DIFFERENT * median.min():
        return
    ranked = np.argsort(median, kind="stable")
    edges = np.flatnonzero(np.diff(np.log(median[ranked])) > np.log(DIFFERENT)) + 1
    groups = [np.sort(items[group]) for group in np.split(ranked, edges)]
    if len(groups) < 2:
        return
    names = [str(infer_frequency(stamps[codes == group[0]], codes[codes == group[0]])) for group in groups]
    listed = "; ".join(
        f"{name}: {some([item_ids[int(item)] for item in group])}" for name, group in zip(names, groups, strict=True)
    )
    raise ValueError(
        f"the series have different time steps ({listed}): forecast each group on its own, from a table of its own; or "
        f"bring all to one step with freq={names[-1]!r} and aggregate='sum' (or 'mean'); freq={names[0]!r} alone "
        "marks the steps in between as missing"
    )


class Jitter(NamedTuple):
    """A regular step that stamps lie near.

    Attributes:
        frequency: the step.
        stamps: (N,) the nearest steps.
        largest: nanoseconds between a stamp and its step, at most.
    """

    frequency: Frequency
    stamps: Int64Array
    largest: int


def find_jitter(stamps: Int64Array, codes: Int64Array, stated: Frequency | None = None) -> Jitter | None:
    """The usual step (a minute, five minutes, an hour, a day …) that the stamps lie near; None where there is none.

    At least nine tenths of them must have a step of their own, and lie within 0.45 steps of it.
    """
    step = _usual_step(stamps, codes)
    if stated is not None:
        step = stated.multiple if stated.unit == "ns" else None
    if step is None:
        return None
    frequency = weekly_or_fixed(step, stamps)
    nearest = snapped(stamps, stated or frequency)
    largest = int(np.abs(stamps - nearest).max())
    own = len(np.unique(np.stack([codes, nearest], axis=1), axis=0))
    if largest > 0.45 * step or own < 0.9 * len(stamps):
        return None
    return Jitter(stated or frequency, nearest, largest)


def weekly_or_fixed(step: int, stamps: Int64Array) -> Frequency:
    """The frequency of a step; weeks are stamped with the weekday that the stamps lie nearest to."""
    if step % (7 * DAY_NS):
        return fixed_frequency(step)
    weeks = [weekly_frequency(day) for day in WEEKDAYS]
    return min(weeks, key=lambda week: float(np.abs(stamps - snapped(stamps, week)).mean()))


def snapped(stamps: Int64Array, frequency: Frequency) -> Int64Array:
    """Each stamp (N,) at the nearest step.

    Steps are counted from midnight; where the stamps lie closer together than their distance from these steps (every
    hour at about 20 past), from the median of their distances.
    """
    if frequency.unit != "ns" or frequency.rule == "W":
        return _nearest(stamps, frequency)
    step = frequency.multiple
    angle = np.exp(2j * np.pi * (stamps % step) / step)
    middle = float(np.angle(angle.mean())) / (2 * np.pi) * step
    away = (stamps - middle + step / 2) % step - step / 2
    origin = 0
    if abs(middle) > max(np.quantile(np.abs(away), 0.95), 0.05 * step):
        unit = next((unit for unit in reversed(USUAL_STEPS) if unit <= step / 20), 1)
        origin = round((middle + float(np.median(away))) / unit) * unit
    return np.asarray((stamps - origin + step // 2) // step * step + origin, dtype=np.int64)


def _nearest(stamps: Int64Array, frequency: Frequency) -> Int64Array:
    """Nearest step of weeks, months, half months and business days."""
    first = pd.Timestamp(int(stamps.min())).normalize()
    length = {"ns": frequency.multiple, "month": 28 * DAY_NS * frequency.multiple, "half": 13 * DAY_NS}
    count = int(stamps.max() - stamps.min()) // length.get(frequency.unit, DAY_NS) + 6
    offset: Any = to_offset(frequency.offset_alias)
    start = pd.Timestamp(offset.rollback(first))
    grid = frequency.range(frequency.shift(start, -1), count).to_numpy().astype("datetime64[ns]").view(np.int64)
    after = np.searchsorted(grid, stamps).clip(1, len(grid) - 1)
    return np.where(stamps - grid[after - 1] <= grid[after] - stamps, grid[after - 1], grid[after])


def _usual_step(stamps: Int64Array, codes: Int64Array) -> int | None:
    steps = (stamps[1:] - stamps[:-1])[codes[1:] == codes[:-1]]
    if steps.size < 3:
        return None
    middle = float(np.median(steps))
    nearest = min(USUAL_STEPS, key=lambda step: abs(np.log(step / max(middle, 1.0))))
    return nearest if abs(np.log(nearest / max(middle, 1.0))) < np.log(1.15) else None


def jitter_hint(stamps: Int64Array, codes: Int64Array, stated: Frequency | None = None) -> str:
    """What to do about jittered stamps, for a message; "" where they are not."""
    found = find_jitter(stamps, codes, stated)
    if found is None or (found.stamps != stamps).mean() < SOME:
        return ""
    alias = str(found.frequency)
    step, alias = (alias, alias) if alias[:1].isdigit() else (f"1 {alias}", f"1{alias}")
    return (
        f"looks like {step} with up to {duration(found.largest)} of jitter: pass freq={alias!r} and "
        "snap=True to move each to the nearest step"
    )


def duration(nanoseconds: int) -> str:
    """A span of time in its largest unit that counts to one or more: "19 s", "2.5 min"."""
    units = (("days", DAY_NS), ("h", DAY_NS // 24), ("min", DAY_NS // 1440), ("s", 10**9), ("ms", 10**6), ("ns", 1))
    name, size = next((pair for pair in units if nanoseconds >= pair[1]), units[-1])
    return f"{round(nanoseconds / size, 1):g} {name}"
