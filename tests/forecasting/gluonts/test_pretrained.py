"""The gluonts predictor from pretrained weights: quantiles, covariates, folders, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gluonts.model.predictor import Predictor

from tests.forecasting.gluonts.data import HORIZON, plain
from titans_datasets.series import SeriesWarning
from titans_ts.forecasting import PretrainedPredictor
from titans_ts.forecasting.pretrained import PretrainedReads

LEVELS = [0.1, 0.5, 0.9]


def predictor(**changes: Any) -> PretrainedPredictor:
    return PretrainedPredictor(**{"prediction_length": HORIZON, "freq": "h", "quantiles": LEVELS, **changes})


def entry(**changes: Any) -> dict[str, Any]:
    return {**plain(items=1)[0], **changes}


def test_forecasts_are_those_of_the_reads():
    entries = plain(items=5)
    found = list(predictor(batch_size=2).predict(entries))
    expected = PretrainedReads(24, 168).quantiles([one["target"] for one in entries], HORIZON, LEVELS)
    for one, forecast, quantiles in zip(entries, found, expected, strict=True):
        assert forecast.item_id == one["item_id"] and forecast.start_date == one["start"] + len(one["target"])
        assert forecast.forecast_keys == ["0.1", "0.5", "0.9", "mean"]
        for place, level in enumerate(LEVELS):
            np.testing.assert_allclose(forecast.quantile(level), quantiles[:, place], rtol=1e-6)
        assert (forecast.quantile(0.1) < forecast.mean).all() and (forecast.mean < forecast.quantile(0.9)).all()


def test_covariates_are_read_where_an_entry_has_them():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(1, 150 + HORIZON))
    target = 10 + 3 * known[0, :150]
    without, with_it = predictor().predict([entry(target=target), entry(target=target, feat_dynamic_real=known)])
    errors = [np.abs(one.quantile(0.5) - 10 - 3 * known[0, 150:]).mean() for one in (without, with_it)]
    assert errors[1] != errors[0] and np.isfinite(errors).all()


def test_entries_without_a_value_have_none():
    with pytest.warns(SeriesWarning, match="no observed value: its forecast is NaN"):
        (found,) = predictor().predict([entry(target=np.full(30, np.nan))])
    assert np.isnan(found.mean).all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"target": np.array([])}, ValueError, "has no steps"),
        ({"start": pd.Timestamp("2024-01-01")}, TypeError, "must be a pandas Period"),
        ({"start": None}, TypeError, "must be a pandas Period"),
        ({"feat_dynamic_real": np.full((1, 200), np.nan)}, ValueError, "missing values after the target"),
    ],
)
def test_entries_that_say_too_little(changes, error, message):
    with pytest.raises(error, match=message):
        list(predictor().predict([entry(**changes)]))


def test_a_folder_opens_again(tmp_path: Path):
    predictor().serialize(tmp_path / "folder")
    again = Predictor.deserialize(tmp_path / "folder")
    assert isinstance(again, PretrainedPredictor) and again.levels == LEVELS
    ours, theirs = (next(iter(one.predict(plain(items=1)))) for one in (predictor(), again))
    np.testing.assert_array_equal(ours.forecast_array, theirs.forecast_array)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "holds no finished PretrainedPredictor"),
        ({"kind": "gluonts predictor"}, "was written as"),
        ({"sha256": "0" * 64}, "other pretrained weights 'zero'"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, header: dict[str, str] | None, message: str):
    predictor().serialize(tmp_path)
    file = tmp_path / "titans-ts.json"
    if header is None:
        file.unlink()
    else:
        file.write_text(json.dumps({**json.loads(file.read_text()), **header}))
    with pytest.raises(ValueError, match=message):
        PretrainedPredictor.deserialize(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction_length": 0}, "prediction_length"),
        ({"quantiles": [0.5, 0.5]}, "quantiles"),
        ({"quantiles": [1.0]}, "quantiles"),
        ({"name": "one"}, "no pretrained weights 'one'"),
        ({"batch_size": 0}, "batch_size"),
        ({"freq": "fortnight"}, "fortnight"),
    ],
)
def test_wrong_arguments_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        predictor(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": pd.Period("2024-01-01", "D")}, "has the step"),
        ({"target": np.ones((2, 30))}, "must have one target"),
        ({"target": np.ones(30), "feat_dynamic_real": np.ones((1, 30))}, r"must reach .* \(features, 36\)"),
    ],
)
def test_wrong_entries_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        list(predictor().predict([entry(**changes)]))
