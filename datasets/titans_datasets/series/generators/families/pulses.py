"""Pulses, saws, steps, spikes, bursts and plateaus, regular and disturbed."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import coloured_noise, draw_periods, smooth_paths
from titans_datasets.series.generators.draws import (
    BoolArray,
    FloatArray,
    chance,
    check_size,
    log_uniform,
    rows_of,
    signs,
)

WAVES = 3


def pulses(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """One to three trains of one shape each (N, T), height about 1, over noise of 0.003 to 0.3.

    Trains are saws, rectangles, triangles, spikes, decaying bursts or plateaus with ramps. Heights of single pulses
    vary in half of the series; 15 % have irregular distances, 15 % patches in which the train is away or inverted.
    """
    check_size(count, length)
    total = _train(rng, count, length)
    several = rng.choice([1, 2, 3], count, p=[0.55, 0.3, 0.15])
    for place in range(1, WAVES):
        rows = rows_of(several > place)
        if len(rows):
            total[rows] += _train(rng, len(rows), length) * log_uniform(rng, 0.2, 1.5, (len(rows), 1))
    rows = rows_of(chance(rng, 0.15, count))
    total[rows] = np.where(_patches(rng, len(rows), length), rng.choice([0.0, -1.0], (len(rows), 1)), 1.0) * total[rows]
    slow = chance(rng, 0.4, (count, 1)) * rng.uniform(0.1, 1.0, (count, 1)) * smooth_paths(rng, count, length)
    return np.asarray(total + slow + log_uniform(rng, 0.003, 0.3, (count, 1)) * coloured_noise(rng, count, length))


def _train(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """A pulse a period (N, T)."""
    calendar = draw_periods(rng, count, length).astype(np.float64)
    periods = np.where(chance(rng, 0.7, count), calendar, log_uniform(rng, 3.0, max(length / 2, 4), count))[:, None]
    turns = np.arange(length) / periods + rng.random((count, 1))
    irregular = chance(rng, 0.15, (count, 1))
    # Time runs faster and slower, by less than half, so that pulses never run backwards.
    wander = 0.4 * periods / (2 * np.pi) * np.sin(2 * np.pi * turns * rng.uniform(0.05, 0.3, (count, 1)))
    turns = turns + irregular * wander / periods * rng.uniform(0.5, 3.0, (count, 1))
    cycle = np.floor(turns).astype(np.int64)
    phase = turns - cycle
    cycle -= cycle.min(axis=1, keepdims=True)
    heights = np.exp(chance(rng, 0.5, (count, 1)) * rng.normal(0, 0.4, (count, int(cycle.max()) + 1)))
    shapes = np.empty((count, length))
    kinds = rng.integers(len(SHAPES), size=count)
    for kind, shape in enumerate(SHAPES):
        rows = rows_of(kinds == kind)
        if len(rows):
            shapes[rows] = shape(phase[rows], rng.uniform(0.08, 0.7, (len(rows), 1)), 1 / periods[rows])
    return np.asarray(signs(rng, (count, 1)) * shapes * np.take_along_axis(heights, cycle, axis=1))


def _patches(rng: np.random.Generator, count: int, length: int) -> BoolArray:
    """One stretch a series, up to a fifth of its length (N, T)."""
    start = rng.integers(length, size=(count, 1))
    time = np.arange(length)
    return np.asarray((time >= start) & (time < start + 1 + rng.integers(max(length // 5, 1), size=(count, 1))))


# Shapes: phase in [0, 1), the share of the period that the pulse takes, one step in units of the period.


def _saw(phase: FloatArray, duty: FloatArray, step: FloatArray) -> FloatArray:
    return np.asarray(np.where(duty < 0.4, phase, 1 - phase))


def _rectangle(phase: FloatArray, duty: FloatArray, step: FloatArray) -> FloatArray:
    return np.asarray(np.where(phase < duty, 1.0, 0.0))


def _triangle(phase: FloatArray, duty: FloatArray, step: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(phase / duty, (1 - phase) / (1 - duty)))


def _spike(phase: FloatArray, duty: FloatArray, step: FloatArray) -> FloatArray:
    return np.asarray(np.where(phase < step * (1 + np.floor(3 * duty)), 1.5, 0.0))


def _burst(phase: FloatArray, duty: FloatArray, step: FloatArray) -> FloatArray:
    return np.asarray(1.5 * np.exp(-phase / (0.4 * duty + step)))


def _plateau(phase: FloatArray, duty: FloatArray, step: FloatArray) -> FloatArray:
    return np.asarray(np.clip(np.minimum(phase, duty + 0.2 - phase) / 0.1, 0.0, 1.0))


SHAPES = (_saw, _rectangle, _triangle, _spike, _burst, _plateau)
