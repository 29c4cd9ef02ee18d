"""Logistic regressions on counted features: the linear part of a classifier, and the baselines of its report.

A regularised logistic regression on letters at positions finds promoters and splice sites, one on gapped k-mers finds
binding sites. They are convex, fitted in seconds and good where there is little data;
`titans_ts.genomics.linear.blend` weights them against the network on held-out sequences.

Shapes: n sequences, F features, K classes or labels, C columns (1 for two classes, else K).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit, log_expit, log_softmax, softmax

from titans_datasets.dna.alphabet import Codes
from titans_ts.core.config import require
from titans_ts.genomics.linear.features import Features, KmerFeatures, PositionFeatures
from titans_ts.genomics.model.config import TaskName

FloatArray = npt.NDArray[np.float64]
# Inverse penalties in units of one sequence: features have length 1, so the same steps suit all of them.
INVERSE_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FIRST_PENALTY = 3
ITERATIONS = 100
# Entries of a sparse matrix, 8 bytes each and about three times that while it is built.
MOST_ENTRIES = 75_000_000


@dataclass(frozen=True)
class LinearConfig:
    """Options of the linear part.

    Attributes:
        kmers: (span, k) of the gapped k-mers: all ways to spread k letters over windows of up to `span` bases; None
            takes as many as fit into memory, seven letters in ten bases at most.

    Raises:
        ValueError: span or k is out of range.
    """

    kmers: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.kmers is None:
            return
        kmers = tuple(self.kmers)
        ok = len(kmers) == 2 and 1 <= kmers[1] <= kmers[0] <= 16 and kmers[1] <= 8
        require(ok, "kmers", "(span, k) with 1 ≤ k ≤ 8, k ≤ span ≤ 16", self.kmers)
        object.__setattr__(self, "kmers", kmers)

    def features(self, bases: int, strands: int, outputs: int = 2) -> KmerFeatures:
        """The k-mers to count in training sequences of this many bases in total and of so many classes or labels."""
        return widest_kmers(bases, strands, outputs) if self.kmers is None else KmerFeatures(*self.kmers, strands)


class Targets(NamedTuple):
    """Targets of a fit: labels (n,) class numbers or (n, K) zeros and ones, weights (n,), K, the task."""

    labels: npt.NDArray[np.int64]
    weight: FloatArray
    outputs: int
    task: TaskName

    def take(self, rows: npt.NDArray[np.int64]) -> Targets:
        """Some of the sequences."""
        return self._replace(labels=self.labels[rows], weight=self.weight[rows])


def log_loss(logits: FloatArray, targets: Targets) -> float:
    """Weighted mean log loss in nats of logits (n, K)."""
    losses = -log_likelihoods(logits, targets)
    return float((losses * targets.weight).sum() / max(targets.weight.sum(), 1e-12))


def log_likelihoods(logits: FloatArray, targets: Targets) -> FloatArray:
    """(n,) log probability of each sequence's class; the mean over its labels."""
    if targets.task == "classes":
        found: FloatArray = np.take_along_axis(log_softmax(logits, axis=1), targets.labels[:, None], axis=1)[:, 0]
        return found
    signs = 2 * targets.labels - 1
    return np.asarray(log_expit(signs * logits).mean(1))


@dataclass
class LogisticModel:
    """Logistic regression: logits ``x W + b`` of features x.

    Attributes:
        features: from sequences to x.
        weight: (F, C) float32; bias: (C,).
        pair: whether the only column z stands for two classes with the logits −z/2 and z/2.
        inverse_penalty: chosen on held-out sequences, in units of one sequence.
    """

    features: Features
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    pair: bool
    inverse_penalty: float = 0.0

    def logits(self, x: csr_matrix | FloatArray) -> FloatArray:
        """(n, K) of features (n, F)."""
        return _both_classes(np.asarray(x @ self.weight, dtype=np.float64) + self.bias, self.pair)

    def __call__(self, codes: Sequence[Codes]) -> FloatArray:
        """(n, K) of sequences."""
        return _both_classes(self.features.product(codes, self.weight) + self.bias, self.pair)

    def contributions(self, codes: Codes) -> FloatArray:
        """What each base adds to the logits, (T, K) of T bases: all together the logits minus `floor`.

        A feature shares what it adds equally among its letters; bases of none, such as N, add nothing.
        """
        found, seen = np.zeros((len(codes), self.weight.shape[1])), []
        for columns, starts, offsets in self.features.occurrences(codes):
            seen.append(columns)
            share = self.weight[columns].astype(np.float64) / len(offsets)
            for offset in offsets:
                np.add.at(found, starts + offset, share)
        _, counts = np.unique(np.concatenate(seen), return_counts=True)
        # Rows of features have length 1.
        return _both_classes(found / max(float(np.sqrt((counts.astype(np.float64) ** 2).sum())), 1e-12), self.pair)

    @property
    def floor(self) -> FloatArray:
        """Logits (K,) of a sequence without known letters."""
        return _both_classes(self.bias[None].astype(np.float64), self.pair)[0]


def _both_classes(z: FloatArray, pair: bool) -> FloatArray:
    return np.concatenate([-z / 2, z / 2], axis=1) if pair else z


class _OutOfTime(Exception):
    """Ends a minimisation, whose best point so far is kept."""


