"""What a test set shares with its training set (copies, reverse complements, k-mers), and how far that predicts labels.

Shapes: R training sequences, Q test sequences, K classes, U distinct k-mers of the test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.alphabet import Codes, as_sequences, encode_all, reverse_complement_text
from titans_datasets.dna.kmers import canonical_kmers
from titans_datasets.dna.leakage.report import LeakageReport

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
# Bins of the length baseline: fine enough for classes of different typical length, too coarse to memorise rows.
_LENGTH_BINS = 64


def leakage(train: Any, test: Any, train_labels: Any = None, test_labels: Any = None, *, k: int = 31) -> LeakageReport:
    """Compare a test set with the training set.

    Sequences are equal when their letters are, ignoring case and reading U as T. A k-mer and its reverse complement
    count as one; k-mers with N or IUPAC codes are left out.

    Args:
        train, test: what `as_sequences` accepts: lists of str, Seq or SeqRecord, arrays, Series, paths.
        train_labels, test_labels: classes (R,) and (Q,); without them conflicts and baselines are left out.
        k: length of the k-mers, 1 … 32. A 31-mer is rarely shared by chance, even by whole genomes.

    Returns:
        A report; `report.clean` (Q,) marks the test rows that share nothing with the training set.

    Raises:
        ValueError: no or empty sequences, other letters, another number of labels than of sequences, missing labels, k
            out of range.
        TypeError: something is not a sequence.

    Example:
        >>> report = leakage(["ACGTACGT", "GGGGCCCA"], ["ACGTACGT", "TTTTTTTT"], k=8)
        >>> report.verbatim.tolist(), report.clean.tolist()
        ([True, False], [False, True])
    """
    train, test = as_sequences(train), as_sequences(test)
    classes, y_train, y_test = _labels(train_labels, test_labels, len(train), len(test))
    arrays = _encoded("train", train), _encoded("test", test)
    copies = _Copies(train, test)
    kmers = _KmerVotes(*arrays, k, np.zeros(len(train), dtype=np.int64) if y_train is None else y_train, classes)
    verbatim, reverse = copies.forward >= 0, (copies.backward >= 0) & (copies.forward < 0)
    conflicts = baselines = None
    train_conflicts = None
    if y_train is not None:
        votes = copies.votes(y_train, classes)
        train_conflicts = int(((votes > 0).sum(axis=1) > 1).sum())
        if y_test is not None:
            conflicts = verbatim & (votes[copies.forward, y_test] == 0)
            guesses = {
                "majority": np.full(len(test), np.bincount(y_train).argmax()),
                "length": _by_length(_lengths(train), _lengths(test), y_train),
                "look-up": _look_up(copies, votes, kmers.votes(), int(np.bincount(y_train).argmax())),
            }
            baselines = {name: float((guess == y_test).mean()) for name, guess in guesses.items()}
    return LeakageReport(
        k=k,
        train_rows=len(train),
        train_duplicates=copies.train_duplicates,
        train_reverse_duplicates=copies.train_reverse_duplicates,
        train_conflicts=train_conflicts,
        test_duplicates=len(test) - len({*copies.test}),
        verbatim=verbatim,
        reverse=reverse,
        shared=kmers.shared,
        conflicts=conflicts,
        clean=~(verbatim | reverse | (kmers.shared > 0)),
        baselines=baselines,
    )


def plain(text: str) -> str:
    """The letters by which two sequences are compared: upper case, U as T."""
    return text.upper().replace("U", "T")


def _encoded(name: str, texts: list[str]) -> list[Codes]:
    """Numbers of the letters; errors name the set as well as the position."""
    try:
        return encode_all(texts)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _labels(train: Any, test: Any, rows: int, queries: int) -> tuple[int, IntArray | None, IntArray | None]:
    """Number of classes, and the classes as numbers in sorted order."""
    parts = []
    for name, labels, count in (("train_labels", train, rows), ("test_labels", test, queries)):
        if labels is None:
            continue
        array = np.asarray(labels)
        if array.shape != (count,):
            raise ValueError(f"{name} must be {count} labels, one a sequence, got shape {array.shape}")
        missing = [i for i, label in enumerate(array.tolist()) if label is None or label != label]
        if missing:
            raise ValueError(f"{name}: label {missing[0]} (from 0) is missing: remove the row")
        parts.append(array)
    if train is None:
        if test is not None:
            raise ValueError("test_labels came without train_labels: give both, or none")
        return 1, None, None
    found, numbers = np.unique(np.concatenate(parts).astype(str), return_inverse=True)
    return len(found), numbers[:rows], numbers[rows:] if test is not None else None


class _Copies:
    """Which test sequences are copies of training sequences.

    Attributes:
        test: the test sequences, normalised for comparison.
        of_train: (R,) number of each training sequence among the distinct ones.
        forward, backward: (Q,) number of the distinct training sequence that equals each test sequence, or its reverse
            complement; −1 where there is none.
        train_duplicates: training rows that repeat an earlier one.
        train_reverse_duplicates: distinct training sequences whose reverse complement is among the earlier ones.
    """

    def __init__(self, train: Sequence[str], test: Sequence[str]) -> None:
        texts, self.test = [plain(text) for text in train], [plain(text) for text in test]
        numbers: dict[str, int] = {}
        self.of_train = np.array([numbers.setdefault(text, len(numbers)) for text in texts])
        self.forward = np.array([numbers.get(text, -1) for text in self.test])
        self.backward = np.array([numbers.get(reverse_complement_text(text), -1) for text in self.test])
        self.train_duplicates = len(texts) - len(numbers)
        partners = (numbers.get(reverse_complement_text(text), -1) for text in numbers)
        self.train_reverse_duplicates = sum(0 <= partner < number for number, partner in enumerate(partners))

    def votes(self, labels: IntArray, classes: int) -> IntArray:
        """How often each distinct training sequence has each label (distinct, K)."""
        return _count(self.of_train, labels, int(self.of_train.max()) + 1, classes)


class _KmerVotes:
    """Which k-mers of the test set occur in the training set, and with which labels.

    Attributes:
        shared: (Q,) fraction of each test sequence's k-mers that occur in the training set; NaN where it has none.
    """

    def __init__(self, train: list[Codes], test: list[Codes], k: int, labels: IntArray, classes: int) -> None:
        queried = canonical_kmers(test, k)
        distinct, self._places = np.unique(queried.values, return_inverse=True)
        known = canonical_kmers(train, k)
        self._counts = np.zeros((len(distinct), classes), dtype=np.int64)
        if len(distinct):
            places = np.minimum(np.searchsorted(distinct, known.values), len(distinct) - 1)
            hit = distinct[places] == known.values
            self._counts = _count(places[hit], labels[known.rows[hit]], len(distinct), classes)
        self._rows, self._queries = queried.rows, len(test)
        totals = np.bincount(queried.rows, minlength=len(test))
        seen = (self._counts.sum(axis=1) > 0)[self._places]
        found = np.bincount(queried.rows, weights=seen, minlength=len(test))
        self.shared = np.divide(found, totals, out=np.full(len(test), np.nan), where=totals > 0)

    def votes(self) -> npt.NDArray[np.float64]:
        """Each k-mer gives one vote, divided among the labels it has in the training set (Q, K)."""
        weights = self._counts / np.maximum(self._counts.sum(axis=1, keepdims=True), 1)
        columns = [
            np.bincount(self._rows, weights=column[self._places], minlength=self._queries) for column in weights.T
        ]
        return np.stack(columns, axis=1)


def _lengths(texts: list[str]) -> IntArray:
    return np.array([len(text) for text in texts])


def _count(rows: IntArray, labels: IntArray, height: int, classes: int) -> IntArray:
    return np.bincount(rows * classes + labels, minlength=height * classes).reshape(height, classes)


def _look_up(copies: _Copies, votes: IntArray, by_kmers: npt.NDArray[np.float64], majority: int) -> IntArray:
    """Labels copied from the training set: of the same sequence, else its reverse complement, else shared k-mers."""
    guess = np.where(by_kmers.any(axis=1), by_kmers.argmax(axis=1), majority)
    for partner in (copies.backward, copies.forward):
        guess = np.where(partner >= 0, votes[partner].argmax(axis=1), guess)
    return guess


def _by_length(train: IntArray, test: IntArray, labels: IntArray) -> IntArray:
    """The most common label among training sequences of similar length."""
    distinct = np.unique(train)
    if len(distinct) > _LENGTH_BINS:
        distinct = np.unique(np.quantile(train, np.linspace(0, 1, _LENGTH_BINS + 1)[:-1]))
    bins = [np.maximum(np.searchsorted(distinct, lengths, side="right") - 1, 0) for lengths in (train, test)]
    counts = _count(bins[0], labels, len(distinct), int(labels.max()) + 1)
    return counts.argmax(axis=1)[bins[1]]
