"""Counts: busy and rare events, intermittent demand."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import (
    draw_periods,
    lasting_states,
    random_walks,
    seasons,
    smooth_paths,
)
from titans_datasets.series.generators.draws import FloatArray, chance, check_size, log_uniform, rows_of

LARGEST_RATE = 1e6


def counts(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Whole numbers of 0 or more (N, T), as float64; usual rates are 0.05 to 500, most below 10.

    Half of the series are negative binomial around a rate with season, slow path and an intensity that switches
    (Markov), a fifth the same with additional zeros, the rest intermittent: a purchase with a probability that has a
    season, of a size of 1 or more (Croston, Forecasting and stock control for intermittent demands, 1972).
    """
    check_size(count, length)
    kind = rng.choice(3, count, p=[0.5, 0.2, 0.3])
    values = np.empty((count, length))
    rows = rows_of(kind < 2)
    if len(rows):
        values[rows] = _busy(rng, len(rows), length)
    rows = rows_of(kind == 1)
    values[rows] *= rng.random((len(rows), length)) < rng.uniform(0.2, 0.9, (len(rows), 1))
    rows = rows_of(kind == 2)
    if len(rows):
        values[rows] = _intermittent(rng, len(rows), length)
    return values


def _log_rates(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Season, slow path, walk and switching intensity of the logarithm of a rate (N, T), about 0 on average."""
    logs = rng.uniform(0.1, 1.2, (count, 1)) * seasons(rng, draw_periods(rng, count, length), length)
    logs *= chance(rng, 0.75, (count, 1))
    states = lasting_states(rng, 1 - log_uniform(rng, 0.002, 0.1, (count, 2)), length)
    logs += chance(rng, 0.4, (count, 1)) * rng.uniform(0.2, 1.2, (count, 1)) * (states - 0.5)
    logs += chance(rng, 0.4, (count, 1)) * rng.uniform(0.1, 0.6, (count, 1)) * smooth_paths(rng, count, length)
    return np.asarray(
        logs + chance(rng, 0.4, (count, 1)) * rng.uniform(0.1, 1.0, (count, 1)) * random_walks(rng, count, length)
    )


def _busy(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Negative binomial counts (N, T) as Poisson ones of gamma rates; a third without overdispersion."""
    level = np.where(chance(rng, 2 / 3, (count, 1)), log_uniform(rng, 0.3, 10.0, (count, 1)), 0.0)
    level = np.where(level > 0, level, log_uniform(rng, 10.0, 500.0, (count, 1)))
    rates = level * np.exp(np.clip(_log_rates(rng, count, length), -6.0, 6.0))
    rows = rows_of(chance(rng, 2 / 3, count))
    size = np.repeat(log_uniform(rng, 0.5, 30.0, (len(rows), 1)), length, axis=1)
    rates[rows] *= rng.standard_gamma(size) / size
    return np.asarray(rng.poisson(np.minimum(rates, LARGEST_RATE)), dtype=np.float64)


def _intermittent(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Purchases of 1 + Poisson, or of a fixed pack, at random steps (N, T); one in 1.5 to 20 steps on average."""
    often = 1 / log_uniform(rng, 1.5, min(20.0, length / 4), (count, 1))
    likely = np.minimum(often * np.exp(_log_rates(rng, count, length)), 0.98)
    sizes = 1 + rng.poisson(np.repeat(log_uniform(rng, 0.1, 20.0, (count, 1)), length, axis=1))
    pack = rng.choice([1, 1, 2, 5, 6, 10, 12], (count, 1))
    sizes = np.where(chance(rng, 0.3, (count, 1)), pack, sizes)
    return np.asarray(sizes * (rng.random((count, length)) < likely), dtype=np.float64)
