"""A forecaster without training: from pretrained weights and the experts."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tests.forecasting.common import ROLES, frame, with_covariates
from titans_datasets.series import SeriesWarning
from titans_ts.forecasting import TitansForecaster
from titans_ts.forecasting.pretrained.reads import NAME

LEVELS = (0.1, 0.5, 0.9)


def untrained(horizon: int = 6, **params) -> TitansForecaster:
    return TitansForecaster.from_pretrained("zero", prediction_length=horizon, quantiles=LEVELS, **params)


@pytest.fixture(scope="module")
def fitted() -> TitansForecaster:
    return untrained().fit(frame())


def test_it_forecasts_before_any_fit(fitted):
    expected = fitted.predict()
    assert (expected["item_id"].unique() == ["b", "a"]).all() and np.isfinite(expected["0.5"]).all()
    for found in (untrained().predict(frame()), fitted.predict(frame())):
        pd.testing.assert_frame_equal(found, expected)
    new = untrained()
    quantiles = new.predict_quantiles(frame(), [0.01, 0.99])
    assert list(quantiles.columns) == ["item_id", "timestamp", "0.01", "0.99"]
    assert (quantiles["0.01"] < quantiles["0.99"]).all()
    # What was forecast leaves nothing behind.
    with pytest.raises(NotFittedError):
        new.predict()
    with pytest.raises(ValueError, match="quantiles must be between 0 and 1"):
        new.predict_quantiles(frame(), [0.0, 0.5])


def test_nothing_is_trained(fitted):
    weights = fitted.experts_
    assert (weights.iloc[:, 0] == 0).all() and weights.columns[-1] == NAME
    assert fitted.training_.steps == 0 and not fitted.fitted_.has_network
    assert sum(value.numel() for value in fitted.network_.state_dict().values()) < 5000


def test_a_score_before_a_fit_keeps_nothing():
    model = untrained()
    score = model.score(frame())
    assert score < 0 and not hasattr(model, "_fitted")
    last = frame().groupby("item_id", sort=False).tail(6)
    past = frame().drop(last.index)
    assert model.fit(past).score(last) == pytest.approx(score, rel=1e-6)


def test_what_it_has_not_learned_it_cannot_tell():
    model = untrained()
    with pytest.raises(NotFittedError):
        model.predict()
    with pytest.raises(NotFittedError):
        TitansForecaster().predict(frame())


def test_clone_pickle_and_folder(fitted, tmp_path):
    expected = fitted.predict(frame())
    assert clone(fitted).get_params() == fitted.get_params()
    again = TitansForecaster.load(fitted.save(tmp_path / "model"))
    assert not again.fitted_.has_network
    for model in (clone(fitted), pickle.loads(pickle.dumps(fitted)), again):
        pd.testing.assert_frame_equal(model.predict(frame()), expected)
    # The shared weights are not in the pickle.
    assert len(pickle.dumps(fitted)) < 500_000


def test_rows_and_covariates():
    data = with_covariates(160, 6)
    past, future = data.iloc[:160], data.iloc[160:].drop(columns="target")
    with pytest.warns(SeriesWarning, match="noise, place: past and static covariates are read by a network only"):
        found = untrained(**ROLES).predict(past, future=future)
    assert len(found) == 6 and np.isfinite(found["mean"]).all()
    rows = untrained(timestamp_column="timestamp").fit(past[["timestamp", "price"]], past["target"])
    assert rows.predict(data.iloc[160:][["timestamp", "price"]]).shape == (6,)


def test_a_backtest_has_no_rows_of_networks(fitted):
    result = untrained().backtest(frame(), windows=2)
    assert {"titans", "expert mixture", "seasonal naive"} <= set(result.metrics.index)
    assert not {"linear part alone", "ridge regression"} & set(result.metrics.index)
    with pytest.raises(ValueError, match="network=False leaves it out"):
        untrained().backtest(frame(), windows=2, ablation=True)


def test_there_is_no_network_to_be_surprised(fitted):
    with pytest.raises(ValueError, match="this forecaster was fitted without one"):
        fitted.surprise()


def test_streams_need_no_fit():
    values = frame()["target"].to_numpy()[:80]
    empty = untrained(freq="h").stream()
    for value in values:
        empty.observe(value)
    whole = untrained(freq="h").stream(values)
    assert empty.steps == whole.steps == 80
    pd.testing.assert_frame_equal(empty.forecast(), whole.forecast())
    assert np.isfinite(whole.forecast(50)["0.5"]).all()
    with pytest.raises(ValueError, match="memory and late must be left out"):
        untrained(freq="h").stream(late="fill")
    with pytest.raises(ValueError, match="a pretrained stream reads no covariates"):
        untrained(freq="h", holidays="DE").stream()


def test_a_stream_goes_on_from_the_data_of_a_fit(fitted):
    stream = fitted.stream()
    assert stream.steps == fitted.panel_.records[0].length
    assert stream.forecast()["timestamp"].equals(fitted.predict()["timestamp"])


@pytest.mark.parametrize(
    ("values", "horizon"),
    [
        (np.array([3.0]), 5),
        (np.r_[np.full(9, np.nan), 2.0, 4.0], 3),
        (np.sin(np.arange(60.0)), 10_000),
        (pd.Series(np.arange(10.0), pd.date_range("2024-01-01", periods=10, freq="h")), 30),
        (pd.Series(np.arange(9.0), pd.date_range("2024-01-01", periods=9, freq="W")), 2),
        (np.full(50, 7.0), 4),
    ],
    ids=["one point", "two points", "a long horizon", "a day of 10 hours", "a year of 9 weeks", "a constant"],
)
def test_odd_series_have_a_forecast(values, horizon):
    found = untrained(min(horizon, 30)).predict(values, prediction_length=horizon)
    assert len(found) == horizon and np.isfinite(found[["mean", "0.1", "0.5", "0.9"]]).all(axis=None)
    if np.ptp(np.asarray(values)) == 0:
        assert (found[["mean", "0.1", "0.5", "0.9"]] == values[0]).all(axis=None)


@pytest.mark.parametrize(
    ("values", "message"), [(np.full(40, np.nan), "no observed value at all"), (np.array([]), "hold no rows")]
)
def test_series_without_a_value_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        untrained().predict(values)


def test_one_series_without_a_value_beside_others():
    model = untrained().fit(frame())
    other = frame(("a", "c"))
    other.loc[other["item_id"] == "c", "target"] = np.r_[5.0, np.full(159, np.nan)]
    found = model.predict(other)
    assert np.isfinite(found["0.5"]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_steps": -5}, "max_steps must be an integer ≥ 0"),
        ({"max_steps": 0, "time_budget": 5.0}, "pass max_steps too"),
        ({"options": {"tuned": True}}, "sets the options tuned itself"),
        ({"context_length": 5, "block": "mac"}, "leave out context_length, block"),
        ({"options": {"network": True}}, "sets the options network itself"),
        ({"options": {"width": 8}}, "network=False leaves the network out, but width would set it"),
        ({"options": {"netwrk": 8}}, "netwrk"),
    ],
)
def test_parameters_of_a_network_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        untrained(**params).fit(frame())


def test_other_weights_and_wrong_options_are_refused():
    with pytest.raises(ValueError, match="no pretrained weights 'one'"):
        TitansForecaster.from_pretrained("one")
    with pytest.raises(ValueError, match="leave nothing to forecast by"):
        TitansForecaster(options={"network": False, "experts": False}).fit(frame())
    with pytest.raises(ValueError, match="network must be True or False"):
        TitansForecaster(options={"network": 0}).fit(frame())


def test_experts_alone_without_training():
    model = TitansForecaster(6, options={"network": False, "pretrained": None})
    assert np.isfinite(model.fit(frame()).predict()["0.5"]).all() and NAME not in model.experts_
