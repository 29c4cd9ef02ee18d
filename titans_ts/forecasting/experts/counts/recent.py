"""Distributions of what was observed before a cutoff, recent values counting more.

Shapes: N series, T steps, C cutoffs, K thresholds, S steps of a season.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from titans_ts.forecasting.experts.counts.lattice import bins
from titans_ts.forecasting.experts.panel import FloatArray, IntArray

# Steps after which an observation counts half: of two distributions, and of one by phase in seasons.
SHORT, LONG, SEASONS = 12.0, 80.0, 12.0


class Recent(NamedTuple):
    """Sums over what was observed before a cutoff, weighted by age.

    Attributes:
        short, long: (N, K) of values by threshold.
        phase: (N, S, K) the same by phase of the season, that of the cutoff's first step first.
    """

    short: FloatArray
    long: FloatArray
    phase: FloatArray


def recent_values(values: FloatArray, cutoffs: Sequence[int], season: int, size: int) -> Iterator[Recent]:
    """Of histories (N, T), NaN for missing, at rising cutoffs; `size` is K."""
    number = len(values)
    place = np.where(np.isfinite(values), np.minimum(bins(values), size - 1), -1)
    short, long = np.zeros((2, number, size))
    phase = np.zeros((number, season, size))
    last = 0
    for cutoff in cutoffs:
        part, there = place[:, last:cutoff], place[:, last:cutoff] >= 0
        row, step = np.nonzero(there)
        at = row * size + part[row, step]
        age = (cutoff - last - 1 - step).astype(float)
        span = cutoff - last
        short = 0.5 ** (span / SHORT) * short + _sums(at, 0.5 ** (age / SHORT), short.shape)
        long = 0.5 ** (span / LONG) * long + _sums(at, 0.5 ** (age / LONG), long.shape)
        if season > 1:
            half = SEASONS * season
            turn = (last + step) % season
            phase = 0.5 ** (span / half) * phase
            phase += _sums((row * season + turn) * size + part[row, step], 0.5 ** (age / half), phase.shape)
        yield Recent(short, long, np.roll(phase, -(cutoff % season), axis=1))
        last = cutoff


def _sums(at: IntArray, weights: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    found = np.bincount(at, weights, int(np.prod(shape))) if len(at) else np.zeros(int(np.prod(shape)))
    return np.asarray(found, dtype=np.float64).reshape(shape)


def recent_means(values: FloatArray, cutoffs: Sequence[int]) -> FloatArray:
    """Means (N, C) of what was observed before each cutoff, by age as `LONG` has it; 0 where nothing was."""
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)
    total, weight = np.zeros((2, len(values)))
    means, last = [], 0
    for cutoff in cutoffs:
        decay = 0.5 ** ((cutoff - 1 - np.arange(last, cutoff)) / LONG)
        kept = 0.5 ** ((cutoff - last) / LONG)
        total = kept * total + filled[:, last:cutoff] @ decay
        weight = kept * weight + there[:, last:cutoff] @ decay
        means.append(total / np.maximum(weight, 1e-9))
        last = cutoff
    return np.stack(means, axis=1)
