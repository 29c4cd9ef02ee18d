"""The linear map that a network has to beat: one closed-form ridge map of the shifted window, shared by all series.

Shapes: L context steps, P horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore
from titans_ts.core.config import TitansConfig
from titans_ts.forecasting.network import ForecastNetwork, NetworkConfig
from titans_ts.forecasting.rolling import CHUNK, batches

MOST_WINDOWS = 60_000


def values_only(records: Sequence[SeriesRecord]) -> list[SeriesRecord]:
    """The records without covariates."""
    none = {
        name: None for name in ("past_feat_dynamic_real", "feat_dynamic_real", "feat_static_cat", "feat_static_real")
    }
    return [replace(record, **none) for record in records]


def plain_linear_map(records: Sequence[SeriesRecord], like: NetworkConfig) -> ForecastNetwork:
    """Fit x − mean → y − mean on all windows, the penalty chosen on the last tenth; the quantiles are the residuals'.

    The map reads the series' own values only: no covariates, no calendar. Score it on `values_only` records.

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
            shortcut="single",
            quantiles=like.quantiles,
            channels=store.num_channels,
            backbone=TitansConfig(block="attention", width=2, heads=1, layers=1),
        )
    )
    held = max(1, int(store.lengths.float().median()) // (10 * like.prediction_length))
    train, last = store.split(held)
    every = store.windows()
    cpu = torch.device("cpu")
    thin = [part.take(slice(None, None, max(1, len(part) // MOST_WINDOWS))) for part in (train, every)]
    if len(last):
        network.fit_shortcut(partial(batches, store, thin[0], cpu, CHUNK), partial(batches, store, last, cpu, CHUNK))
    network.fit_shortcut(partial(batches, store, thin[1], cpu, CHUNK))
    return network.eval()
