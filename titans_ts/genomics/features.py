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
# Numbers of the letters, an unknown one being any, and which are known.
Line = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]
# Bases whose words are counted at once; what that takes stays in a cache.
BASES_A_PIECE = 65_536


class Features(Protocol):
    """What the logistic map asks of its features."""

    @property
    def size(self) -> int:
        """F."""

    def __call__(self, codes: Sequence[Codes]) -> csr_matrix:
        """(n, F) float32, rows of length 1 where they are not empty."""

    def product(self, codes: Sequence[Codes], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n, F) times the weights (F, C), (n, C)."""

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

    def product(self, codes: Sequence[Codes], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n, F) times the weights (F, C), (n, C)."""
        return np.asarray(self(codes) @ weight, dtype=np.float64)

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
        line = self._line(codes)
        # Before each base of the line lie the gaps of the sequences before its own.
        starts = np.arange(lengths.sum()) + np.repeat(np.arange(len(codes)) * self.span, lengths)
        masks = self.masks
        columns = np.empty((len(starts), len(masks)), dtype=np.int32)
        known = np.empty(columns.shape, dtype=np.bool_)
        places = {mask: place for place, mask in enumerate(masks)}
        for place, mask in enumerate(masks):
            column, there = self._words(line, mask, places)
            columns[:, place], known[:, place] = column[starts], there[starts]
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

    def product(self, codes: Sequence[Codes], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n, F) times the weights (F, C), (n, C): without the matrix, which has an entry a mask and base."""
        piece = np.cumsum([len(x) for x in codes]) // BASES_A_PIECE
        borders = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(codes)]
        return np.concatenate([self._product(codes[a:b], weight) for a, b in itertools.pairwise(borders)])

    def _product(self, codes: Sequence[Codes], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        n, words, line = len(codes), BASES**self.letters, self._line(codes)
        small = np.int32 if n * words < 2**31 else np.int64
        owner = np.repeat(np.arange(n, dtype=small) * words, [len(x) + self.span for x in codes])[: -self.span]
        total, square = np.zeros((n, weight.shape[1])), np.zeros(n)
        masks = self.masks
        places = {mask: place for place, mask in enumerate(masks)}
        for place, mask in enumerate(masks):
            # On both strands as one, a mask and its mirror image share the columns of the first of them.
            other = _mirrored(mask) if self.strands == 2 else mask
            if places[other] < place:
                continue
            keys = []
            for member in {mask, other}:
                column, known = self._words(line, member, places)
                keys.append((owner + (column - place * words))[known])
            key = np.sort(np.concatenate(keys))
            edges = np.flatnonzero(np.diff(key, prepend=-1))
            count = np.diff(edges, append=len(key)).astype(np.float64)
            row, word = np.divmod(key[edges], words)
            square += np.bincount(row, count**2, minlength=n)
            for c in range(weight.shape[1]):
                total[:, c] += np.bincount(row, count * weight[place * words + word, c], minlength=n)
        return total / np.sqrt(np.maximum(square, 1e-24))[:, None]

    def _line(self, codes: Sequence[Codes]) -> Line:
        """All sequences in one: windows must not reach from one into the next, gaps would step over one separator."""
        gap = np.full(self.span, PAD, dtype=np.uint8)
        line = np.concatenate([part for x in codes for part in (x, gap)])
        return np.minimum(line, BASES - 1).astype(np.int32), line < BASES

    def _words(
        self, line: Line, mask: tuple[int, ...], places: dict[tuple[int, ...], int]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Column of the word at each place of the line but its last gap, and whether all its letters are known."""
        number, there = line
        size = len(number) - self.span
        words, known = BASES**self.letters, there[:size].copy()
        column = np.zeros(size, dtype=np.int32)
        for offset in mask:
            known &= there[offset : offset + size]
            column *= BASES
            column += number[offset : offset + size]
        column += places[mask] * words
        if self.strands == 2:
            # The last letter's complement comes first; that of 0 … 3 is 3 minus it.
            backward = np.zeros(size, dtype=np.int32)
            for offset in reversed(mask):
                backward *= BASES
                backward += number[offset : offset + size]
            np.minimum(column, (places[_mirrored(mask)] + 1) * words - 1 - backward, out=column)
        column *= known
        return column, known

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "kmer", **asdict(self)}


def _mirrored(mask: tuple[int, ...]) -> tuple[int, ...]:
    """Places of the same letters seen from the other end of the window."""
    return tuple(mask[-1] - offset for offset in reversed(mask))


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
