"""Scores summed up batch by batch, for test sets whose forecasts do not fit into memory.

The definitions are those of `titans_ts.forecasting.metrics`; missing actual values are left out.

Shapes: B batch, P horizon steps, M channels, Q quantile levels, R = B·M rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from titans_ts.forecasting.metrics import SCORED_LEVELS
from titans_ts.forecasting.model.network import Forecast
from titans_ts.forecasting.model.window import Batch, future_target

NAMES = ("MSE", "MAE", "WQL", "MASE")


class RunningScores:
    """Sums from which the scores follow; those of several processes may be added up.

    Args:
        levels: Q trained quantile levels; WQL takes 0.1 … 0.9 of them. Without 0.5 the median is the mean.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(levels)
        self.kept = [place for place, level in enumerate(self.levels) if round(level, 6) in SCORED_LEVELS]
        self.sums = torch.zeros(6 + len(self.kept), dtype=torch.float64)

    def add(self, batch: Batch, forecast: Forecast, scale: Tensor) -> None:
        """Add a batch.

        Args:
            batch: with future_target and future_observed_values (B, P[, M]).
            forecast: of that batch, with quantiles at `levels`.
            scale: (B,) or (B, M) seasonal errors of the steps before each window; rows whose scale is 0 or NaN do not
                count in MASE.
        """
        values = [future_target(batch), batch["future_observed_values"], *forecast]
        actual, seen, mean, quantiles = ((rows(x) if forecast.mean.ndim == 3 else x).double() for x in values)
        middle = quantiles[..., self.levels.index(0.5)] if 0.5 in self.levels else mean
        error = (actual - middle).abs() * seen
        counts = seen.sum(1)
        scale = scale.reshape(-1).to(error)
        scaled = (scale > 0) & (counts > 0)
        ratio = (error.sum(1) / counts.clamp_min(1))[scaled] / scale[scaled]
        level = torch.tensor(self.levels).to(error)[self.kept]
        gap = actual[..., None] - quantiles[..., self.kept]
        pinball = 2 * torch.maximum(level * gap, (level - 1) * gap) * seen[..., None]
        plain = (counts, (actual - mean).square() * seen, error, actual.abs() * seen, ratio, scaled.double())
        self.sums += torch.cat([torch.stack([x.sum() for x in plain]), pinball.sum((0, 1))]).cpu()

    def result(self) -> dict[str, float]:
        """MSE (of the mean), MAE and MASE (of the median), WQL; NaN where nothing was observed."""
        steps, squared, absolute, size, ratio, windows = self.sums[:6].tolist()
        loss = float(self.sums[6:].mean()) if self.kept else float("nan")
        values = (_over(squared, steps), _over(absolute, steps), _over(loss, size), _over(ratio, windows))
        return dict(zip(NAMES, values, strict=True))


def rows(x: Tensor) -> Tensor:
    """Channels as rows: (B, P, M, …) → (R, P, …)."""
    return x.transpose(1, 2).flatten(0, 1)


def _over(total: float, count: float) -> float:
    return total / count if count > 0 else float("nan")
