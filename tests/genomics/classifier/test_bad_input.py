"""Bad input gets a message that says what was expected, what came and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from tests.genomics.common import classifier, sequences
from titans_ts.genomics.classifier.classifier import DNAClassifier

X, Y = sequences(40)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda X: [*X[:3], "ACGTMKLVE", *X[4:]], ValueError, r"sequence 3, position 7: letter 'L'"),
        (lambda X: [*X[:3], "ACG-T", *X[4:]], ValueError, r"sequence 3, position 4: letter '-'"),
        (lambda X: [*X[:3], "ACG1T", *X[4:]], ValueError, r"sequence 3, position 4: letter '1'"),
        (lambda X: [*X[:3], "", *X[4:]], ValueError, "sequence 3 is empty"),
        (lambda X: [*X[:3], None, *X[4:]], TypeError, "sequence 3 must be a str"),
        (lambda X: [*X[:3], 17, *X[4:]], TypeError, "sequence 3 must be a str"),
        (lambda X: [], ValueError, "at least one sequence"),
        (lambda X: "ACGT", TypeError, "got one sequence"),
        (lambda X: pd.DataFrame({"dna": X}), ValueError, "sequence_column 'sequence' is no column .* 'dna'"),
        (lambda X: np.array([X, X]).T, ValueError, "one-dimensional"),
    ],
)
def test_bad_sequences(change: Any, error: type[Exception], message: str) -> None:
    model = classifier(max_epochs=0)
    with pytest.raises(error, match=message):
        model.fit(change(X), Y)
    model.fit(X, Y)
    with pytest.raises(error, match=message):
        model.predict(change(X))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array(["a"] * 40), r"at least two classes, got only \['a'\]"),
        (Y[:39], "40 sequences, 39 entries"),
        (np.where(np.arange(40) == 7, np.nan, np.arange(40) % 2), r"1 missing labels \(the first at 7\)"),
        (pd.Series([None, *Y[1:]]), "missing labels"),
        ([np.nan, *Y[1:].tolist()], r"1 missing labels \(the first at 0\)"),
        ([*Y[:39].tolist(), None], r"1 missing labels \(the first at 39\)"),
        (["a", 1] * 20, "types int, str"),
        (np.linspace(0, 1, 40), "fractions, such as 0.025.*: predict numbers on a scale with DNARegressor"),
        ([f"{i / 7:.3f}" for i in range(40)], "40 different numbers for 40 sequences.*titans-ts regress"),
        (list(range(40)), "40 different numbers for 40 sequences"),
        ([["a", "b"], ["a"]] * 20, "label a is 1 for every sequence"),
        ([["a", "b"], "a"] * 20, r"y\[1\] must be a list of tags, .*MultiLabelBinarizer"),
        ([["a", None], ["b"]] * 20, r"y\[0\] has a missing tag"),
        ([[1, 2], [2, 3]] * 20, "0 and 1 only .*MultiLabelBinarizer"),
        (np.array(["a", 1] * 20, dtype=object), "types int, str"),
        (np.arange(80).reshape(40, 2), "0 and 1 only"),
        (np.stack([np.arange(40) % 2, np.zeros(40)], 1), "label 1 is 0 for every sequence"),
        (None, "y is missing"),
        (np.zeros((40, 2, 2)), "got shape"),
    ],
)
def test_bad_labels(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, y)


def test_bad_labels_of_bases() -> None:
    rows = [list(one) for one in X]
    with pytest.raises(ValueError, match=r"y\[2\] must have 30 labels, one per base, got 29"):
        classifier(per_base=True).fit(X, [*rows[:2], rows[2][1:], *rows[3:]])
    with pytest.raises(ValueError, match=r"y\[2\] must have a label per base"):
        classifier(per_base=True).fit(X, [*rows[:2], [], *rows[3:]])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"head": "flat"}, "head must be one of"),
        ({"reverse_complement": "yes"}, "reverse_complement must be one of"),
        ({"block": "gru"}, "block must be one of"),
        ({"class_weight": "heavy"}, "class_weight must be"),
        ({"class_weight": {"maybe": 1}}, "names 'maybe', which is not one of the classes"),
        ({"class_weight": {"yes": -1}}, "must be ≥ 0"),
        ({"validation_fraction": 0.7}, "validation_fraction must be"),
        ({"ensemble_size": 0}, "ensemble_size must be"),
        ({"ensemble_size": 5, "validation_fraction": 0.4}, r"ensemble_size × validation_fraction must be ≤ 0\.9"),
        ({"max_epochs": -1}, "max_epochs must be"),
        ({"time_budget": 0}, "time_budget must be"),
        ({"options": {"witdh": 8}}, r"option 'witdh' is unknown \(did you mean 'width'\?\)"),
        ({"options": {"memory": {"kimd": 1}}}, "memory option 'kimd' is unknown"),
        ({"options": {"kmers": (3, 5)}}, r"kmers must be \(span, k\)"),
        ({"options": {"head": "pooled"}}, "option 'head' is unknown"),
        ({"device": "abacus"}, "device must be"),
    ],
)
def test_bad_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(**params).fit(X, Y)


def test_positions_need_one_length() -> None:
    mixed, labels = sequences(40, None)
    with pytest.raises(ValueError, match="head 'position' needs sequences of one length"):
        classifier(head="position", reverse_complement="none").fit(mixed, labels)
    model = classifier(head="position", max_epochs=0, reverse_complement="none").fit(X, Y)
    for call in (model.predict, model.decision_function, model.embed):
        for length in (8, 29, 31, 32):
            with pytest.raises(ValueError, match=rf"head 'position' learned 30 bases, got {length} \(sequence 1\)"):
                call([X[0], ("ACGT" * 9)[:length]])


def test_weights_and_groups_of_another_length() -> None:
    with pytest.raises(ValueError, match="sample_weight must have one number per sequence"):
        classifier().fit(X, Y, sample_weight=[1.0])
    with pytest.raises(ValueError, match="sample_weight must be finite"):
        classifier().fit(X, Y, sample_weight=-np.ones(40))
    with pytest.raises(ValueError, match="groups must have one entry per sequence"):
        classifier().fit(X, Y, groups=[1, 2])
    with pytest.raises(ValueError, match="class_weight is for classes that exclude each other"):
        y = np.stack([np.arange(40) % 2, np.arange(40) % 3 == 0], 1)
        classifier(class_weight="balanced").fit(X, y)


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="leaves a part empty"):
        classifier().fit(X, Y, groups=np.zeros(40))


def test_unknown_labels_in_the_test() -> None:
    model = classifier(max_epochs=0).fit(X, Y)
    with pytest.raises(ValueError, match="y has the label 'perhaps'"):
        model.score(X, ["perhaps", *Y[1:]])


def test_labels_of_bases_of_two_types() -> None:
    rows: list[Any] = [list(one) for one in X]
    with pytest.raises(ValueError, match="y mixes labels of types int, str"):
        classifier(per_base=True).fit(X, [*rows[:-1], [1] * 30])
    with pytest.raises(ValueError, match="1 missing labels"):
        classifier(per_base=True).fit(X, [*rows[:-1], [None, *rows[-1][1:]]])


def test_labels_in_the_test_that_are_no_zeros_and_ones() -> None:
    y = np.stack([np.arange(40) % 2, np.arange(40) % 3 == 0], 1)
    model = classifier(max_epochs=0).fit(X, y)
    with pytest.raises(ValueError, match="0 and 1 only"):
        model.score(X, y * 0.5)


def test_nothing_before_fit() -> None:
    for call in ("predict", "predict_proba", "decision_function", "embed"):
        with pytest.raises(NotFittedError):
            getattr(DNAClassifier(), call)(X)
    with pytest.raises(NotFittedError):
        DNAClassifier().save("nowhere")


def test_a_memory_that_diverged_is_no_answer() -> None:
    """A chunk of equal keys takes all its steps at once: far beyond the lengths of training the weights overflow."""
    memory = {"kind": "linear", "chunk_size": 64, "step_size": 1.0, "write": 0.9, "horizon": (1e6, 1e7)}
    model = classifier(block="lmm", linear=False, max_epochs=1, options={"pool": 1, "memory": memory})
    model.fit(*sequences(length=None))
    assert np.isfinite(model.predict_proba(["ACGT" * 10])).all()
    with pytest.raises(ValueError, match=r"for sequence 1 \(20,000 bases\) are not finite: its memory diverged"):
        model.predict_proba(["ACGT" * 10, "A" * 20_000])
