"""Experts in other units than the history's: logarithms, in which seasons multiply and growth is geometric.

Shapes: N series, T steps, C cutoffs, H horizon steps, E drafts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from titans_ts.forecasting.experts.panel import Expert, FloatArray, Panel

# Where a series moves by less than this share of its level, logarithms change nothing but its rounding.
LEAST_MOVEMENT = 0.01
# Forecasts in logarithms beyond this many mean deviations above the highest value are not followed.
MOST = 4.0


class Logged:
    """An expert on the logarithms of positive series; NaN for all others and for levels far above their movement."""

    def __init__(self, expert: Expert) -> None:
        self.expert = expert
        self.names = tuple(f"log {name}" for name in expert.names)

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (E, N, C, H)."""
        result = np.full((len(self.names), len(panel.values), len(cutoffs), horizon), np.nan)
        raw = panel.raw()
        positive = np.nan_to_num(raw, nan=np.inf).min(axis=1) > 0
        moving = panel.scale > LEAST_MOVEMENT * np.abs(panel.location)
        rows = np.flatnonzero(positive & moving & (panel.start < panel.length))
        if not len(rows):
            return result
        values = np.log(raw[rows])
        inner = Panel.of(values, getattr(self.expert, "season", 1))
        drafts = self.expert.drafts(inner, cutoffs, horizon)
        top = np.nanmax(inner.values, axis=1) + MOST
        drafts = np.exp(inner.restore(np.minimum(drafts, top[:, None, None])))
        location, scale = panel.location[rows][:, None, None], panel.scale[rows][:, None, None]
        result[:, rows] = (drafts - location) / scale
        return result
