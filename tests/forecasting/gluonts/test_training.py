"""How the gluonts estimator trains: quietly, reproducibly, with the caller's trainer, samplers and callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("gluonts")

from gluonts.torch.distributions import NormalOutput
from gluonts.torch.model.simple_feedforward import SimpleFeedForwardEstimator
from gluonts.transform import ExpectedNumInstanceSampler, UniformSplitSampler, ValidationSplitSampler
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from tests.forecasting.common import SMALL, frame
from tests.forecasting.gluonts.data import CONTEXT, HORIZON, TINY, estimator, numbers, plain
from titans_ts.forecasting import TitansEstimator
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster


class Record(Callback):
    """Keeps the losses of each epoch."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seen.append(tuple(float(trainer.callback_metrics[name]) for name in ("train_loss", "val_loss")))


def test_the_forecaster_and_the_estimator_start_from_the_same_linear_part() -> None:
    table = frame(("a", "b"), length=200)
    forecaster = TitansForecaster(HORIZON, context_length=48, max_steps=0, options={**SMALL, "experts": False}).fit(
        table
    )
    data = [
        {"item_id": item, "start": pd.Period("2024-01-01", "h"), "target": group["target"].to_numpy()}
        for item, group in table.groupby("item_id", sort=False)
    ]
    made = estimator(context_length=48, trainer_kwargs={"max_epochs": 0}, calibration_horizons=0)
    forecasts = list(made.train(data).predict(data))
    expected = forecaster.predict()
    for name in ("mean", "0.05", "0.5", "0.9"):
        found = np.concatenate([one[name] for one in forecasts])
        np.testing.assert_allclose(found, expected[name].to_numpy(), rtol=1e-4)


