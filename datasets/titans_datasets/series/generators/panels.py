"""Panels of related series: the same season and growth, seen by several members."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import (
    coloured_noise,
    draw_periods,
    random_walks,
    seasons,
    smooth_paths,
)
from titans_datasets.series.generators.draws import FloatArray, chance, check_size, log_uniform, rows_of


def related(rng: np.random.Generator, count: int, members: int, length: int) -> FloatArray:
    """Panels whose members share season, growth and a common path, each with its own weight for them.

    A member is weight · common part + own walk + own noise, of about unit size. 60 % of the panels are exponentials
    of that at levels 0.1 to 1,000 that differ by a factor of about 3 within a panel; half of those are Poisson counts.

    Args:
        count: panels; members: series of each; length: steps, 8 or more.

    Returns:
        Shape (count, members, length), finite.

    Raises:
        ValueError: for counts below 1 and a length below 8.

    Example:
        >>> related(np.random.default_rng(0), count=2, members=3, length=50).shape
        (2, 3, 50)
    """
    check_size(count, length)
    if members < 1:
        raise ValueError(f"members must be 1 or more series, got {members}")
    series = count * members
    panel = np.repeat(np.arange(count), members)
    alike = log_uniform(rng, 0.05, 0.5, (count, 1))[panel]
    weight = 1 + alike * rng.standard_normal((series, 1))
    total = weight * _common(rng, count, length)[panel]
    total += alike * seasons(rng, draw_periods(rng, count, length)[panel], length)
    total += alike * rng.uniform(0, 2, (series, 1)) * random_walks(rng, series, length)
    total += log_uniform(rng, 0.03, 0.6, (count, 1))[panel] * coloured_noise(rng, series, length)
    logs = chance(rng, 0.6, (count, 1))[panel]
    level = log_uniform(rng, 0.1, 1e3, (count, 1))[panel] * np.exp(rng.standard_normal((series, 1)))
    steepness = rng.uniform(0.2, 0.8, (count, 1))[panel]
    total = np.where(logs, level * np.exp(np.clip(steepness * total, -6.0, 6.0)), total)
    counted = rows_of((logs & chance(rng, 0.5, (count, 1))[panel])[:, 0])
    total[counted] = rng.poisson(total[counted])
    return total.reshape(count, members, length)


def _common(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """What all members of a panel see (count, T): one or two seasons, growth, a smooth path."""
    first = draw_periods(rng, count, length)
    second = draw_periods(rng, count, length)
    total = log_uniform(rng, 0.3, 1.5, (count, 1)) * seasons(rng, first, length)
    total += chance(rng, 0.4, (count, 1)) * rng.uniform(0.1, 0.8, (count, 1)) * seasons(rng, second, length)
    total += chance(rng, 0.6, (count, 1)) * rng.standard_normal((count, 1)) * 2 * np.arange(length) / length
    return np.asarray(total + rng.uniform(0, 0.8, (count, 1)) * smooth_paths(rng, count, length, shortest=length / 20))
