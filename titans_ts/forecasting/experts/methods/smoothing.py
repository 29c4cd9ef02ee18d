"""Exponential smoothing and Theta for thousands of rows at once: a bank of fixed parameters instead of an optimiser.

Every member of the bank is a linear filter, so that its best initial level and trend are a least-squares problem of
two unknowns; how a start is forgotten depends on the parameters and the age alone and is tabulated once. Members are
averaged by their likelihood, within simple smoothing, damped trend and linear trend.

Shapes: R rows (series × cutoffs), L steps, G members of the bank, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from titans_ts.forecasting.experts.methods.seasonality import at_future, at_history, seasonal_shape
from titans_ts.forecasting.experts.panel import FloatArray, IntArray, Panel, rows_at

LONGEST = 240
# Rows that are smoothed at once: their states stay in the cache.
BLOCK = 500
# More points than this do not make the choice among members any surer: their errors depend on each other.
LIKELIHOOD_POINTS = 60
TREND_PRIOR = 2.0


@dataclass(frozen=True, eq=False)
class Bank:
    """Parameters (G,) of level α, trend β and damping φ, and the family of each: 0 level, 1 damped, 2 linear trend."""

    alpha: FloatArray
    beta: FloatArray
    phi: FloatArray
    family: IntArray

    @classmethod
    @cache
    def default(cls) -> Bank:
        """9 simple, 16 damped and 12 trended members."""
        members = [(a, 0.0, 0.0, 0) for a in (0.02, 0.06, 0.12, 0.2, 0.32, 0.48, 0.66, 0.84, 0.99)]
        members += [(a, b, p, 1) for a in (0.1, 0.3, 0.6, 0.95) for b in (0.05, 0.25) for p in (0.82, 0.94)]
        members += [(a, b, 1.0, 2) for a in (0.05, 0.2, 0.5, 0.9) for b in (0.0, 0.05, 0.2)]
        alpha, beta, phi, family = zip(*members, strict=True)
        return cls(np.array(alpha), np.array(alpha) * np.array(beta), np.array(phi), np.array(family))


@dataclass(frozen=True)
class Smoothed:
    """Final states of rows: level and trend (R, G), squared errors (R, G) and points (R,)."""

    level: FloatArray
    trend: FloatArray
    loss: FloatArray
    points: IntArray


def smooth(rows: FloatArray, bank: Bank) -> Smoothed:
    """Run the bank over rows (R, L), NaN only before their first value, with the best initial level and trend."""
    count, length = rows.shape
    points = np.isfinite(rows).sum(axis=1)
    forgotten = _forgetting(bank, length)
    level, trend, moments = (np.zeros((*size, count, len(bank.alpha))) for size in ((), (), (3,)))
    # Rows of like length together, as many as fit into the cache.
    for block in np.split(np.argsort(points, kind="stable"), range(BLOCK, count, BLOCK)):
        level[block], trend[block], moments[:, block] = _run(rows[block], points[block], bank, forgotten)
    return _with_start(level, trend, moments, forgotten, points, bank)


def _run(
    rows: FloatArray, points: IntArray, bank: Bank, forgotten: _Forgetting
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Final level and trend (R, G) of a start at 0, and the moments (3, R, G) of errors that choose another start."""
    count, length = rows.shape
    first = length - points
    began = int(first.min(initial=length))
    # Histories of one age: what weighs their errors is the same, so that its sums are one matrix product.
    same = began < length and bool((first == began).all())
    values = np.ascontiguousarray(np.where(np.isfinite(rows), rows, 0.0).T)
    moments = np.zeros((3, len(bank.alpha), count))
    level, error, product = np.zeros((3, len(bank.alpha), count))
    sloped = slice(int(np.argmax(bank.family > 0)), None) if (bank.family > 0).any() else slice(0, 0)
    trend = np.zeros_like(level[sloped])
    alpha, beta, phi = bank.alpha[:, None], bank.beta[sloped, None], bank.phi[sloped, None]
    for t in range(began, length):
        trend *= phi
        level[sloped] += trend
        # Before the first value states and values are 0, and errors with them.
        np.subtract(values[t], level, out=error)
        moments[0] += np.multiply(error, error, out=product)
        if not same:
            weight = forgotten.error[:, np.maximum(t - first, 0)]
            moments[1] += np.multiply(weight[0].T, error, out=product)
            moments[2] += np.multiply(weight[1].T, error, out=product)
        level += np.multiply(alpha, error, out=product)
        trend += np.multiply(beta, error[sloped], out=product[sloped])
    if same:
        moments[1:] = _weighted_errors(bank, length - began) @ values[began:]
    trends = np.zeros_like(level)
    trends[sloped] = trend
    return level.T, trends.T, np.moveaxis(moments, 2, 1)


@dataclass(frozen=True)
class _Forgetting:
    """What a unit of initial level or trend adds at an age: to the error (2, L, G), to the states (L + 1, 2, G, 2)."""

    error: FloatArray
    state: FloatArray
    products: FloatArray


@lru_cache(maxsize=16)
def _forgetting(bank: Bank, length: int) -> _Forgetting:
    members = len(bank.alpha)
    state = np.zeros((length + 1, 2, members, 2))
    error = np.zeros((length, members, 2))
    state[0, 0, :, 0] = 1.0
    state[0, 1, :, 1] = 1.0
    alpha, beta, phi = bank.alpha[:, None], bank.beta[:, None], bank.phi[:, None]
    for t in range(length):
        ahead = state[t, 0] + phi * state[t, 1]
        error[t] = ahead
        state[t + 1, 0] = (1 - alpha) * ahead
        state[t + 1, 1] = phi * state[t, 1] - beta * ahead
    products = np.stack([error[..., 0] ** 2, error[..., 0] * error[..., 1], error[..., 1] ** 2])
    products = np.concatenate([np.zeros((3, 1, members)), products.cumsum(axis=1)], axis=1)
    return _Forgetting(np.moveaxis(error, 2, 0).copy(), state, products)


