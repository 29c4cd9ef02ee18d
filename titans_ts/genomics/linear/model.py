"""LinearModel: a linear function of counted features, the linear part of classifiers and regressors.

Regularised models on letters at positions find promoters and splice sites, those on gapped k-mers find binding sites.
They are convex, fitted in seconds and good where there is little data; `titans_ts.genomics.linear.blend` weights them
against the network on held-out sequences.

Shapes: n sequences, T bases of one, F features, K outputs (classes, labels or targets), C columns (1 for two classes,
else K).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from titans_datasets.dna.alphabet import Codes
from titans_ts.core.config import require
from titans_ts.genomics.linear.features import Features, KmerFeatures, PositionFeatures

FloatArray = npt.NDArray[np.float64]
# Entries of a sparse matrix, 8 bytes each and about three times that while it is built.
MOST_ENTRIES = 75_000_000


@dataclass(frozen=True)
class LinearConfig:
    """Options of the linear part.

    Attributes:
        kmers: (span, k) of the gapped k-mers: all ways to spread k letters over windows of up to `span` bases; None
            takes as many as fit into memory, seven letters in ten bases at most.
        gaussian: whether regressions with a Gaussian kernel over k-mers and positions are tried beside them; one that
            helps keeps up to 3,000 training sequences in the model.

    Raises:
        ValueError: span or k is out of range.
    """

    kmers: tuple[int, int] | None = None
    gaussian: bool = True

    def __post_init__(self) -> None:
        require(isinstance(self.gaussian, bool), "gaussian", "True or False", self.gaussian)
        if self.kmers is None:
            return
        kmers = tuple(self.kmers)
        ok = len(kmers) == 2 and 1 <= kmers[1] <= kmers[0] <= 16 and kmers[1] <= 8
        require(ok, "kmers", "(span, k) with 1 ≤ k ≤ 8, k ≤ span ≤ 16", self.kmers)
        object.__setattr__(self, "kmers", kmers)

    def features(self, bases: int, strands: int, outputs: int = 2) -> KmerFeatures:
        """The k-mers to count in training sequences of this many bases in total and of so many outputs."""
        return widest_kmers(bases, strands, outputs) if self.kmers is None else KmerFeatures(*self.kmers, strands)


@dataclass
class LinearModel:
    """Outputs ``x W + b`` of features x: logits of classes or labels, or standardised targets.

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

    def outputs(self, x: csr_matrix | FloatArray) -> FloatArray:
        """(n, K) of features (n, F)."""
        return both_classes(np.asarray(x @ self.weight, dtype=np.float64) + self.bias, self.pair)

    def __call__(self, codes: Sequence[Codes]) -> FloatArray:
        """(n, K) of sequences."""
        return both_classes(self.features.product(codes, self.weight) + self.bias, self.pair)

    def contributions(self, codes: Codes) -> FloatArray:
        """What each base adds to the outputs, (T, K) of T bases: all together the outputs minus `floor`.

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
        return both_classes(found / max(float(np.sqrt((counts.astype(np.float64) ** 2).sum())), 1e-12), self.pair)

    @property
    def floor(self) -> FloatArray:
        """Outputs (K,) of a sequence without known letters."""
        return both_classes(self.bias[None].astype(np.float64), self.pair)[0]


def both_classes(z: FloatArray, pair: bool) -> FloatArray:
    """Logits of two classes from one column; other columns as they are."""
    return np.concatenate([-z / 2, z / 2], axis=1) if pair else z


def occurring(x: csr_matrix | FloatArray) -> tuple[npt.NDArray[np.int64], csr_matrix | FloatArray]:
    """The columns that are not empty, and the matrix of these alone: weights of all others stay zero.

    Dense coordinates keep all their columns.
    """
    if isinstance(x, np.ndarray):
        return np.arange(x.shape[1]), x
    there = np.zeros(x.shape[1], dtype=np.bool_)
    there[x.indices] = True
    seen = np.flatnonzero(there)
    if len(seen) == x.shape[1]:
        return seen, x
    place = np.cumsum(there, dtype=np.int32) - 1
    return seen, csr_matrix((x.data, place[x.indices], x.indptr), shape=(x.shape[0], len(seen)))


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
