"""Autoregressive processes: roots near the unit circle, moving averages, long memory, integration."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from titans_datasets.series.generators.components import autoregression, white_noise
from titans_datasets.series.generators.draws import (
    FloatArray,
    IntArray,
    chance,
    check_size,
    log_uniform,
    rows_of,
    standardised,
)

PAIRS, AVERAGED, MEMORIES, WARM_UP = 4, 3, 6, 256


def autoregressive(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """ARMA(1 … 8, 0 … 3) (N, T) of unit variance; a quarter with long memory instead, a fifth summed up once.

    Roots are real or in complex pairs, at 1 − (0.001 to 0.5) of the unit circle. Long memory comes from the sum of
    autoregressions whose time constants are a geometric series (Granger, Long memory relationships, 1980).
    """
    check_size(count, length)
    noise = white_noise(rng, count, length + WARM_UP)
    values = np.empty((count, length + WARM_UP))
    remembering = chance(rng, 0.25, count)
    rows = rows_of(remembering)
    values[rows] = _long_memory(rng, noise[rows])
    rows = rows_of(~remembering)
    values[rows] = _arma(rng, noise[rows], rng.integers(1, 2 * PAIRS + 1, len(rows)))
    values = standardised(values[:, WARM_UP:])
    rows = rows_of(chance(rng, 0.2, count))
    values[rows] = standardised(np.cumsum(values[rows], axis=1))
    return values


def _arma(rng: np.random.Generator, noise: FloatArray, orders: IntArray) -> FloatArray:
    """Noise through one filter a series."""
    found = np.empty_like(noise)
    for row, order in enumerate(orders):
        moving = np.append(1.0, rng.uniform(-0.8, 0.8, rng.integers(0, AVERAGED + 1)))
        found[row] = lfilter(moving, np.poly(_roots(rng, int(order))).real, noise[row])
    return found


def _roots(rng: np.random.Generator, order: int) -> npt.NDArray[np.complex128]:
    """`order` roots inside the unit circle: pairs, and one or two real ones, the first mostly positive."""
    pairs = int(rng.integers(0, order // 2 + 1))
    radius = 1 - log_uniform(rng, 0.001, 0.5, pairs)
    turn = 2 * np.pi / log_uniform(rng, 2.2, 200.0, pairs)
    complex_roots = radius * np.exp(1j * turn)
    real = 1 - log_uniform(rng, 0.001, 0.9, order - 2 * pairs)
    real[1:] *= rng.uniform(-0.8, 0.8, max(len(real) - 1, 0))
    real[:1] *= 1.0 if rng.random() < 0.85 else -1.0
    return np.concatenate([complex_roots, complex_roots.conj(), real])


def _long_memory(rng: np.random.Generator, noise: FloatArray) -> FloatArray:
    """Sum of autoregressions of the same noise with poles 1 − 2⁻¹, 1 − 2⁻³, … and random weights."""
    total = rng.uniform(0.0, 1.0, (len(noise), 1)) * noise
    fading = rng.uniform(0.2, 0.9, (len(noise), 1))
    for place in range(MEMORIES):
        gap = 0.5 ** (1 + 1.7 * place)
        poles = np.full(len(noise), 1 - gap)
        total += fading**place * np.sqrt(1 - poles**2)[:, None] * autoregression(noise, poles)
    return np.asarray(total)