def test_training_is_quiet_and_twice_the_same(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = Record()
    callbacks = [record, EarlyStopping("val_loss", patience=9)]
    made = estimator(freq="h", trainer_kwargs={"max_epochs": 3, "callbacks": callbacks})
    first, second = (numbers(made.train(plain()).predict(plain())) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert made.trainer_kwargs == {"max_epochs": 3, "callbacks": callbacks}
    assert len(record.seen) == 6 and record.seen[:3] == record.seen[3:] and np.isfinite(record.seen).all()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_seeds_decide_and_the_global_generators_are_left_alone() -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    expected = (torch.rand(1).item(), np.random.rand())
    torch.manual_seed(3)
    np.random.seed(3)
    sampler = ExpectedNumInstanceSampler(num_instances=2.0, min_future=HORIZON)
    options = {"lr": 0.1, "validation_windows": 0, "train_sampler": sampler}
    one, two, other = (numbers(estimator(seed=seed, **options).train(plain()).predict(plain())) for seed in (0, 0, 1))
    assert (torch.rand(1).item(), np.random.rand()) == expected
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-4


def test_trainer_arguments_are_honoured(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path / "kept", monitor="val_loss")
    kwargs = {"max_epochs": 4, "callbacks": [checkpoint], "gradient_clip_val": 0.5}
    trainer = estimator(trainer_kwargs=kwargs).train_model(plain()).trainer
    assert trainer.current_epoch == 4 and trainer.gradient_clip_val == 0.5
    assert Path(checkpoint.best_model_path).is_file()
    made = TitansEstimator(**TINY, trainer_kwargs={"max_steps": 7})
    assert made.train_model(plain()).trainer.global_step == 7


def test_early_stopping_and_patience_end_training() -> None:
    stop = EarlyStopping("val_loss", patience=1, min_delta=100.0)
    made = estimator(trainer_kwargs={"max_epochs": 30, "callbacks": [stop]})
    assert [made.train_model(plain()).trainer.current_epoch for _ in range(2)] == [2, 2]
    made = estimator(trainer_kwargs={"max_epochs": 30}, lr=10.0, options={"patience": 2})
    assert made.train_model(plain()).trainer.current_epoch < 30


@pytest.mark.parametrize("validated", [False, True])
def test_the_linear_part_stays_where_no_epoch_beats_it(validated: bool) -> None:
    data = plain(length=200)
    shorter = [{**entry, "target": entry["target"][:-HORIZON]} for entry in data]
    sets = (shorter, data) if validated else (data, None)
    found, start = (
        estimator(context_length=48, **changes).train(*sets)
        for changes in ({"lr": 3.0}, {"trainer_kwargs": {"max_epochs": 0}})
    )
    np.testing.assert_allclose(numbers(found.predict(data)), numbers(start.predict(data)), rtol=1e-4)


def test_what_the_network_learns_is_kept() -> None:
    random = np.random.default_rng(0)
    steps = np.arange(900)
    # The next values follow the size of the last ones, which no linear model sees.
    data = [
        {
            "start": pd.Period("2024-01-01", "h"),
            "target": np.abs(np.sin(steps / 9 + i)) ** 8 + random.normal(size=900) / 20,
        }
        for i in range(2)
    ]
    shorter = [{**entry, "target": entry["target"][:-HORIZON]} for entry in data]
    changes = {"lr": 1e-2, "num_batches_per_epoch": 40, "batch_size": 32, "dropout_rate": 0.0, "width": 16}
    for training, validation in ((data, None), (shorter, data)):
        record = Record()
        made = estimator(**changes, trainer_kwargs={"max_epochs": 5, "callbacks": record})
        learned = numbers(made.train(training, validation).predict(shorter))
        linear = numbers(estimator(trainer_kwargs={"max_epochs": 0}).train(training, validation).predict(shorter))
        assert record.seen[-1][0] < record.seen[0][0]
        assert np.abs(learned - linear).max() > 1e-3


def test_without_validation_the_network_learns_from_all_windows() -> None:
    data = plain()
    linear = estimator(trainer_kwargs={"max_epochs": 0}, validation_windows=0).train(data)
    learned = estimator(lr=0.01, validation_windows=0).train(data)
    assert np.abs(numbers(linear.predict(data)) - numbers(learned.predict(data))).max() > 1e-3


def test_train_from_continues() -> None:
    data = plain()
    trained = estimator(lr=0.01, validation_windows=0).train(data)
    still = estimator(trainer_kwargs={"max_epochs": 0}).train_from(trained, data)
    np.testing.assert_array_equal(numbers(still.predict(data)), numbers(trained.predict(data)))
    further = estimator(lr=0.01, validation_windows=0).train_from(trained, plain(items=2))
    assert np.abs(numbers(further.predict(data)) - numbers(trained.predict(data))).max() > 1e-4


def test_train_from_refuses_another_network() -> None:
    data = plain()
    trained = estimator(trainer_kwargs={"max_epochs": 0}).train(data)
    with pytest.raises(ValueError, match="same network, expected context_length = 30, got 24"):
        estimator(context_length=30).train_from(trained, data)
    with pytest.raises(ValueError, match="same network, expected head = 'normal', got 'quantile'"):
        estimator(distr_output=NormalOutput()).train_from(trained, data)
    foreign = SimpleFeedForwardEstimator(HORIZON)
    other = foreign.create_predictor(foreign.create_transformation(), foreign.create_lightning_module())
    with pytest.raises(ValueError, match="predictor of TitansEstimator, got PyTorchPredictor"):
        estimator().train_from(other, data)


def test_samplers_choose_the_windows() -> None:
    data = plain()
    made = estimator(
        train_sampler=UniformSplitSampler(p=0.2, min_past=5, min_future=HORIZON),
        validation_sampler=ValidationSplitSampler(min_past=CONTEXT, min_future=HORIZON),
    )
    assert np.isfinite(numbers(made.train(data, data).predict(data))).all()
    with pytest.raises(ValueError, match="train_sampler chose no window"):
        estimator(train_sampler=UniformSplitSampler(p=0.5, min_past=500)).train(data)
    with pytest.raises(ValueError, match="validation_data must hold a series"):
        estimator(validation_sampler=ValidationSplitSampler(min_past=500)).train(data, data)
