"""Which histories are counts, the unit each is counted in, and the thresholds of all distributions.

Shapes: N series, T steps, K thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from titans_ts.forecasting.experts.panel import BoolArray, FloatArray, IntArray, aligned
from titans_ts.forecasting.experts.sanity import straightness

# Counts up to this mean, in their unit, have distributions of their own.
GREATEST_MEAN = 60.0
# Series that are no whole numbers, or large ones, need so large a share of zeros.
LEAST_ZEROS = 0.1
# A common divisor of fewer values is chance, and so is a line through them.
DIVISOR_VALUES = 8
# Share of the variance that a straight line explains from which on a series follows it. With .8 falling Poisson counts
# were 5 to 12 % better, but saturating ones 4 to 10 % worse in quantile loss.
ON_A_LINE = 0.95
# Units of a typical positive value where values are no multiples of one unit.
RESOLUTION = 16
# Last steps whose mean counts too.
LATE = 24
# So unlikely a run of values above 0 at the end is no chance: demand has begun.
BEGUN_CHANCE = 1e-3
# Beyond this the whole numbers are not told apart from each other any more.
GREATEST_COUNT = 30_000.0


def _thresholds() -> FloatArray:
    grid = [float(k) for k in range(RESOLUTION + 1)]
    while grid[-1] < 4 * GREATEST_COUNT:
        grid.append(float(np.ceil(1.12 * grid[-1])))
    return np.array(grid)


# Whole numbers up to `RESOLUTION`, then steps of an eighth.
THRESHOLDS = _thresholds()
GAPS = np.diff(THRESHOLDS, append=THRESHOLDS[-1] + 1.0)


@dataclass(frozen=True)
class Lattice:
    """Histories of counts in units of their own.

    Attributes:
        rows: (N,) places in the panel.
        unit: (N,) of a count: the greatest common divisor of whole numbers; else a part of a typical positive value.
        exact: (N,) whether every value is a multiple of the unit.
        values: (N, T) in units, NaN for missing.
    """

    rows: IntArray
    unit: FloatArray
    exact: BoolArray
    values: FloatArray

    def __getitem__(self, places: IntArray) -> Lattice:
        return Lattice(self.rows[places], self.unit[places], self.exact[places], self.values[places])

    @classmethod
    def of(cls, history: FloatArray) -> Lattice:
        """The rows of histories (N, T) that are whole numbers ≥ 0 or never below 0 with many zeros."""
        seen = np.isfinite(history)
        filled = np.where(seen, history, 0.0)
        number = seen.sum(axis=1)
        tolerance = 1e-9 * np.maximum(1.0, filled.max(axis=1, initial=0.0))
        possible = (number > 0) & (filled.min(axis=1, initial=0.0) >= -tolerance)
        zero = (seen & (filled <= tolerance[:, None])).sum(axis=1) / np.maximum(number, 1)
        whole = (np.abs(filled - filled.round()) <= tolerance[:, None]).all(axis=1) & (tolerance < 1e-3)
        rows = np.flatnonzero(possible & (whole | (zero >= LEAST_ZEROS)))
        history, whole, zero, number = history[rows], whole[rows], zero[rows], number[rows]
        filled = np.where(seen[rows], history, 0.0)
        unit = np.ones(len(rows))
        divisor = np.gcd.reduce(np.where(whole[:, None], filled.round(), 0.0).astype(np.int64), axis=1)
        unit[whole] = np.where(number >= DIVISOR_VALUES, np.maximum(divisor, 1), 1)[whole]
        whole &= filled.max(axis=1, initial=0.0) <= GREATEST_COUNT * unit
        positive = np.sort(np.where(filled > tolerance[rows, None], filled, np.inf), axis=1)
        count = np.isfinite(positive).sum(axis=1)
        typical = positive[np.arange(len(rows)), np.maximum(count - 1, 0) // 2] if len(rows) else np.empty(0)
        unit = np.where(whole, unit, typical / RESOLUTION)
        return cls(rows, unit, whole, history / unit[:, None])._small(zero)

    def _small(self, zero: FloatArray) -> Lattice:
        """Without those of a large mean, of late too, and few zeros (share (N,)), and without those that follow a line.

        What a series on a line has left behind says little about where it will be.
        """
        seen = np.isfinite(self.values)
        filled = np.where(seen, self.values, 0.0)
        means = [
            filled[:, -last:].sum(axis=1) / np.maximum(seen[:, -last:].sum(axis=1), 1e-9)
            for last in (filled.shape[1], LATE)
        ]
        kept = (zero >= LEAST_ZEROS) | (self.exact & (np.minimum(*means) < GREATEST_MEAN))
        kept &= ~begun(self.values)
        kept &= (straightness(self.values) < ON_A_LINE) | (seen.sum(axis=1) < DIVISOR_VALUES)
        values = np.where(self.exact[:, None], self.values.round(), np.maximum(self.values, 0.0))
        return Lattice(self.rows, self.unit, self.exact, values)[np.flatnonzero(kept)]


def begun(values: FloatArray) -> BoolArray:
    """Whether demand has just begun (N,): the last values (N, T) are above 0, which those before make no chance.

    What was observed before says little about such a series then.
    """
    seen = np.isfinite(values)
    zero = seen & ~(np.where(seen, values, 0.0) > 0)
    steps = np.arange(values.shape[1])
    last = np.where(zero, steps, -1).max(axis=1, initial=-1)[:, None]
    run = (seen & (steps > last)).sum(axis=1)
    before = (seen & (steps <= last)).sum(axis=1)
    rate = 1 - (zero.sum(axis=1) - 0.5) / np.maximum(before, 1)
    fresh = (run > 0) & (run <= LATE)
    return np.asarray(zero.any(axis=1) & fresh & (np.clip(rate, 0.0, 1.0) ** run < BEGUN_CHANCE))


def bins(values: FloatArray) -> IntArray:
    """The first threshold that is not below a value; values beyond all of them are in the last."""
    return np.minimum(np.searchsorted(THRESHOLDS, values), len(THRESHOLDS) - 1)


def sizes(values: FloatArray) -> IntArray:
    """Number of thresholds (N,) that distributions of the values (N, T) need, one of a few."""
    greatest = np.nan_to_num(values).max(axis=1, initial=0.0)
    need = np.searchsorted(THRESHOLDS, 4 * greatest + 12) + 1
    steps = np.array([24, 32, 44, 60, 80, len(THRESHOLDS)])
    return np.asarray(steps[np.minimum(np.searchsorted(steps, need), len(steps) - 1)])


def whole(quantiles: FloatArray, histories: Sequence[FloatArray]) -> FloatArray:
    """Quantiles (R, H, Q) of histories (T,), of small counts the nearest whole ones: a count is never .03."""
    lattice = Lattice.of(aligned(histories))
    rows, unit = lattice.rows[lattice.exact], lattice.unit[lattice.exact, None, None]
    # No −0.0.
    quantiles[rows] = np.round(quantiles[rows] / unit) * unit + 0.0
    return quantiles
