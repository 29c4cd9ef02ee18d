"""The shape of a season: classical decomposition with recent seasons weighing more, shrunk where phases hardly differ.

Shapes: R rows (series × cutoffs), L steps, m phases of a season, K seasons.
"""

from __future__ import annotations

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray

DECAY = 0.85


def moving_average(rows: FloatArray, season: int) -> FloatArray:
    """Centred mean (R, L) over a season (half weight at both ends where it is even); NaN where it does not fit."""
    window = season + 1 if season % 2 == 0 else season
    weights = np.full(window, 1.0 / season)
    if season % 2 == 0:
        weights[[0, -1]] /= 2
    trend = np.full(rows.shape, np.nan)
    length = rows.shape[1]
    if length < window:
        return trend
    present = np.isfinite(rows)
    total = np.concatenate([np.zeros((len(rows), 1)), np.where(present, rows, 0.0).cumsum(axis=1)], axis=1)
    count = np.concatenate([np.zeros((len(rows), 1)), present.cumsum(axis=1)], axis=1)
    inside = total[:, window:] - total[:, :-window]
    if season % 2 == 0:
        clean = np.where(present, rows, 0.0)
        inside = inside - (clean[:, : length - window + 1] + clean[:, window - 1 :]) / 2
    full = (count[:, window:] - count[:, :-window]) == window
    half = window // 2
    trend[:, half : half + full.shape[1]] = np.where(full, inside / season, np.nan)
    return trend


def seasonal_shape(rows: FloatArray, season: int, decay: float = DECAY) -> FloatArray:
    """Seasonal deviations (R, m): entry h is that of the h-th step after the rows' end; 0 below two seasons.

    Shrunk by the share of the differences between phases that is not explained by their noise (James and Stein).
    """
    count, length = rows.shape
    if season < 2 or length < 2 * season:
        return np.zeros((count, max(season, 1)))
    deviation = rows - moving_average(rows, season)
    seasons = -(-length // season)
    deviation = np.pad(deviation, ((0, 0), (seasons * season - length, 0)), constant_values=np.nan)
    folded = deviation.reshape(count, seasons, season)
    present = np.isfinite(folded)
    weights = present * decay ** np.arange(seasons - 1, -1, -1)[:, None]
    total = weights.sum(axis=1)
    values = np.where(present, folded, 0.0)
    shape = (weights * values).sum(axis=1) / np.maximum(total, 1e-12)
    complete = (total > 0).all(axis=1)
    shape = np.where(complete[:, None], shape - shape.mean(axis=1, keepdims=True), 0.0)
    noise = (weights * (values - shape[:, None]) ** 2).sum(axis=(1, 2))
    free = np.maximum(present.sum(axis=(1, 2)) - season, 1)
    variance = noise / np.maximum(total.sum(axis=1), 1e-12) * present.sum(axis=(1, 2)) / free
    effective = total.sum(axis=1) ** 2 / np.maximum((weights**2).sum(axis=(1, 2)), 1e-12) / season
    between = (shape**2).sum(axis=1) / max(season - 1, 1)
    once = present.sum(axis=(1, 2)) < 2 * season
    keep = np.where(once, 0.5, 1 - variance / np.maximum(effective, 1) / np.maximum(between, 1e-300))
    return np.asarray(shape * np.clip(keep, 0, 1)[:, None])


def at_history(shape: FloatArray, length: int) -> FloatArray:
    """A shape (R, m) laid over the `length` steps before the end it belongs to: (R, length)."""
    return shape[:, np.arange(-length, 0) % shape.shape[1]]


def at_future(shape: FloatArray, horizon: int) -> FloatArray:
    """A shape (R, m) laid over the steps after its end: (R, H)."""
    return shape[:, np.arange(horizon) % shape.shape[1]]
