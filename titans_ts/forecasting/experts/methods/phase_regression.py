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
# Numbers of rows that are read at once.
CELLS = 300_000


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
        # Many cutoffs at once are faster than one by one, and take memory.
        count = max(1, CELLS // (length * max(1, len(panel.values))))
        for first in range(0, len(cutoffs), count):
            part = cutoffs[first : first + count]
            rows = np.stack([last_columns(panel.filled, cutoff, length) for cutoff in part])
            profile = self._solve(rows, keys[:length], weights) @ keys.T
            present = np.isfinite(rows)
            residual = np.where(present, rows - profile[..., :length], 0.0)
            future = profile[..., length:]
            both = np.stack([future, future + continue_residual(residual, present, horizon)])
            result[:, :, first : first + count] = both.swapaxes(1, 2)
        for i, cutoff in enumerate(cutoffs):
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
        """Coefficients (C, N, K) of rows (C, N, L)."""
        present = np.isfinite(rows)
        penalty = np.full(keys.shape[1], 0.5)
        penalty[0] = 1e-6
        right = (np.where(present, rows, 0.0) * weights) @ keys
        found = np.empty_like(right)
        # Where a cutoff's rows have no gap, all of them have the same products of keys.
        full = present.all(axis=(1, 2))
        if full.any():
            gram = (keys * weights[:, None]).T @ keys
            found[full] = np.linalg.solve(gram + np.diag(penalty), right[full].swapaxes(1, 2)).swapaxes(1, 2)
        if not full.all():
            products = (keys[:, :, None] * keys[:, None, :]).reshape(len(keys), -1)
            grams = ((present[~full] * weights) @ products).reshape(*right[~full].shape, keys.shape[1])
            found[~full] = np.linalg.solve(grams + np.diag(penalty), right[~full][..., None])[..., 0]
        return found


def continue_residual(residual: FloatArray, present: FloatArray, horizon: int, lags: int = LAGS) -> FloatArray:
    """Forecasts (C, N, H) of residuals (C, N, L) by an autoregression from autocovariances (Yule, Walker: it decays).

    Those of a cutoff end, and are 0 from there on, when all of its rows have decayed.
    """
    length = residual.shape[-1]
    lags = min(lags, length // 8)
    result = np.zeros((*residual.shape[:-1], horizon))
    if lags < 1:
        return result
    count = np.maximum(present.sum(axis=-1), 1)
    # Each row has as many lags as its own length allows, whatever it stands beside.
    used = np.arange(lags) < (length - present.argmax(axis=-1))[..., None] // 8
    covariance = np.stack(
        [(residual[..., k:] * residual[..., : length - k]).sum(axis=-1) / count for k in range(lags + 1)], axis=-1
    )
    spread = covariance[..., :1] + 1e-12
    correlation = covariance / spread
    order = np.abs(np.subtract.outer(np.arange(lags), np.arange(lags)))
    matrix = np.where(used[..., None] & used[..., None, :], correlation[..., order], 0.0) + 1e-3 * np.eye(lags)
    matrix += np.where(used, 0.0, 1.0)[..., None] * np.eye(lags)
    right = np.where(used, correlation[..., 1:], 0.0)
    shrink = count / (count + 10.0)
    coefficients = np.linalg.solve(matrix, right[..., None])[..., 0] * shrink[..., None]
    state = residual[..., -1 : -lags - 1 : -1].copy()
    going = np.ones(len(residual), dtype=bool)
    for h in range(horizon):
        result[going, :, h] = (state * coefficients).sum(axis=-1)[going]
        state[..., 1:] = state[..., :-1].copy()
        state[..., 0] = result[..., h]
        going &= ~(np.abs(state).max(axis=(1, 2), initial=0.0) < 1e-4)
        if not going.any():
            break
    return result
