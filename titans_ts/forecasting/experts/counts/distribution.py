"""Quantiles of counts: a mixture of distributions that live on whole numbers, weighed by held-out windows.

Its members are what was observed of late, further back and at the same phase of the season, a negative binomial
distribution around the experts' forecast, and the experts' continuous quantiles, read at whole numbers. Where the mean
is large and zeros are rare the continuous quantiles stay as they are; between the two they are averaged.

Shapes: N series, C cutoffs, H horizon steps, Q levels, K thresholds, J distributions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from titans_ts.forecasting.experts.counts import pool
from titans_ts.forecasting.experts.counts.lattice import GAPS, GREATEST_MEAN, THRESHOLDS, Lattice, bins, sizes
from titans_ts.forecasting.experts.counts.negative_binomial import DISPERSIONS, distribution
from titans_ts.forecasting.experts.counts.recent import Recent, recent_means, recent_values
from titans_ts.forecasting.experts.panel import BoolArray, FloatArray, IntArray
from titans_ts.forecasting.experts.weights import splits

NAMES = ("short", "long", "phase", "negative binomial", "continuous")
# Levels at which the continuous distribution is read.
LEVELS = np.array([0.01, 0.05, *(k / 10 for k in range(1, 10)), 0.95, 0.99])
# Observations that the distribution by the mean alone counts as beside those of a series, of a phase its whole history.
SMOOTH, PHASE_SMOOTH = 1.0, 4.0
# Of the share of zeros at a phase; and how often chance may look like a phase without demand.
CLOSED_SMOOTH, CLOSED_CHANCE = 0.5, 10.0
# Steps of a horizon, and held-out windows, that are scored.
STEPS_SCORED, WINDOWS_SCORED = 8, 16
# Share of the held-out windows after which one counts half.
AGED = 0.5
DISPERSION_WINDOWS, MEAN_WINDOWS = 1.0, 1.0
# The first members are what was observed; steps after which a value counts half where the last few are looked at.
OBSERVED, LATEST = 3, 4.0
USUAL_DISPERSION = 0.3
USUAL = np.full((5, 5), 1.0) + 0.5 * np.eye(5)
# Between these logarithms of means, and shares of zeros, the continuous quantiles give way.
LARGE = (np.log(20.0), np.log(GREATEST_MEAN))
ZEROS = (0.1, 0.3)
# Between these shares of zeros the mean is of what was counted alone.
RARE = (0.3, 0.6)
# Between these weights of the continuous distribution it is left as it is, unless there are zeros.
CONTINUOUS = (0.5, 0.8)
CELLS = 4_000_000


@dataclass(frozen=True)
class CountStatistics:
    """What the counts of a panel share: mean dispersion, and the matrix (J, J) of `pool`."""

    dispersion: float = USUAL_DISPERSION
    matrix: FloatArray = field(default_factory=lambda: USUAL)


@dataclass(frozen=True)
class Continuous:
    """The mixture's continuous forecasts at held-out windows and, last, at the end, in the units of the histories.

    Attributes:
        center: (N, C + 1, H).
        offsets: (N, C + 1, H, Q) of quantiles at `LEVELS`.
        actual: (N, C, H), NaN where nothing was observed.
        low, high: (N,) plausible range at the end.
        cutoffs: C + 1.
        independence: share of a window that counts where windows overlap.
    """

    center: FloatArray
    offsets: FloatArray
    actual: FloatArray
    low: FloatArray
    high: FloatArray
    cutoffs: Sequence[int]
    independence: float

    def per(self, unit: FloatArray) -> Continuous:
        """The same in units (N,)."""
        by = unit[:, None, None]
        return replace(
            self,
            center=self.center / by,
            offsets=self.offsets / by[..., None],
            actual=self.actual / by,
            low=self.low / unit,
            high=self.high / unit,
        )

    def __getitem__(self, places: IntArray) -> Continuous:
        return replace(
            self,
            center=self.center[places],
            offsets=self.offsets[places],
            actual=self.actual[places],
            low=self.low[places],
            high=self.high[places],
        )


@dataclass(frozen=True)
class CountForecast:
    """Of the rows that are counts: quantiles (N, H, Q), means (N, H) and their share (N, H), 0 for continuous ones."""

    rows: IntArray
    quantiles: FloatArray
    mean: FloatArray
    share: FloatArray
    statistics: CountStatistics

    def into(self, quantiles: FloatArray) -> FloatArray:
        """Quantiles (panel, H, Q), of these rows with their share."""
        return self._shared(quantiles, self.quantiles, self.share[..., None])

    def mean_into(self, mean: FloatArray) -> FloatArray:
        """Means (panel, H), of these rows with their share."""
        return self._shared(mean, self.mean, self.share)

    def _shared(self, values: FloatArray, own: FloatArray, share: FloatArray) -> FloatArray:
        if not len(self.rows):
            return values
        found = values.copy()
        found[self.rows] = np.where(share > 0, share * own + (1 - share) * found[self.rows], found[self.rows])
        return found


@dataclass(frozen=True)
class _Moments:
    """Coefficients (N, C + 1, 2) of a mean on the recent mean and the forecast, the dispersion (N, C + 1) around it.

    Those of a held-out window are from other windows.
    """

    mean: FloatArray
    dispersion: FloatArray

    def __getitem__(self, rows: IntArray) -> _Moments:
        return _Moments(self.mean[rows], self.dispersion[rows])


def forecast_counts(
    lattice: Lattice,
    continuous: Continuous,
    levels: FloatArray,
    season: int,
    known: CountStatistics | None,
) -> CountForecast:
    """Distributions of the lattice's rows at the end of their histories.

    Args:
        lattice: the histories that are counts.
        continuous: forecasts of the same rows.
        levels: Q.
        season: steps.
        known: of the panel, None to learn it from these rows.
    """
    number, horizon = len(lattice.rows), continuous.center.shape[2]
    quantiles, mean, share = np.empty((number, horizon, len(levels))), *np.zeros((2, number, horizon))
    if not number:
        return CountForecast(lattice.rows, quantiles, mean, share, CountStatistics() if known is None else known)
    continuous = continuous.per(lattice.unit)
    recent = recent_means(lattice.values, continuous.cutoffs)
    moments, dispersion = _moments(continuous, recent, None if known is None else known.dispersion)
    parts = list(_parts(lattice, season, horizon))
    matrix = np.empty((number, len(NAMES), len(NAMES)))
    windows = np.empty(number)
    for rows, size in parts:
        model = _Model(lattice[rows], continuous[rows], moments[rows], recent[rows], season, size)
        matrix[rows], windows[rows] = model.products()
    matrix = pool.relative(matrix)
    if known is None:
        counted = (matrix.any(axis=(1, 2)) * windows)[:, None, None]
        shared = (pool.PANEL_PRIOR * USUAL + (counted * matrix).sum(axis=0)) / (pool.PANEL_PRIOR + counted.sum())
        known = CountStatistics(dispersion, shared)
    own = np.where(matrix.any(axis=(1, 2)), windows, 0.0)[:, None, None]
    weights = pool.weights((own * matrix + pool.SERIES_PRIOR * known.matrix) / (own + pool.SERIES_PRIOR))
    for rows, size in parts:
        model = _Model(lattice[rows], continuous[rows], moments[rows], recent[rows], season, size)
        quantiles[rows], mean[rows], share[rows] = model.final(weights[rows], levels)
    unit = lattice.unit[:, None]
    return CountForecast(lattice.rows, quantiles * unit[..., None], mean * unit, share, known)


def _parts(lattice: Lattice, season: int, horizon: int) -> Iterator[tuple[IntArray, int]]:
    """Rows with like numbers of thresholds, not too many at once, and the number."""
    size = sizes(lattice.values)
    for many in np.unique(size).tolist():
        rows = np.flatnonzero(size == many)
        most = max(1, CELLS // (many * (season + horizon * len(NAMES))))
        for first in range(0, len(rows), most):
            yield rows[first : first + most], many


def _moments(continuous: Continuous, recent: FloatArray, dispersion: float | None) -> tuple[_Moments, float]:
    """Of all series, and the panel's dispersion."""
    number, windows, _ = continuous.actual.shape
    mean, spread = np.empty((number, windows + 1, 2)), np.empty((number, windows + 1))
    mean[:, -1], spread[:, -1], shared = _fitted(continuous, recent, np.ones(windows, dtype=bool), dispersion)
    for part, others in splits(windows, continuous.independence) if windows else ():
        first, second, _ = _fitted(continuous, recent, others, shared)
        mean[:, part], spread[:, part] = first[:, None], second[:, None]
    return _Moments(mean, spread), shared


