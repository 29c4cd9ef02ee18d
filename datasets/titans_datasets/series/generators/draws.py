"""Random draws and small array helpers that every generator needs.

Shapes: N series, T steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Size = int | tuple[int, ...]

SHORTEST = 8


def check_size(count: int, length: int) -> None:
    """Refuse a number of series below 1 and a length below 8 steps (ValueError)."""
    if count < 1:
        raise ValueError(f"count must be 1 or more series, got {count}")
    if length < SHORTEST:
        raise ValueError(f"length must be {SHORTEST} steps or more, got {length}; generate longer series and cut them")


def log_uniform(rng: np.random.Generator, low: float, high: Any, size: Size) -> FloatArray:
    """Numbers whose logarithm is uniform between those of `low` and `high` (which may be an array of shape `size`)."""
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), size)), dtype=np.float64)


def chance(rng: np.random.Generator, share: float, size: Size) -> BoolArray:
    """True with probability `share`."""
    return np.asarray(rng.random(size) < share)


def signs(rng: np.random.Generator, size: Size) -> FloatArray:
    """-1 or 1 with equal probability."""
    return np.asarray(np.where(rng.random(size) < 0.5, -1.0, 1.0))


def rows_of(mask: BoolArray) -> IntArray:
    """Numbers of the series for which the mask (N,) holds."""
    return np.asarray(np.flatnonzero(mask), dtype=np.int64)


def spread(series: FloatArray) -> FloatArray:
    """Standard deviation of each series (N, 1); 1 for a series that does not vary."""
    found = series.std(axis=1, keepdims=True)
    return np.asarray(np.where(found > 1e-9 * (1e-3 + np.abs(series).max(axis=1, keepdims=True)), found, 1.0))


def standardised(series: FloatArray) -> FloatArray:
    """Each series with mean 0 and standard deviation 1; zeros for one that does not vary."""
    return np.asarray((series - series.mean(axis=1, keepdims=True)) / spread(series))


def nonnegative(series: FloatArray) -> BoolArray:
    """Which series (N,) never go below 0: those in which 0 has a meaning."""
    return np.asarray(series.min(axis=1) >= 0)


def whole(series: FloatArray) -> BoolArray:
    """Which series (N,) are counts: whole numbers that never go below 0."""
    return nonnegative(series) & np.asarray((series == np.rint(series)).all(axis=1))


def lagged(series: FloatArray, lags: IntArray) -> FloatArray:
    """Each series (N, T) moved `lags` (N,) steps into the future; the first value stands before it begins."""
    place = np.maximum(np.arange(series.shape[1]) - lags[:, None], 0)
    return np.take_along_axis(series, place, axis=1)
