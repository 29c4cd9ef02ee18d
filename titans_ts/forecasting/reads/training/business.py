"""Series as of sales, demand and economies: a drifting level, one or two seasons, noise; additive, growing or counted.

Shapes: N series, T steps.
"""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import profiles
from titans_datasets.series.generators.draws import BoolArray, FloatArray, IntArray, chance, log_uniform

# Degrees of freedom of heavy-tailed noise, and the largest draw of it.
FREEDOM, LARGEST = 3.0, 12.0
# Shares of kinds: grown in logarithms, counts, above a floor; the others may fall below 0.
GROWN, COUNTED, FLOORED = 0.45, 0.2, 0.25


def business(rng: np.random.Generator, seasons: IntArray, seconds: IntArray, length: int) -> FloatArray:
    """Series (N, T) with the noise of a step as their unit, before growth.

    About half of the levels drift lastingly, most walk; a part has shifts of the level, outliers, heavy tails or
    noise whose size changes.

    Args:
        rng: draws.
        seasons: (N,) steps, 1 for none.
        seconds: (N,) steps of a longer season, 0 for none.
        length: T.
    """
    count = len(seasons)
    values = _level(rng, seasons, length) + _seasonal(rng, seasons, length, log_uniform(rng, 0.2, 6.0, count))
    second = _seasonal(rng, np.maximum(seconds, 1), length, log_uniform(rng, 0.1, 3.0, count))
    noise = _noise(rng, count, length)
    values += second + noise * (1 - 0.5 * chance(rng, 0.2, (count, 1)))
    values += _outliers(rng, count, length)
    spread = values.std(1, keepdims=True) + 1e-9
    logs = (values - values[:, :1]) / spread * log_uniform(rng, 0.03, 0.8, (count, 1))
    grown = np.exp(np.clip(logs, -6, 6))
    counted = rng.poisson(grown * log_uniform(rng, 0.5, 200.0, (count, 1))).astype(np.float64)
    above = (values - values.min(1, keepdims=True)) / spread + log_uniform(rng, 0.05, 20.0, (count, 1))
    kind = rng.random((count, 1))
    edges = np.cumsum([GROWN, COUNTED, FLOORED])
    return np.select([kind < edge for edge in edges], [grown, counted, above], values)


def _level(rng: np.random.Generator, seasons: IntArray, length: int) -> FloatArray:
    """A slope that fades, one that lasts, a walk and shifts."""
    count, each = len(seasons), np.sqrt(seasons)[:, None]
    kept = rng.uniform(0.7, 1.0, (count, 1))
    slope = np.zeros((count, length))
    slope[:, 0] = rng.standard_normal(count) * log_uniform(rng, 0.05, 1.0, count)
    changes = _normal(rng, count, length, 0.01, 0.3) * chance(rng, 0.5, (count, 1))
    for step in range(1, length):
        slope[:, step] = kept[:, 0] * slope[:, step - 1] + changes[:, step]
    lasting = rng.standard_normal((count, 1)) * log_uniform(rng, 0.05, 1.2, (count, 1)) + 0.2
    moved = (slope + lasting * chance(rng, 0.5, (count, 1))) / each
    walk = _normal(rng, count, length, 0.1, 1.0) * chance(rng, 0.7, (count, 1)) / each
    shifts = _rare(rng, count, length, 1.5, 0.3) * log_uniform(rng, 1.0, 6.0, (count, 1))
    return np.asarray((moved + walk + shifts).cumsum(1))


def _seasonal(rng: np.random.Generator, seasons: IntArray, length: int, strength: FloatArray) -> FloatArray:
    """A profile a season (N, T); 0 where there is none."""
    at = np.arange(length) % seasons[:, None]
    found = profiles(rng, seasons)[np.arange(len(seasons))[:, None], at]
    return np.where(seasons[:, None] > 1, found * strength[:, None], 0.0)


def _noise(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Normal or heavy-tailed, some of changing size."""
    heavy = np.clip(rng.standard_t(FREEDOM, (count, length)), -LARGEST, LARGEST) / np.sqrt(FREEDOM)
    plain = rng.standard_normal((count, length))
    noise = np.where(chance(rng, 0.2, (count, 1)), heavy, plain) * log_uniform(rng, 0.02, 1.0, (count, 1))
    waves = np.sin(np.arange(length) / log_uniform(rng, 4.0, length, (count, 1)) + rng.uniform(0, 6.3, (count, 1)))
    return np.asarray(noise * np.where(chance(rng, 0.2, (count, 1)), np.exp(waves), 1.0))


def _outliers(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    return _rare(rng, count, length, 3.0, 0.15) * log_uniform(rng, 2.0, 10.0, (count, 1))


def _rare(rng: np.random.Generator, count: int, length: int, number: float, share: float) -> FloatArray:
    """Normal draws at about `number` steps of a share of the series, else 0."""
    at: BoolArray = chance(rng, number / length, (count, length)) & chance(rng, share, (count, 1))
    return np.where(at, rng.standard_normal((count, length)), 0.0)


def _normal(rng: np.random.Generator, count: int, length: int, low: float, high: float) -> FloatArray:
    return np.asarray(rng.standard_normal((count, length)) * log_uniform(rng, low, high, (count, 1)))
