"""Scores of a backtest's windows: of a forecaster, of its parts, of single experts and of baselines.

Shapes: W windows (items × cutoffs), P horizon steps, M channels, Q quantile levels, T steps of a series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from titans_datasets.series import SeriesRecord, Windows
from titans_datasets.series.time.wall_clock import WallClock
from titans_ts.forecasting import metrics
from titans_ts.forecasting.backtest.windows import Scored, scored_rows, window_rows
from titans_ts.forecasting.combination import Rows, to_rows
from titans_ts.forecasting.experts.shares import Shares
from titans_ts.forecasting.explanation import EXPERTS, mean_weights
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.interruptions import without_interruptions
from titans_ts.forecasting.forecaster.predict import forecast_windows
from titans_ts.forecasting.model.network import ForecastNetwork

FloatArray = npt.NDArray[np.float64]
MOST_ROWS = 3000


class ScoredForecaster(NamedTuple):
    """Forecasts of windows by a forecaster.

    Attributes:
        scored: them, with the values that came.
        replaced: rows of which the network's part failed a check, with the code of the reason.
        weights: (E,) of the network's part and the experts, averaged over the rows.
    """

    scored: Scored
    replaced: dict[int, int]
    weights: pd.Series[float]


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


def score_combined(fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows) -> ScoredForecaster:
    """`score_windows` of what `FittedForecaster.forecast` gives from the history before each window; interruptions
    that were over before the first window are read as missing."""
    given = records
    records, _ = without_interruptions(records, first_positions(records, windows))
    levels, horizon = fitted.levels, fitted.network.config.prediction_length
    if any(WallClock(r.start, r.frequency, r.length, 0, r.timezone).changes for r in records):
        return _by_moment(fitted, given, windows)
    histories = [channel[:cutoff] for channel, cutoff in window_rows(records, windows)]
    codes, known = _row_codes(fitted, records, windows), _known_ahead(fitted, records, windows)
    network = None
    if fitted.mixture.shares.of(codes, horizon).any():
        every = fitted.levels_with(levels)
        network = to_rows(forecast_windows(fitted.network, records, windows, every, fitted.torch_device))
    found = fitted.combine(network, histories, codes, horizon, levels, known)
    weights = mean_weights(fitted.weights_frame(found, codes))
    return ScoredForecaster(scored_rows(found.rows, given, windows), found.replaced, weights)


def _row_codes(fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows) -> list[int]:
    """Codes of the series of windows' rows."""
    codes, channels = fitted.row_codes(records), records[0].channels
    return [codes[item * channels + channel] for item in windows.items.tolist() for channel in range(channels)]


def _known_ahead(
    fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows
) -> list[FloatArray] | None:
    """Covariates of windows' rows, as far as they are known before each; None without."""
    horizon, channels = fitted.network.config.prediction_length, records[0].channels
    every = fitted.covariates(records, horizon)
    if every is None:
        return None
    pairs = zip(windows.items.tolist(), windows.positions.tolist(), strict=True)
    return [every[item * channels + m][:, : end + horizon] for item, end in pairs for m in range(channels)]


def _by_moment(fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows) -> ScoredForecaster:
    """`score_combined` where local clocks change: each window has a grid of its own."""
    horizon, channels = fitted.network.config.prediction_length, records[0].channels
    mean = np.empty((len(windows) * channels, horizon))
    quantiles = np.empty((*mean.shape, len(fitted.levels)))
    lengths = torch.tensor([record.length for record in records])
    moments = (lengths[windows.items] - windows.positions).numpy()
    replaced: dict[int, int] = {}
    weights = []
    for moment in np.unique(moments):
        places = np.flatnonzero(moments == moment)
        chosen = windows.take(torch.from_numpy(places))
        before = [
            _before(records[int(item)], int(position), horizon)
            for item, position in zip(chosen.items, chosen.positions, strict=True)
        ]
        found = fitted.combined(before, horizon, fitted.levels)
        rows = np.add.outer(places * channels, np.arange(channels)).ravel()
        mean[rows], quantiles[rows] = found.rows
        replaced.update((int(rows[row]), reason) for row, reason in found.replaced.items())
        weights.append(fitted.weights_frame(found, rows.tolist()))
    scored = scored_rows(Rows(mean, quantiles), records, windows)
    return ScoredForecaster(scored, replaced, mean_weights(pd.concat(weights)))


def _before(record: SeriesRecord, position: int, horizon: int) -> SeriesRecord:
    """The record up to a position, and what is known of the `horizon` steps after it."""
    past, known = record.past_feat_dynamic_real, record.feat_dynamic_real
    return replace(
        record,
        target=record.target[..., :position],
        past_feat_dynamic_real=None if past is None else past[:, :position],
        feat_dynamic_real=None if known is None else known[:, : position + horizon],
    )


def first_positions(records: Sequence[SeriesRecord], windows: Windows) -> list[int]:
    """Steps of each record before its first window; 0 where it has none."""
    positions, items = windows.positions.numpy(), windows.items.numpy()
    return [
        int(positions[items == item].min(initial=record.length)) if (items == item).any() else 0
        for item, record in enumerate(records)
    ]


def score_experts(fitted: FittedForecaster, records: Sequence[SeriesRecord], windows: Windows) -> dict[str, Scored]:
    """The expert mixture without the network, and some of its experts one by one.

    Single experts learn the size of their errors from all histories of the windows. They are left out where there are
    more than `MOST_ROWS` windows.
    """
    levels, horizon = fitted.levels, fitted.network.config.prediction_length
    cleaned, _ = without_interruptions(records, first_positions(records, windows))
    histories = [channel[:cutoff] for channel, cutoff in window_rows(cleaned, windows)]
    codes, known = _row_codes(fitted, records, windows), _known_ahead(fitted, records, windows)
    alone = replace(fitted, mixture=replace(fitted.mixture, shares=Shares.only(0.0)))
    mixed = alone.combine(None, histories, codes, horizon, levels, known)
    found = {EXPERTS: scored_rows(mixed.rows, records, windows)}
    if len(histories) <= MOST_ROWS:
        for name, rows in fitted.mixture.forecast_each(histories, horizon, levels).items():
            held = fitted.bounds.hold(Rows(rows.mean, rows.quantiles), histories)
            found[name] = scored_rows(held, records, windows)
    return found


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
