"""Scores of a backtest's windows: of a forecaster, of its parts, of single experts and of baselines.

Shapes: W windows (items × cutoffs), P horizon steps, M channels, Q quantile levels, T steps of a series.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.series import SeriesRecord, Windows
from titans_ts.forecasting import metrics
from titans_ts.forecasting.backtest.windows import Scored, scored_rows, window_rows
from titans_ts.forecasting.combination import to_rows
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.predict import forecast_windows
from titans_ts.forecasting.model.network import ForecastNetwork

FloatArray = npt.NDArray[np.float64]


def score_windows(
    network: ForecastNetwork,
    records: Sequence[SeriesRecord],
    windows: Windows,
    levels: Sequence[float],
    device: torch.device,
) -> Scored:
    """Forecasts of windows as rows, with the actual values and the scales of MASE."""
    forecast = forecast_windows(network, records, windows, levels, device)
    return scored_rows(to_rows(forecast), records, windows)


def score_combined(
    fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows
) -> tuple[Scored, dict[int, int]]:
    """`score_windows` of what `FittedForecaster.forecast` gives from the history before each window, and the rows of
    which the network's part was replaced."""
    levels, horizon = fitted.levels, fitted.network.config.prediction_length
    histories = [channel[:cutoff] for channel, cutoff in window_rows(records, windows)]
    channels = records[0].channels
    codes = fitted.row_codes(records)
    codes = [codes[item * channels + channel] for item in windows.items.tolist() for channel in range(channels)]
    network = None
    if fitted.mixture.shares.of(codes, horizon).any():
        every = fitted.levels_with(levels)
        network = to_rows(forecast_windows(fitted.network, records, windows, every, fitted.torch_device))
    found = fitted.combine(network, histories, codes, horizon, levels)
    return scored_rows(found.rows, records, windows), found.replaced


def naive_windows(
    records: Sequence[SeriesRecord], windows: Windows, horizon: int, levels: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Seasonal-naive forecasts (W·M, P) and normal quantiles (W·M, P, Q)."""
    season = records[0].frequency.seasonality
    found = [
        metrics.seasonal_naive(channel[:cutoff], horizon, season) for channel, cutoff in window_rows(records, windows)
    ]
    mean, deviation = (np.stack(part) for part in zip(*found, strict=True))
    return mean, metrics.normal_quantiles(mean, deviation, levels)