def _fitted(
    continuous: Continuous, recent: FloatArray, windows: BoolArray, dispersion: float | None
) -> tuple[FloatArray, FloatArray, float]:
    """Coefficients (N, 2) and dispersion (N,) from some windows, and the panel's dispersion where it is not given.

    Least squares, shrunk to the mean of the two, and to the panel's dispersion.
    """
    actual, center = continuous.actual[:, windows], np.maximum(continuous.center[:, :-1][:, windows], 0.0)
    there = np.isfinite(actual)
    y, path, level = (
        np.where(there, actual, 0.0),
        np.where(there, center, 0.0),
        recent[:, :-1][:, windows, None] * there,
    )
    horizon = actual.shape[2]
    size = recent[:, -1] ** 2 + 1e-12
    prior = MEAN_WINDOWS * horizon * size
    first, second = ((x * x).sum(axis=(1, 2)) + prior for x in (level, path))
    both = (level * path).sum(axis=(1, 2))
    right = [(x * y).sum(axis=(1, 2)) + prior / 2 for x in (level, path)]
    determinant = first * second - both * both
    a = (second * right[0] - both * right[1]) / determinant
    b = (first * right[1] - both * right[0]) / determinant
    a, b = np.where(b < 0, right[0] / first, np.maximum(a, 0)), np.where(a < 0, right[1] / second, np.maximum(b, 0))
    # What shrinkage took from the recent mean comes back, so that the mean of the windows is kept.
    usual = a * (horizon * recent[:, -1] + 1e-12)
    missing = (y - b[:, None, None] * path).sum(axis=(1, 2)) + usual
    a = a * np.clip(missing / (a * level.sum(axis=(1, 2)) + usual + 1e-12), 0.5, 2.0)
    mean = a[:, None, None] * level + b[:, None, None] * path
    over = ((y - mean) ** 2 - mean).sum(axis=(1, 2)) / size
    square = (mean * mean).sum(axis=(1, 2)) / size
    prior = DISPERSION_WINDOWS * horizon
    if dispersion is None:
        dispersion = float(max(0.0, (over.sum() + prior * USUAL_DISPERSION) / (square.sum() + prior)))
    own = (over + prior * dispersion) / (square + prior)
    return np.stack([a, b], axis=1), np.clip(own, 0.0, DISPERSIONS[-1]), dispersion


