"""Classifiers that start from a language model: its weights are really in them, and come through copies and folders.

`n` sequences, `D` width.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from tests.genomics.common import batch, codes, sequences
from tests.genomics.common import classifier as small
from titans_datasets.dna.alphabet import encode_all, reverse_complement_text
from titans_ts.core import MemoryConfig, TitansConfig
from titans_ts.genomics import DNAClassifier, DNALanguageModel, SequenceConfig, SequenceNetwork, integrated_gradients
from titans_ts.genomics.training.learning_rates import rated_groups

X, Y = sequences(40, 24)
OPTIONS: dict[str, Any] = {"width": 16, "heads": 2, "layers": 1, "window": 16, "memory": {"chunk_size": 8}}
OBJECTIVES = ("causal", "masked")
WIDTH = 16


@pytest.fixture(scope="module")
def pretrained() -> dict[str, DNALanguageModel]:
    common: dict[str, Any] = {"context_length": 30, "max_epochs": 1, "device": "cpu"}
    options = {**OPTIONS, "progress": False, "learning_rate": 1e-2}
    return {name: DNALanguageModel(objective=name, **common, options=options).fit(X) for name in OBJECTIVES}


def classifier(model: Any, **params: Any) -> DNAClassifier:
    """One that starts from this model; nothing is held out, so that no logistic maps are fitted."""
    options = {"progress": False, "batch_size": 16, **params.pop("options", {})}
    values = {"max_epochs": 1, "validation_fraction": 0, "device": "cpu", "reverse_complement": "none", **params}
    return DNAClassifier(pretrained=model, **values, options=options)


def network(objective: str, strands: str = "one", **changes: Any) -> SequenceNetwork:
    """A float64 network with a language model's trunk."""
    backbone = TitansConfig("mag", 8, heads=2, layers=1, window=4, memory=MemoryConfig(chunk_size=3), dropout=0.0)
    torch.manual_seed(0)
    values = {"pool": 1, "merge": 1, "language": objective, "strands": strands, "backbone": backbone, **changes}
    return SequenceNetwork(SequenceConfig(3, **values)).double().eval()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_trunk_says_what_the_language_model_says(objective: str, pretrained: dict[str, DNALanguageModel]) -> None:
    """Before any training: means over the bases of what the head reads are the language model's embeddings."""
    model = pretrained[objective]
    found = classifier(model, max_epochs=0).fit(X, Y).model_.networks[0]
    z, _, _ = found.tokens(batch(encode_all(X)))
    assert z.shape == (40, 24, 2 * WIDTH)
    means, expected = z.mean(1).detach().numpy(), model.embed(X)
    np.testing.assert_allclose(means[:, : expected.shape[1]], expected, atol=1e-5)
    if objective == "causal":
        other = model.embed([reverse_complement_text(one) for one in X])
        np.testing.assert_allclose(means[:, WIDTH:], other, atol=1e-5)