def fit_logistic(
    features: Features,
    x: csr_matrix | FloatArray,
    targets: Targets,
    inverse_penalty: float,
    start: LogisticModel | None = None,
    deadline: float = float("inf"),
) -> LogisticModel:
    """Minimise the log loss with a quadratic penalty on the weights (L-BFGS).

    Args:
        features: kept in the model.
        x: (n, F) features of the sequences, or other coordinates of theirs.
        targets: of the n sequences.
        inverse_penalty: in units of one sequence.
        start: a model to start from.
        deadline: `time.monotonic` time at which the best weights so far are taken.
    """
    pair = targets.task == "classes" and targets.outputs == 2
    # Weights of features that no sequence has stay zero: they are left out of the fit.
    every = x.shape[1]
    seen, x = (np.arange(every), x) if isinstance(x, np.ndarray) else _occurring(x)
    columns, size = 1 if pair else targets.outputs, x.shape[1]
    total = max(targets.weight.sum(), 1e-12)
    penalty, share = 1.0 / (inverse_penalty * total), targets.weight / total
    onehot = targets.labels if targets.task == "labels" else np.eye(targets.outputs)[targets.labels]

    best = (math.inf, np.zeros(0))

    def _objective(flat: FloatArray) -> tuple[float, FloatArray]:
        nonlocal best
        w, b = flat[: size * columns].reshape(size, columns), flat[size * columns :]
        logits = _both_classes(np.asarray(x @ w.astype(x.dtype), dtype=np.float64) + b, pair)
        loss = -float((share * log_likelihoods(logits, targets)).sum())
        if targets.task == "classes":
            error = softmax(logits, axis=1) - onehot
            error = error[:, 1:] if pair else error
        else:
            error = (expit(logits) - onehot) / targets.outputs
        error = error * share[:, None]
        slope = np.asarray(x.T @ error.astype(x.dtype), dtype=np.float64) + penalty * w
        loss += 0.5 * penalty * float((w * w).sum())
        if loss < best[0]:
            best = loss, flat.copy()
        if time.monotonic() > deadline:
            raise _OutOfTime
        return loss, np.concatenate([slope.ravel(), error.sum(0)])

    first = np.zeros(size * columns + columns)
    if start is not None:
        first = np.concatenate([start.weight[seen].ravel(), start.bias]).astype(np.float64)
    options = {"maxiter": ITERATIONS, "ftol": 1e-7}
    try:
        found = minimize(_objective, first, jac=True, method="L-BFGS-B", options=options).x
    except _OutOfTime:
        found = best[1]
    weight = np.zeros((every, columns), dtype=np.float32)
    weight[seen] = found[: size * columns].reshape(size, columns)
    return LogisticModel(features, weight, found[size * columns :].astype(np.float32), pair, inverse_penalty)


def _occurring(x: csr_matrix) -> tuple[npt.NDArray[np.int64], csr_matrix]:
    """The columns that are not empty, and the matrix of these alone."""
    there = np.zeros(x.shape[1], dtype=np.bool_)
    there[x.indices] = True
    seen = np.flatnonzero(there)
    if len(seen) == x.shape[1]:
        return seen, x
    place = np.cumsum(there, dtype=np.int32) - 1
    return seen, csr_matrix((x.data, place[x.indices], x.indptr), shape=(x.shape[0], len(seen)))


def choose_logistic(
    features: Features,
    x: csr_matrix | FloatArray,
    targets: Targets,
    held_x: csr_matrix | FloatArray,
    held: Targets,
    deadline: float = float("inf"),
) -> tuple[LogisticModel, float]:
    """The model with the penalty that is best on held-out sequences, and its log loss there.

    Starts at a middle penalty, tries weaker ones as long as that helps and, if it never does, stronger ones; each fit
    starts from the previous one. At the deadline (of `time.monotonic`) the best one so far is taken.
    """

    def tried(place: int, start: LogisticModel | None) -> tuple[LogisticModel, float]:
        found = fit_logistic(features, x, targets, INVERSE_PENALTIES[place], start, deadline)
        return found, log_loss(found.logits(held_x), held)

    first = best = tried(FIRST_PENALTY, None)
    weaker, stronger = range(FIRST_PENALTY + 1, len(INVERSE_PENALTIES)), range(FIRST_PENALTY - 1, -1, -1)
    for places in (weaker, stronger):
        last = first
        for place in places:
            if time.monotonic() > deadline:
                return best
            last = tried(place, last[0])
            if last[1] >= best[1]:
                break
            best = last
        if best is not first:
            break
    return best


def widest_kmers(bases: int, strands: int, outputs: int = 2) -> KmerFeatures:
    """Gapped k-mers with the widest windows that fit into memory for `bases` bases and K outputs: fits of many outputs
    take memory and time for each."""
    fitting = [
        KmerFeatures(span, letters, strands)
        for span, letters in ((10, 7), (9, 7), (8, 6), (7, 5), (6, 5), (5, 5))
        if bases * len(KmerFeatures(span, letters, 1).masks) * max(outputs, 2) <= 2 * MOST_ENTRIES
    ]
    return fitting[0] if fitting else KmerFeatures(5, 5, strands)


def positions(codes: Sequence[Codes]) -> PositionFeatures | None:
    """Features of positions for sequences of one length up to 2,000 bases; else None."""
    length = len(codes[0])
    if length > 2000 or any(len(x) != length for x in codes):
        return None
    return PositionFeatures(length, order=min(3, length))
