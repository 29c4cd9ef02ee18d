"""Scores of forecasts and the seasonal-naive forecast; missing actual values are left out of every score.

Definitions are those of fev-bench and gluonts: the quantile loss has the factor 2, so that it is the absolute error at
the median; MASE is scaled by the seasonal-naive error of everything before the forecast.

Shapes: W windows, P horizon steps, Q quantile levels, T steps of a history; "…" any leading dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
# Levels that the weighted quantile loss of a backtest or a test run averages over, those of them that were trained.
SCORED_LEVELS = tuple(i / 10 for i in range(1, 10))
# Seasonal differences older than this tell little about today's spread (and fev-bench's baseline uses as many).
RECENT = 1000


def quantile_loss(actual: FloatArray, quantiles: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Twice the pinball loss (…, Q) of quantiles (…, Q) at levels (Q,) for actual (…); NaN where actual is missing."""
    q = np.asarray(levels, dtype=np.float64)
    error = actual[..., None] - quantiles
    return np.asarray(2 * np.maximum(q * error, (q - 1) * error))


def weighted_quantile_loss(actual: FloatArray, quantiles: FloatArray, levels: Sequence[float]) -> float:
    """Quantile loss summed over everything, over Σ|actual|, mean over levels; NaN when all actual values are 0.

    Args:
        actual: (…).
        quantiles: (…, Q).
        levels: (Q,).
    """
    total = np.nansum(np.abs(actual))
    loss = np.nansum(quantile_loss(actual, quantiles, levels).reshape(-1, len(levels)), axis=0)
    return float(loss.mean() / total) if total > 0 else float("nan")


def seasonal_error(history: FloatArray, season: int) -> float:
    """Mean absolute difference of steps a season apart in history (T,); NaN when there is no such pair."""
    differences = np.abs(history[season:] - history[:-season])
    return _mean(differences)


def mean_absolute_scaled_error(actual: FloatArray, forecast: FloatArray, scale: FloatArray) -> float:
    """Mean over windows of a window's mean absolute error over its scale.

    Args:
        actual, forecast: (W, P).
        scale: (W,) seasonal errors; windows whose scale is 0 or NaN are left out.
    """
    errors = np.array([_mean(row) for row in np.abs(actual - forecast)])
    usable = scale > 0
    return _mean(errors[usable] / scale[usable])


def mean_absolute_error(actual: FloatArray, forecast: FloatArray) -> float:
    """Mean |actual − forecast|, both (…)."""
    return _mean(np.abs(actual - forecast))


def root_mean_squared_error(actual: FloatArray, forecast: FloatArray) -> float:
    """Root of the mean squared error, both (…)."""
    return float(np.sqrt(_mean((actual - forecast) ** 2)))


def at_level(quantiles: FloatArray, levels: Sequence[float], level: float) -> FloatArray | None:
    """Quantile (…) at a level, linear between the two trained levels around it; None outside them."""
    q = np.asarray(levels, dtype=np.float64)
    above = int(np.searchsorted(q, level - 1e-9))
    if above == len(q) or (above == 0 and q[0] > level + 1e-9):
        return None
    if abs(q[above] - level) <= 1e-9:
        return np.asarray(quantiles[..., above])
    share = (level - q[above - 1]) / (q[above] - q[above - 1])
    return np.asarray(quantiles[..., above - 1] * (1 - share) + quantiles[..., above] * share)


def coverage(actual: FloatArray, quantiles: FloatArray, levels: Sequence[float], interval: float) -> float:
    """Share of actual (…) within the central interval (0.9: between the 5 % and 95 % quantiles); NaN without them."""
    low = at_level(quantiles, levels, (1 - interval) / 2)
    high = at_level(quantiles, levels, (1 + interval) / 2)
    if low is None or high is None:
        return float("nan")
    inside = ((actual >= low) & (actual <= high)).astype(np.float64)
    return _mean(np.where(np.isnan(actual), np.nan, inside))


def seasonal_naive(history: FloatArray, prediction_length: int, season: int) -> tuple[FloatArray, FloatArray]:
    """The last season repeated, and its standard deviation.

    A missing value is replaced by the last observed one of the same season step. The deviation is the root mean square
    seasonal difference of the last 1,000 steps, times √k in the k-th season ahead.

    Args:
        history: (T,) with at least one observed value; NaN marks missing ones.
        prediction_length: P steps.
        season: steps of a season.

    Returns:
        forecast (P,) and standard deviation (P,).
    """
    recent = history[-max(RECENT, 4 * season) :]
    rows = -(-len(recent) // season)
    padded = np.concatenate([np.full(rows * season - len(recent), np.nan), recent])
    last = np.full(season, _last(recent))
    for row in padded.reshape(rows, season):
        last = np.where(np.isnan(row), last, row)
    steps = np.arange(prediction_length)
    near = history[-max(RECENT, 2 * season) :]
    spread = np.sqrt(_mean((near[season:] - near[:-season]) ** 2))
    if np.isnan(spread):
        # No two values lie a season apart: the spread of all values, 0 without any.
        spread = np.std(near[~np.isnan(near)]) if np.isfinite(near).any() else 0.0
    return last[steps % season], spread * np.sqrt(steps // season + 1)


def normal_quantiles(mean: FloatArray, deviation: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Quantiles (…, Q) of normal distributions with mean (…) and deviation (…)."""
    z = np.array([NormalDist().inv_cdf(level) for level in levels])
    return np.asarray(mean[..., None] + deviation[..., None] * z)


def _mean(values: FloatArray) -> float:
    """Mean of the values that are there, NaN (without a warning) when there are none."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def _last(values: FloatArray) -> float:
    present = values[~np.isnan(values)]
    return float(present[-1]) if present.size else float("nan")
