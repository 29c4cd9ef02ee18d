"""The leakage check against the plainest way to count, on planted copies, and on letters of any kind."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.dna import LeakageReport, decode, encode_all, reverse_complement_text
from titans_datasets.dna.kmers import canonical_kmers
from titans_datasets.dna.leakage import leakage

TEXTS = st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=14), min_size=1, max_size=8)


def words_of(text: str, k: int) -> list[str]:
    words = [text[i : i + k] for i in range(len(text) - k + 1)]
    return [min(word, reverse_complement_text(word)) for word in words if "N" not in word]


def draw(rows: int, length: int, seed: int = 0) -> list[str]:
    bases = np.random.default_rng(seed).integers(0, 4, (rows, length))
    return [decode(row) for row in bases]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 6))
def test_words_are_equal_where_letters_or_their_complements_are(texts: list[str], k: int) -> None:
    found = canonical_kmers(encode_all(texts), k)
    expected = [(word, row) for row, text in enumerate(texts) for word in words_of(text, k)]
    assert found.rows.tolist() == [row for _, row in expected]
    names: dict[int, str] = {}
    for value, (word, _) in zip(found.values.tolist(), expected, strict=True):
        assert names.setdefault(value, word) == word
    assert len(names) == len({*names.values()})


@pytest.mark.parametrize("k", [7, 16, 31, 32])
def test_long_words_do_not_run_over(k: int) -> None:
    for text in ("A" * k, "T" * k, *draw(20, k)):
        other = reverse_complement_text(text)
        one, two = canonical_kmers(encode_all([text, other]), k).values.tolist()
        assert one == two < 4**k
    assert len(set(canonical_kmers(encode_all(draw(50, 200)), k).values.tolist())) > 0.9 * 50 * (201 - k) or k < 10


@pytest.mark.parametrize("k", [0, 33])
def test_words_of_other_lengths_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be 1 … 32, got {k}"):
        leakage(["ACGT"], ["ACGT"], k=k)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.integers(2, 5), st.data())
def test_the_report_counts_as_the_plainest_way_does(
    train: list[str], test: list[str], k: int, data: st.DataObject
) -> None:
    y_train = data.draw(st.lists(st.sampled_from("xyz"), min_size=len(train), max_size=len(train)))
    y_test = data.draw(st.lists(st.sampled_from("xyz"), min_size=len(test), max_size=len(test)))
    report = leakage(train, test, y_train, y_test, k=k)
    known = {word for text in train for word in words_of(text, k)}
    for i, text in enumerate(test):
        words = words_of(text, k)
        verbatim, reverse = text in train, reverse_complement_text(text) in train and text not in train
        assert (report.verbatim[i], report.reverse[i]) == (verbatim, reverse)
        share = np.mean([word in known for word in words]) if words else np.nan
        np.testing.assert_allclose(report.shared[i], share)
        assert report.clean[i] == (not verbatim and not reverse and not share > 0)
        labels = {label for other, label in zip(train, y_train, strict=True) if other == text}
        assert report.conflicts is not None and report.conflicts[i] == (verbatim and y_test[i] not in labels)
    assert report.train_duplicates == len(train) - len({*train})
    assert report.test_duplicates == len(test) - len({*test})
    several = [text for text in {*train} if len({y for t, y in zip(train, y_train, strict=True) if t == text}) > 1]
    assert report.train_conflicts == len(several)
    strandless = {min(text, reverse_complement_text(text)) for text in train}
    assert report.train_reverse_duplicates == len({*train}) - len(strandless)


def test_planted_leaks_are_found_whatever_the_case() -> None:
    train, test = draw(300, 120), draw(40, 120, seed=1)
    test[3] = train[7].lower()
    test[5] = reverse_complement_text(train[8])
    test[9] = test[9][:50] + train[11][20:51] + test[9][81:]
    test[12] = test[12][:40] + reverse_complement_text(train[13][60:100]) + test[12][80:]
    other = str.maketrans("ACGT", "CGTA")
    left, right = train[11][19].translate(other), train[11][50].translate(other)
    test[20] = test[20][:49] + left + train[11][20:50] + right + test[20][81:]
    train[50] = train[7].replace("T", "U")
    report = leakage(train, [Seq(text) for text in test])
    assert np.flatnonzero(~report.clean).tolist() == [3, 5, 9, 12]
    assert np.flatnonzero(report.verbatim).tolist() == [3] and np.flatnonzero(report.reverse).tolist() == [5]
    assert report.shared[3] == report.shared[5] == 1 and 10 / 90 <= report.shared[12] < 0.2
    assert report.train_duplicates == 1 and report.baselines is None and report.conflicts is None


def test_baselines_copy_what_they_can() -> None:
    train, rest = draw(200, 60), draw(50, 60, seed=2)
    labels = ["a" if i % 4 else "b" for i in range(200)]
    report = leakage(train, train[:50] + rest, labels, labels[:50] + ["a"] * 50)
    assert report.baselines == {"majority": 0.87, "length": 0.87, "look-up": 1.0}
    pieces = [text[:40] for text in train[:50]]
    assert leakage(train, pieces, labels, labels[:50]).baselines == pytest.approx(
        {"majority": 0.74, "length": 0.74, "look-up": 1.0}
    )


def test_length_alone_can_tell_classes_apart() -> None:
    generator = np.random.default_rng(0)
    lengths = np.concatenate([generator.integers(40, 80, 300), generator.integers(90, 200, 300)])
    texts = ["".join(generator.choice(list("ACGT"), n)) for n in lengths]
    labels = (lengths >= 90).astype(int)
    report = leakage(texts[::2], texts[1::2], labels[::2], labels[1::2])
    assert report.baselines is not None and report.baselines["length"] > 0.97 and report.baselines["majority"] < 0.6
    assert report.clean.all()


def test_the_copy_beats_the_other_strand_and_that_the_words() -> None:
    text = draw(1, 40)[0]
    other = reverse_complement_text(text)
    train = [text, other, other, text[:35]]
    found = leakage(train, [text, other], ["x", "y", "y", "z"], ["x", "y"])
    assert found.baselines is not None and found.baselines["look-up"] == 1.0
    found = leakage(train[1:], [text], ["y", "y", "z"], ["y"])
    assert found.baselines is not None and found.baselines["look-up"] == 1.0 and found.reverse.tolist() == [True]


def test_sequences_without_a_kmer_are_counted_and_are_no_leaks() -> None:
    report = leakage(["ACGT" * 10, "ACG"], ["ACG", "ACA", "N" * 40])
    assert np.isnan(report.shared).all() and report.clean.tolist() == [False, True, True]
    assert report.summary()["test"]["without_a_kmer"] == 3
    assert "have no 31-mer (shorter, or N)" in report.table()


def test_the_report_as_text_and_json() -> None:
    report: LeakageReport = leakage(["ACGT" * 9, "ACGT" * 9], ["ACGT" * 9, "CC" * 20], [0, 1], [1, 0])
    found = json.loads(report.to_json())
    assert found == report.summary()
    assert found["rows_not_clean"] == [0] and found["train"]["sequences_with_several_labels"] == 1
    text = str(report)
    assert "share a 31-mer with train" in text and "50.0 %" in text and "look-up" in text
    assert len({len(line) for line in text.splitlines() if line.endswith("%")}) == 1


def test_a_wrong_letter_is_named_with_its_set_and_place() -> None:
    with pytest.raises(ValueError, match=r"^test: sequence 1, position 3: letter '-' is none of"):
        leakage(["ACGT"], ["ACGT", "AC-T"])
    with pytest.raises(ValueError, match=r"^train: sequence 0, position 1: letter 'E' is none of"):
        leakage(["EACGT"], ["ACGT"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (([0], [0]), r"train_labels must be 2 labels, one a sequence, got shape \(1,\)"),
        (([0, 1], [0, 1]), "test_labels must be 1 labels"),
        (([0.0, float("nan")], [0]), r"train_labels: label 1 \(from 0\) is missing"),
        ((["a", "b"], [None]), r"test_labels: label 0 \(from 0\) is missing"),
        ((None, [0]), "test_labels came without train_labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        leakage(["ACGT", "AC"], ["ACGT"], *labels)
