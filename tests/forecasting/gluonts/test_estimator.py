"""TitansEstimator in gluonts' own hands: train, predict, serialise, reload, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gluonts.dataset.common import ListDataset
from gluonts.dataset.pandas import PandasDataset
from gluonts.dataset.split import split
from gluonts.ev.metrics import MASE
from gluonts.model.evaluation import evaluate_model
from gluonts.model.predictor import Predictor
from gluonts.torch.distributions import NegativeBinomialOutput, NormalOutput, QuantileOutput, StudentTOutput

from titans_ts.forecasting.gluonts.estimator import TitansEstimator

OUTPUTS = [QuantileOutput([0.1, 0.5, 0.9]), StudentTOutput(), NormalOutput(), NegativeBinomialOutput()]
HORIZON = 4


def series(freq: str = "h", items: int = 2, missing: bool = True) -> ListDataset:
    rng = np.random.default_rng(0)
    entries = []
    for i in range(items):
        target = rng.poisson(5 + 3 * np.sin(np.arange(90) / 4)).astype(float)
        if missing:
            target[10:13] = np.nan
        entries.append({"item_id": f"s{i}", "start": "2024-01-01", "target": target})
    return ListDataset(entries, freq=freq)


def estimator(**changes: Any) -> TitansEstimator:
    values: dict[str, Any] = {
        "prediction_length": HORIZON,
        "context_length": 16,
        "freq": "h",
        "width": 8,
        "heads": 2,
        "layers": 1,
        "patch_length": 4,
        "batch_size": 8,
        "num_batches_per_epoch": 2,
        "trainer_kwargs": {"max_epochs": 2},
    }
    return TitansEstimator(**{**values, **changes})


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda o: type(o).__name__)
def test_train_predict_serialise_reload(output: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = series()
    predictor = estimator(distr_output=output).train(data)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model").mkdir()
    predictor.serialize(tmp_path / "model")
    again = Predictor.deserialize(tmp_path / "model")
    for one, two in zip(predictor.predict(data), again.predict(data), strict=True):
        assert one.item_id == two.item_id
        assert one.start_date == pd.Period("2024-01-04 18:00", freq="h")
        levels = [np.asarray(one.quantile(q)) for q in (0.1, 0.5, 0.9)]
        assert all(len(x) == HORIZON and np.isfinite(x).all() for x in levels)
        assert (levels[0] <= levels[1]).all() and (levels[1] <= levels[2]).all()
        np.testing.assert_allclose(levels[1], two.quantile(0.5), rtol=1e-6)


def test_gluonts_evaluates_it_and_the_frame_stays_as_it_was() -> None:
    frame = pd.DataFrame(
        {"target": np.sin(np.arange(120) / 4) + 3}, index=pd.period_range("2024-01-01", periods=120, freq="h")
    )
    before = frame.copy()
    train, template = split(PandasDataset(frame, target="target"), offset=-2 * HORIZON)
    predictor = estimator().train(train)
    found = evaluate_model(
        predictor, test_data=template.generate_instances(HORIZON, windows=2), metrics=[MASE()], seasonality=24
    )
    assert np.isfinite(found["MASE[0.5]"].iloc[0])
    pd.testing.assert_frame_equal(frame, before)


def test_the_seed_decides() -> None:
    data = series()
    first, second, other = (
        next(iter(estimator(seed=seed, validation_windows=0).train(data).predict(data))).quantile(0.5)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("changes", [{"prediction_length": 0}, {"batch_size": 0}, {"lr": 0.0}])
def test_wrong_values_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        estimator(**changes)
