"""Sentences about what a forecast was made of and why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.forecasting.common import forecaster, frame, network_only
from titans_datasets.series import SeriesWarning
from titans_ts.forecasting.combination import by_kind, described
from titans_ts.forecasting.explanation import best_row, explained, forecast_by, training_text
from titans_ts.forecasting.forecaster.continuation import forecast_and_weights, forecast_table
from titans_ts.forecasting.forecaster.inputs import FORECAST_BY
from titans_ts.forecasting.training.config import TrainingResult

WEIGHTS = pd.Series({"network": 0.3, "theta 1": 0.1, "theta 12": 0.25, "log theta 12": 0.15, "last value": 0.2})


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({"titans": 0.84, "theta 12": 0.84, "last value": 1.2}, None),
        ({"titans": 0.84, "attention instead of memory": 0.1}, None),
        ({"titans": np.nan, "theta 12": 0.8}, None),
        ({"titans": 0.84, "theta 12": np.nan}, None),
        (
            {"titans": 0.84, "theta 12": 0.81},
            "theta 12 (MASE .81, titans .84; it has 25 % of the forecast, Theta 50 %)",
        ),
        ({"titans": 1.2, "last value": 1.1}, "last value (MASE 1.1, titans 1.2; it has 20 % of the forecast)"),
        # As many digits as tell them apart.
        ({"titans": 0.8952, "expert mixture": 0.895}, "(MASE .895, titans .8952; it has 70 % of the forecast)"),
        ({"titans": 0.9, "linear part alone": 0.8}, "it is part of the network, which has 30 % of the forecast)"),
        ({"titans": 0.9, "ridge regression": 0.8}, "it is no part of the forecast)"),
        # Without a season it is the last value.
        ({"titans": 0.9, "seasonal naive": 0.8}, "it has 20 % of the forecast)"),
    ],
)
def test_the_best_row_and_its_part(rows: dict[str, float], sentence: str | None) -> None:
    found = best_row(pd.Series(rows), WEIGHTS)
    if sentence is None:
        assert found is None
    else:
        assert found is not None and found.startswith("best row of the backtest: ") and found.endswith(sentence)


def test_seasonal_naive_has_the_season_in_its_weights() -> None:
    weights = pd.Series({"linear part": 0.9, "last value": 0.06, "seasonal naive 12": 0.04})
    found = best_row(pd.Series({"titans": 0.9, "seasonal naive": 0.8, "linear part alone": 1.0}), weights)
    assert found is not None and found.endswith("it has 4 % of the forecast, naive forecasts 10 %)")
    found = best_row(pd.Series({"titans": 0.9, "linear part alone": 0.8}), weights)
    assert found is not None and found.endswith("titans .9; it has 90 % of the forecast)")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (TrainingResult(0, 0, 1.0, 1.0, "no training window", 0.0, 0.0), ["no network", "too short for a training"]),
        (TrainingResult(0, 0, 1.0, 1.0, "finished", 0.0, 0.0), ["no network was trained: max_steps=0"]),
        (TrainingResult(0, 0, 1.0, 1.0, "time budget", 1.0, 0.0), ["no network was trained: the time budget"]),
        (
            TrainingResult(75, 0, 1.0, 1.0, "no gain", 9.04, 0.0),
            ["75 steps in 9.0 s, stopped: no gain in the first 75"],
        ),
        (
            TrainingResult(50, 25, 1.0, 0.996, "no gain", 9.0, 0.69),
            ["stopped: hardly any gain in the first 50 steps; kept: step 25, 69 %"],
        ),
        (TrainingResult(300, 50, 1.0, 0.9, "finished", 9.0, 0.44), ["300 steps in 9.0 s; kept: step 50, 44 %"]),
        (TrainingResult(9, 9, 1.0, 0.9, "time budget", 9.0, 0.0), ["the time budget was spent", "came to no end"]),
        (TrainingResult(9, 9, 1.0, 0.9, "no network", 1.0, 0.0), ["pretrained reads: 9 steps in 1.0 s; kept"]),
        (TrainingResult(9, 0, 1.0, 1.0, "no network", 1.0, 0.0), ["left out: held-out windows are forecast as well"]),
        (TrainingResult(9, 9, 1.0, 0.9, "something else", 9.0, 0.5), ["stopped: something else"]),
    ],
)
def test_how_training_went(result: TrainingResult, words: list[str]) -> None:
    text = training_text(result)
    assert all(word in text for word in words), text
    # A loaded model has plain values.
    assert training_text(result._asdict()) == text


def test_pretrained_reads_are_a_kind_of_their_own() -> None:
    names = ["linear part", "theta 12", "fold 12", "pretrained memory reads"]
    weights, kinds = by_kind(np.array([[0.2, 0.3, 0.1, 0.4]]), names)
    assert kinds[-1] == "pretrained memory reads" and weights[0, -1] == 0.4
    assert described(np.array([[0.2, 0.3, 0.1, 0.4]]), names)[0].startswith("40 % pretrained memory reads, 30 % Theta")


def test_kinds_of_experts_are_added_up() -> None:
    names = ["linear part", "theta 12", "log theta 12", "smoothing 12", "Holt-Winters 12", "fold 12"]
    weights = np.array([[0.1, 0.2, 0.2, 0.3, 0.15, 0.05], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    assert described(weights, names) == [
        "45 % exponential smoothing, 40 % Theta, 10 % linear part, 5 % of 1 other",
        "100 % fold by period",
    ]


def test_weights_of_a_forecast_are_those_of_its_column() -> None:
    data = frame()
    model = forecaster(max_steps=0).fit(data).fitted_
    table, weights = forecast_and_weights(model, None, model.levels)
    assert weights.index.tolist() == ["b", "a"]
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    pd.testing.assert_frame_equal(table.drop(columns=FORECAST_BY), forecast_table(model, None, model.levels))
    pd.testing.assert_frame_equal(table, forecast_table(model, None, model.levels, by=True))
    pd.testing.assert_frame_equal(weights, model.expert_weights(model.panel.records, 6))  # type: ignore[union-attr]
    first = table.groupby("item_id", sort=False)[FORECAST_BY].first()
    assert first.tolist() == described(weights.to_numpy(), list(weights.columns))
    assert forecast_by(model, weights).endswith("; held-out windows chose it")


def test_a_network_alone_was_chosen_by_the_caller() -> None:
    model = network_only(max_steps=0).fit(frame()).fitted_
    _, weights = forecast_and_weights(model, None, model.levels)
    sentences = ["forecast by: 100 % linear part; experts were left out", "no network was trained: max_steps=0"]
    assert explained(model, weights, {"experts": False}) == sentences
    assert explained(model, weights, {"experts": False}, trained=False) == sentences[:1]


def test_one_point_leaves_nothing_to_choose_by() -> None:
    with pytest.warns(SeriesWarning, match="without a network"):
        model = forecaster().fit(np.array([5.0])).fitted_
    _, weights = forecast_and_weights(model, None, model.levels)
    assert forecast_by(model, weights).endswith("; too short for held-out windows")
    assert forecast_by(model, weights * np.nan) == "forecast by: nothing, there is no observed value"
