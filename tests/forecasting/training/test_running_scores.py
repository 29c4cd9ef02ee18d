"""Scores batch by batch are those of all forecasts at once, and the store's seasonal errors those of each history."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from titans_datasets.series import SyntheticSpec, WindowSpec, WindowStore, synthetic_frame, to_records
from titans_ts.forecasting import metrics
from titans_ts.forecasting.model.network import Forecast
from titans_ts.forecasting.training.running_scores import RunningScores

RECORDS = to_records(synthetic_frame(SyntheticSpec(length=60, missing=0.3, gaps=0.1))).records
STORE = WindowStore(RECORDS, WindowSpec(12, 6))
LEVELS = [0.05, 0.1, 0.5, 0.9]


def test_seasonal_errors_are_those_before_each_window() -> None:
    windows = STORE.rolling(8, 5)
    found = STORE.seasonal_errors(windows, 7)
    wanted = [
        metrics.seasonal_error(RECORDS[item].target[:position], 7)
        for item, position in zip(windows.items.tolist(), windows.positions.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)
    assert bool(STORE.seasonal_errors(windows, 59).isnan().all())


@pytest.mark.parametrize("channels", [None, 2])
def test_scores_are_those_of_all_forecasts_at_once(channels: int | None) -> None:
    torch.manual_seed(0)
    shape = (7, 6) if channels is None else (7, 6, channels)
    actual, seen = torch.randn(shape), (torch.rand(shape) > 0.3).float()
    seen[3] = 0
    quantiles = torch.randn(*shape, len(LEVELS)).sort(-1).values
    mean, scale = torch.randn(shape), torch.rand(shape[0], *shape[2:])
    scale[1], scale[2] = 0, torch.nan
    scores = RunningScores(LEVELS)
    for part in (slice(0, 4), slice(4, 7)):
        batch = {"future_target": actual[part] * seen[part], "future_observed_values": seen[part]}
        scores.add(batch, Forecast(mean[part], quantiles[part]), scale[part])
    result = scores.result()

    def flat(x: torch.Tensor) -> np.ndarray:
        return (x if channels is None else x.transpose(1, 2).flatten(0, 1)).double().numpy()

    truth = np.where(flat(seen) > 0, flat(actual), np.nan)
    median = flat(quantiles)[..., 2]
    assert result["MSE"] == pytest.approx(metrics.root_mean_squared_error(truth, flat(mean)) ** 2)
    assert result["MAE"] == pytest.approx(metrics.mean_absolute_error(truth, median))
    # Of the levels those from 0.1 to 0.9 are scored.
    wql = metrics.weighted_quantile_loss(truth, flat(quantiles)[..., 1:], LEVELS[1:])
    assert result["WQL"] == pytest.approx(wql)
    mase = metrics.mean_absolute_scaled_error(truth, median, scale.reshape(-1).double().numpy())
    assert result["MASE"] == pytest.approx(mase)


def test_nothing_observed_has_no_score() -> None:
    assert all(np.isnan(value) for value in RunningScores(LEVELS).result().values())
