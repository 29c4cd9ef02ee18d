"""What a fit leaves: one object for forecasts, sessions, batches and model folders; the facade is a view of it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from tests.forecasting.common import forecaster, frame, network_only
from titans_ts.forecasting import TitansForecaster, TitansStream, predict_dataset
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.continuation import forecast_table
from titans_ts.forecasting.forecaster.model_folder import load_forecaster, save_forecaster

LEARNED = ("network", "training", "schema", "frequency", "encoder", "panel", "levels", "channels")


@pytest.fixture(scope="module")
def model() -> TitansForecaster:
    return forecaster().fit(frame())


def test_learned_attributes_are_those_of_the_fit(model: TitansForecaster) -> None:
    for name in LEARNED:
        assert getattr(model, f"{name}_") == getattr(model.fitted_, name)
    assert model.network_ is model.fitted_.network
    copies = [clone(model), pickle.loads(pickle.dumps(model))]
    assert not any(hasattr(copies[0], f"{name}_") for name in (*LEARNED, "fitted"))
    assert copies[1].schema_ == model.schema_ and copies[1].levels_ == model.levels_
    check_is_fitted(copies[1])
    with pytest.raises(NotFittedError):
        check_is_fitted(copies[0])


def test_a_failed_fit_leaves_the_earlier_one() -> None:
    model = network_only().fit(frame())
    before = model.predict()
    with pytest.raises(ValueError, match="short"):
        model.fit(frame(length=10))
    pd.testing.assert_frame_equal(model.predict(), before)


def test_the_device_is_that_of_the_parameter(model: TitansForecaster, tmp_path: Path) -> None:
    loaded = TitansForecaster.load(model.save(tmp_path / "model"))
    assert loaded.fitted_.device == "cpu"
    loaded.set_params(device="no such device")
    with pytest.raises(ValueError, match="device must be"):
        loaded.predict(frame())
    pd.testing.assert_frame_equal(loaded.set_params(device="cpu").predict(frame()), model.predict())


def test_the_facade_is_not_needed(model: TitansForecaster, tmp_path: Path) -> None:
    """Saving, loading, forecasts, sessions and batches by the plain object."""
    fitted, params = load_forecaster(save_forecaster(tmp_path / "model", model.fitted_, model.get_params()))
    assert isinstance(fitted, FittedForecaster) and fitted.fingerprint() == model.fitted_.fingerprint()
    assert params == model.get_params()
    expected = model.predict()
    pd.testing.assert_frame_equal(forecast_table(fitted, frame(), fitted.levels), expected)
    folder = model.stream().snapshot(tmp_path / "session")
    pd.testing.assert_frame_equal(TitansStream.restore(fitted, folder).forecast(), model.stream().forecast())
    (tmp_path / "data").mkdir()
    frame().to_parquet(tmp_path / "data" / "a.parquet", index=False)
    predict_dataset(fitted, tmp_path / "data", tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out" / "a.parquet")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-5)


def test_fingerprint_follows_what_is_computed(model: TitansForecaster) -> None:
    fitted = model.fitted_
    again = replace(fitted, panel=None, device="cuda", training={})
    assert again.fingerprint() == fitted.fingerprint()
    other = pickle.loads(pickle.dumps(fitted))
    other.network.phase_width.add_(1e-3)
    assert other.fingerprint() != fitted.fingerprint()


def test_rows_are_coded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beside a target find their series once at fit and once at predict, wherever they are used."""
    from titans_ts.forecasting.forecaster import rows

    calls = []

    def counted(*args):  # type: ignore[no-untyped-def]
        calls.append(len(args[0]))
        return real(*args)

    real = rows.item_codes
    monkeypatch.setattr(rows, "item_codes", counted)
    X, y = np.arange(160.0)[:, None], frame(("a",))["target"].to_numpy()
    model = forecaster(freq="h", max_steps=0).fit(X[:150], y[:150])
    assert calls == [150]
    assert model.predict(X[150:]).shape == (10,)
    assert calls == [150, 10]
