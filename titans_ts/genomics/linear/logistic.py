"""Logistic maps beside the network: convex, fitted in seconds, good where little data or a fixed position decide.

A regularised logistic regression on letters at positions finds promoters and splice sites, one on k-mers with gaps
finds binding sites; `titans_ts.genomics.linear.blend` blends them with the network on held-out sequences, so that each
gets the say it earns there. Alone they are the baselines of a report.

Shapes: n sequences, F features, K classes or labels, C columns (1 for two classes, else K).
"""

from __future__ import annotations

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
from titans_ts.genomics.model.heads import TaskName

FloatArray = npt.NDArray[np.float64]
# Inverse penalties in units of one sequence: features have length 1, so the same steps suit all of them.
INVERSE_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FIRST_PENALTY = 3
ITERATIONS = 100
# Numbers of a sparse matrix, 8 bytes each and about three times that while it is made.
MOST_ENTRIES = 75_000_000


@dataclass(frozen=True)
class MapsConfig:
    """Options of the logistic maps.

    Attributes:
        words: (span, letters) of the k-mers with gaps: all ways to spread `letters` letters over windows of up to
            `span` bases; None takes as many as fit into memory, seven letters in ten bases at most.
    """

    words: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.words is None:
            return
        words = tuple(self.words)
        ok = len(words) == 2 and 1 <= words[1] <= words[0] <= 16 and words[1] <= 8
        require(ok, "words", "(span, letters) with 1 ≤ letters ≤ 8, letters ≤ span ≤ 16", self.words)
        object.__setattr__(self, "words", words)

    def features(self, bases: int, strands: int) -> KmerFeatures:
        """The words to count in training sequences of so many bases together."""
        return widest_kmers(bases, strands) if self.words is None else KmerFeatures(*self.words, strands)


class Targets(NamedTuple):
    """What is to be learned: labels (n,) class numbers or (n, K) zeros and ones, weights (n,), K, the task."""

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
class LogisticMap:
    """Logits from features: ``x W + b``.

    Attributes:
        features: how sequences become numbers.
        weight: (F, C) float32; bias: (C,).
        pair: whether the one column z stands for two classes, whose logits are −z/2 and z/2.
        inverse_penalty: chosen on held-out sequences, in units of one sequence.
    """

    features: Features
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    pair: bool
    inverse_penalty: float = 0.0

    def logits(self, x: csr_matrix) -> FloatArray:
        """(n, K) of features (n, F)."""
        return _both_classes(np.asarray(x @ self.weight, dtype=np.float64) + self.bias, self.pair)

    def __call__(self, codes: Sequence[Codes]) -> FloatArray:
        """(n, K) of sequences."""
        return _both_classes(self.features.product(codes, self.weight) + self.bias, self.pair)


def _both_classes(z: FloatArray, pair: bool) -> FloatArray:
    return np.concatenate([-z / 2, z / 2], axis=1) if pair else z


def fit_logistic(
    features: Features,
    x: csr_matrix,
    targets: Targets,
    inverse_penalty: float,
    start: LogisticMap | None = None,
) -> LogisticMap:
    """Minimise the log loss with a quadratic penalty on the weights (L-BFGS, from `start` where there is one)."""
    pair = targets.task == "classes" and targets.outputs == 2
    # Weights of features that no sequence has are zero: they are left out while the rest is fitted.
    every = x.shape[1]
    seen, x = _occurring(x)
    columns, size = 1 if pair else targets.outputs, x.shape[1]
    total = max(targets.weight.sum(), 1e-12)
    penalty, share = 1.0 / (inverse_penalty * total), targets.weight / total
    onehot = targets.labels if targets.task == "labels" else np.eye(targets.outputs)[targets.labels]

    def _objective(flat: FloatArray) -> tuple[float, FloatArray]:
        w, b = flat[: size * columns].reshape(size, columns), flat[size * columns :]
        logits = _both_classes(np.asarray(x @ w.astype(np.float32), dtype=np.float64) + b, pair)
        loss = -float((share * log_likelihoods(logits, targets)).sum())
        if targets.task == "classes":
            error = softmax(logits, axis=1) - onehot
            error = error[:, 1:] if pair else error
        else:
            error = (expit(logits) - onehot) / targets.outputs
        error = error * share[:, None]
        slope = np.asarray(x.T @ error.astype(np.float32), dtype=np.float64) + penalty * w
        return loss + 0.5 * penalty * float((w * w).sum()), np.concatenate([slope.ravel(), error.sum(0)])

    first = np.zeros(size * columns + columns)
    if start is not None:
        first = np.concatenate([start.weight[seen].ravel(), start.bias]).astype(np.float64)
    found = minimize(_objective, first, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "ftol": 1e-7}).x
    weight = np.zeros((every, columns), dtype=np.float32)
    weight[seen] = found[: size * columns].reshape(size, columns)
    return LogisticMap(features, weight, found[size * columns :].astype(np.float32), pair, inverse_penalty)


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
    features: Features, x: csr_matrix, targets: Targets, held_x: csr_matrix, held: Targets
) -> tuple[LogisticMap, float]:
    """The map with the penalty that is best on held-out sequences, and its log loss there.

    From a middle penalty weaker ones are tried as long as that helps, stronger ones where it never did, each fit
    starting from the one before.
    """

    def tried(place: int, start: LogisticMap | None) -> tuple[LogisticMap, float]:
        found = fit_logistic(features, x, targets, INVERSE_PENALTIES[place], start)
        return found, log_loss(found.logits(held_x), held)

    first = best = tried(FIRST_PENALTY, None)
    weaker, stronger = range(FIRST_PENALTY + 1, len(INVERSE_PENALTIES)), range(FIRST_PENALTY - 1, -1, -1)
    for places in (weaker, stronger):
        last = first
        for place in places:
            last = tried(place, last[0])
            if last[1] >= best[1]:
                break
            best = last
        if best is not first:
            break
    return best


def widest_kmers(bases: int, strands: int) -> KmerFeatures:
    """k-mers with gaps, as many ways to leave gaps as fit into the memory for `bases` bases."""
    fitting = [
        KmerFeatures(span, letters, strands)
        for span, letters in ((10, 7), (9, 7), (8, 6), (7, 5), (6, 5), (5, 5))
        if bases * len(KmerFeatures(span, letters, 1).masks) <= MOST_ENTRIES
    ]
    return fitting[0] if fitting else KmerFeatures(5, 5, strands)


def positions(codes: Sequence[Codes]) -> PositionFeatures | None:
    """Letters at positions where all sequences are equally long and not too long for it; else None."""
    length = len(codes[0])
    if length > 2000 or any(len(x) != length for x in codes):
        return None
    return PositionFeatures(length, order=min(3, length))
