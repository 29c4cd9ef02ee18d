"""Gaussian processes with random kernels, by random Fourier features."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import coloured_noise, cosine_sums, draw_periods
from titans_datasets.series.generators.draws import (
    FloatArray,
    chance,
    check_size,
    log_uniform,
    rows_of,
    standardised,
)

PARTS, FEATURES, HARMONICS = 6, 40, 8
KERNELS = ("squared exponential", "rational quadratic", "matern", "periodic")


def kernels(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Sums and products of one to six Gaussian paths (N, T) of unit variance, plus a mean, noise and point anomalies.

    The construction is KernelSynth's of Ansari et al., Chronos (2024), section 4.2; paths come from random Fourier
    features (Rahimi and Recht 2007) instead of a Cholesky factor, in O(T).
    """
    check_size(count, length)
    parts = rng.integers(1, PARTS + 1, count)
    total = _paths(rng, count, length)
    for place in range(1, PARTS):
        rows = rows_of(parts > place)
        if len(rows):
            path = _paths(rng, len(rows), length)
            multiplied = total[rows] * (1 + path)
            added = total[rows] + path * log_uniform(rng, 0.2, 2.0, (len(rows), 1))
            total[rows] = np.where(chance(rng, 0.3, (len(rows), 1)), multiplied, added)
    values = standardised(total) + _means(rng, count, length)
    values += log_uniform(rng, 0.005, 0.5, (count, 1)) * coloured_noise(rng, count, length)
    return _with_anomalies(rng, values)


def _paths(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """One Gaussian path a series, each with one of `KERNELS`."""
    kind = rng.integers(len(KERNELS), size=(count, 1))
    scales = log_uniform(rng, 4.0, max(length, 5), (count, 1))
    # The spectra of the last two of these are mixtures of normal ones: over gamma, over inverse chi-square scales.
    shape = log_uniform(rng, 0.3, 5.0, (count, 1))
    rational = np.sqrt(rng.standard_gamma(np.broadcast_to(shape, (count, FEATURES))) / shape)
    freedom = rng.choice([1.0, 3.0, 5.0], (count, 1))
    matern = 1 / np.sqrt(2 * rng.standard_gamma(np.broadcast_to(freedom / 2, (count, FEATURES))) / freedom)
    width = np.select([kind == 0, kind == 1], [np.ones_like(rational), rational], matern)
    frequencies = np.clip(rng.standard_normal((count, FEATURES)) * width / scales, -np.pi, np.pi)
    amplitudes = np.ones((count, FEATURES))

    order = np.minimum(np.arange(1, FEATURES + 1), HARMONICS)
    periods = draw_periods(rng, count, length)[:, None]
    decay = rng.uniform(0.2, 1.5, (count, 1))
    heights = np.exp(-decay * order) * rng.standard_normal((count, FEATURES)) * (np.arange(FEATURES) < HARMONICS)
    periodic = kind == len(KERNELS) - 1
    frequencies = np.where(periodic, 2 * np.pi * order / periods, frequencies)
    amplitudes = np.where(periodic, heights, amplitudes)
    amplitudes *= np.sqrt(2 / (amplitudes**2).sum(axis=1, keepdims=True))
    return cosine_sums(frequencies, rng.uniform(0, 2 * np.pi, (count, FEATURES)), amplitudes, length)


def _means(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """No mean, a straight line or an exponential (N, T)."""
    time = np.arange(length) / length
    kind = rng.integers(4, size=(count, 1))
    line = rng.standard_normal((count, 1)) * 3 * time
    bend = rng.uniform(0.5, 3.0, (count, 1))
    exponential = rng.standard_normal((count, 1)) * np.expm1(bend * time) / np.expm1(bend) * 4
    return np.asarray(np.select([kind == 0, kind == 1], [line, exponential], 0.0))


def _with_anomalies(rng: np.random.Generator, values: FloatArray) -> FloatArray:
    """Single points moved by a few units in a tenth of the series."""
    rows = rows_of(chance(rng, 0.1, len(values)))
    places = rng.integers(values.shape[1], size=(len(rows), max(1, values.shape[1] // 300)))
    values[rows[:, None], places] += 3 * rng.standard_t(3, places.shape)
    return values
