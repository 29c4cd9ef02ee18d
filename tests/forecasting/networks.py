"""Small networks, stores and batches shared by the tests of this folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore
from titans_ts.core.config import TitansConfig
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.network import ForecastNetwork

CONTEXT, HORIZON = 32, 6
START = pd.Timestamp("2024-01-01")


def small_backbone(**changes: Any) -> TitansConfig:
    return TitansConfig(**{"block": "mag", "width": 8, "heads": 2, "layers": 1, "dropout": 0.0, **changes})


def series(length: int = 300, items: int = 2, seed: int = 0, known: int = 0, past: int = 0) -> list[SeriesRecord]:
    """Daily cycles with noise; known covariates act on the target at once, past ones precede it."""
    rng = np.random.default_rng(seed)
    records = []
    for item in range(items):
        steps = np.arange(length + HORIZON)
        extra = rng.standard_normal((known, length + HORIZON))
        lead = rng.standard_normal((past, length))
        target = np.sin(2 * np.pi * steps[:length] / 24 + item) + 0.1 * rng.standard_normal(length)
        target = 10 * (item + 1) + target + extra[:, :length].sum(axis=0)
        records.append(
            SeriesRecord(
                f"item {item}",
                START,
                "h",
                target,
                past_feat_dynamic_real=lead.astype(np.float32) if past else None,
                feat_dynamic_real=extra.astype(np.float32) if known else None,
            )
        )
    return records


def store_of(records: list[SeriesRecord]) -> WindowStore:
    return WindowStore(records, WindowSpec(CONTEXT, HORIZON))


def network_for(store: WindowStore, seed: int = 0, known: int = 0, **changes: Any) -> ForecastNetwork:
    torch.manual_seed(seed)
    backbone = changes.pop("backbone", small_backbone())
    config = NetworkConfig(
        context_length=CONTEXT,
        prediction_length=HORIZON,
        **{"patch_length": 8, "patch_stride": 8, "season": 8, **changes},
        time_features=store.num_time_features,
        past_features=store.num_past_features,
        known_covariates=known,
        channels=store.num_channels,
        backbone=backbone,
    )
    return ForecastNetwork(config)


def shake(network: ForecastNetwork, seed: int = 0) -> ForecastNetwork:
    """Give the zero-initialised layers weights, as training would."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for layer in (network.from_last, network.from_horizon):
            layer.weight.normal_(std=0.3)
    return network.eval()
