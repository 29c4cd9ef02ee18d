"""Forecasts that repeat or average what was seen: last value, drift, means, seasonal naive, seasonal means and medians.

Shapes: N series, C cutoffs, H horizon steps, m steps of a season, K seasons.
"""

from __future__ import annotations

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
        complete = np.asarray(np.isfinite(seasons[:, :, -1]).all(axis=-1))
        # Phases beyond the horizon are not needed. An incomplete first season leaves NaN in the older ones only.
        seasons = seasons[..., :horizon].swapaxes(2, 3)
        shapes = (seasons[..., -1], quiet_mean(seasons[..., -2:]), quiet_median(seasons))
        drafts = np.stack([s[..., np.arange(horizon) % m] for s in shapes])
        return np.where(complete[None, :, :, None], drafts, np.nan)


def quiet_median(values: FloatArray) -> FloatArray:
    """Median over the last axis of the values that are there, NaN where there are none."""
    ordered = np.sort(values, axis=-1)
    last = np.maximum(np.isfinite(values).sum(axis=-1, keepdims=True) - 1, 0)
    middle = [np.take_along_axis(ordered, place, axis=-1)[..., 0] for place in (last // 2, (last + 1) // 2)]
    return np.asarray((middle[0] + middle[1]) / 2)


def quiet_mean(values: FloatArray) -> FloatArray:
    """Mean over the last axis of the values that are there, NaN where there are none."""
    present = np.isfinite(values)
    total = np.where(present, values, 0.0).sum(axis=-1)
    return np.asarray(np.where(present.any(axis=-1), total / np.maximum(present.sum(axis=-1), 1), np.nan))
