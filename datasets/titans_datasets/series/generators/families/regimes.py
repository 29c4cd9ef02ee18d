"""Regimes: mean reversion whose speed, level, season and volatility switch."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import autoregression, draw_periods, lasting_states, seasons
from titans_datasets.series.generators.draws import FloatArray, IntArray, chance, check_size, log_uniform


def regimes(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Ornstein-Uhlenbeck processes with two regimes and stochastic volatility (N, T).

    The regimes revert at 1 to 5 and 0.05 to 0.5 per unit of time, which is 4 to 64 steps (at most an eighth of the
    length); a regime is kept with probability 0.85 to 0.999 a step. Level and season belong to the regime. Standard
    deviation around the level is 0.1 to 1, levels are about 1 apart, seasons have 0 to 1.5.
    """
    check_size(count, length)
    states = lasting_states(rng, 1 - log_uniform(rng, 0.001, 0.15, (count, 2)), length)
    speeds = np.stack([rng.uniform(1, 5, count), log_uniform(rng, 0.05, 0.5, count)], axis=1)
    decay = np.exp(-speeds / log_uniform(rng, 4, max(length / 8, 5), (count, 1)).clip(max=64))
    volatility = np.exp(_log_volatility(rng, count, length)) * log_uniform(rng, 0.1, 1.0, (count, 1))
    pole = np.take_along_axis(decay, states, axis=1)
    deviations = _reverting(pole, volatility * rng.standard_normal((count, length)) * np.sqrt(1 - pole**2))
    levels = np.take_along_axis(rng.normal(0, 1, (count, 2)), states, axis=1)
    return np.asarray(deviations + levels + _seasons(rng, states))


def _log_volatility(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Logarithm of the volatility (N, T): a slow autoregression of standard deviation 0.1 to 0.8."""
    poles = 1 - log_uniform(rng, 0.005, 0.1, count)
    start = rng.standard_normal(count) / np.sqrt(1 - poles**2)
    paths = autoregression(rng.standard_normal((count, length)), poles, start)
    return np.asarray(paths * np.sqrt(1 - poles**2)[:, None] * rng.uniform(0.1, 0.8, (count, 1)))


def _reverting(poles: FloatArray, noise: FloatArray) -> FloatArray:
    """x[t] = pole[t] · x[t − 1] + noise[t]: the pole changes with the regime, so that time is a loop."""
    poles, found = np.ascontiguousarray(poles.T), np.ascontiguousarray(noise.T)
    for step in range(1, len(found)):
        found[step] += poles[step] * found[step - 1]
    return np.ascontiguousarray(found.T)


def _seasons(rng: np.random.Generator, states: IntArray) -> FloatArray:
    """A season with an amplitude and a shape of its own in each regime (N, T); 70 % of the series have one."""
    count, length = states.shape
    periods = draw_periods(rng, count, length)
    strength = log_uniform(rng, 0.1, 1.5, (count, 1)) * chance(rng, 0.7, (count, 1))
    first, second = seasons(rng, periods, length), seasons(rng, periods, length)
    same = chance(rng, 0.4, (count, 1))
    second = np.where(same, first * rng.uniform(0.2, 1.5, (count, 1)), second)
    return np.asarray(strength * np.where(states == 0, first, second))
