"""Demand with many zeros: how often and how much, both smoothed (Teunter, Syntetos and Babai).

Shapes: N series, C cutoffs, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray, Panel

CHANCE, SIZE = 0.08, 0.15


class Intermittent:
    """Smoothed chance of a demand times its smoothed size; NaN for series below 0 or with few zeros."""

    names = ("intermittent demand",)

    def __init__(self, least_zeros: float = 0.15) -> None:
        self.least_zeros = least_zeros

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (1, N, C, H)."""
        n = len(panel.values)
        result = np.full((1, n, len(cutoffs), horizon), np.nan)
        zero = -panel.location / panel.scale
        filled = panel.filled - zero[:, None]
        tolerance = 1e-9 * np.maximum(1.0, np.abs(zero))[:, None]
        nothing = np.abs(filled) <= tolerance
        seen = np.isfinite(filled)
        share = nothing.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        below = (np.where(seen, filled, 0.0) < -tolerance).any(axis=1)
        rows = np.flatnonzero((share >= self.least_zeros) & ~below)
        if not len(rows):
            return result
        chance, size = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        wanted = {c: i for i, c in enumerate(cutoffs)}
        for t in range(int(panel.start[rows].min()), max(cutoffs)):
            value, there = filled[rows, t], seen[rows, t]
            age = t - panel.start[rows] + 1
            demand = there & ~nothing[rows, t]
            rate = np.maximum(CHANCE, 1.0 / np.maximum(age, 1))
            moved = np.nan_to_num(chance) + rate * (demand - np.nan_to_num(chance))
            chance = np.where(there, moved, chance)
            size = np.where(demand, np.where(np.isnan(size), value, size + SIZE * (value - size)), size)
            if t + 1 in wanted:
                mean = np.nan_to_num(chance) * np.nan_to_num(size) + zero[rows]
                result[0, rows, wanted[t + 1]] = np.where(there, mean, np.nan)[:, None]
        return result
