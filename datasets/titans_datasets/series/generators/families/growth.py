"""Growth: logistic, Gompertz, saturation, power, exponential; launches and ends of life."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import coloured_noise, draw_periods, level_shifts, seasons
from titans_datasets.series.generators.draws import FloatArray, chance, check_size, log_uniform, rows_of

FALLING = 0.25


def growth(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Growth curves (N, T), 0 or more, that end at about 1, times season and noise; a quarter of them fall.

    Curves are logistic, Gompertz, saturating, powers of time and exponentials with a constant rate, which are monotone,
    and launches (10 %: a steep rise, a peak, a slow decline). Seasons have 0 to 0.3 of the level in half of the
    series, noise 0.002 to 0.1; 10 % have level shifts, 8 % are cut at a capacity, 8 % have whole steps.
    """
    check_size(count, length)
    time = (np.arange(length) + 0.5) / length
    kinds = rng.choice(len(CURVES), count, p=[0.2, 0.15, 0.2, 0.15, 0.2, 0.1])
    curves = np.empty((count, length))
    for kind, curve in enumerate(CURVES):
        rows = rows_of(kinds == kind)
        if len(rows):
            curves[rows] = curve(rng, time, len(rows))
    curves = np.where(chance(rng, FALLING, (count, 1)), curves[:, ::-1], curves)
    floor = np.where(chance(rng, 0.5, (count, 1)), rng.uniform(0, 1, (count, 1)), 0.0)
    return _observed(rng, floor + curves)


def _observed(rng: np.random.Generator, curves: FloatArray) -> FloatArray:
    """Season, noise, shifts, a capacity and rounding over the curves."""
    count, length = curves.shape
    strength = chance(rng, 0.5, (count, 1)) * log_uniform(rng, 0.01, 0.3, (count, 1))
    season = strength * seasons(rng, draw_periods(rng, count, length), length)
    noise = log_uniform(rng, 0.002, 0.1, (count, 1)) * coloured_noise(rng, count, length)
    values = curves * np.exp(np.clip(season + noise, -3.0, 3.0))
    rows = rows_of(chance(rng, 0.1, count))
    values[rows] *= np.exp(0.3 * level_shifts(rng, len(rows), length))
    rows = rows_of(chance(rng, 0.08, count))
    values[rows] = np.minimum(values[rows], rng.uniform(0.6, 1.0, (len(rows), 1)) * values[rows].max(1, keepdims=True))
    rows = rows_of(chance(rng, 0.08, count))
    steps = values[rows].max(axis=1, keepdims=True) / rng.integers(10, 200, (len(rows), 1))
    values[rows] = np.rint(values[rows] / steps) * steps
    return values


def _logistic(rng: np.random.Generator, time: FloatArray, count: int) -> FloatArray:
    middle, width = rng.uniform(0.1, 1.1, (count, 1)), log_uniform(rng, 0.03, 0.3, (count, 1))
    return np.asarray(1 / (1 + np.exp(-(time - middle) / width)))


def _gompertz(rng: np.random.Generator, time: FloatArray, count: int) -> FloatArray:
    start, rate = rng.uniform(1.0, 8.0, (count, 1)), rng.uniform(2.0, 12.0, (count, 1))
    return np.asarray(np.exp(-start * np.exp(-rate * time)))


def _saturating(rng: np.random.Generator, time: FloatArray, count: int) -> FloatArray:
    rate = log_uniform(rng, 0.5, 15.0, (count, 1))
    return np.asarray(-np.expm1(-rate * time) / -np.expm1(-rate))


def _power(rng: np.random.Generator, time: FloatArray, count: int) -> FloatArray:
    return np.asarray(time ** log_uniform(rng, 0.4, 3.0, (count, 1)))


def _exponential(rng: np.random.Generator, time: FloatArray, count: int) -> FloatArray:
    return np.asarray(np.exp(log_uniform(rng, 0.3, 5.0, (count, 1)) * (time - 1)))


def _launch(rng: np.random.Generator, time: FloatArray, count: int) -> FloatArray:
    since = np.maximum(time - rng.uniform(0.0, 0.5, (count, 1)), 0.0)
    peak = log_uniform(rng, 0.03, 0.3, (count, 1))
    return np.asarray((since / peak) ** 1.5 * np.exp(1.5 * (1 - since / peak)))


CURVES = (_logistic, _gompertz, _saturating, _power, _exponential, _launch)
