"""Forecast of a folded history: the level of whole seasons on its own, times or plus the shape of a season.

Shapes: R rows (series × cutoffs), m steps of a season, K seasons, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from titans_ts.forecasting.experts.methods.smoothing import Bank, extrapolate, family_weights, smooth
from titans_ts.forecasting.experts.panel import FloatArray, Panel, rows_at

SEASONS = 60
RECENT = 6
DECAY = 0.8


class Fold:
    """Level by season (smoothed with a damped trend) and shape by phase (mean of recent seasons), added.

    Short seasons: a level per season has few points to learn from but little noise; inside `Logged` the two multiply.
    """

    def __init__(self, season: int) -> None:
        self.season = season
        self.bank = Bank.default()
        self.names = (f"fold {season}",)

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (1, N, C, H); NaN below two seasons."""
        m = self.season
        seasons = int(np.clip(min(panel.length, max(cutoffs)) // m, 1, SEASONS))
        folded = rows_at(panel.filled, cutoffs, seasons * m).reshape(-1, seasons, m)
        level = folded.mean(axis=2)
        known = np.isfinite(level).sum(axis=1)
        smoothed = smooth(level, self.bank)
        weights = family_weights(smoothed, self.bank, (0, 1))
        # Steps from the middle of the last season, in seasons.
        ahead = (np.arange(horizon) + 1 + (m - 1) / 2) / m
        whole = extrapolate(smoothed, self.bank, weights, ahead)
        draft = whole + self._shape(folded, level)[:, np.arange(horizon) % m]
        draft = np.where((known >= 2)[:, None], draft, np.nan)
        return draft.reshape(1, len(panel.values), len(cutoffs), horizon)

    def _shape(self, folded: FloatArray, level: FloatArray) -> FloatArray:
        """Mean deviation (R, m) of the last seasons from their levels, the trend within a season taken off."""
        recent, means = folded[:, -RECENT:], level[:, -RECENT:]
        present = np.isfinite(means)
        weights = present * DECAY ** np.arange(means.shape[1] - 1, -1, -1)
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
        deviation = np.where(present[..., None], recent - means[..., None], 0.0)
        shape = (weights[..., None] * deviation).sum(axis=1)
        change = np.diff(means, axis=1)
        there = np.isfinite(change)
        slope = np.where(there, change, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1) / self.season
        within = np.arange(self.season) - (self.season - 1) / 2
        return np.asarray(shape - slope[:, None] * within)
