"""Forecasts of held-out windows by the network and by the experts, from which the network's shares are chosen.

Shapes: W windows, M channels, R = W · M rows, H horizon steps, Q quantile levels.
"""

from __future__ import annotations

import numpy as np
import torch

from titans_datasets.series import Windows
from titans_ts.forecasting.combination import to_rows
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.experts.panel import Panel, aligned
from titans_ts.forecasting.experts.shares import HeldOutForecasts
from titans_ts.forecasting.experts.windows import difference_unit
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.predict import forecast_windows

# Rows that are forecast at most: experts take about 4 ms for each.
MOST_ROWS = 800


def held_out_forecasts(fitted: FittedForecaster, validation: Windows) -> HeldOutForecasts:
    """Forecasts of some of the held-out windows, each from what lies before it.

    The experts' statistics are those of the histories before the first of these windows.

    Args:
        fitted: with a network that has not seen the windows.
        validation: held-out windows of its panel, at least one.
    """
    assert fitted.panel is not None
    records = fitted.panel.records
    channels = records[0].channels
    lengths = torch.tensor([record.length for record in records])
    windows = thinned(validation, lengths, max(1, MOST_ROWS // channels))
    moments = (lengths[windows.items] - windows.positions).numpy()
    horizon, levels = fitted.network.config.prediction_length, fitted.network.config.levels
    every = fitted.histories(records)
    rows = [
        (int(i) * channels + m, int(p))
        for i, p in zip(windows.items, windows.positions, strict=True)
        for m in range(channels)
    ]
    histories = [np.asarray(every[row][:position], dtype=np.float64) for row, position in rows]
    actual = np.stack([np.asarray(every[row][position : position + horizon]) for row, position in rows])
    season, second = fitted.mixture.season, fitted.mixture.second
    known = [history[: max(0, len(history) - int(moments.max()))] for history in every]
    mixture = FittedMixture.learn([history for history in known if len(history)], horizon, season, second)
    panel = Panel.of(aligned(histories), season)
    network = to_rows(forecast_windows(fitted.network, records, windows, levels, fitted.torch_device))
    codes = fitted.row_codes(records)
    return HeldOutForecasts(
        mixture.forecast(histories, horizon, levels).quantiles,
        network.quantiles,
        actual,
        difference_unit(panel, season) * panel.scale,
        [codes[row] for row, _ in rows],
        np.repeat(moments, channels),
    )


def thinned(windows: Windows, lengths: torch.Tensor, most: int) -> Windows:
    """At most about `most` windows: fewer moments (steps to the end of the series), then fewer series."""
    moments = lengths[windows.items] - windows.positions
    every = moments.unique()
    keep = max(1, min(len(every), most * len(every) // max(1, len(windows))))
    chosen = every[torch.linspace(0, len(every) - 1, keep).round().long()]
    windows = windows.take(torch.isin(moments, chosen))
    stride = -(-len(windows) // most)
    return windows.take(windows.items % stride == 0) if stride > 1 else windows
