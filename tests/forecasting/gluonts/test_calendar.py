"""Holidays and calendar covariates of the gluonts estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gluonts.model.predictor import Predictor

from titans_datasets.series import parse_frequency
from titans_datasets.series.calendar.holidays import holiday_features
from titans_ts.forecasting.gluonts.estimator import TitansEstimator

HORIZON = 6


def entry(last: str = "2021-12-28", **fields: Any) -> dict[str, Any]:
    """Daily values by the day of the week, 40 less on holidays of Germany."""
    days = pd.date_range("2019-01-01", last)
    holiday = holiday_features(days, "DE", parse_frequency("D"))[:, 0]
    target = 100 + 5.0 * days.dayofweek - 40 * holiday + np.random.default_rng(0).normal(size=len(days))
    return {"item_id": "a", "start": pd.Period(days[0], "D"), "target": target, **fields}


def estimator(**changes: Any) -> TitansEstimator:
    sizes = {"width": 8, "heads": 2, "layers": 1, "context_length": 28}
    values = {"prediction_length": HORIZON, "freq": "D", "trainer_kwargs": {"max_epochs": 0}, "calibration_horizons": 0}
    return TitansEstimator(**{**sizes, **values, **changes})


def new_year(predictor: Predictor, data: dict[str, Any]) -> float:
    """The forecast of 1 January 2022, a Saturday."""
    return float(next(iter(predictor.predict([data]))).quantile(0.5)[3])


def test_holidays_need_no_covariates_in_the_entries(tmp_path: Path) -> None:
    predictor = estimator(holidays="DE", calendar=["weekend"]).train([entry()])
    assert new_year(predictor, entry()) < 100
    assert new_year(estimator().train([entry()]), entry()) > 107
    predictor.serialize(tmp_path)
    assert new_year(Predictor.deserialize(tmp_path), entry()) == pytest.approx(new_year(predictor, entry()))


def test_they_go_beside_covariates_of_the_entries() -> None:
    length = len(entry()["target"])
    known = np.random.default_rng(1).normal(size=(2, length + HORIZON))
    data = entry(feat_dynamic_real=known)
    data["target"] = data["target"] + 10 * known[0, :length]
    predictor = estimator(holidays=["DE"], num_feat_dynamic_real=2).train([data])
    config = predictor.prediction_net.network.config
    assert (config.known_covariates, config.calendar[-1]) == (6, "holidays:DE")
    assert abs(new_year(predictor, data) - (85 + 10 * known[0, length + 3])) < 12


def test_unknown_names_and_two_calendars_are_refused() -> None:
    with pytest.raises(ValueError, match="holidays of 'Germany' are unknown: did you mean 'DE'"):
        estimator(holidays="Germany").train([entry()])
    with pytest.raises(ValueError, match="time_features must be None where holidays or calendar are given"):
        estimator(holidays="DE", time_features=[])
