"""What series are made of: seasons, smooth paths, noise, states that last.

Everything is drawn for N series of T steps at once, at a cost of O(T) a series.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from titans_datasets.series.generators.draws import (
    FloatArray,
    IntArray,
    chance,
    log_uniform,
    rows_of,
)

# Periods in steps with their weights: those of clocks and calendars, the usual ones first.
PERIODS = {
    4: 2.0, 5: 1.0, 6: 0.5, 7: 4.0, 10: 1.0, 12: 5.0, 13: 1.0, 14: 1.0, 24: 8.0, 26: 1.0, 28: 1.0, 30: 1.0, 48: 4.0,
    52: 2.0, 60: 1.0, 84: 0.5, 90: 0.5, 96: 3.0, 120: 0.5, 144: 1.5, 168: 4.0, 180: 0.5, 288: 1.5, 336: 1.0, 365: 1.5,
    672: 1.0, 730: 0.3, 1008: 0.3, 1440: 0.5, 2016: 0.3,
}  # fmt: skip
HARMONICS, FEATURES, LEVELS = 6, 32, 8


def draw_periods(rng: np.random.Generator, count: int, length: int, *, longest: float | None = None) -> IntArray:
    """Periods (N,) that fit the length twice, or are at most `longest` steps; 4 where none is."""
    limit = length / 2 if longest is None else longest
    fitting = {period: weight for period, weight in PERIODS.items() if period <= max(limit, 4)}
    weights = np.array(list(fitting.values()))
    return np.asarray(rng.choice(np.array(list(fitting)), count, p=weights / weights.sum()), dtype=np.int64)


def cosine_sums(frequencies: FloatArray, phases: FloatArray, amplitudes: FloatArray, length: int) -> FloatArray:
    """Σ over k of amplitude · cos(frequency · t + phase) at t = 0 … T − 1.

    The steps are laid out as a table of about √T by √T, whose cosines are products of those of its rows and columns:
    one matrix product a series and 2 √T instead of T cosines a frequency.

    Args:
        frequencies: radians a step; all three are (N, K).

    Returns:
        Shape (N, T).
    """
    width = int(np.ceil(np.sqrt(length)))
    starts = frequencies[:, None, :] * np.arange(0, length, width)[:, None] + phases[:, None, :]
    steps = frequencies[:, :, None] * np.arange(width)
    amplitudes = amplitudes[:, None, :]
    table = (amplitudes * np.cos(starts)) @ np.cos(steps) - (amplitudes * np.sin(starts)) @ np.sin(steps)
    return np.asarray(table.reshape(len(table), -1)[:, :length])


def smooth_paths(
    rng: np.random.Generator, count: int, length: int, *, shortest: float = 4.0, longest: float | None = None
) -> FloatArray:
    """Gaussian paths (N, T) of about unit variance with a squared exponential kernel, by random Fourier features.

    Length scales are log-uniform from `shortest` to `longest` (else T) steps. Rahimi and Recht, Random features for
    large-scale kernel machines (2007).
    """
    scales = log_uniform(rng, shortest, max(longest or length, shortest + 1), (count, 1))
    frequencies = rng.standard_normal((count, FEATURES)) / scales
    phases = rng.uniform(0, 2 * np.pi, (count, FEATURES))
    return cosine_sums(frequencies, phases, np.full((count, FEATURES), np.sqrt(2 / FEATURES)), length)


def profiles(rng: np.random.Generator, periods: IntArray) -> FloatArray:
    """One period of a season for each series (N, longest period): mean 0, standard deviation 1, 0 behind its end.

    Shapes are few harmonics, one or two bumps, blocks of one level, a level for every phase, few special phases. One
    that does not vary over the phases of a short period is 0.
    """
    phase = np.arange(periods.max()) / periods[:, None]
    kinds = rng.integers(len(SHAPES), size=len(periods))
    table = np.empty(phase.shape)
    for kind, shape in enumerate(SHAPES):
        rows = rows_of(kinds == kind)
        if len(rows):
            table[rows] = shape(rng, phase[rows])
    inside = phase < 1
    table = np.where(inside, table, 0.0)
    table = np.where(inside, table - table.sum(1, keepdims=True) / periods[:, None], 0.0)
    deviation = np.sqrt((table**2).sum(1, keepdims=True) / periods[:, None])
    varies = deviation > 1e-6
    return np.asarray(np.where(varies, table / np.where(varies, deviation, 1.0), 0.0))


def seasons(rng: np.random.Generator, periods: IntArray, length: int) -> FloatArray:
    """Seasons (N, T) of the given periods (N,) with random shapes and phases; 0 where the period is 1."""
    start = (rng.random(len(periods)) * periods).astype(np.int64)
    phase = (np.arange(length) + start[:, None]) % periods[:, None]
    return np.take_along_axis(profiles(rng, periods), phase, axis=1)


def autoregression(noise: FloatArray, poles: FloatArray, starts: FloatArray | None = None) -> FloatArray:
    """x[t] = pole · x[t − 1] + noise[t] of each series, with x[−1] = start (0 where none is given)."""
    starts = np.zeros(len(noise)) if starts is None else starts
    found = np.empty_like(noise)
    for row, (pole, start) in enumerate(zip(poles, starts, strict=True)):
        found[row] = lfilter([1.0], [1.0, -pole], noise[row], zi=[pole * start])[0]
    return found


def white_noise(rng: np.random.Generator, count: int, length: int, *, heavy: float = 0.25) -> FloatArray:
    """Independent numbers of unit variance (N, T); in a share `heavy` of the series from Student's t with 4 d.f."""
    found = rng.standard_normal((count, length))
    rows = rows_of(chance(rng, heavy, count))
    found[rows] = rng.standard_t(4, (len(rows), length)) / np.sqrt(2)
    return found