def closed_phases(zeros: FloatArray, number: FloatArray, usual: FloatArray) -> FloatArray:
    """Probability (N, H) that a phase of the season is one without demand, as Sundays of a shop that is closed.

    Args:
        zeros, number: (N, H) observed zeros and values at the phase.
        usual: (N, 1) share of zeros over all phases, by which so many zeros in a row are no chance.
    """
    usual = np.clip(usual, 0.0, 1 - 1e-9)
    share = (zeros + CLOSED_SMOOTH * usual) / (number + CLOSED_SMOOTH)
    excess = np.clip((2 * share - 1 - usual) / (1 - usual), 0.0, 1.0)
    return np.asarray(excess * np.clip(1 - CLOSED_CHANCE * usual**zeros, 0.0, 1.0))


class _Model(NamedTuple):
    """Series with K thresholds, all in their units."""

    lattice: Lattice
    continuous: Continuous
    moments: _Moments
    recent: FloatArray
    season: int
    size: int

    def products(self) -> tuple[FloatArray, FloatArray]:
        """Summed products (N, J, J) of errors of distribution functions in held-out windows, and these windows (N,)."""
        cutoffs = self.continuous.cutoffs[:-1]
        horizon = self.continuous.center.shape[2]
        chosen = np.unique(np.linspace(0, len(cutoffs) - 1, min(len(cutoffs), WINDOWS_SCORED)).round().astype(int))
        steps = np.unique(np.linspace(0, horizon - 1, STEPS_SCORED).round().astype(int))
        total = np.zeros((len(self.recent), len(NAMES), len(NAMES)))
        windows = np.zeros(len(self.recent))
        found = recent_values(self.lattice.values, [cutoffs[c] for c in chosen], self.season, self.size)
        for c, seen in zip(chosen, found, strict=True):
            actual = self.continuous.actual[:, c, steps]
            there = np.isfinite(actual)
            at = np.where(there, bins(np.where(there, actual, 0.0)), 0)
            happened = at[..., None] <= np.arange(self.size)
            errors = self.members(seen, c, steps) - happened[:, :, None]
            weight = 0.5 ** ((len(cutoffs) - 1 - c) / (AGED * len(cutoffs)))
            errors *= np.sqrt(weight * GAPS[: self.size]) * there[:, :, None, None]
            errors = errors.transpose(0, 2, 1, 3).reshape(len(total), len(NAMES), -1)
            total += errors @ errors.transpose(0, 2, 1)
            windows += weight * there.mean(axis=1)
        share = self.continuous.independence * len(cutoffs) / max(len(chosen), 1)
        return total, windows * share

    def members(self, seen: Recent, window: int, steps: IntArray) -> FloatArray:
        """P(count ≤ threshold) (N, H', J, K) by each member at some steps of a window."""
        recent, center = self.recent[:, window], np.maximum(self.continuous.center[:, window, steps], 0.0)
        coefficients, dispersion = self.moments.mean[:, window], self.moments.dispersion[:, window]
        usual = distribution(recent, dispersion, self.size)
        short, long = (
            (x.cumsum(axis=1) + SMOOTH * usual) / (x.sum(axis=1, keepdims=True) + SMOOTH)
            for x in (seen.short, seen.long)
        )
        mean = coefficients[:, :1] * recent[:, None] + coefficients[:, 1:] * center
        shape = (*mean.shape, self.size)
        parts = [np.broadcast_to(x[:, None], shape) for x in (short, long)]
        rest = [distribution(mean, dispersion, self.size), self._continuous(window, steps)]
        if self.season == 1:
            return np.stack([*parts, parts[1], *rest], axis=2)
        phase = seen.phase[:, steps % self.season].cumsum(axis=2)
        closed = closed_phases(phase[..., 0], phase[..., -1], long[:, :1])[..., None, None]
        phase = (phase + PHASE_SMOOTH * long[:, None]) / (phase[..., -1:] + PHASE_SMOOTH)
        return np.asarray(closed + (1 - closed) * np.stack([*parts, phase, *rest], axis=2))

    def _continuous(self, window: int, steps: IntArray) -> FloatArray:
        """P (N, H', K) by the continuous quantiles, half a unit beyond each whole number."""
        q = self.continuous.center[:, window, steps, None] + self.continuous.offsets[:, window, steps]
        q = np.concatenate([2 * q[..., :1] - q[..., 1:2], q, 2 * q[..., -1:] - q[..., -2:-1]], axis=2)
        levels = np.r_[0.0, LEVELS, 1.0]
        half = np.where(self.lattice.exact[:, None] | (np.arange(self.size) == 0), 0.5, 0.0)
        x = (THRESHOLDS[: self.size] + half)[:, None]
        found = np.zeros((*q.shape[:2], self.size))
        for k in range(len(levels) - 1):
            width = np.maximum(q[..., k + 1] - q[..., k], 1e-9)[..., None]
            found += (levels[k + 1] - levels[k]) * np.clip((x - q[..., k : k + 1]) / width, 0.0, 1.0)
        return found

    def final(self, weights: FloatArray, levels: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Quantiles (N, H, Q), mean (N, H) and share (N, H) at the end."""
        horizon = self.continuous.center.shape[2]
        seen = next(recent_values(self.lattice.values, self.continuous.cutoffs[-1:], self.season, self.size))
        members = self.members(seen, -1, np.arange(horizon))
        function = np.einsum("nhjk,nj->nhk", members, weights)
        # Where every view of the history says that zero is likelier than not, the median is 0.
        zero = np.minimum(members[:, :, :OBSERVED, 0].min(axis=2), self._latest_zeros()[:, None])
        function = np.maximum(function, np.minimum(zero, 0.5)[..., None])
        counted = weights[:, :-1] + 1e-6
        counted = np.einsum("nhjk,nj->nhk", members[:, :, :-1], counted / counted.sum(axis=1, keepdims=True))
        zero = counted[..., 0]
        # The tails of continuous quantiles say little about the mean of rare demand.
        rare = _between(zero, RARE)
        mean = rare * self._mean(counted) + (1 - rare) * self._mean(function)
        large = np.where(self.lattice.exact[:, None], _between(np.log(np.maximum(mean, 1e-9)), LARGE), 1.0)
        large = np.maximum(large, _between(weights[:, -1:], CONTINUOUS))
        share = 1 - large * (1 - _between(zero, ZEROS))
        return self._quantiles(function, levels), mean, share

    def _mean(self, function: FloatArray) -> FloatArray:
        """(N, H) of distribution functions (N, H, K), within the plausible range."""
        coarse = (GAPS[: self.size] > 1) | ~self.lattice.exact[:, None]
        after = np.concatenate([function[..., 1:], np.ones((*function.shape[:2], 1))], axis=2)
        beyond = np.where(coarse[:, None], 1 - (function + after) / 2, 1 - function)
        mean = (beyond * GAPS[: self.size]).sum(axis=2)
        return np.clip(mean, np.maximum(self.continuous.low, 0.0)[:, None], self.continuous.high[:, None])

    def _latest_zeros(self) -> FloatArray:
        """Share of zeros (N,) among the last few values."""
        values = self.lattice.values
        weight = 0.5 ** (np.arange(values.shape[1])[::-1] / LATEST) * np.isfinite(values)
        return np.asarray((weight * (values == 0)).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-12))

    def _quantiles(self, function: FloatArray, levels: FloatArray) -> FloatArray:
        """(N, H, Q) of distribution functions (N, H, K); between thresholds that are not neighbours interpolated."""
        found = np.empty((*function.shape[:2], len(levels)))
        grid = THRESHOLDS[: self.size]
        for k, level in enumerate(levels):
            at = np.minimum((function < level - 1e-7).sum(axis=2), self.size - 1)
            upper = np.take_along_axis(function, at[..., None], axis=2)[..., 0]
            below = np.maximum(at - 1, 0)
            lower = np.take_along_axis(function, below[..., None], axis=2)[..., 0]
            part = np.clip((level - lower) / np.maximum(upper - lower, 1e-12), 0.0, 1.0)
            between = grid[below] + part * (grid[at] - grid[below])
            found[..., k] = np.where(at == 0, 0.0, between)
        exact = self.lattice.exact[:, None, None]
        found = np.where(exact, np.ceil(found - 1e-9), found)
        low, high = (x[:, None, None] for x in (self.continuous.low, self.continuous.high))
        low, high = np.where(exact, np.ceil(low - 1e-6), low), np.where(exact, np.floor(high + 1e-6), high)
        return np.clip(found, np.maximum(low, 0.0), high)


def _between(values: FloatArray, edges: tuple[float, float]) -> FloatArray:
    """0 below the first edge, 1 above the second, in between a straight line."""
    return np.asarray(np.clip((values - edges[0]) / (edges[1] - edges[0]), 0.0, 1.0))
