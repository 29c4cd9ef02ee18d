"""PlainForecaster is TitansForecaster without scikit-learn: same parameters, same forecasts, same folders."""

from __future__ import annotations

import inspect
from pathlib import Path

import pandas as pd
import pytest

from tests.forecasting.common import frame
from titans_ts.forecasting import TitansForecaster
from titans_ts.forecasting.forecaster.continuation import forecast_table
from titans_ts.forecasting.forecaster.params import DEFAULTS
from titans_ts.forecasting.plain import PlainForecaster

SMALL = {"prediction_length": 4, "context_length": 16, "max_steps": 0, "options": {"pretrained": None}}


def forecast(model: PlainForecaster) -> pd.DataFrame:
    return forecast_table(model.fitted, frame(), model.fitted.levels)


def test_defaults_are_those_of_the_estimator() -> None:
    signature = inspect.signature(TitansForecaster.__init__).parameters
    assert {name: one.default for name, one in signature.items() if name != "self"} == DEFAULTS


def test_forecasts_backtests_and_folders_are_those_of_the_estimator(tmp_path: Path) -> None:
    plain, estimator = PlainForecaster.of(**SMALL).fit(frame()), TitansForecaster(**SMALL).fit(frame())  # type: ignore[arg-type]
    expected = estimator.predict(frame())
    assert isinstance(expected, pd.DataFrame)
    pd.testing.assert_frame_equal(forecast(plain), expected)
    found = PlainForecaster.of(**SMALL).backtest(frame(), 2)
    pd.testing.assert_frame_equal(found.metrics, TitansForecaster(**SMALL).backtest(frame(), 2).metrics)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(forecast(PlainForecaster.load(estimator.save(tmp_path / "a"))), expected)
    loaded = TitansForecaster.load(plain.save(tmp_path / "b"))
    assert loaded.get_params() == estimator.get_params()


def test_a_forecaster_from_pretrained_weights() -> None:
    plain, estimator = PlainForecaster.of("zero", max_steps=5), TitansForecaster.from_pretrained("zero", max_steps=5)
    assert plain.params == estimator.get_params(deep=False)


def test_what_is_wrong() -> None:
    with pytest.raises(TypeError, match=r"parameters must be among prediction_length, .* got horizon"):
        PlainForecaster.of(horizon=3)
    with pytest.raises(ValueError, match="call fit first"):
        _ = PlainForecaster.of().fitted


def test_another_device() -> None:
    model = PlainForecaster.of(device="cpu")
    assert model.on(None) == model and model.on("cuda").params["device"] == "cuda"