def test_both_strands_are_read_once_each(pretrained: dict[str, DNALanguageModel]) -> None:
    model = classifier(pretrained["causal"], reverse_complement="augment", head="segments").fit(X, Y)
    assert model.model_.networks[0].tokens(batch(encode_all(X)))[0].shape == (40, 24, WIDTH)
    other = [reverse_complement_text(one) for one in X]
    np.testing.assert_allclose(model.embed(other), model.embed(X), atol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("strands", ["one", "both"])
def test_padding_and_batch_mates_do_not_matter(objective: str, strands: str) -> None:
    one, arrays = network(objective, strands), codes()
    found = one(batch(arrays, extra=5))
    alone = torch.cat([one(batch([x])) for x in arrays])
    torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(one(batch(arrays, "left", 3)), found, rtol=1e-9, atol=1e-10)


def test_shares_of_letters_are_read_like_letters() -> None:
    one, arrays = network("causal"), codes((19,))
    b = batch(arrays)
    shares = torch.nn.functional.one_hot(b["input_ids"], 5)[..., :4].double()
    torch.testing.assert_close(one({**b, "input_ids": shares}), one(b), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_all_weights_are_trained(rate: float, pretrained: dict[str, DNALanguageModel]) -> None:
    model = pretrained["causal"]
    before = {name: value.clone() for name, value in model.network_.state_dict().items()}
    options = {"pretrained_rate": rate, "learning_rate": 1e-2}
    found = classifier(model, options=options).fit(X, Y).model_.networks[0]
    assert found.language is not None
    for name, value in found.language.named_parameters():
        assert torch.equal(value, before[name]) == (rate == 0.0), name
    for name, value in model.network_.state_dict().items():
        assert torch.equal(value, before[name]), "the user's model is left as it is"


def test_rates_of_all_weights() -> None:
    one = network("causal")
    assert one.language is not None
    groups = rated_groups(one, 0.1, 1e-2, 0.1)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == len(list(one.parameters())) == sum(len(group["params"]) for group in groups)
    assert {rates[id(p)] for p in one.language.parameters()} == {1e-2 * 0.1}
    assert {rates[id(p)] for p in one.head.parameters()} == {1e-2}


@pytest.mark.parametrize("kind", ["bases", "labels", "ensemble"])
def test_every_kind_of_answer(kind: str, pretrained: dict[str, DNALanguageModel]) -> None:
    y: Any = {
        "bases": [list(one) for one in X],
        "labels": np.stack([Y == "yes", [one[0] in "AG" for one in X]], axis=1),
        "ensemble": Y,
    }[kind]
    model = classifier(pretrained["masked"], per_base=kind == "bases", ensemble_size=1 + (kind == "ensemble")).fit(X, y)
    assert 0 <= model.score(X, y) <= 1
    if kind == "bases":
        assert [len(row) for row in model.predict(X)] == [24] * 40


@pytest.mark.parametrize("given", ["model", "folder"])
def test_a_saved_classifier_stands_alone(given: str, pretrained: dict[str, DNALanguageModel], tmp_path: Path) -> None:
    folder = pretrained["causal"].save(tmp_path / "language")
    model = classifier(folder if given == "folder" else pretrained["causal"]).fit(X, Y)
    model.save(tmp_path / "classifier")
    shutil.rmtree(folder)
    loaded = DNAClassifier.load(tmp_path / "classifier")
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    if given == "folder":
        assert loaded.pretrained == str(folder)
        with pytest.raises(FileNotFoundError):
            clone(loaded).fit(X, Y)
    else:
        again = clone(loaded).fit(X, Y)
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_copies_keep_the_pretrained_model(pretrained: dict[str, DNALanguageModel]) -> None:
    model = classifier(pretrained["causal"])
    twin = clone(model)
    assert twin.pretrained is model.pretrained is pretrained["causal"]
    assert twin.get_params() == model.get_params()
    assert model.set_params(ensemble_size=2).ensemble_size == 2
    assert np.isfinite(cross_val_score(twin, X, Y, cv=2)).all()


def test_the_fitted_classifier_can_be_explained(pretrained: dict[str, DNALanguageModel]) -> None:
    model = classifier(pretrained["causal"]).fit(X, Y)
    found = integrated_gradients(model, X[-1][:18], steps=8)
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"options": {"width": 32}}, "option 'width' must be 16, as in the pretrained model, got 32: leave it out"),
        ({"options": {"layers": 2}}, "option 'layers' must be 1, as in the pretrained model"),
        ({"options": {"memory": {"chunk_size": 4}}}, "option 'memory' must be .*chunk_size=8"),
        ({"options": {"stem": 9}}, "option 'stem' is for networks that are trained from scratch"),
        ({"block": "lmm"}, "block must be 'mag', as in the pretrained model, got 'lmm'"),
        ({"options": {"pretrained_rate": -1}}, "pretrained_rate must be ≥ 0"),
    ],
)
def test_options_that_contradict_the_pretrained_model(
    params: dict[str, Any], message: str, pretrained: dict[str, DNALanguageModel]
) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(pretrained["causal"], **params).fit(X, Y)


def test_options_that_agree_pass(pretrained: dict[str, DNALanguageModel]) -> None:
    options = {**OPTIONS, "dropout": 0.2, "hidden": 8}
    found = classifier(pretrained["causal"], max_epochs=0, options=options).fit(X, Y).model_.config
    assert (found.backbone.width, found.backbone.dropout, found.hidden) == (16, 0.2, 8)


def test_what_is_no_pretrained_model(pretrained: dict[str, DNALanguageModel], tmp_path: Path) -> None:
    other = small(max_epochs=0, validation_fraction=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"written by DNALanguageModel\.save: .* holds a dna classifier"):
        classifier(other.save(tmp_path / "classifier")).fit(X, Y)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        classifier(tmp_path / "nowhere").fit(X, Y)
    with pytest.raises(ValueError, match="pretrained must be None, a fitted DNALanguageModel, or the folder"):
        classifier(other).fit(X, Y)
    with pytest.raises(ValueError, match="call its fit first"):
        classifier(DNALanguageModel()).fit(X, Y)
    untrained = clone(pretrained["causal"]).set_params(max_epochs=0).fit(X)
    with pytest.raises(ValueError, match="of 0 training steps: fit it with max_epochs ≥ 1"):
        classifier(untrained).fit(X, Y)
    with pytest.raises(NotFittedError):
        classifier(pretrained["causal"]).predict(X)
