"""Ridge regression on the phases of one or two seasons, its residual continued by a stationary autoregression.

Recent steps weigh more; keys are a constant and harmonics of each season, the same for all series of a panel.

Shapes: N series, C cutoffs, L steps read, K keys, P lags, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from titans_ts.forecasting.experts.panel import FloatArray, Panel, last_columns

HARMONICS = 6
LAGS = 12
LONGEST = 2400


class PhaseRegression:
    """Level and smooth seasons by weighted ridge; a draft without and one with the autoregression of the residual."""

    def __init__(self, seasons: Sequence[int], memory: float, harmonics: int = HARMONICS) -> None:
        """Args: seasons in steps; memory, the steps after which a reading counts 1/e; harmonics of each season."""
        self.seasons = tuple(s for s in seasons if s > 1)
        self.memory = memory
        self.harmonics = harmonics
        label = " ".join(str(s) for s in (*self.seasons, round(memory)))
        self.names = (f"phases {label}", f"phases and autoregression {label}")

    def drafts(self, panel: Panel, cutoffs: Sequence[int], horizon: int) -> FloatArray:
        """Forecasts (2, N, C, H); NaN below a season and a half of the longest season."""
        length = int(min(max(cutoffs), LONGEST, 5 * self.memory + 1))
        time = np.arange(-length, horizon, dtype=np.float64)
        keys = self._keys(time)
        weights = np.exp((time[:length] + 1) / self.memory)
        result = np.empty((2, len(panel.values), len(cutoffs), horizon))
        least = 1.5 * max(self.seasons, default=2)
        for i, cutoff in enumerate(cutoffs):
            rows = last_columns(panel.filled, cutoff, length)
            coefficients = self._solve(rows, keys[:length], weights)
            profile = coefficients @ keys.T
            residual = np.where(np.isfinite(rows), rows - profile[:, :length], 0.0)
            future = profile[:, length:]
            result[0, :, i] = future
            result[1, :, i] = future + continue_residual(residual, np.isfinite(rows), horizon)
            result[:, panel.known(cutoff) < least, i] = np.nan
        return result

    def _keys(self, time: FloatArray) -> FloatArray:
        columns = [np.ones(len(time))]
        for season in self.seasons:
            for k in range(1, min(self.harmonics, season // 2) + 1):
                angle = 2 * np.pi * k * time / season
                columns.append(np.cos(angle))
                if 2 * k < season:
                    columns.append(np.sin(angle))
        return np.stack(columns, axis=1)

    def _solve(self, rows: FloatArray, keys: FloatArray, weights: FloatArray) -> FloatArray:
        """Coefficients (N, K)."""
        present = np.isfinite(rows)
        penalty = np.full(keys.shape[1], 0.5)
        penalty[0] = 1e-6
        right = (np.where(present, rows, 0.0) * weights) @ keys
        if present.all():
            gram = (keys * weights[:, None]).T @ keys
            return np.asarray(np.linalg.solve(gram + np.diag(penalty), right.T).T)
        products = (keys[:, :, None] * keys[:, None, :]).reshape(len(keys), -1)
        grams = ((present * weights) @ products).reshape(len(rows), keys.shape[1], keys.shape[1])
        return np.asarray(np.linalg.solve(grams + np.diag(penalty), right[..., None])[..., 0])


def continue_residual(residual: FloatArray, present: FloatArray, horizon: int, lags: int = LAGS) -> FloatArray:
    """Forecasts (N, H) of residuals (N, L) by an autoregression from autocovariances (Yule and Walker: it decays)."""
    length = residual.shape[1]
    lags = min(lags, length // 8)
    if lags < 1:
        return np.zeros((len(residual), horizon))
    count = np.maximum(present.sum(axis=1), 1)
    # Each row has as many lags as its own length allows, whatever it stands beside.
    used = np.arange(lags) < (length - present.argmax(axis=1))[:, None] // 8
    covariance = np.stack(
        [(residual[:, k:] * residual[:, : length - k]).sum(axis=1) / count for k in range(lags + 1)], axis=1
    )
    spread = covariance[:, :1] + 1e-12
    correlation = covariance / spread
    order = np.abs(np.subtract.outer(np.arange(lags), np.arange(lags)))
    matrix = np.where(used[:, :, None] & used[:, None], correlation[:, order], 0.0) + 1e-3 * np.eye(lags)
    matrix += np.where(used, 0.0, 1.0)[:, :, None] * np.eye(lags)
    right = np.where(used, correlation[:, 1:], 0.0)
    shrink = count / (count + 10.0)
    coefficients = np.linalg.solve(matrix, right[..., None])[..., 0] * shrink[:, None]
    state = residual[:, -1 : -lags - 1 : -1].copy()
    result = np.zeros((len(residual), horizon))
    for h in range(horizon):
        result[:, h] = (state * coefficients).sum(axis=1)
        state[:, 1:] = state[:, :-1].copy()
        state[:, 0] = result[:, h]
        if np.abs(state).max(initial=0.0) < 1e-4:
            break
    return result
