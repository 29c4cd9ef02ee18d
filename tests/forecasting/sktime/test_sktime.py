"""The forecaster in sktime; all of sktime's own checks: benchmarks/conformance.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.forecasting.common import network_only

pytest.importorskip("sktime")
# sktime's own, about its next version.
pytestmark = pytest.mark.filterwarnings("ignore:The default of config:FutureWarning")

from titans_ts.forecasting.sktime import TitansSktimeForecaster  # noqa: E402

DAYS = pd.period_range("2024-01-01", periods=60, freq="D")


def series(length: int = 60, shift: float = 0.0) -> pd.Series[Any]:
    return pd.Series(shift + np.arange(length) % 7.0, DAYS[:length], name="sales")


@pytest.fixture(scope="module")
def model() -> TitansSktimeForecaster:
    return TitansSktimeForecaster(network_only(max_steps=0)).fit(series(50), fh=[1, 7])


def test_it_is_the_forecaster(model: TitansSktimeForecaster) -> None:
    assert model.forecaster_.prediction_length == 7
    own = model.forecaster_.predict(prediction_length=(1, 7))
    found = model.predict()
    assert found.name == "sales"
    assert found.index.equals(DAYS[[50, 56]])
    assert found.tolist() == own["0.5"].tolist()
    quantiles = model.predict_quantiles(alpha=[0.05, 0.15])
    assert quantiles.columns.tolist() == [("sales", 0.05), ("sales", 0.15)]
    assert quantiles[("sales", 0.05)].tolist() == own["0.05"].tolist()
    with pytest.raises(ValueError, match="beyond the trained ones"):
        model.predict_quantiles(alpha=[0.001])


def test_update_moves_the_cutoff(model: TitansSktimeForecaster) -> None:
    later = model.clone().fit(series(50), fh=[1, 7]).update(series(60)[50:])
    assert later.predict().index.equals(pd.period_range("2024-03-01", periods=7, freq="D")[[0, 6]])


def test_series_of_a_panel_may_end_at_different_times() -> None:
    panel = pd.concat({"b": series(50).to_frame(), "a": series(47, 20.0).to_frame()}, names=["shop", "day"])
    found = TitansSktimeForecaster(network_only(max_steps=0)).fit(panel).predict(fh=[2])
    assert found.index.names == ["shop", "day"]
    assert found.index.tolist() == [("b", DAYS[51]), ("a", DAYS[51])]
    assert found.loc["a"].iloc[0, 0] > 15 > found.loc["b"].iloc[0, 0]


def test_pretrained_takes_the_place_of_a_forecaster() -> None:
    with pytest.raises(ValueError, match="pass one of them"):
        TitansSktimeForecaster(network_only(), pretrained="zero").fit(series(50))