@lru_cache(maxsize=64)
def _weighted_errors(bank: Bank, points: int) -> FloatArray:
    """What turns values (points,) into the sums (2, G) of their errors, each times what a unit of start adds to it."""
    weights = _forgetting(bank, points).error
    # Errors of a 1 followed by zeros: from its second step on those of the states that it leaves behind.
    response = np.ones((points, len(bank.alpha)))
    response[1:] = -(bank.alpha * weights[0, :-1] + bank.beta * weights[1, :-1])
    sums = [(weights[:, step:] * response[: points - step]).sum(axis=1) for step in range(points)]
    return np.stack(sums, axis=2)


def _with_start(
    level: FloatArray,
    trend: FloatArray,
    moments: FloatArray,
    forgotten: _Forgetting,
    points: IntArray,
    bank: Bank,
) -> Smoothed:
    """Add the initial states that make the squared errors least; simple smoothing has no initial trend."""
    aa, ac, cc = forgotten.products[:, points]
    aa = aa + 1e-9
    sloped = bank.family > 0
    cc = cc + TREND_PRIOR
    ac = np.where(sloped, ac, 0.0)
    right = np.where(sloped, moments[2], 0.0)
    determinant = aa * cc - ac * ac
    start = (cc * moments[1] - ac * right) / determinant
    slope = (aa * right - ac * moments[1]) / determinant
    loss = moments[0] - start * moments[1] - slope * right
    end = forgotten.state[points]
    level = level + end[:, 0, :, 0] * start + end[:, 0, :, 1] * slope
    trend = trend + end[:, 1, :, 0] * start + end[:, 1, :, 1] * slope
    return Smoothed(level, np.where(sloped, trend, 0.0), np.maximum(loss, 0.0), points)


def family_weights(smoothed: Smoothed, bank: Bank, families: Sequence[int]) -> FloatArray:
    """Weights (R, G) by likelihood among members of the given families."""
    chosen = np.isin(bank.family, families)
    used = np.minimum(smoothed.points, LIKELIHOOD_POINTS)[:, None]
    # A floor far below any usual error: perfect fits of straight lines stay comparable.
    score = -0.5 * used * np.log(smoothed.loss / np.maximum(smoothed.points[:, None], 1) + 1e-12)
    score = score - np.where(bank.family == 0, 0.0, 0.5)
    score = np.where(chosen, score, -np.inf)
    weights = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def extrapolate(smoothed: Smoothed, bank: Bank, weights: FloatArray, steps: FloatArray) -> FloatArray:
    """Weighted forecasts (R, len(steps)) at steps ≥ 0, which need not be whole."""
    level = (weights * smoothed.level).sum(axis=1)
    growth = np.empty((len(steps), len(bank.phi)))
    for g, phi in enumerate(bank.phi):
        growth[:, g] = steps if phi == 1 else phi * (1 - phi**steps) / (1 - phi) if phi > 0 else 0.0
    return np.asarray(level[:, None] + (weights * smoothed.trend) @ growth.T)


def straight_slope(rows: FloatArray) -> FloatArray:
    """Least-squares slope (R,) of rows (R, L), slightly shrunk; 0 below three values."""
    present = np.isfinite(rows)
    count = present.sum(axis=1)
    time = np.arange(rows.shape[1]) - rows.shape[1]
    y = np.where(present, rows, 0.0)
    centre = (present * time).sum(axis=1) / np.maximum(count, 1)
    offset = (time - centre[:, None]) * present
    slope = (offset * y).sum(axis=1) / ((offset**2).sum(axis=1) + TREND_PRIOR)
    return np.where(count > 2, slope, 0.0)


class Smoothing:
    """Simple, damped and trended smoothing and Theta of the seasonally adjusted history."""

    def __init__(self, season: int = 1, bank: Bank | None = None) -> None:
        self.season = season
        self.bank = Bank.default() if bank is None else bank
        self.names = tuple(
            f"{name} {season}" for name in ("smoothing", "damped trend", "trend", "smoothing mix", "theta")
        )

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (5, N, C, H); NaN where nothing was observed."""
        length = min(panel.length, max(LONGEST, 6 * self.season if self.season < LONGEST else 2 * self.season))
        rows = rows_at(panel.filled, cutoffs, length)
        shape = seasonal_shape(rows, self.season)
        adjusted = rows - at_history(shape, length)
        smoothed = smooth(adjusted[:, -LONGEST:], self.bank)
        steps = np.arange(1.0, horizon + 1)
        parts = [
            extrapolate(smoothed, self.bank, family_weights(smoothed, self.bank, families), steps)
            for families in ((0,), (1,), (2,), (0, 1, 2))
        ]
        theta = parts[0] + 0.5 * straight_slope(adjusted[:, -LONGEST:])[:, None] * steps
        result = np.stack([*parts, theta]) + at_future(shape, horizon)
        result = np.where((smoothed.points > 0)[None, :, None], result, np.nan)
        return result.reshape(5, len(panel.values), len(cutoffs), horizon)
