"""Gradient steps of pretrained reads on a panel: what is kept, what it learned from, and models that hold them."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from tests.forecasting.common import frame, with_covariates
from titans_ts.forecasting import TitansForecaster
from titans_ts.forecasting.explanation import training_text
from titans_ts.forecasting.pretrained import PretrainedReads, TunedReads, tuned, tuning
from titans_ts.forecasting.pretrained.weighing import judging_windows

LEVELS = (0.1, 0.5, 0.9)


def panel(count: int = 3, length: int = 90) -> list[np.ndarray]:
    """Waves of a week with noise (T,)."""
    rng = np.random.default_rng(0)
    return [20 + 5 * np.sin(2 * np.pi * np.arange(length) / 7 + at) + rng.normal(size=length) for at in range(count)]


def weights(reads: PretrainedReads) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(reads.pretrained.network.parameters())


@pytest.fixture
def keeps(monkeypatch) -> None:
    """Whatever was learned is kept."""
    monkeypatch.setattr(tuning, "LEAST_GAIN", -1.0)


@pytest.fixture
def forgets(monkeypatch) -> None:
    """Nothing that was learned is good enough."""
    monkeypatch.setattr(tuning, "LEAST_GAIN", 1.0)


def test_the_original_stays_where_windows_do_not_confirm_the_steps(forgets):
    reads = PretrainedReads(7)
    found = tuned(reads, panel(), 7, 5, seed=0)
    assert found.reads is reads
    assert found.training.steps == 5 and found.training.best_step == 0
    assert found.training.start_loss == found.training.best_loss > 0


def test_steps_change_a_copy_alone(keeps):
    reads = PretrainedReads(7)
    before = weights(reads).clone()
    found = tuned(reads, panel(), 7, 5, seed=0)
    assert isinstance(found.reads, TunedReads) and found.training.best_step == 5
    assert not torch.equal(weights(found.reads), before) and torch.equal(weights(reads), before)
    assert found.reads.pretrained.sha256 != reads.pretrained.sha256
    assert not any(weight.requires_grad for weight in found.reads.pretrained.network.parameters())


def test_a_seed_decides(keeps):
    first, again, other = (tuned(PretrainedReads(7), panel(), 7, 3, seed=seed).reads for seed in (0, 0, 1))
    assert torch.equal(weights(first), weights(again)) and not torch.equal(weights(first), weights(other))
    assert first.to_dict() == again.to_dict() != other.to_dict()


def test_judging_windows_are_not_learned_from(keeps):
    histories = panel()
    changed = [history.copy() for history in histories]
    for row, end in judging_windows(histories, 7):
        changed[row][end:] = 1000.0
    found = [tuned(PretrainedReads(7), one, 7, 3, seed=0) for one in (histories, changed)]
    assert torch.equal(*(weights(one.reads) for one in found))
    assert found[0].training.start_loss != found[1].training.start_loss


def test_steps_learn_a_pattern_of_the_panel(monkeypatch):
    """The product of two waves, whose periods the memories do not hold at once."""
    monkeypatch.setattr(tuning, "LEARNING_RATE", 1e-3)
    waves = [1 + 0.5 * np.sin(2 * np.pi * np.arange(120) / period) for period in (5, 8)]
    found = tuned(PretrainedReads(1), [10 * waves[0] * waves[1]] * 2, 6, 20, seed=0).training
    assert found.best_step == 20 and found.best_loss < 0.8 * found.start_loss


@pytest.mark.parametrize(
    "histories",
    [[], [np.arange(9.0)], [np.full(80, np.nan)], [np.full(80, 3.0)], [np.sin(np.arange(22.0))]],
    ids=["none", "short", "missing", "constant", "no boundaries"],
)
def test_too_little_to_learn_from(histories):
    reads = PretrainedReads(7)
    found = tuned(reads, histories, 6, 5, seed=0)
    assert found.reads is reads and found.training.steps == 0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_units_do_not_matter(keeps, scale):
    first, other = (
        tuned(PretrainedReads(7), [size * one for one in panel()], 7, 2, seed=0).training for size in (1.0, scale)
    )
    assert other.best_loss == pytest.approx(first.best_loss, rel=1e-3)


def test_series_of_all_kinds_together(keeps):
    rng = np.random.default_rng(1)
    ragged = [rng.normal(size=length) for length in (1, 8, 23, 60, 700)]
    gaps = np.where(rng.random(120) < 0.4, np.nan, rng.poisson(2.0, 120).astype(float))
    found = tuned(PretrainedReads(7, 28), [*ragged, gaps, np.zeros(50)], 100, 2, seed=0)
    assert found.training.steps == 2 and np.isfinite(found.training.best_loss)


def test_a_deadline_and_no_steps():
    reads = PretrainedReads(7)
    assert tuned(reads, panel(), 7, 5, seed=0, deadline=time.monotonic() - 1).training.steps == 0
    assert tuned(reads, panel(), 7, 0, seed=0).reads is reads
    with pytest.raises(ValueError, match="max_steps must be ≥ 0, got -1"):
        tuned(reads, panel(), 7, -1, seed=0)


def tuned_forecaster(**params) -> TitansForecaster:
    return TitansForecaster.from_pretrained("zero", 6, quantiles=LEVELS, **{"max_steps": 3, **params})


@pytest.fixture(scope="module")
def model() -> TitansForecaster:
    """A fitted one with tuned weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "LEAST_GAIN", -1.0)
        return tuned_forecaster().fit(frame(length=80))


