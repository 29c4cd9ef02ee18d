"""The ridge regression that a network has to beat: one linear model of the shifted window, for all series.

Shapes: L context steps, P horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore
from titans_ts.core.config import TitansConfig
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.training.closed_form import fit_linear


def values_only(records: Sequence[SeriesRecord]) -> list[SeriesRecord]:
    """The records without covariates."""
    return [SeriesRecord(record.item_id, record.start, record.freq, record.target) for record in records]


def ridge_regression(records: Sequence[SeriesRecord], like: NetworkConfig) -> ForecastNetwork:
    """Fit x − mean → y − mean on all windows, the penalty chosen on the last tenth; the quantiles are the residuals'.

    It reads the series' own values only: no covariates, no calendar. Score it on `values_only` records.

    Args:
        records: series to learn from.
        like: the model it stands beside; context, horizon and quantile levels are taken from it.
    """
    least = max(1, min(like.context_length // 2, max(r.length for r in records) - like.prediction_length))
    store = WindowStore(
        values_only(records),
        WindowSpec(like.context_length, like.prediction_length, min_history=least, short="pad", calendar=()),
    )
    network = ForecastNetwork(
        NetworkConfig(
            like.context_length,
            like.prediction_length,
            patch_length=like.context_length,
            patch_stride=like.context_length,
            linear="single",
            irls_steps=0,
            quantiles=like.quantiles,
            channels=store.num_channels,
            backbone=TitansConfig(block="attention", width=2, heads=1, layers=1),
        )
    )
    held = max(1, int(store.lengths.float().median()) // (10 * like.prediction_length))
    train, last = store.split(held)
    every = store.windows()
    if len(last):
        fit_linear(network, store, train, last)
    fit_linear(network, store, every, None)
    return network.eval()
