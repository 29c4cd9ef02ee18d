"""Small gluonts entries and tiny estimators for the tests of the gluonts surface."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from tests.forecasting.common import values
from titans_datasets.series import parse_frequency
from titans_ts.forecasting.gluonts.estimator import TitansEstimator

HORIZON, CONTEXT = 6, 24
TINY: dict[str, Any] = {
    "prediction_length": HORIZON,
    "context_length": CONTEXT,
    "width": 8,
    "heads": 2,
    "layers": 1,
    "batch_size": 8,
    "num_batches_per_epoch": 3,
}
COUNTS = {"num_feat_dynamic_real": 2, "num_past_feat_dynamic_real": 1, "num_feat_static_real": 1}
FEATURES: dict[str, Any] = {**COUNTS, "num_feat_static_cat": 2, "cardinality": [3, 2]}
Entry = dict[str, Any]


def estimator(**changes: Any) -> TitansEstimator:
    """A tiny estimator, two epochs of three batches."""
    kwargs = {"max_epochs": 2, **changes.pop("trainer_kwargs", {})}
    return TitansEstimator(**{**TINY, **changes}, trainer_kwargs=kwargs)


def plain(freq: str = "h", items: int = 3, length: int = 90) -> list[Entry]:
    """Series in float64 with gaps, of different starts and lengths."""
    entries = []
    for item in range(items):
        target = values(length + 7 * item, 5.0 * item, item)
        target[10 : 14 + item] = np.nan
        with warnings.catch_warnings():
            # Business-day periods are deprecated in pandas.
            warnings.simplefilter("ignore", FutureWarning)
            start = pd.Period("2024-01-02", parse_frequency(freq).period_alias) + 3 * item
        entries.append({"item_id": f"item {item}", "start": start, "target": target})
    return entries


def featured(ahead: int = HORIZON, length: int = 90) -> list[Entry]:
    """The same series with features of all kinds; known ones reach `ahead` steps past the target and move it."""
    entries, random = plain(length=length), np.random.default_rng(0)
    for place, entry in enumerate(entries):
        steps = len(entry["target"])
        known = random.normal(size=(2, steps + ahead))
        known[0, 3] = np.nan
        entry["target"] = entry["target"] + 3 * np.nan_to_num(known[0, :steps])
        entry["feat_dynamic_real"] = 100 + 20 * known
        entry["past_feat_dynamic_real"] = random.normal(size=(1, steps)).astype("float32")
        entry["feat_static_real"] = np.array([1000.0 * place])
        entry["feat_static_cat"] = np.array([place, place % 2])
    return entries


def numbers(forecasts: Any) -> np.ndarray:
    """Mean and three quantiles of each forecast (I, 4, P)."""
    return np.stack([[one.mean, *(one.quantile(q) for q in (0.1, 0.5, 0.9))] for one in forecasts])