def test_a_tuned_forecaster_in_a_folder_and_a_pickle(model, keeps, tmp_path):
    expected = model.predict(frame(length=80))
    untuned = TitansForecaster.from_pretrained("zero", 6, quantiles=LEVELS).fit(frame(length=80))
    assert model.training_.steps == model.training_.best_step == 3
    assert training_text(model.training_).startswith("pretrained reads: 3 steps") and not model.fitted_.has_network
    assert not np.allclose(expected["0.1"], untuned.predict(frame(length=80))["0.1"], rtol=1e-9)
    again = TitansForecaster.load(model.save(tmp_path / "model"))
    assert again.fitted_.fingerprint() == model.fitted_.fingerprint() != untuned.fitted_.fingerprint()
    twice = TitansForecaster.load(again.save(tmp_path / "again"))
    same = clone(model)
    assert same.get_params() == model.get_params()
    for one in (again, twice, pickle.loads(pickle.dumps(model)), same.fit(frame(length=80))):
        pd.testing.assert_frame_equal(one.predict(frame(length=80)), expected)


def test_a_folder_needs_no_installed_weights(model, tmp_path, monkeypatch):
    folder = model.save(tmp_path / "model")
    message = "no weights are installed"

    def absent(*_: object) -> None:
        raise ValueError(message)

    monkeypatch.setattr("titans_ts.forecasting.forecaster.model_folder.load_pretrained", absent)
    monkeypatch.setattr("titans_ts.forecasting.pretrained.reads.load_pretrained", absent)
    assert np.isfinite(TitansForecaster.load(folder).predict(frame(length=80))["0.5"]).all()


def test_a_stream_reads_with_what_the_fit_kept(model):
    assert model.stream().network is model.fitted_.mixture.companion.source.pretrained.network
    assert tuned_forecaster(freq="h").stream().network is PretrainedReads().pretrained.network


def test_covariates_are_taken_off_before(keeps):
    data = with_covariates(160, 6)[["item_id", "timestamp", "target", "price"]]
    past, future = data.iloc[:160], data.iloc[160:].drop(columns="target")
    model = tuned_forecaster(known_covariates=("price",)).fit(past)
    assert model.training_.best_step == 3
    assert np.isfinite(model.predict(past, future=future)["mean"]).all()


def test_a_time_budget_ends_training():
    assert tuned_forecaster(max_steps=10**6, time_budget=1.0).fit(frame(length=80)).training_.steps < 10**6


def test_the_option_needs_reads_and_no_network():
    for options in ({"tuned": True}, {"tuned": True, "network": False, "pretrained": None}):
        with pytest.raises(ValueError, match="tuned=True trains pretrained reads"):
            TitansForecaster(6, options=options).fit(frame(length=80))
