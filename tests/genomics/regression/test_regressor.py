"""DNARegressor: units, several targets, strands, losses, bases, folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from tests.genomics.common import measured, regressor
from titans_datasets.dna import reverse_complement_text
from titans_datasets.dna.alphabet import DNAWarning
from titans_ts.genomics import DNAClassifier, DNARegressor

X, Y = measured(160)
NEW, TRUTH = measured(60, seed=1)


@pytest.fixture(scope="module")
def linear() -> DNARegressor:
    return regressor(max_epochs=0).fit(X, Y)


def test_it_learns(linear: DNARegressor) -> None:
    found = linear.predict(NEW)
    assert found.shape == (60,) and np.corrcoef(found, TRUTH)[0, 1] > 0.7
    assert linear.score(NEW, TRUTH) == pytest.approx(r2_score(TRUTH, found))


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_predictions_follow_the_units(loss: str) -> None:
    one = regressor(loss=loss, max_epochs=1).fit(X, Y).predict(NEW)
    other = regressor(loss=loss, max_epochs=1).fit(X, 1000 * Y - 7).predict(NEW)
    np.testing.assert_allclose(other, 1000 * one - 7, rtol=2e-2, atol=20)


def test_an_untrained_network_has_no_weight(linear: DNARegressor) -> None:
    assert (linear.model_.parts.weights[0] == 0).all()


def test_a_network_that_does_not_help_gets_no_weight() -> None:
    """Numbers that a ridge regression knows completely leave nothing to a network of one pass."""
    texts, _ = measured(300, seed=3)
    y = np.array([text.count("A") for text in texts], dtype=float)
    model = regressor(max_epochs=1, reverse_complement="none", options={"kmers": [1, 1]}).fit(texts, y)
    assert model.model_.parts.weights[0, 0] < 0.05
    assert model.choices_["blend"] <= model.choices_["network"]


@pytest.mark.parametrize("loss", ["mse", "poisson", "huber"])
def test_losses(loss: str) -> None:
    counts = np.maximum(np.round(Y), 0)
    model = regressor(loss=loss, max_epochs=1).fit(X, counts)
    found = model.predict(NEW)
    assert np.isfinite(found).all() and np.corrcoef(found, TRUTH)[0, 1] > 0.5
    if loss == "poisson":
        assert (found > 0).all()


def test_log1p_learns_ratios() -> None:
    large = np.exp(np.maximum(Y, 0)) - 1
    model = regressor(max_epochs=0, options={"log1p": True}).fit(X, large)
    assert (model.predict(NEW) >= 0).all()
    assert np.corrcoef(np.log1p(model.predict(NEW)), TRUTH)[0, 1] > 0.7


def test_several_targets_keep_their_names() -> None:
    table = pd.DataFrame({"strength": Y, "opposite": 10 - 2 * Y}, index=np.arange(160) + 5)
    model = regressor(max_epochs=0, reverse_complement="none").fit(X, table)
    assert model.target_names_ == ["strength", "opposite"]
    found = model.predict(NEW)
    assert found.shape == (60, 2) and np.corrcoef(found.T)[0, 1] < -0.8
    assert model.model_.parts.weights.shape == (1 + len(model.model_.parts.linear), 2)
    assert model.score(NEW, np.stack([TRUTH, 10 - 2 * TRUTH], axis=1)) > 0.3


def test_names_of_one_target() -> None:
    quick = regressor(max_epochs=0)
    assert quick.fit(X, pd.Series(Y, name="rate")).target_names_ == ["rate"]
    assert quick.fit(X, pd.DataFrame({"rate": Y})).target_names_ == ["rate"]
    assert quick.fit(X, Y[:, None]).predict(NEW).shape == (60,)
    assert quick.fit(X, list(Y)).target_names_ == ["target"]


def test_targets_from_a_table() -> None:
    table = pd.DataFrame({"sequence": X, "target": Y, "other": -Y})
    assert regressor(max_epochs=0).fit(table).score(table) > 0.5
    model = regressor(max_epochs=0, target_column=["target", "other"]).fit(table)
    assert model.target_names_ == ["target", "other"]


def test_both_strands_get_the_same_number() -> None:
    model = regressor(reverse_complement="augment").fit(X, Y)
    back = [reverse_complement_text(text) for text in NEW]
    np.testing.assert_allclose(model.predict(NEW), model.predict(back), rtol=1e-4, atol=1e-4)


def test_weights_of_sequences() -> None:
    """Sequences of weight 0 teach nothing."""
    spoilt, weight = Y.copy(), np.ones(160)
    spoilt[::4], weight[::4] = 50, 0
    model = regressor(max_epochs=0).fit(X, spoilt, sample_weight=weight)
    assert model.predict(NEW).max() < 30
    assert model.score(X, spoilt, sample_weight=weight) > 0.5 > model.score(X, spoilt)


def test_bases() -> None:
    rows = [np.array([float(letter in "GC") for letter in text]) + 5 for text in X]
    model = regressor(per_base=True, max_epochs=6, options={"batch_size": 8}).fit(X, rows)
    found = model.predict(NEW[:3])
    assert [row.shape for row in found] == [(30,)] * 3
    truth = [np.array([float(letter in "GC") for letter in text]) + 5 for text in NEW]
    assert model.score(NEW, truth) > 0.5
    assert set(model.report(NEW, truth).table.index) == {"DNARegressor", "mean"}
    assert [row.shape[0] for row in model.embed(NEW[:2])] == [30, 30]


def test_several_tracks_of_sequences_of_any_length() -> None:
    texts, _ = measured(40, None)
    rows = [np.stack([np.arange(len(text)), np.ones(len(text)) * (i % 3)], axis=1) for i, text in enumerate(texts)]
    found = regressor(per_base=True, max_epochs=1).fit(texts, rows).predict(texts)
    assert [row.shape for row in found] == [(len(text), 2) for text in texts]


@pytest.mark.parametrize("params", [{"loss": "poisson"}, {"options": {"log1p": True}}, {"ensemble_size": 2}])
def test_a_folder_answers_the_same(params: dict[str, Any], tmp_path: Path) -> None:
    table = pd.DataFrame({"a": np.abs(Y), "b": np.abs(Y) + 1})
    model = regressor(max_epochs=1, **params).fit(X, table)
    again = DNARegressor.load(model.save(tmp_path / "model"))
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors"}
    np.testing.assert_array_equal(again.predict(NEW), model.predict(NEW))
    assert again.target_names_ == ["a", "b"] and again.get_params() == model.get_params()
    with pytest.raises(ValueError, match="holds a dna regressor, expected a dna classifier"):
        DNAClassifier.load(tmp_path / "model")


def test_options_are_those_of_the_classifier() -> None:
    with pytest.raises(ValueError, match="log1q"):
        regressor(options={"log1q": True}).fit(X, Y)
    assert regressor(max_epochs=0, head="segments").fit(X, Y).model_.parts.config.head == "segments"
    with pytest.warns(DNAWarning, match=r"time_budget is 0.001 s: linear part"):
        spent = regressor(max_epochs=50, time_budget=0.001).fit(X, Y).training_[0]
    assert spent["stopped"] == "time budget"


def test_groups_are_held_out_together() -> None:
    with pytest.raises(ValueError, match="leaves a part empty"):
        regressor(max_epochs=0).fit(X, Y, groups=["one"] * 160)


@pytest.mark.parametrize(("length", "options", "pool"), [(20, {}, 1), (60, {}, 4), (20, {"pool": 2}, 2)])
def test_tokens_of_short_sequences_are_bases(length: int, options: dict[str, int], pool: int) -> None:
    texts, values = measured(40, length)
    given = {"width": 8, "heads": 2, "channels": 8, "progress": False, **options}
    model = DNARegressor(max_epochs=0, linear=False, reverse_complement="none", device="cpu", options=given)
    config = model.fit(texts, values).model_.parts.config
    assert config.pool == pool and config.merge == (1 if length == 20 else 2)
