"""Forecasts of held-out windows by the network and by the experts, from which the network's shares are chosen.

Shapes: W windows, M channels, R = W · M rows, H horizon steps, Q quantile levels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from titans_datasets.series import Windows
from titans_ts.forecasting.combination import to_rows
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.experts.panel import Panel, aligned
from titans_ts.forecasting.experts.shares import HeldOutForecasts, Shares, choose_shares
from titans_ts.forecasting.experts.windows import difference_unit
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.predict import forecast_windows
from titans_ts.forecasting.model.network import ForecastNetwork

# Rows that are forecast at most: experts take about 4 ms for each, pretrained reads up to 20 ms.
MOST_ROWS, MOST_READ = 800, 240


class Weighing:
    """Held-out windows of a panel, forecast by the experts once and by a network whenever one is weighed.

    Each window is forecast from what lies before it; the experts' statistics are those of the histories before the
    first of these windows, and the pretrained reads beside them have the same share everywhere.

    Args:
        fitted: its panel, schema, season and levels; the network is not read.
        validation: held-out windows of the panel, at least one.
    """

    def __init__(self, fitted: FittedForecaster, validation: Windows) -> None:
        assert fitted.panel is not None
        self.fitted, self.records = fitted, fitted.panel.records
        self.lengths = torch.tensor([record.length for record in self.records])
        most = MOST_ROWS if fitted.mixture.companion is None else MOST_READ
        self.windows = thinned(validation, self.lengths, max(1, most // self.records[0].channels))

    def shares(self, network: ForecastNetwork) -> Shares:
        """The shares of a network that has not seen the windows, and the widths of what it forecasts with experts."""
        levels, device = network.config.levels, self.fitted.torch_device
        found = to_rows(forecast_windows(network, self.records, self.windows, levels, device))
        return choose_shares(self.experts._replace(network=found.quantiles), levels)

    @cached_property
    def experts(self) -> HeldOutForecasts:
        """The experts' forecasts; the network's are theirs."""
        fitted, channels = self.fitted, self.records[0].channels
        moments = (self.lengths[self.windows.items] - self.windows.positions).numpy()
        horizon, levels = fitted.network.config.prediction_length, fitted.network.config.levels
        every = fitted.histories(self.records)
        rows = [
            (int(i) * channels + m, int(p))
            for i, p in zip(self.windows.items, self.windows.positions, strict=True)
            for m in range(channels)
        ]
        histories = [np.asarray(every[row][:position], dtype=np.float64) for row, position in rows]
        actual = np.stack([np.asarray(every[row][position : position + horizon]) for row, position in rows])
        season, second = fitted.mixture.season, fitted.mixture.second
        known = [history[: max(0, len(history) - int(moments.max()))] for history in every]
        covariates = fitted.covariates(self.records, horizon)
        mixture = FittedMixture.learn(known, horizon, season, second, covariates)
        mixture = replace(mixture, companion=fitted.mixture.companion)
        panel, codes = Panel.of(aligned(histories), season), fitted.row_codes(self.records)
        ahead = None if covariates is None else [covariates[row][:, : position + horizon] for row, position in rows]
        quantiles = mixture.forecast(histories, horizon, levels, covariates=ahead).quantiles
        unit = difference_unit(panel, season) * panel.scale
        names = [codes[row] for row, _ in rows]
        return HeldOutForecasts(quantiles, quantiles, actual, unit, names, np.repeat(moments, channels))


def thinned(windows: Windows, lengths: torch.Tensor, most: int) -> Windows:
    """At most about `most` windows: fewer moments (steps to the end of the series), then fewer series."""
    moments = lengths[windows.items] - windows.positions
    every = moments.unique()
    keep = max(1, min(len(every), most * len(every) // max(1, len(windows))))
    chosen = every[torch.linspace(0, len(every) - 1, keep).round().long()]
    windows = windows.take(torch.isin(moments, chosen))
    items = windows.items.unique()
    stride = -(-len(windows) // most)
    return windows.take(torch.isin(windows.items, items[::stride])) if stride > 1 else windows
