"""Readings that say nothing about the series: time before it began, a closure or a stuck sensor that is over, and
sentinel values. All are read as missing.

A series has not begun while it holds one value for most of its history that hardly comes back afterwards (zeros of a
product before its launch, a sensor that was not connected). An interruption is one run of equal values, far outside the
range of all others, which occurs once and has ended; regular zeros (closed Sundays, demand that comes and goes) are
none. A sentinel is a number that systems write where they have none, far outside the range of the others.

A last reading far outside all before is capped until a second one confirms it.

Shapes: T steps of a history.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SENTINELS = tuple(sign * value for value in (999.0, 9999.0, 99999.0, 999.9, 9999.9, 1e10, 1e20) for sign in (1, -1))
# Least run, greatest share of the observed values, and least distance from the others in units of their spread (the
# distance of their 5 % and 95 % quantiles).
SHORTEST_RUN, GREATEST_SHARE = 3, 0.1
RUN_DISTANCE, SENTINEL_DISTANCE = 1.0, 3.0
FEWEST = 12
# Fewest values beside a sentinel.
FEWEST_BESIDE = 3
# Distance of a last reading from the range of those before, in the same spreads, and how many these have to be.
LAST_DISTANCE, FEWEST_BEFORE_LAST = 3.0, 20
# A series begins after a run of one value at least so long, and as long as what follows, of which so much at most is
# that value again and which has so many different values at least.
RUN_BEFORE, SHARE_AFTER, DISTINCT_AFTER = 10, 0.25, 3


def interrupted(history: FloatArray, before: bool = True) -> BoolArray:
    """Which steps (T,) of a history (T,), NaN for missing, belong to an interruption or hold a sentinel.

    Args:
        history: of one series.
        before: whether steps from before the series began count too.

    Example:
        >>> open_days = [20.0, 22, 21, 24, 20, 23, 22, 21, 20, 22]
        >>> interrupted(np.array([*open_days, *open_days, 0, 0, 0, *open_days])).nonzero()[0]
        array([20, 21, 22])
    """
    there = np.flatnonzero(np.isfinite(history))
    values = history[there]
    found = np.zeros(len(history), dtype=bool)
    for sentinel in SENTINELS if len(values) > FEWEST_BESIDE else ():
        mine = values == sentinel
        if mine.any() and mine.sum() <= 3 * GREATEST_SHARE * len(values) and _far(values, mine, SENTINEL_DISTANCE):
            found[there[mine]] = True
    kept = ~found[there]
    there, values = there[kept], values[kept]
    first = _before_it_began(values) if before else 0
    found[there[:first]] = True
    there, values = there[first:], values[first:]
    if len(values) < FEWEST:
        return found
    edges = np.flatnonzero(np.diff(values) != 0) + 1
    starts, stops = np.r_[0, edges], np.r_[edges, len(values)]
    lengths = stops - starts
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    once = counts[place[starts]] == lengths
    inside = (starts > 0) & (stops < len(values))
    long = (lengths >= SHORTEST_RUN) & (lengths <= GREATEST_SHARE * len(values))
    for run in np.flatnonzero(once & inside & long):
        mine = np.zeros(len(values), dtype=bool)
        mine[starts[run] : stops[run]] = True
        if _far(values, mine, RUN_DISTANCE):
            found[there[mine]] = True
    return found


def last_capped(history: FloatArray) -> tuple[int, float] | None:
    """Step and value to read where the last reading (T,) lies far outside all before; None where it does not.

    One such reading may be a mistake, a sale, or a new level. It is read as `LAST_DISTANCE` spreads outside the range
    of those before, so that a forecast follows it a little; a second one confirms it, and both are read as they are.

    Example:
        >>> usual = [20.0, 22, 21, 24, 20, 23, 22, 21, 20, 22, 20, 22, 21, 24, 20, 23, 22, 21, 20, 22]
        >>> last_capped(np.array([*usual, 500.0])), last_capped(np.array([*usual, 30.0]))
        ((20, 36.0), None)
    """
    there = np.flatnonzero(np.isfinite(history))
    before = history[there[:-1]]
    if len(before) < FEWEST_BEFORE_LAST:
        return None
    low, high = np.quantile(before, [0.05, 0.95])
    reach = LAST_DISTANCE * (high - low)
    last = float(history[there[-1]])
    capped = float(np.clip(last, before.min() - reach, before.max() + reach))
    return (int(there[-1]), capped) if reach > 0 and capped != last else None


def _before_it_began(values: FloatArray) -> int:
    """Number of leading values (T,) from before the series began; 0 where it began with the first."""
    changed = np.flatnonzero(values != values[:1])
    before = int(changed[0]) if len(changed) else 0
    after = values[before:]
    if before < max(RUN_BEFORE, len(after)) or len(np.unique(after)) < DISTINCT_AFTER:
        return 0
    return before if (after == values[0]).mean() <= SHARE_AFTER else 0


def _far(values: FloatArray, mine: BoolArray, distance: float) -> bool:
    """Whether the value of `mine` lies outside the range of the others by so many of their spreads."""
    others, value = values[~mine], values[mine][0]
    low, high = np.quantile(others, [0.05, 0.95])
    beyond = max(others.min() - value, value - others.max())
    return bool(high > low) and bool(beyond > distance * (high - low))
