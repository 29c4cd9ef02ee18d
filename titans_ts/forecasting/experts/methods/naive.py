"""Forecasts that repeat or average what was seen: last value, drift, means, seasonal naive, seasonal means and medians.

Shapes: N series, C cutoffs, H horizon steps, m steps of a season, K seasons.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray, Panel, rows_at

RECENT = 8
SEASONS = 5


class Naive:
    """Last value, last value with half the mean change, and the mean of the last 3 and 8 values."""

    names = ("last value", "drift", "mean of 3", f"mean of {RECENT}")

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (4, N, C, H)."""
        n, count = len(panel.values), len(cutoffs)
        rows = rows_at(panel.filled, cutoffs, RECENT)
        last = rows[:, -1].reshape(n, count)
        known = np.stack([panel.known(c) for c in cutoffs], axis=1)
        first = panel.filled[np.arange(n), np.minimum(panel.start, panel.length - 1)]
        slope = np.where(known > 2, (last - first[:, None]) / np.maximum(known - 1, 4), 0.0)
        steps = np.arange(1, horizon + 1)
        flat = [last, quiet_mean(rows[:, -3:]).reshape(n, count), quiet_mean(rows).reshape(n, count)]
        same = [np.repeat(f[..., None], horizon, axis=-1) for f in flat]
        return np.stack([same[0], same[0] + slope[..., None] * steps, same[1], same[2]])


class SeasonalNaive:
    """The last season, the mean of the last two and the median of the last five, repeated; NaN below one season."""

    def __init__(self, season: int) -> None:
        self.season = season
        self.names = tuple(
            f"{name} {season}" for name in ("seasonal naive", "mean of 2 seasons", "median of 5 seasons")
        )

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (3, N, C, H)."""
        n, m = len(panel.values), self.season
        seasons = rows_at(panel.filled, cutoffs, SEASONS * m).reshape(n, len(cutoffs), SEASONS, m)
        phases = np.arange(horizon) % m
        # A first season that is not complete leaves NaN in the older ones only.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            shapes = (seasons[:, :, -1], np.nanmean(seasons[:, :, -2:], axis=2), np.nanmedian(seasons, axis=2))
        drafts = np.stack([s[..., phases] for s in shapes])
        complete = np.asarray(np.isfinite(seasons[:, :, -1]).all(axis=-1))
        return np.where(complete[None, :, :, None], drafts, np.nan)


def quiet_mean(values: FloatArray) -> FloatArray:
    """Mean over the last axis of the values that are there, NaN where there are none."""
    present = np.isfinite(values)
    total = np.where(present, values, 0.0).sum(axis=-1)
    return np.asarray(np.where(present.any(axis=-1), total / np.maximum(present.sum(axis=-1), 1), np.nan))
