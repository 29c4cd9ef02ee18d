"""Bounds on what a forecast may extrapolate, from the history before its cutoff.

Shapes: N series, T steps, C cutoffs, H horizon steps, E drafts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from titans_ts.forecasting.experts.panel import BoolArray, FloatArray, IntArray, Panel

# A forecast may leave the range of the history by this many robust spreads, up to three times as many where it looks
# further than it has seen.
MULTIPLE = 2.0
RANGE_READ = 2000
# Share of the variance that a straight line explains from which on a history counts as one. On M1 and M3 series cut to
# 4, 6 and 10 points (horizons 6 to 18) holding what was not seen took 5.5, 3.0 and 1.4 % off MASE.
STRAIGHT = 0.8


class Ranges(NamedTuple):
    """Of histories (N, T), each (N,): number of values, extremes, 5 % and 95 % quantiles, mean absolute deviation.

    The deviation is that from the median. A history without any value has 0 everywhere, and number 1.
    """

    number: IntArray
    bottom: FloatArray
    top: FloatArray
    low: FloatArray
    high: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, rows: FloatArray) -> Ranges:
        """Those of histories (N, T), NaN for missing values."""
        seen = np.isfinite(rows)
        count = np.maximum(seen.sum(axis=1), 1)
        blank = np.where(seen.any(axis=1), np.inf, 0.0)[:, None]
        ordered = np.sort(np.where(seen, rows, blank), axis=1)
        at = np.arange(len(rows))
        low, high = (ordered[at, ((count - 1) * q).round().astype(int)] for q in (0.05, 0.95))
        middle = ordered[at, (count - 1) // 2]
        deviation = np.where(seen, np.abs(rows - middle[:, None]), 0.0).sum(axis=1) / count
        return cls(count, ordered[:, 0], ordered[at, count - 1], low, high, deviation)

    @property
    def spread(self) -> FloatArray:
        """Distance of the two quantiles or twice the mean absolute deviation, whichever is larger (N,)."""
        return np.maximum(self.high - self.low, 2 * self.deviation)

    def beyond(self, horizon: int) -> FloatArray:
        """Factor (N,) of the spread where the horizon is longer than the history: 1 to 3."""
        return np.asarray(np.clip(horizon / self.number, 1, 3))


def bounds(panel: Panel, cutoffs: Sequence[int], horizon: int) -> tuple[FloatArray, FloatArray]:
    """Least and greatest plausible value (N, C): the range seen before the cutoff, widened by MULTIPLE spreads."""
    lowest, highest = np.zeros((2, len(panel.values), len(cutoffs)))
    for i, cutoff in enumerate(cutoffs):
        seen = Ranges.of(panel.filled[:, max(0, cutoff - RANGE_READ) : cutoff])
        margin = MULTIPLE * seen.spread * seen.beyond(horizon)
        lowest[:, i], highest[:, i] = seen.bottom - margin, seen.top + margin
    return lowest, highest


def as_far_as_seen(drafts: FloatArray, panel: Panel, cutoffs: Sequence[int], season: int) -> FloatArray:
    """Drafts (E, N, C, H) in which nothing is followed much further ahead than it was seen, see `steps_followed`.

    From there on the draft's last season (or value) before it is repeated.
    """
    steps = np.arange(drafts.shape[3])
    held = drafts.copy()
    for i, cutoff in enumerate(cutoffs):
        known = panel.known(cutoff)
        short = np.flatnonzero(known < len(steps))
        if len(short):
            followed = steps_followed(panel.filled[short, :cutoff])[:, None]
            lag = np.where(known[short] >= season, season, 1)[:, None]
            source = np.where(steps < followed, steps, steps - np.maximum(-(-(steps - followed + 1) // lag), 0) * lag)
            held[:, short, i] = np.take_along_axis(drafts[:, short, i], np.maximum(source, 0)[None], axis=2)
    return held


def steps_followed(history: FloatArray) -> IntArray:
    """Steps (N,) for which a trend is believed: as many as histories (N, T) have values, three times as many on a line.

    Example:
        >>> steps_followed(np.array([[1.0, 2, 3, 4, 5, 6], [3, 1, 2, 3, 1, 2]]))
        array([18,  6])
    """
    count = np.maximum(np.isfinite(history).sum(axis=1), 1)
    straight = np.clip((straightness(history) - STRAIGHT) / (1 - STRAIGHT), 0, 1)
    return np.asarray(count * (1 + 2 * straight), dtype=np.int64)


def straightness(history: FloatArray) -> FloatArray:
    """Share (N,) of the variance of histories (N, T) that a straight line explains, adjusted for its two coefficients.

    0 for fewer than three values, and for those that do not vary; below 0 where a line explains less than chance would.
    """
    there = np.isfinite(history)
    count = np.maximum(there.sum(axis=1), 1)
    time = np.arange(history.shape[1]) * there
    time = (time - time.sum(axis=1, keepdims=True) / count[:, None]) * there
    value = np.where(there, history, 0.0)
    value = (value - value.sum(axis=1, keepdims=True) / count[:, None]) * there
    both, noise = (time * value).sum(axis=1) ** 2, (time**2).sum(axis=1) * (value**2).sum(axis=1)
    explained = np.divide(both, noise, out=np.zeros(len(history)), where=noise > 0)
    adjusted = 1 - (1 - explained) * (count - 1) / np.maximum(count - 2, 1)
    return np.asarray(np.where((count > 2) & (noise > 0), adjusted, 0.0))


def replace_wild(drafts: FloatArray, low: FloatArray, high: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Drafts (E, N, C, H) with those that are not finite or leave the bounds (N, C) replaced by the median of the rest.

    A draft that leaves them anywhere is replaced at all its steps. Where none is left the first expert's value, held
    within the bounds, stays. Also returns which (E, N, C) left the bounds.
    """
    finite = np.asarray(np.isfinite(drafts).all(axis=-1))
    slack = 1e-9 + 1e-9 * np.abs(high - low)
    with np.errstate(invalid="ignore"):
        inside = np.asarray(((drafts >= (low - slack)[..., None]) & (drafts <= (high + slack)[..., None])).all(axis=-1))
    good = finite & inside
    kept = np.where(good[..., None], drafts, np.inf)
    count = good.sum(axis=0)
    ordered = np.sort(kept, axis=0)
    lower = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None, ..., None] // 2, axis=0)[0]
    upper = np.take_along_axis(ordered, np.minimum(count // 2, len(drafts) - 1)[None, ..., None], axis=0)[0]
    first = np.clip(drafts[0], low[..., None], high[..., None])
    with np.errstate(invalid="ignore"):
        middle = np.where((count > 0)[..., None], (lower + upper) / 2, first)
    return np.where(good[..., None], drafts, middle), finite & ~inside
