"""Causal graphs: series driven by other series, of which some are known in the future."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from titans_datasets.series.generators.components import coloured_noise, draw_periods, seasons, smooth_paths
from titans_datasets.series.generators.draws import (
    FloatArray,
    chance,
    check_size,
    lagged,
    log_uniform,
    rows_of,
    signs,
    standardised,
)

ROOTS, INNER, PARENTS, KNOWN, LONGEST_LAG = 3, 2, 3, 2, 24


class CausalSeries(NamedTuple):
    """Targets of causal graphs with the nodes that act on them.

    Attributes:
        target: (N, T).
        drivers: (N, 2, T), two nodes that are parents of the target, known in the future.
        effect: (N, T), what the drivers add to the target: target − effect does not depend on them directly.

    Example:
        >>> found = causal_graphs(np.random.default_rng(0), count=3, length=50)
        >>> found.target.shape, found.drivers.shape, found.effect.shape
        ((3, 50), (3, 2, 50), (3, 50))
    """

    target: FloatArray
    drivers: FloatArray
    effect: FloatArray


def causal(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Targets of random causal graphs (N, T), of unit variance; `causal_graphs` gives the drivers too."""
    return causal_graphs(rng, count, length).target


def causal_graphs(rng: np.random.Generator, count: int, length: int) -> CausalSeries:
    """Random graphs of six nodes: three roots, two inner nodes and the target, each with up to three parents.

    A root is a season, a smooth path or autocorrelated noise. Any other node is Σ weight · activation(parent, 0 to 24
    steps ago) + noise; the activation is one of identity, tanh, sine, the positive part and the absolute value.
    Two parents of the target are its `drivers`, a third, where there is one, stays unknown.

    Example:
        >>> found = causal_graphs(np.random.default_rng(0), count=3, length=50)
        >>> found.drivers.shape  # two parents of each target
        (3, 2, 50)
    """
    check_size(count, length)
    nodes = np.empty((count, ROOTS + INNER, length))
    for place in range(ROOTS):
        nodes[:, place] = _root(rng, count, length)
    for place in range(ROOTS, ROOTS + INNER):
        total = _own(rng, count, length)
        for _ in range(PARENTS):
            parent = nodes[np.arange(count), rng.integers(place, size=count)]
            total += _influence(rng, parent) * chance(rng, 0.6, (count, 1))
        nodes[:, place] = standardised(total)
    order = rng.permuted(np.tile(np.arange(ROOTS + INNER), (count, 1)), axis=1)[:, :PARENTS]
    parents = np.take_along_axis(nodes, order[:, :, None], axis=1)
    effect = np.sum([_influence(rng, parents[:, place]) for place in range(KNOWN)], axis=0)
    unknown = _influence(rng, parents[:, KNOWN]) * chance(rng, 0.5, (count, 1))
    target = effect + unknown + _own(rng, count, length)
    size = np.maximum(target.std(axis=1, keepdims=True), 1e-6)
    return CausalSeries(target / size, parents[:, :KNOWN], effect / size)


def _root(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    kind = rng.integers(3, size=(count, 1))
    season = seasons(rng, draw_periods(rng, count, length), length)
    season += rng.uniform(0, 0.4, (count, 1)) * rng.standard_normal((count, length))
    path = smooth_paths(rng, count, length)
    return standardised(np.select([kind == 0, kind == 1], [season, path], coloured_noise(rng, count, length)))


def _own(rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """What a node has of itself: noise of 0.03 to 0.6."""
    return log_uniform(rng, 0.03, 0.6, (count, 1)) * coloured_noise(rng, count, length)


def _influence(rng: np.random.Generator, parent: FloatArray) -> FloatArray:
    """Weight times activation of the parent some steps ago (N, T)."""
    count, length = parent.shape
    lags = rng.integers(0, min(LONGEST_LAG, length // 4) + 1, count)
    found = lagged(parent, np.where(chance(rng, 0.4, count), 0, lags))
    kinds = rng.integers(len(ACTIVATIONS) + 1, size=count)
    for kind, activation in enumerate(ACTIVATIONS):
        rows = rows_of(kinds == kind)
        found[rows] = activation(found[rows])
    return np.asarray(signs(rng, (count, 1)) * rng.uniform(0.3, 1.2, (count, 1)) * found)


def _tanh(values: FloatArray) -> FloatArray:
    return np.asarray(np.tanh(2 * values))


def _sine(values: FloatArray) -> FloatArray:
    return np.asarray(np.sin(2 * values))


def _positive_part(values: FloatArray) -> FloatArray:
    return np.maximum(values, 0.0)


def _absolute(values: FloatArray) -> FloatArray:
    return np.abs(values)


ACTIVATIONS = (_tanh, _sine, _positive_part, _absolute)
