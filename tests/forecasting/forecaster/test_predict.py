"""Rolling against a network whose forecasts are known: a random walk and white noise."""

from __future__ import annotations

from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from titans_datasets.series import SeriesRecord
from titans_ts.forecasting.forecaster.predict import forecast_records, weighted_quantiles
from titans_ts.forecasting.model.config import DEFAULT_QUANTILES
from titans_ts.forecasting.model.network import Forecast
from titans_ts.forecasting.model.window import Batch

STEPS = 6


class Known(torch.nn.Module):
    """Forecasts the last value with a spread of √h (a random walk), or zero with spread 1 (white noise)."""

    def __init__(self, walk: bool) -> None:
        super().__init__()
        self.walk = walk
        self.config = SimpleNamespace(
            prediction_length=STEPS,
            context_length=4,
            season=1,
            quantiles=DEFAULT_QUANTILES,
            calendar=(),
            levels=list(DEFAULT_QUANTILES),
        )

    def forward(self, batch: Batch, levels: list[float]) -> Forecast:
        last = batch["past_target"][:, -1:] * self.walk
        spread = torch.arange(1, STEPS + 1.0).sqrt() if self.walk else torch.ones(STEPS)
        normal = torch.tensor([NormalDist().inv_cdf(level) for level in levels])
        mean = last.expand(-1, STEPS)
        return Forecast(mean, mean[..., None] + spread[:, None] * normal)


def width(walk: bool, level: float = 0.9) -> np.ndarray:
    record = SeriesRecord("a", pd.Timestamp("2024-01-01"), "h", np.arange(10.0))
    forecast = forecast_records(Known(walk), [record], 4 * STEPS, [1 - level, level], torch.device("cpu"))  # type: ignore[arg-type]
    centre = 9.0 if walk else 0.0
    assert forecast.mean.numpy() == pytest.approx(np.full((1, 4 * STEPS), centre), abs=1e-4)
    assert forecast.quantiles.sum(-1).numpy() == pytest.approx(np.full((1, 4 * STEPS), 2 * centre), abs=1e-3)
    return np.asarray(forecast.quantiles.diff(dim=-1)[0, :, 0]) / 2 / NormalDist().inv_cdf(level)


def test_intervals_of_a_random_walk_grow_with_the_root() -> None:
    found, truth = width(walk=True), np.sqrt(np.arange(1, 4 * STEPS + 1))
    assert found[:STEPS] == pytest.approx(truth[:STEPS], rel=1e-5)
    # Paths keep their level (wider), cut tails (narrower): together within a quarter of the truth.
    assert np.abs(found / truth - 1).max() < 0.25


def test_intervals_of_white_noise_stay() -> None:
    assert width(walk=False) == pytest.approx(np.ones(4 * STEPS), rel=1e-4)


def test_weighted_quantiles_by_hand() -> None:
    values, weights = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0.5, 0.25, 0.25])
    # Middles of the sorted masses: 1 at 0.125, 2 at 0.375, 3 at 0.75.
    found = weighted_quantiles(values, weights, [0.01, 0.125, 0.25, 0.375, 0.5625, 0.75, 0.99])
    assert found.tolist() == pytest.approx([1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0])
