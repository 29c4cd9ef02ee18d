"""Calendar products: trend times the seasons of clock and calendar times noise."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import coloured_noise, cosine_sums
from titans_datasets.series.generators.draws import (
    FloatArray,
    chance,
    check_size,
    log_uniform,
    rows_of,
)

# Cycles in steps of series with a step of 15 and 30 minutes, an hour, a day, a week, a month, a quarter; 0 is none.
CYCLES = np.array(
    [
        (96, 672, 35064),
        (48, 336, 17532),
        (24, 168, 8766),
        (7, 30.4375, 365.25),
        (52.18, 13.04, 0),
        (12, 0, 0),
        (4, 0, 0),
    ]
)
WEIGHTS = np.array([2.0, 1.0, 4.0, 4.0, 1.0, 2.0, 1.0])
HARMONICS = 6


def calendar_products(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """trend · (1 + season) · (1 + noise) of up to three calendar cycles (N, T), at a level of about 1.

    After Dooley et al., ForecastPFN (2023), section 3: the trend is linear times exponential, a season a sum of
    harmonics with heights 1/h. A fifth of the series fades from one such product into another.
    """
    check_size(count, length)
    fitting = np.flatnonzero(CYCLES[:, 0] <= max(length / 2, 4))
    steps = rng.choice(fitting, count, p=WEIGHTS[fitting] / WEIGHTS[fitting].sum())
    cycles = CYCLES[steps]
    values = _trends(rng, count, length) * _factors(rng, cycles, length)
    rows = rows_of(chance(rng, 0.2, count))
    if len(rows):
        other = _trends(rng, len(rows), length) * _factors(rng, cycles[rows], length)
        share = _fade(rng, len(rows), length)
        values[rows] = share * values[rows] + (1 - share) * other
    noise = log_uniform(rng, 0.005, 0.4, (count, 1)) * coloured_noise(rng, count, length)
    return np.asarray(values * np.maximum(1 + noise, 0.01))


def _trends(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Linear times exponential (N, T), from 1; never below 0.1."""
    time = np.arange(length) / length
    linear = 1 + np.where(chance(rng, 0.6, (count, 1)), rng.normal(0, 0.6, (count, 1)), 0.0) * time
    exponential = np.exp(np.where(chance(rng, 0.3, (count, 1)), rng.normal(0, 0.8, (count, 1)), 0.0) * time)
    return np.asarray(np.maximum(linear * exponential, 0.1))


def _factors(rng: np.random.Generator, cycles: FloatArray, length: int) -> FloatArray:
    """Product over the cycles (N, 3) of 1 + season (N, T); never below 0.02."""
    count = len(cycles)
    total = np.ones((count, length))
    order = np.arange(1, HARMONICS + 1)
    for place in range(cycles.shape[1]):
        cycle = cycles[:, place, None]
        used = (cycle > 0) & ((place == 0) | chance(rng, 0.6, (count, 1)))
        # No harmonic beyond half a cycle a step, where it would be read as another period.
        heights = rng.standard_normal((count, HARMONICS)) / order * (2 * order <= np.maximum(cycle, 2)) * used
        norm = np.sqrt((heights**2).sum(axis=1, keepdims=True) / 2)
        heights *= log_uniform(rng, 0.05, 0.6, (count, 1)) / np.where(norm > 0, norm, 1.0)
        phases = rng.uniform(0, 2 * np.pi, (count, HARMONICS))
        total *= 1 + cosine_sums(2 * np.pi * order / np.where(cycle > 0, cycle, 1.0), phases, heights, length)
    return np.asarray(np.maximum(total, 0.02))


def _fade(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """From 1 to 0 along a logistic curve in the middle part (N, T)."""
    middle = rng.uniform(0.2, 0.8, (count, 1)) * length
    width = log_uniform(rng, 1.0, max(length / 8, 2), (count, 1))
    return np.asarray(1 / (1 + np.exp(np.clip((np.arange(length) - middle) / width, -50, 50))))
