"""KernelModel: a penalised regression in the space of a Gaussian kernel over counted features (gkm-RBF; Lee 2016).

A linear function of counts adds up what each k-mer says by itself; with the kernel it also learns what they say
together. Where there are many sequences, some of them span the space (Nyström; Williams and Seeger 2001).

Shapes: n sequences, T bases of one, M landmarks (sequences that span the space), F features, K outputs (classes, labels
or targets), C columns (1 for two classes, else K).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from titans_datasets.dna.alphabet import Codes
from titans_ts.genomics.linear.choice import choose_linear, fit_linear
from titans_ts.genomics.linear.features import Features, KmerFeatures
from titans_ts.genomics.linear.losses import Targets
from titans_ts.genomics.linear.model import LinearModel, both_classes
from titans_ts.genomics.linear.selection import IntArray

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
# Best or next to it of 1, 2, 4 and 8 on the validation files of seven sets of binding sites, with k-mers that are not
# too wide to occur in several sequences: 5 letters in 7 bases of 4 to 8.
GAMMA, KMERS = 2.0, (7, 5)
LANDMARKS, FEWEST = 3_000, 300
# Entries of the features of all landmarks, and of the coordinates of all sequences: 4 bytes each.
MOST_FEATURES, MOST_COORDINATES = 2**26, 2**27
# Sequences whose features are dense at a time; added to the kernel of a sequence with itself, which is 1.
BLOCK, RIDGE = 1_024, 1e-4


class Block(NamedTuple):
    """Some features of all landmarks.

    Attributes:
        first: number of the feature that is column 0.
        columns: (S,) of the features that a landmark has, from there.
        rows: (M, S) their values.
    """

    first: int
    columns: IntArray
    rows: Float32Array


class Landmarks:
    """Sequences that span the space of the kernel exp(γ (x · z − 1)) of features x and z of length 1.

    Args:
        features: to count.
        codes: the M sequences.
        gamma: γ.
    """

    def __init__(self, features: Features, codes: Sequence[Codes], gamma: float = GAMMA) -> None:
        self.features, self.codes, self.gamma = features, list(codes), gamma
        blocks, square = [], np.zeros(len(self.codes), dtype=np.float32)
        for first, counts in _counts(features, self.codes):
            seen = np.flatnonzero(counts.any(0))
            blocks.append(Block(first, seen, counts[:, seen]))
            square += (counts * counts).sum(1)
        scale: Float32Array = (1.0 / np.sqrt(np.maximum(square, 1e-24))).astype(np.float32)[:, None]
        self.blocks = [block._replace(rows=np.multiply(block.rows, scale, dtype=np.float32)) for block in blocks]

    def products(self, codes: Sequence[Codes]) -> Float32Array:
        """Inner products of features with those of the landmarks, (n, M)."""
        return np.concatenate([self._products(codes[i : i + BLOCK]) for i in range(0, len(codes), BLOCK)])

    def _products(self, codes: Sequence[Codes]) -> Float32Array:
        total = np.zeros((len(codes), len(self.codes)), dtype=np.float32)
        square = np.zeros(len(codes), dtype=np.float32)
        for block, (_, counts) in zip(self.blocks, _counts(self.features, codes), strict=True):
            # Features that no landmark has add nothing to the product.
            total += counts[:, block.columns] @ block.rows.T
            square += (counts * counts).sum(1)
        return np.asarray(total / np.sqrt(np.maximum(square, 1e-24))[:, None])

    def kernel(self, codes: Sequence[Codes]) -> Float32Array:
        """(n, M)."""
        products = self.products(codes)
        return np.asarray(np.exp(self.gamma * (products - 1.0)), dtype=np.float32)


class Space:
    """Coordinates in which the kernel is an inner product, as far as the landmarks span it.

    Args:
        landmarks: the M sequences.
    """

    def __init__(self, landmarks: Landmarks) -> None:
        self.landmarks = landmarks
        square = landmarks.kernel(landmarks.codes).astype(np.float64)
        self.factor: FloatArray = cholesky(square + RIDGE * np.eye(len(square)), lower=True, overwrite_a=True)

    def __call__(self, codes: Sequence[Codes]) -> Float32Array:
        """(n, M)."""
        kernel, found = self.landmarks.kernel(codes), np.empty((len(codes), len(self.factor)), dtype=np.float32)
        for first in range(0, len(codes), BLOCK):
            block = kernel[first : first + BLOCK].T.astype(np.float64)
            found[first : first + BLOCK] = solve_triangular(self.factor, block, lower=True).T
        return found

    def model(self, found: LinearModel) -> KernelModel:
        """From a model of coordinates to one of sequences."""
        weight = solve_triangular(self.factor, found.weight.astype(np.float64), lower=True, trans="T")
        marks = self.landmarks
        return KernelModel(
            marks.features, marks.codes, weight, found.bias, found.pair, found.inverse_penalty, marks.gamma
        )


@dataclass
class KernelModel:
    """Outputs ``Σ_m α_m exp(γ (x · x_m − 1)) + b`` of features x: logits of classes or labels, or standardised targets.

    Attributes:
        features: from sequences to x.
        codes: the M landmarks, sequences of training.
        weight: α (M, C); bias: (C,) float32.
        pair: whether the only column z stands for two classes with the logits −z/2 and z/2.
        inverse_penalty: chosen on held-out sequences, in units of one sequence.
        gamma: γ.
    """

    features: Features
    codes: list[Codes]
    weight: FloatArray
    bias: Float32Array
    pair: bool
    inverse_penalty: float = 0.0
    gamma: float = GAMMA

    @cached_property
    def landmarks(self) -> Landmarks:
        """Features of the landmarks, counted when they are first needed."""
        return Landmarks(self.features, self.codes, self.gamma)

    def __call__(self, codes: Sequence[Codes]) -> FloatArray:
        """(n, K) of sequences."""
        return both_classes(self.landmarks.kernel(codes).astype(np.float64) @ self.weight + self.bias, self.pair)

    def contributions(self, codes: Codes) -> FloatArray:
        """What each base adds to the outputs, (T, K) of T bases: all together the outputs minus `floor`.

        The features go from nothing to those of the sequence along a straight line; on it the kernel has an integral,
        and what a feature adds is that of a linear model with weights of the sequence's own (Aumann and Shapley 1974).
        """
        products = self.landmarks.products([codes])[0].astype(np.float64)
        # (exp(γ s) − 1) / s, which is γ where s is 0.
        slope = np.full_like(products, self.gamma)
        np.divide(np.expm1(self.gamma * products), products, out=slope, where=products > 1e-12)
        weight = np.zeros((self.features.size, self.weight.shape[1]), dtype=np.float32)
        each = np.exp(-self.gamma) * slope[:, None] * self.weight
        for block in self.landmarks.blocks:
            weight[block.first + block.columns] = block.rows.T @ each
        return LinearModel(self.features, weight, self.bias, self.pair).contributions(codes)

    @property
    def floor(self) -> FloatArray:
        """Outputs (K,) of a sequence without known letters."""
        return both_classes(np.exp(-self.gamma) * self.weight.sum(0)[None] + self.bias, self.pair)[0]


class KernelCandidate:
    """Fits of a kernel model on different parts of the sequences; as `titans_ts.genomics.linear.selection.Candidate`.

    Args:
        features: to count.
        codes: all n sequences.
        targets: of all of them.

    Attributes:
        seconds: that the choice of the penalty took.
    """

    def __init__(self, features: Features, codes: Sequence[Codes], targets: Targets) -> None:
        self.features, self.codes, self.targets = features, codes, targets
        self.seconds = 0.0

    def worthwhile(self) -> bool:
        """Whether enough landmarks fit into memory."""
        return self._count(len(self.codes)) >= min(FEWEST, len(self.codes))

    def choose(self, rows: IntArray, held: IntArray, deadline: float = float("inf")) -> tuple[KernelModel, float]:
        """The model fitted on some rows with the penalty that is best on others, and its loss there.

        Args:
            rows, held: numbers of the sequences.
            deadline: `time.monotonic` time at which the best model so far is taken.
        """
        started = time.monotonic()
        space = self._space(rows)
        x, held_x = space(self._take(rows)), space(self._take(held))
        targets, held_targets = self.targets.take(rows), self.targets.take(held)
        found, loss = choose_linear(self.features, x, targets, held_x, held_targets, deadline)
        self.seconds = time.monotonic() - started
        return space.model(found), loss

    def refit(self, model: KernelModel, rows: IntArray, deadline: float = float("inf")) -> KernelModel:
        """The same model fitted on other rows, with its penalty.

        Args:
            model: what `choose` returned.
            rows: numbers of the sequences.
            deadline: `time.monotonic` time at which the weights so far are taken.
        """
        space = self._space(rows)
        x, targets = space(self._take(rows)), self.targets.take(rows)
        return space.model(fit_linear(self.features, x, targets, model.inverse_penalty, None, deadline))

    def _take(self, rows: IntArray) -> list[Codes]:
        return [self.codes[i] for i in rows]

    def _count(self, n: int) -> int:
        return int(min(n, LANDMARKS, MOST_COORDINATES // max(n, 1), MOST_FEATURES // _most_columns(self.features)))

    def _space(self, rows: IntArray) -> Space:
        drawn = np.random.default_rng(0).permutation(rows)[: self._count(len(rows))]
        return Space(Landmarks(self.features, self._take(np.sort(drawn))))


def _counts(features: Features, codes: Sequence[Codes]) -> Iterator[tuple[int, Float32Array]]:
    """Dense features block by block, each with the number of its first one."""
    if isinstance(features, KmerFeatures):
        yield from features.counts(codes)
    else:
        yield 0, features(codes).toarray()


def _most_columns(features: Features) -> int:
    """Columns that are not always empty: with both strands as one about half of the k-mers have none."""
    return features.size // 2 if isinstance(features, KmerFeatures) and features.strands == 2 else features.size
