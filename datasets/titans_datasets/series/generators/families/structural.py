"""Structural states: level, damped trend and season that learn from the same errors, additive or in logs."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import autoregression, profiles, white_noise
from titans_datasets.series.generators.draws import (
    FloatArray,
    IntArray,
    chance,
    check_size,
    log_uniform,
    rows_of,
    spread,
)

PERIODS = np.array([1, 4, 5, 6, 7, 12, 13, 24, 48, 52, 96, 168])
WEIGHTS = np.array([3, 5, 1, 0.5, 4, 7, 0.5, 6, 1, 2, 1, 1.5])
MOST_GROWTH, LARGEST_LOG, LARGEST_MEAN = 40.0, 10.0, 1e6


def structural(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Exponential smoothing run as a generator (N, T), additive; 45 % of the series are its exponential.

    In the innovations form of Hyndman et al., Forecasting with exponential smoothing (2008), chapter 3, the errors are
    drawn, so that every state is a filtered error and no loop over time is needed. The error has standard deviation
    0.02 to 1, the season 0.05 to 3; growth is up to 1.5 of the former a season. A quarter of the exponentials are
    means of Poisson counts.
    """
    check_size(count, length)
    fitting = np.flatnonzero(max(length / 2, 4) >= PERIODS)
    periods = rng.choice(PERIODS[fitting], count, p=WEIGHTS[fitting] / WEIGHTS[fitting].sum())
    sizes = log_uniform(rng, 0.02, 1.0, count)
    errors = white_noise(rng, count, length) * sizes[:, None]
    alpha = np.where(chance(rng, 0.15, count), 1.0, log_uniform(rng, 0.005, 0.9, count))
    values = _trend(rng, errors, alpha, periods, sizes) + _season(rng, errors, alpha, periods) + errors
    return _in_logs(rng, values, rows_of(chance(rng, 0.45, count)))


def _trend(
    rng: np.random.Generator, errors: FloatArray, alpha: FloatArray, periods: IntArray, sizes: FloatArray
) -> FloatArray:
    """Level and slope before each step (N, T)."""
    count, length = errors.shape
    phi = np.where(chance(rng, 0.3, count), 1.0, rng.uniform(0.8, 0.995, count))
    beta = np.where(chance(rng, 0.45, count), 0.0, log_uniform(rng, 0.001, 0.2, count)) * alpha
    # In the long run the slope moves the level by at most twice what the level itself does: else it drowns the rest.
    beta = np.minimum(beta, 2 * alpha * (1 - phi + 2 / length))
    seasons = np.where(periods > 1, periods, rng.choice([1, 2, 4, 12, 52], count))
    growth = rng.standard_normal(count) * log_uniform(rng, 0.02, 1.5, count) * sizes / seasons
    most = MOST_GROWTH * sizes / length
    growth = np.where(chance(rng, 0.6, count), np.clip(growth, -most, most), 0.0)
    lasting = np.where(chance(rng, 0.7, count), growth, 0.0)
    slope = autoregression(beta[:, None] * errors, phi, growth - lasting) + lasting[:, None]
    before = np.concatenate([growth[:, None], slope[:, :-1]], axis=1)
    moved = np.cumsum(before + alpha[:, None] * errors, axis=1)
    return np.asarray(moved - alpha[:, None] * errors)


def _season(rng: np.random.Generator, errors: FloatArray, alpha: FloatArray, periods: IntArray) -> FloatArray:
    """Season before each step (N, T): a profile that moves by γ times the errors at the same phase."""
    count, length = errors.shape
    gamma = np.where(chance(rng, 0.35, count), 0.0, log_uniform(rng, 0.001, 0.3, count)) * (1 - alpha)
    start = profiles(rng, periods) * log_uniform(rng, 0.05, 3.0, (count, 1))
    total = np.zeros((count, length))
    for period in np.unique(periods[periods > 1]):
        rows = rows_of(periods == period)
        cycles = -(-length // period)
        changes = np.zeros((len(rows), cycles * period))
        changes[:, period:] = gamma[rows, None] * errors[rows, : (cycles - 1) * period]
        states = start[rows, None, :period] + np.cumsum(changes.reshape(len(rows), cycles, period), axis=1)
        total[rows] = states.reshape(len(rows), -1)[:, :length]
    return total


def _in_logs(rng: np.random.Generator, values: FloatArray, rows: IntArray) -> FloatArray:
    """The exponential of some series, whose logarithm spans 0.3 to 4; a quarter of them as Poisson counts."""
    if not len(rows):
        return values
    part = values[rows]
    logs = (part - part.mean(axis=1, keepdims=True)) / (4 * spread(part)) * rng.uniform(0.3, 4.0, (len(rows), 1))
    means = np.exp(np.clip(logs, -LARGEST_LOG, LARGEST_LOG))
    counted = rows_of(chance(rng, 0.25, len(rows)))
    rates = means[counted] * np.exp(rng.uniform(-1.0, 4.0, (len(counted), 1)))
    means[counted] = rng.poisson(np.minimum(rates, LARGEST_MEAN))
    values[rows] = means
    return values
