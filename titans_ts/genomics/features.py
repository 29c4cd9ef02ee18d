"""Counted features of DNA as sparse matrices: letters at positions, k-mers with gaps.

Shapes: n sequences, L bases of each where all are equally long, F features.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from titans_datasets.dna.alphabet import PAD, Codes

BASES = 4


class Features(Protocol):
    """What the logistic map asks of its features."""

    @property
    def size(self) -> int:
        """F."""

    def __call__(self, codes: Sequence[Codes]) -> csr_matrix:
        """(n, F) float32, rows of length 1 where they are not empty."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; see `features_from`."""


@dataclass(frozen=True)
class PositionFeatures:
    """Runs of 1 … `order` letters, each at its place, in sequences of one length.

    Attributes:
        length: L bases of every sequence.
        order: longest run; 1 is the one-hot code, 2 adds neighbouring pairs.
    """

    length: int
    order: int = 1

    @property
    def size(self) -> int:
        """F."""
        return sum((self.length - run + 1) * BASES**run for run in range(1, self.order + 1))

    def __call__(self, codes: Sequence[Codes]) -> csr_matrix:
        """(n, F), N being none of the letters.

        Raises:
            ValueError: a sequence is of another length.
        """
        wrong = next((i for i, x in enumerate(codes) if len(x) != self.length), None)
        if wrong is not None:
            raise ValueError(
                f"sequence {wrong} must have {self.length} bases as those of training have, got {len(codes[wrong])}"
            )
        letters = np.stack(codes).astype(np.int64)
        columns, known, first = [], [], 0
        for run in range(1, self.order + 1):
            windows = np.lib.stride_tricks.sliding_window_view(letters, run, axis=1)
            number = windows @ BASES ** np.arange(run)
            columns.append(first + np.arange(windows.shape[1]) * BASES**run + number)
            known.append((windows < BASES).all(-1))
            first += windows.shape[1] * BASES**run
        return _rows(np.concatenate(columns, axis=1), np.concatenate(known, axis=1), self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "position", **asdict(self)}


@dataclass(frozen=True)
class KmerFeatures:
    """Counts of k letters spread over windows of up to `span` bases, in all ways to leave gaps (Ghandi et al. 2014).

    Attributes:
        span: bases of the widest window; k for k-mers without gaps.
        letters: k.
        strands: 2 counts a word and its reverse complement as one, 1 tells them apart.
    """

    span: int
    letters: int
    strands: int

    @property
    def masks(self) -> list[tuple[int, ...]]:
        """Places of the letters in a window, the first always at 0 (others are shifts of these)."""
        return [(0, *rest) for rest in itertools.combinations(range(1, self.span), self.letters - 1)]

    @property
    def size(self) -> int:
        """F."""
        return int(len(self.masks) * BASES**self.letters)

    def __call__(self, codes: Sequence[Codes]) -> csr_matrix:
        """(n, F)."""
        lengths = np.array([len(x) for x in codes])
        # Windows that begin in one sequence must not reach the next: gaps would step over a single separator.
        gap = np.full(self.span, PAD, dtype=np.uint8)
        line = np.concatenate([part for x in codes for part in (x, gap)])
        starts = np.flatnonzero(line < PAD)
        masks = self.masks
        columns = np.empty((len(starts), len(masks)), dtype=np.int32)
        known = np.empty(columns.shape, dtype=np.bool_)
        places = {mask: place for place, mask in enumerate(masks)}
        for place, mask in enumerate(masks):
            columns[:, place], known[:, place] = self._words(line, starts, mask, places)
        matrix = csr_matrix(
            (
                known.ravel().astype(np.float32),
                columns.ravel(),
                np.concatenate([[0], np.cumsum(lengths * len(masks))]),
            ),
            shape=(len(codes), self.size),
        )
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return _unit_rows(matrix)

    def _words(
        self, line: Codes, starts: npt.NDArray[np.int64], mask: tuple[int, ...], places: dict[tuple[int, ...], int]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Column of the word at each start, and whether all its letters are known."""
        forward = np.zeros(len(starts), dtype=np.int32)
        backward = np.zeros(len(starts), dtype=np.int32)
        known = np.ones(len(starts), dtype=np.bool_)
        for power, offset in enumerate(mask):
            letter = line[starts + offset]
            known &= letter < BASES
            forward += letter.astype(np.int32) * BASES ** (self.letters - 1 - power)
            backward += (BASES - 1 - np.minimum(letter, BASES - 1).astype(np.int32)) * BASES**power
        words = BASES**self.letters
        column = places[mask] * words + forward
        if self.strands == 2:
            mirrored = tuple(mask[-1] - offset for offset in reversed(mask))
            column = np.minimum(column, places[mirrored] * words + backward)
        return np.where(known, column, 0).astype(np.int32), known

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "kmer", **asdict(self)}


def features_from(values: dict[str, Any]) -> Features:
    """Inverse of the features' `to_dict`."""
    rest = {name: value for name, value in values.items() if name != "kind"}
    return PositionFeatures(**rest) if values["kind"] == "position" else KmerFeatures(**rest)


def _rows(columns: npt.NDArray[np.int64], known: npt.NDArray[np.bool_], size: int) -> csr_matrix:
    """Rows of ones at the known columns (n, W), of length 1."""
    borders = np.concatenate([[0], np.cumsum(known.sum(1))])
    data = np.ones(int(borders[-1]), dtype=np.float32)
    return _unit_rows(csr_matrix((data, columns[known].astype(np.int32), borders), shape=(len(columns), size)))


def _unit_rows(matrix: csr_matrix) -> csr_matrix:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix.data /= np.repeat(np.maximum(norms, 1e-12), np.diff(matrix.indptr)).astype(np.float32)
    return matrix
