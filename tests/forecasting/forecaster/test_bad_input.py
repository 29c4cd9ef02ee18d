"""Bad input: a clear error with what was expected, and nothing lost."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.forecasting.common import ROLES, forecaster, frame, network_only, values, with_covariates
from titans_datasets.series import SeriesWarning, ShortSeriesWarning
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster
from titans_ts.forecasting.model.network import ForecastNetwork


@pytest.fixture(scope="module")
def fitted() -> TitansForecaster:
    return forecaster().fit(frame())


@pytest.mark.parametrize("data", [pd.DataFrame(), frame()[:0], np.empty(0), [], {}])
def test_empty(data: object) -> None:
    with pytest.raises(ValueError, match=r"no rows|not found"):
        forecaster().fit(data)


def test_missing_column_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="'sales' not found, the data have 'item_id', 'timestamp', 'target'"):
        forecaster(target_column="sales").fit(frame())


def test_target_that_is_no_number() -> None:
    with pytest.raises(TypeError, match="target 'target' must be numeric"):
        forecaster().fit(frame().assign(target="high"))


def test_duplicate_stamps(fitted: TitansForecaster) -> None:
    data = pd.concat([frame(), frame()[5:6]])
    for call in (forecaster().fit, fitted.predict, forecaster().backtest):
        with pytest.raises(ValueError, match=r"2024-01-01 05:00"):
            call(data)


def test_unsorted_rows_are_sorted_and_said_once() -> None:
    with pytest.warns(SeriesWarning, match="sorted") as caught:
        forecast = forecaster().fit(frame()[::-1]).predict()
    assert len(caught) == 1
    expected = forecaster().fit(frame()).predict()
    merged = forecast.merge(expected, on=["item_id", "timestamp"])
    assert np.abs(merged["mean_x"] - merged["mean_y"]).max() < 0.1


def test_irregular_steps(fitted: TitansForecaster) -> None:
    data = frame(("a",))
    data.loc[7, "timestamp"] += pd.Timedelta(minutes=17)
    for call in (forecaster().fit, fitted.predict):
        with pytest.raises(ValueError, match="07:17"):
            call(data)


def test_another_time_step_at_predict(fitted: TitansForecaster) -> None:
    coarse = frame(("a",), 20).assign(timestamp=pd.date_range("2024-01-01", periods=20, freq="D"))
    with pytest.raises(ValueError, match="a value at most every 24 steps of h, which is the step of the fit"):
        fitted.predict(coarse)
    with pytest.raises(ValueError, match="one at most every 24 steps: pass freq= of the data"):
        forecaster(freq="h").fit(coarse)
    fine = frame(("a",), 20).assign(timestamp=pd.date_range("2024-01-01", periods=20, freq="15min"))
    with pytest.raises(ValueError, match="00:15"):
        fitted.predict(fine)


def test_all_series_too_short() -> None:
    """Too short for the network: the experts forecast, and a warning says so; without experts it is refused."""
    with pytest.warns(SeriesWarning, match=r"experts without a network: 2 series shorter .*\(10 steps, 8 missing\)"):
        model = forecaster().fit(frame(length=10))
    assert np.isfinite(model.predict()["mean"]).all() and (model.experts_["linear part"] == 0).all()
    with pytest.raises(ValueError, match=r"\(10 steps, 8 missing\).*lower prediction_length or min_history"):
        network_only().fit(frame(length=10))


def test_short_series_among_others_are_skipped_padded_or_refused() -> None:
    data = frame()
    data = data[(data["item_id"] == "b") | (data["timestamp"] < data["timestamp"][9])]
    with pytest.warns(ShortSeriesWarning, match=r"'a' \(9 steps, 9 missing\).*left out of training"):
        forecast = forecaster().fit(data).predict()
    assert list(pd.unique(forecast["item_id"])) == ["b", "a"]
    assert np.isfinite(forecast["mean"]).all()
    assert np.isfinite(forecaster(options={"short_series": "pad"}).fit(data).predict()["mean"]).all()
    with pytest.raises(ValueError, match="1 series shorter than"):
        forecaster(options={"short_series": "error"}).fit(data)


def test_all_missing_series(fitted: TitansForecaster) -> None:
    data = frame()
    data.loc[data["item_id"] == "a", "target"] = np.nan
    with pytest.warns(SeriesWarning, match="1 item without any value skipped: 'a'"):
        assert list(pd.unique(fitted.predict(data)["item_id"])) == ["b"]
    with pytest.warns(SeriesWarning, match="1 item without any value skipped: 'a'"):
        forecaster().fit(data)
    for call in (forecaster().fit, fitted.predict, forecaster().backtest):
        with pytest.raises(ValueError, match="'a' has no observed value"):
            call(data[data["item_id"] == "a"])


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values(value: float, fitted: TitansForecaster) -> None:
    data = frame()
    data.loc[40, "target"] = value
    for call in (forecaster().fit, fitted.predict):
        with pytest.raises(ValueError, match="'b' has an infinite or too large value at 2024-01-02 16:00"):
            call(data)


@pytest.mark.parametrize("head", ["quantile", "student_t", "point", "negative_binomial"])
@pytest.mark.parametrize("level", [7.0, 0.0, 3e6])
def test_constant_series(level: float, head: str) -> None:
    forecast = forecaster(options={"head": head}).fit(np.full(100, level)).predict(prediction_length=9)
    numbers = forecast.drop(columns=["item_id", "timestamp"]).to_numpy()
    assert np.isfinite(numbers).all()
    if head != "negative_binomial":
        assert np.abs(numbers - level).max() <= max(1e-3, 1e-3 * level)


def test_constant_series_beside_others_and_in_a_backtest() -> None:
    data = frame()
    data.loc[data["item_id"] == "a", "target"] = 4.0
    result = forecaster().backtest(data, windows=2)
    flat = result.forecasts[result.forecasts["item_id"] == "a"]
    assert np.abs(flat["0.5"] - 4).max() < 0.01
    assert np.isfinite(result.metrics.to_numpy()).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"prediction_length": 0}, "prediction_length must be an integer ≥ 1 .*got 0"),
        ({"prediction_length": -3}, "prediction_length must be an integer ≥ 1 .*got -3"),
        ({"prediction_length": 2.5}, r"prediction_length must be an integer ≥ 1 .*got 2\.5"),
        ({"prediction_length": True}, "prediction_length must be an integer"),
        ({"context_length": 0}, "context_length must be an integer ≥ 1"),
        ({"quantiles": (0.1, 1.5)}, "quantiles must be different numbers between 0 and 1"),
        ({"quantiles": ()}, "quantiles must be"),
        ({"quantiles": 0.5}, "quantiles must be"),
        ({"block": "lstm"}, "block must be one of .*got 'lstm'"),
        ({"known_covariates": "price"}, "known_covariates must be a tuple of column names, got 'price'"),
        ({"max_steps": -1}, "max_steps must be an integer ≥ 0"),
        ({"time_budget": 0}, "time_budget must be a number > 0"),
        ({"device": "quantum"}, "device must be 'auto', 'cpu'"),
        ({"device": "cuda:77"}, "device 'cuda:77' is not there"),
        ({"freq": "fortnight"}, "is not a frequency"),
        ({"options": {"widht": 8}}, "option 'widht' is unknown .did you mean 'width'.*choose among"),
        ({"options": {"memory": {"size": 8}}}, "memory option 'size' is unknown"),
        ({"options": {"width": 7}}, "width must be a multiple of"),
        ({"options": {"head": "magic"}}, "head must be"),
        ({"options": {"short_series": "drop"}}, "short_series must be 'skip', 'pad' or 'error'"),
        ({"options": {"validation_windows": -1}}, "validation_windows must be an integer ≥ 0"),
        ({"options": {"patch_length": 50}}, "lower patch_length or raise context_length"),
        ({"options": {"min_history": 30}}, "min_history must be ≤ context_length"),
        ({"options": {"learning_rate": 0}}, "learning_rate must be > 0"),
    ],
)
def test_parameters_out_of_range(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forecaster(**params).fit(frame())


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_horizon_at_predict(steps: Any, fitted: TitansForecaster) -> None:
    with pytest.raises(ValueError, match="prediction_length must be an integer ≥ 1"):
        fitted.predict(prediction_length=steps)


def test_quantiles_beyond_the_trained_ones(fitted: TitansForecaster) -> None:
    for level in (0.03, 0.99):
        with pytest.raises(ValueError, match=rf"quantile level {level} lies beyond the trained ones, 0\.05 to 0\.95"):
            fitted.predict_quantiles(quantiles=[0.5, level])


def test_quantiles_between_the_trained_ones(fitted: TitansForecaster) -> None:
    """Linear between neighbours, and what was trained as it is."""
    frame = fitted.predict_quantiles(quantiles=[0.9, 0.15, 0.1, 0.2, 0.875])
    assert frame.columns[2:].tolist() == ["0.9", "0.15", "0.1", "0.2", "0.875"]
    trained = fitted.predict_quantiles()
    assert frame[["0.1", "0.2", "0.9"]].equals(trained[["0.1", "0.2", "0.9"]])
    np.testing.assert_allclose(frame["0.15"], (frame["0.1"] + frame["0.2"]) / 2)
    np.testing.assert_allclose(frame["0.875"], 0.25 * trained["0.8"] + 0.75 * trained["0.9"])
    # 0.5 − 0.9 / 2 is a hair below 0.05.
    assert fitted.predict_quantiles(quantiles=[0.5 - 0.9 / 2])["0.05"].equals(trained["0.05"])


def test_future_covariates_missing() -> None:
    data = with_covariates()
    model = forecaster(**ROLES).fit(data)
    with pytest.raises(ValueError, match="known covariates 'price', 'kind' need values for the next 6 steps"):
        model.predict()
    ahead = with_covariates(ahead=6)[160:]
    with pytest.raises(ValueError, match="missing for item 'a' at '2024-01-07 18:00:00'; 1 row in 1 item"):
        model.predict(future=ahead.drop(index=162))
    ahead.loc[163, "price"] = np.nan
    with pytest.raises(ValueError, match="missing for item 'a' at '2024-01-07 19:00:00'"):
        model.predict(future=ahead)
    with pytest.raises(ValueError, match="the future frame lacks 'price'"):
        model.predict(future=ahead.drop(columns="price"))


def test_covariates_that_differ_from_fit() -> None:
    data = with_covariates()
    model, ahead = forecaster(**ROLES).fit(data), with_covariates(ahead=6)[160:]
    with pytest.raises(ValueError, match="column 'noise' not found"):
        model.predict(data.drop(columns="noise"), future=ahead)
    with pytest.raises(ValueError, match="'price' was numeric at fit and is category now"):
        model.predict(data.assign(price="cheap"), future=ahead)
    with pytest.warns(SeriesWarning, match="'kind' has levels not seen at fit: 'z'"):
        assert np.isfinite(model.predict(data.assign(kind="z"), future=ahead)["mean"]).all()
    with pytest.raises(ValueError, match="need a long DataFrame"):
        model.predict(values(100), future=ahead)


def test_other_items_than_those_mixed() -> None:
    model = forecaster(options={"channel_mixing": True}).fit(frame())
    with pytest.raises(ValueError, match=r"mixes the series \['b', 'a'\], got \['b'\]"):
        model.predict(frame(("b",)))
    with pytest.raises(ValueError, match="works without covariates"):
        forecaster(**ROLES, options={"channel_mixing": True}).fit(with_covariates())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_loss_that_is_not_finite(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = forecaster(max_steps=10, options={"experts": False}).fit(frame())
    before = model.predict()
    real = ForecastNetwork.row_losses

    def losses(self: ForecastNetwork, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        total, observed = real(self, batch)
        return total * (bad if self.training else 1.0), observed

    with monkeypatch.context() as patched, pytest.raises(ValueError, match="lower learning_rate"):
        patched.setattr(ForecastNetwork, "row_losses", losses)
        model.fit(frame().assign(target=lambda x: x["target"] * 2))
    # The model of the fit before is still there.
    pd.testing.assert_frame_equal(model.predict(), before)


def test_ctrl_c_keeps_the_best_model_so_far() -> None:
    started = threading.Event()
    real = ForecastNetwork.row_losses

    def losses(self: ForecastNetwork, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        if self.training:
            started.set()
        return real(self, batch)

    def interrupt() -> None:
        started.wait(30)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.getsignal(signal.SIGINT)
    model = forecaster(max_steps=100_000, options={"experts": False, "patience": 1000, "checks": 1000})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ForecastNetwork, "row_losses", losses)
        thread.start()
        model.fit(frame())
        thread.join()
    assert model.training_.stopped == "interrupted"
    assert 0 < model.training_.steps < 100_000
    assert np.isfinite(model.predict()["mean"]).all()
    assert signal.getsignal(signal.SIGINT) is before


def test_messages_are_for_people() -> None:
    """No message of this file is longer than a short paragraph, none names an inner file."""
    with pytest.raises(ValueError) as caught:
        forecaster(options={"widht": 8}).fit(frame())
    assert not re.search(r"\.py|Traceback", str(caught.value))
