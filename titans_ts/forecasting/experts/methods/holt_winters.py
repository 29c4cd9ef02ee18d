"""Smoothing with a season that adapts: a bank of additive Holt-Winters filters, read at every cutoff of one run.

Shapes: N series, C cutoffs, G members of the bank, m steps of a season, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray, IntArray, Panel

LIKELIHOOD_POINTS = 60
SEASONS_READ = 12
LEAST_READ = 240
DAMPING = 0.9
MEMBERS = tuple((a, b, g) for b in (0.0, 0.1) for a in (0.03, 0.12, 0.35, 0.75) for g in (0.04, 0.15, 0.4))


class HoltWinters:
    """Additive season, level and damped trend; members averaged by the likelihood of their one-step errors so far."""

    def __init__(self, season: int) -> None:
        self.season = season
        self.names = (f"Holt-Winters {season}",)

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (1, N, C, H); NaN below two seasons and one step."""
        m, n = self.season, len(panel.values)
        result = np.full((1, n, len(cutoffs), horizon), np.nan)
        origin = max(0, min(cutoffs) - max(SEASONS_READ * m, LEAST_READ))
        start = np.maximum(panel.start, origin)
        usable = np.flatnonzero(start + 2 * m < max(cutoffs))
        if not len(usable):
            return result
        filled, start = panel.filled[usable], start[usable]
        alpha, beta, gamma = (np.array(column) for column in zip(*MEMBERS, strict=True))
        gamma = gamma * (1 - alpha)
        level, season = _first_states(filled, start, m)
        level = np.repeat(level[:, None], len(alpha), axis=1)
        season = np.repeat(season[:, None], len(alpha), axis=1)
        trend, loss = np.zeros_like(level), np.zeros_like(level)
        wanted = {c: i for i, c in enumerate(cutoffs)}
        for t in range(int(start.min()), max(cutoffs)):
            phase = season[:, :, t % m]
            ahead = level + DAMPING * trend
            error = filled[:, t, None] - ahead - phase
            error = np.where(t >= start[:, None], error, 0.0)
            level = ahead + alpha * error
            trend = DAMPING * trend + alpha * beta * error
            season[:, :, t % m] = phase + gamma * error
            loss += np.where(t >= start[:, None] + m, error * error, 0.0)
            if t + 1 in wanted:
                drafts = self._read(level, trend, season, loss, start, t + 1, horizon)
                enough = (start + 2 * m < t + 1)[:, None]
                result[0, usable, wanted[t + 1]] = np.where(enough, drafts, np.nan)
        return result

    def _read(
        self,
        level: FloatArray,
        trend: FloatArray,
        season: FloatArray,
        loss: FloatArray,
        start: IntArray,
        cutoff: int,
        horizon: int,
    ) -> FloatArray:
        points = np.maximum(cutoff - start - self.season, 1)[:, None]
        score = -0.5 * np.minimum(points, LIKELIHOOD_POINTS) * np.log(loss / points + 1e-12)
        weights = np.exp(score - score.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        steps = np.arange(1, horizon + 1)
        damped = DAMPING * (1 - DAMPING**steps) / (1 - DAMPING)
        shape = np.einsum("ng,ngm->nm", weights, season)[:, (cutoff + steps - 1) % self.season]
        return np.asarray((weights * level).sum(1)[:, None] + (weights * trend).sum(1)[:, None] * damped + shape)


def _first_states(filled: FloatArray, start: IntArray, season: int) -> tuple[FloatArray, FloatArray]:
    """Level (N,) before the start and seasonal states (N, m) by time modulo m, from the first two seasons."""
    window = np.minimum(start[:, None] + np.arange(2 * season), filled.shape[1] - 1)
    first = np.take_along_axis(filled, window, axis=1).reshape(-1, 2, season)
    means = first.mean(axis=2)
    slope = (means[:, 1] - means[:, 0]) / season
    within = np.arange(season) - (season - 1) / 2
    deviation = (first - means[..., None]).mean(axis=1) - slope[:, None] * within
    states = np.empty_like(deviation)
    phases = (start[:, None] + np.arange(season)) % season
    np.put_along_axis(states, phases, deviation, axis=1)
    return means[:, 0] - slope * (season + 1) / 2, states