def coloured_noise(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Noise of unit variance (N, T): a quarter heavy-tailed, 40 % autocorrelated, 20 % with a changing variance."""
    found = white_noise(rng, count, length)
    rows = rows_of(chance(rng, 0.4, count))
    poles = np.where(chance(rng, 0.5, len(rows)), rng.uniform(0.3, 0.95, len(rows)), rng.uniform(0.9, 0.999, len(rows)))
    starts = rng.standard_normal(len(rows)) / np.sqrt(1 - poles**2)
    found[rows] = autoregression(found[rows], poles, starts) * np.sqrt(1 - poles**2)[:, None]
    rows = rows_of(chance(rng, 0.2, count))
    if len(rows):
        found[rows] *= np.exp(0.7 * smooth_paths(rng, len(rows), length, shortest=8) - 0.5)
    return found


def lasting_states(rng: np.random.Generator, stay: FloatArray, length: int) -> IntArray:
    """States 0 … K − 1 of Markov chains (N, T): state k is kept with probability stay[:, k], else another one follows.

    Runs are drawn, not steps: their lengths are geometric. A chain that leaves its states very much faster than
    expected keeps the last one.
    """
    count, states = stay.shape
    runs = 8 + int(1.3 * length * (1 - stay).max())
    first = rng.integers(states, size=(count, 1))
    moves = rng.integers(1, max(states, 2), size=(count, runs - 1))
    visited = np.concatenate([first, first + np.cumsum(moves, axis=1)], axis=1) % states
    ends = np.cumsum(rng.geometric(np.take_along_axis(1 - stay, visited, axis=1)), axis=1)
    changes = np.zeros((count, length), dtype=np.int64)
    row, run = np.nonzero(ends < length)
    changes[row, ends[row, run]] = 1
    run_of_step = np.minimum(np.cumsum(changes, axis=1), runs - 1)
    return np.asarray(np.take_along_axis(visited, run_of_step, axis=1))


def level_shifts(rng: np.random.Generator, count: int, length: int, *, most: int = 3) -> FloatArray:
    """Steps of normal height (N, T), one to `most` of them a series."""
    heights = rng.standard_normal((count, most)) * (np.arange(most) < rng.integers(1, most + 1, (count, 1)))
    jumps = np.zeros((count, length))
    places = rng.integers(1, length, (count, most))
    np.add.at(jumps, (np.arange(count)[:, None], places), heights)
    return np.asarray(np.cumsum(jumps, axis=1))


def random_walks(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Random walks (N, T) that end about one unit from where they began, whatever the length."""
    return np.asarray(np.cumsum(rng.standard_normal((count, length)), axis=1) / np.sqrt(length))


def _harmonics(rng: np.random.Generator, phase: FloatArray) -> FloatArray:
    damping = rng.uniform(0.3, 2.0, (len(phase), 1))
    highest = rng.integers(1, HARMONICS + 1, (len(phase), 1))
    total = np.zeros(phase.shape)
    for order in range(1, HARMONICS + 1):
        height = rng.standard_normal((len(phase), 1)) / order**damping * (order <= highest)
        total += height * np.cos(2 * np.pi * (order * phase + rng.random((len(phase), 1))))
    return total


def _bumps(rng: np.random.Generator, phase: FloatArray) -> FloatArray:
    total = np.zeros(phase.shape)
    for place in range(2):
        away = np.abs(phase - rng.random((len(phase), 1)))
        width = rng.uniform(0.03, 0.2, (len(phase), 1))
        height = rng.uniform(0.3, 1.0, (len(phase), 1)) * (chance(rng, 0.6, (len(phase), 1)) | (place == 0))
        total += height * np.exp(-0.5 * (np.minimum(away, 1 - away) / width) ** 2)
    return total


def _blocks(rng: np.random.Generator, phase: FloatArray) -> FloatArray:
    pieces = rng.integers(2, LEVELS, (len(phase), 1))
    place = np.minimum(phase * pieces, LEVELS - 1).astype(np.int64)
    return np.take_along_axis(rng.standard_normal((len(phase), LEVELS)), place, axis=1)


def _rough(rng: np.random.Generator, phase: FloatArray) -> FloatArray:
    return rng.standard_normal(phase.shape)


def _special_phases(rng: np.random.Generator, phase: FloatArray) -> FloatArray:
    special = 2 * rng.standard_t(4, phase.shape)
    return np.asarray(np.where(chance(rng, 0.2, phase.shape), special, 0.2 * rng.standard_normal(phase.shape)))


SHAPES = (_harmonics, _bumps, _blocks, _rough, _special_phases)
