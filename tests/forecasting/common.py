"""Small data and small networks for the tests of the forecaster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from titans_ts.forecasting.forecaster.forecaster import TitansForecaster

SMALL: dict[str, Any] = {"width": 8, "layers": 1, "heads": 2, "progress": False, "batch_size": 32}


def forecaster(**params: Any) -> TitansForecaster:
    """A tiny forecaster: 6 steps from 24, two gradient steps; `options` are added to the small ones.

    Without pretrained reads, which cost more than all the rest: they have tests of their own.
    """
    options = {"pretrained": None, **SMALL, **params.pop("options", {})}
    chosen = {"prediction_length": 6, "context_length": 24, "max_steps": 2, "device": "cpu", **params}
    return TitansForecaster(**chosen, options=options)


def network_only(**params: Any) -> TitansForecaster:
    """`forecaster` without experts: what it forecasts is the network's."""
    options = {**params.pop("options", {}), "experts": False}
    return forecaster(**params, options=options)


def values(length: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """A daily wave with noise (T,)."""
    noise = np.random.default_rng(seed).normal(size=length)
    return 10 + shift + 3 * np.sin(2 * np.pi * np.arange(length) / 24) + 0.3 * noise


def frame(items: tuple[str, ...] = ("b", "a"), length: int = 160) -> pd.DataFrame:
    """Hourly series in long form, item after item."""
    stamps = pd.date_range("2024-01-01", periods=length, freq="h")
    parts = [
        pd.DataFrame({"item_id": item, "timestamp": stamps, "target": values(length, 5 * place, place)})
        for place, item in enumerate(items)
    ]
    return pd.concat(parts, ignore_index=True)


def with_covariates(length: int = 160, ahead: int = 0) -> pd.DataFrame:
    """One series that follows its known covariate `price`; also a past covariate, a category and a static one.

    The last `ahead` rows have no target.
    """
    data = frame(("a",), length + ahead)
    random = np.random.default_rng(3)
    data["price"] = random.normal(size=len(data))
    data["kind"] = np.where(random.random(len(data)) > 0.5, "x", "y")
    data["noise"] = random.normal(size=len(data))
    data["place"] = "north"
    data["target"] += 4 * data["price"]
    if ahead:
        data.loc[length:, "target"] = np.nan
    return data


ROLES: dict[str, Any] = {
    "known_covariates": ("price", "kind"),
    "past_covariates": ("noise",),
    "static_covariates": ("place",),
}
