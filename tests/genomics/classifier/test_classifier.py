"""DNAClassifier: what it learns, what it takes in, what it promises of its answers.

`n` sequences, `T` bases of one, `K` classes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord

from tests.genomics.common import MOTIF, REVERSED, classifier, sequences
from titans_datasets.dna import reverse_complement_text
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.support.model_folder import sealed

X, Y = sequences(80)


@pytest.fixture(scope="module")
def fitted() -> DNAClassifier:
    return classifier().fit(X, Y)


@pytest.fixture(scope="module")
def both_strands() -> DNAClassifier:
    return classifier(reverse_complement="augment", ensemble_size=2).fit(X, Y)


def test_it_learns_a_motif(fitted: DNAClassifier) -> None:
    test, truth = sequences(60, seed=1)
    assert fitted.score(test, truth) > 0.9
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert set(fitted.predict(test)) <= {"no", "yes"}


def test_the_network_alone_learns_a_motif() -> None:
    model = classifier(linear=False, max_epochs=30, options={"learning_rate": 1e-2, "patience": 30})
    test, truth = sequences(60, seed=1)
    many, labels = sequences(200, seed=2)
    assert model.fit(many, labels).score(test, truth) > 0.8
    assert model.model_.linear == []


def test_probabilities(fitted: DNAClassifier) -> None:
    found = fitted.predict_proba(X)
    assert found.shape == (80, 2)
    np.testing.assert_allclose(found.sum(1), 1)
    odds = fitted.decision_function(X)
    np.testing.assert_allclose(odds, np.log(found[:, 1] / found[:, 0]), atol=1e-9)
    assert (fitted.predict(X) == np.where(odds > 0, "yes", "no")).all()


@pytest.mark.parametrize("length", [30, None])
def test_same_answer_alone_and_among_others(length: int | None, both_strands: DNAClassifier) -> None:
    test, _ = sequences(12, length, seed=3)
    together = both_strands.predict_proba(test)
    alone = np.concatenate([both_strands.predict_proba([one]) for one in test])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(both_strands.predict_proba(test[::-1])[::-1], together, atol=1e-5)


def test_case_and_rna_do_not_matter(fitted: DNAClassifier) -> None:
    expected = fitted.predict_proba(X[:6])
    for change in (str.lower, lambda s: s.replace("T", "U"), lambda s: s[:9].lower() + s[9:].replace("T", "u")):
        assert np.array_equal(fitted.predict_proba([change(one) for one in X[:6]]), expected)


def test_both_strands_get_the_same_answer(both_strands: DNAClassifier) -> None:
    other = [reverse_complement_text(one) for one in X]
    np.testing.assert_allclose(both_strands.predict_proba(other), both_strands.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(both_strands.embed(other), both_strands.embed(X), atol=1e-5)
    assert both_strands.model_.config.strands == "either"


def test_auto_sees_whether_the_strand_matters() -> None:
    one, labels = sequences(400)
    assert classifier(max_epochs=0).fit(one, labels).model_.config.strands == "one"
    random = np.random.default_rng(0)
    either = [reverse_complement_text(s) if random.random() < 0.5 else s for s in sequences(400, None)[0]]
    assert classifier(max_epochs=0).fit(either, labels).model_.config.strands == "either"


def test_auto_keeps_positions_where_they_matter() -> None:
    """The same motif in both classes, at different places."""
    random = np.random.default_rng(0)
    found, labels = [], []
    for i in range(300):
        letters = "".join(random.choice(list("ACGT"), 40))
        place = 8 if i % 2 else 24
        found.append(letters[:place] + MOTIF + letters[place + 7 :])
        labels.append(i % 2)
    model = classifier(max_epochs=0).fit(found, labels)
    assert model.model_.config.head == "position"
    assert model.score(found, labels) > 0.95


def test_kinds_of_input_give_the_same_answer(fitted: DNAClassifier, tmp_path: Path) -> None:
    expected = fitted.predict_proba(X[:5])
    fasta = tmp_path / "some.fasta"
    fasta.write_text("".join(f">s{i}\n{one}\n" for i, one in enumerate(X[:5])))
    kinds: list[Any] = [
        tuple(X[:5]),
        np.array(X[:5]),
        np.array(X[:5], dtype=object),
        pd.Series(X[:5], index=list("edcba")),
        [Seq(one) for one in X[:5]],
        [SeqRecord(Seq(one), id="x") for one in X[:5]],
        pd.DataFrame({"sequence": X[:5], "other": 1}),
        fasta,
        str(fasta),
    ]
    for kind in kinds:
        assert np.array_equal(fitted.predict_proba(kind), expected)


def test_labels_from_the_table() -> None:
    table = pd.DataFrame({"dna": X, "kind": Y})
    model = classifier(max_epochs=0, sequence_column="dna", label_column="kind").fit(table)
    assert np.array_equal(model.predict_proba(table), classifier(max_epochs=0).fit(X, Y).predict_proba(X))
    assert model.score(table) == model.score(X, Y)


@pytest.mark.parametrize("kind", [int, bool, str, object])
def test_labels_of_any_type_are_sorted(kind: Any) -> None:
    y = np.where(Y == "yes", 1, 0)
    labels = np.array([f"class {v}" for v in y], dtype=object) if kind is object else y.astype(kind)
    model = classifier(max_epochs=0).fit(X[::-1], labels[::-1])
    assert model.classes_.tolist() == sorted(set(labels.tolist()))
    assert model.score(X, labels) > 0.9


def test_same_seed_same_answer() -> None:
    first = classifier(random_state=3).fit(X, Y).predict_proba(X)
    assert np.array_equal(classifier(random_state=3).fit(X, Y).predict_proba(X), first)
    assert not np.array_equal(classifier(random_state=4).fit(X, Y).predict_proba(X), first)


def test_three_classes() -> None:
    more = [one[:10] + REVERSED[::-1] + one[17:] for one in sequences(40, seed=5)[0]]
    labels = np.concatenate([Y, ["third"] * 40])
    model = classifier().fit(X + more, labels)
    assert model.predict_proba(X).shape == (80, 3)
    assert model.decision_function(X).shape == (80, 3)
    assert model.score(X + more, labels) > 0.7


def test_several_labels() -> None:
    y = np.stack([Y == "yes", [one[0] in "AG" for one in X]], axis=1).astype(int)
    model = classifier().fit(X, pd.DataFrame(y, columns=["motif", "purine"]))
    found = model.predict_proba(X)
    assert model.classes_.tolist() == ["motif", "purine"]
    assert found.shape == (80, 2)
    assert np.array_equal(model.predict(X), (found > 0.5).astype(int))
    assert model.score(X, y) == pytest.approx(((found > 0.5) == y).all(1).mean())
    assert model.score(X, y) > 0.8


def test_classes_of_bases() -> None:
    """Bases of the motif against the others; sequences of different lengths."""
    test, _ = sequences(120, None, seed=4)
    rows = []
    for one in test:
        row = np.array(["."] * len(one))
        if (place := one.find(MOTIF)) >= 0:
            row[place : place + 7] = "m"
        rows.append("".join(row))
    options = {"learning_rate": 1e-2, "stem": 15, "patience": 40}
    model = classifier(per_base=True, class_weight="balanced", max_epochs=25, options=options).fit(test, rows)
    found = model.predict_proba(test)
    assert [len(row) for row in found] == [len(one) for one in test]
    assert all(np.allclose(row.sum(1), 1) for row in found)
    assert [len(row) for row in model.embed(test)] == [len(one) for one in test]
    weights = [np.where(np.array(list(row)) == "m", 1.0, 0.0) for row in rows]
    hit = np.concatenate([p == "m" for p in model.predict(test)])[np.concatenate(weights) > 0].mean()
    false = np.concatenate([p == "m" for p in model.predict(test)])[np.concatenate(weights) == 0].mean()
    assert hit > 0.7 > 0.3 > false
    alone = model.predict_proba([test[7]])[0]
    np.testing.assert_allclose(alone, found[7], atol=1e-5)
    assert 0.5 < model.score(test, rows) <= 1


def test_weights_of_classes_and_sequences() -> None:
    base = classifier(max_epochs=0, linear=True).fit(X, Y).predict_proba(X)[:, 1].mean()
    for params, weight in (
        ({"class_weight": {"yes": 20.0}}, None),
        ({}, np.where(Y == "yes", 20.0, 1.0)),
    ):
        model = classifier(max_epochs=0, **params).fit(X, Y, sample_weight=weight)
        assert model.predict_proba(X)[:, 1].mean() > base
    rare = classifier(max_epochs=0, class_weight="balanced").fit(X[30:], Y[30:])
    assert (
        rare.predict_proba(X[30:])[:, 0].mean()
        > classifier(max_epochs=0).fit(X[30:], Y[30:]).predict_proba(X[30:])[:, 0].mean()
    )


def test_nothing_held_out() -> None:
    model = classifier(validation_fraction=0, random_state=1).fit(X, Y)
    assert model.choices_ == {}
    assert model.model_.linear == []
    assert np.isfinite(model.predict_proba(X)).all()


def test_embedding(fitted: DNAClassifier, both_strands: DNAClassifier) -> None:
    assert fitted.embed(X).shape == (80, fitted.model_.networks[0].head.width)
    assert both_strands.embed(X).shape == (80, 2 * both_strands.model_.networks[0].head.width)


def test_unknown_bases_give_numbers(both_strands: DNAClassifier) -> None:
    assert np.isfinite(both_strands.predict_proba(["N" * 30, "N", "A"])).all()


def test_same_answers_after_loading(both_strands: DNAClassifier, tmp_path: Path) -> None:
    folder = both_strands.save(tmp_path / "model")
    loaded = DNAClassifier.load(folder)
    assert np.array_equal(loaded.predict_proba(X), both_strands.predict_proba(X))
    assert loaded.classes_.dtype == both_strands.classes_.dtype
    assert loaded.get_params() == both_strands.get_params()
    assert loaded.choices_ == both_strands.choices_
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("kind", ["bases", "labels", "numbers", "objects"])
def test_every_kind_is_saved(kind: str, tmp_path: Path) -> None:
    y: Any = {
        "bases": [list(one) for one in X],
        "labels": np.stack([Y == "yes", [one[0] in "AG" for one in X]], axis=1),
        "numbers": np.where(Y == "yes", 5, -2),
        "objects": np.array(Y, dtype=object),
    }[kind]
    weights = {5: 2.0} if kind == "numbers" else None
    model = classifier(per_base=kind == "bases", max_epochs=1, class_weight=weights).fit(X, y)
    loaded = DNAClassifier.load(model.save(tmp_path / "model"))
    assert loaded.class_weight == weights
    for before, after in zip(model.predict_proba(X), loaded.predict_proba(X), strict=True):
        assert np.array_equal(before, after)
    assert str(loaded.predict(X)[0]) == str(model.predict(X)[0])


def test_damaged_and_foreign_folders(fitted: DNAClassifier, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(sealed({**config, "kind": "forecaster"})))
    with pytest.raises(ValueError, match="holds a forecaster, expected a dna classifier"):
        DNAClassifier.load(folder)
    del config["network"]
    (folder / "config.json").write_text(json.dumps(sealed(config)))
    with pytest.raises(ValueError, match="is damaged or was written by another version"):
        DNAClassifier.load(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        fitted.save(tmp_path / "other")


def test_a_failed_fit_leaves_the_model() -> None:
    model = classifier(max_epochs=0).fit(X, Y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="letter"):
        model.fit(["ACGT", "MKLV"], [0, 1])
    assert np.array_equal(model.predict_proba(X), before)


def test_folders_of_0_1_are_refused_with_what_to_do(fitted: DNAClassifier, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "version": 1}))
    with pytest.raises(ValueError, match=r"written by titans-ts 0\.1 .*: fit again and save"):
        DNAClassifier.load(folder)


def test_long_sequences_are_read_by_the_memory_alone() -> None:
    def backbone(length: int, **params: Any) -> Any:
        options = {"pool": 16, **params.pop("options", {})}
        model = classifier(linear=False, head="pooled", reverse_complement="none", options=options, **params)
        return model.set_params(max_epochs=0).fit(*sequences(12, length)).model_.parts.config.backbone

    long = backbone(2_000)
    assert (long.block, long.memory.kind, long.memory.horizon) == ("lmm", "linear", (64, 4096))
    assert (backbone(1_999).block, backbone(2_000, block="mag").block) == ("mag", "mag")
    assert backbone(2_000, options={"memory": {"depth": 3}}).memory.depth == 3
