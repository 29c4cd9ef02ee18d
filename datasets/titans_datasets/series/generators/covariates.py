"""Covariates that are known in the future and whose effect is known: events, and smooth drivers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from titans_datasets.series.generators.augment import as_before
from titans_datasets.series.generators.components import (
    autoregression,
    draw_periods,
    seasons,
    smooth_paths,
)
from titans_datasets.series.generators.draws import (
    BoolArray,
    FloatArray,
    chance,
    log_uniform,
    nonnegative,
    signs,
    spread,
    standardised,
)

COVARIATES = ("event", "driver", "second driver")
EVENTS, DRIVERS = 0.3, 0.25


class Driven(NamedTuple):
    """Series with covariates.

    Attributes:
        series: (N, T), with what the covariates add.
        covariates: (N, 3, T) in the order of `COVARIATES`; zeros where a series has none.
        effect: (N, T); series − effect is the series without the covariates.
    """

    series: FloatArray
    covariates: FloatArray
    effect: FloatArray


def driven(rng: np.random.Generator, series: FloatArray, *, drivable: BoolArray | None = None) -> Driven:
    """Let events act on 30 % of the series and a smooth driver on 25 %, at the step in which they are seen.

    An event moves a series by 0.5 to 4 standard deviations, a driver by 0.2 to 1.5 for each of its own standard
    deviations (linearly, by its absolute value or by its positive part). A series that never goes below 0 is
    multiplied by exp(0.3 × as much) instead, and counts are rounded.

    Args:
        series: (N, T), finite.
        drivable: (N,), the series that may have a driver; else all.
    """
    count, length = series.shape
    covariates = np.zeros((count, len(COVARIATES), length))
    covariates[:, 0] = _events(rng, count, length) * chance(rng, EVENTS, (count, 1))
    has_driver = chance(rng, DRIVERS, count) & (True if drivable is None else drivable)
    covariates[:, 1] = _drivers(rng, count, length) * has_driver[:, None]
    push = signs(rng, (count, 1)) * log_uniform(rng, 0.5, 4.0, (count, 1)) * covariates[:, 0]
    push += signs(rng, (count, 1)) * log_uniform(rng, 0.2, 1.5, (count, 1)) * _response(rng, covariates[:, 1])
    multiplied = series * np.exp(np.clip(0.3 * push, -3.0, 3.0))
    changed = np.where(nonnegative(series)[:, None], multiplied, series + spread(series) * push)
    changed = as_before(series, changed)
    return Driven(changed, covariates, changed - series)


def _events(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """0 or 1 (N, T): random events, or regular ones that are off by a step now and then; they last 1 to 5 steps."""
    starts = rng.random((count, length)) < log_uniform(rng, 1 / length, 0.15, (count, 1))
    distances = log_uniform(rng, 4.0, max(length / 3, 5.0), (count, 1)).astype(np.int64)
    off = rng.choice([-1, 0, 0, 0, 1], (count, length))
    regular = (np.arange(length) + off + rng.integers(distances, size=(count, 1))) % distances == 0
    starts = np.where(chance(rng, 0.5, (count, 1)), starts, regular)
    # At least one, that a series said to have events has them.
    starts[np.arange(count), rng.integers(length, size=count)] = True
    lasting = rng.choice([1, 1, 1, 2, 3, 5], (count, 1))
    found = starts.copy()
    for step in range(1, 5):
        found[:, step:] |= starts[:, :-step] & (step < lasting)
    return found.astype(np.float64)


def _drivers(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Like a temperature or a price (N, T): season, smooth path and autocorrelated noise, standardised."""
    season = seasons(rng, draw_periods(rng, count, length), length) * rng.uniform(0, 1, (count, 1))
    path = smooth_paths(rng, count, length) * rng.uniform(0.2, 1, (count, 1))
    poles = rng.uniform(0.5, 0.98, count)
    noise = autoregression(rng.standard_normal((count, length)), poles) * np.sqrt(1 - poles**2)[:, None]
    return standardised(season + path + rng.uniform(0, 0.7, (count, 1)) * noise)


def _response(rng: np.random.Generator, driver: FloatArray) -> FloatArray:
    kind = rng.choice(3, (len(driver), 1), p=[0.6, 0.2, 0.2])
    return np.asarray(np.select([kind == 0, kind == 1], [driver, np.abs(driver)], np.maximum(driver, 0.0)))
