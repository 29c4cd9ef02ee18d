"""Counted features of DNA as sparse matrices: letters at positions, gapped k-mers.

Shapes: n sequences, L bases of each where all are equally long, F features.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from titans_datasets.dna.alphabet import PAD, Codes

BASES = 4
# Numbers of the k-mers and of their reverse complements, any number for those with N, and a mask of those without N.
Numbers = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.bool_]]
# Bases of a segment whose k-mers are counted together: its arrays fit into a cache.
SEGMENT_BASES = 65_536


class Occurrences(NamedTuple):
    """Features of one form in a sequence.

    Attributes:
        columns: (m,) of the features, one for each occurrence.
        starts: (m,) places of their first letters.
        offsets: of all letters from the first one.
    """

    columns: npt.NDArray[np.signedinteger]
    starts: npt.NDArray[np.int64]
    offsets: tuple[int, ...]


class Features(Protocol):
    """Features of a `LinearModel`."""

    @property
    def size(self) -> int:
        """F."""

    def __call__(self, codes: Sequence[Codes]) -> csr_matrix:
        """(n, F) float32, rows of length 1 where they are not empty."""

    def product(self, codes: Sequence[Codes], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n, F) times the weights (F, C), (n, C)."""

    def occurrences(self, codes: Codes) -> Iterator[Occurrences]:
        """All features of one sequence, as often as they occur."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; see `features_from`."""


@dataclass(frozen=True)
class PositionFeatures:
    """k-mers of 1 … `order` letters at each position of sequences of one length.

    Attributes:
        length: L bases of every sequence.
        order: largest k; 1 is the one-hot code, 2 adds neighbouring pairs.
    """

    length: int
    order: int = 1

    @property
    def size(self) -> int:
        """F."""
        return sum((self.length - run + 1) * BASES**run for run in range(1, self.order + 1))

    def __call__(self, codes: Sequence[Codes]) -> csr_matrix:
        """(n, F); N is zero for every letter.

        Raises:
            ValueError: a sequence is of another length.
        """
        wrong = next((i for i, x in enumerate(codes) if len(x) != self.length), None)
        if wrong is not None:
            raise ValueError(f"sequence {wrong} must have {self.length} bases, as in training, got {len(codes[wrong])}")
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

    def occurrences(self, codes: Codes) -> Iterator[Occurrences]:
        """All features of one sequence, as often as they occur; see `__call__` for errors."""
        columns, starts = self([codes]).indices, np.arange(self.length)
        for run in range(1, self.order + 1):
            first = sum((self.length - k + 1) * BASES**k for k in range(1, run))
            last = first + (self.length - run + 1) * BASES**run
            these = columns[(columns >= first) & (columns < last)]
            yield Occurrences(these, starts[(these - first) // BASES**run], tuple(range(run)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "position", **asdict(self)}


@dataclass(frozen=True)
class KmerFeatures:
    """Counts of gapped k-mers: k letters in windows of up to `span` bases, at all combinations of places (Ghandi et al.
    2014).

    Attributes:
        span: bases of the widest window; k for k-mers without gaps.
        letters: k.
        strands: 2 counts a k-mer and its reverse complement as one, 1 distinguishes them.
    """

    span: int
    letters: int
    strands: int

    @property
    def masks(self) -> list[tuple[int, ...]]:
        """Offsets of the letters in a window, the first always 0 (others are shifts of these)."""
        return [(0, *rest) for rest in itertools.combinations(range(1, self.span), self.letters - 1)]

    @property
    def size(self) -> int:
        """F."""
        return int(len(self.masks) * BASES**self.letters)

    def __call__(self, codes: Sequence[Codes]) -> csr_matrix:
        """(n, F)."""
        lengths = np.array([len(x) for x in codes])
        line = _Line(codes, self.span)
        # Each base of the line comes after the separators of the sequences before its own.
        starts = np.arange(lengths.sum()) + np.repeat(np.arange(len(codes)) * self.span, lengths)
        masks = self.masks
        columns = np.empty((len(starts), len(masks)), dtype=np.int32)
        known = np.empty(columns.shape, dtype=np.bool_)
        places = {mask: place for place, mask in enumerate(masks)}
        for place, mask in enumerate(masks):
            column, there = self._columns(line, mask, places)
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

    def counts(self, codes: Sequence[Codes]) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Counts of the k-mers of one mask after another, dense: the first column of each, and (n, 4^k).

        With both strands as one, a mask comes together with its mirror image.
        """
        n, kmers, line, masks = len(codes), BASES**self.letters, _Line(codes, self.span), self.masks
        lengths = np.array([len(x) for x in codes])
        owner = np.repeat(np.arange(n) * kmers, lengths + self.span)[: -self.span]
        places = {mask: place for place, mask in enumerate(masks)}
        for place, mask in enumerate(masks):
            other = _mirrored(mask) if self.strands == 2 else mask
            if places[other] < place:
                continue
            found = np.zeros(n * kmers, dtype=np.float32)
            for either in {mask, other}:
                column, known = self._columns(line, either, places)
                found += np.bincount((owner + column - place * kmers)[known], minlength=n * kmers)
            yield place * kmers, found.reshape(n, kmers)

    def product(self, codes: Sequence[Codes], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n, F) times the weights (F, C), (n, C): without the matrix, which has an entry per mask and base."""
        segment = np.cumsum([len(x) for x in codes]) // SEGMENT_BASES
        borders = [0, *(np.flatnonzero(np.diff(segment)) + 1).tolist(), len(codes)]
        return np.concatenate([self._product(codes[a:b], weight) for a, b in itertools.pairwise(borders)])

    def _product(self, codes: Sequence[Codes], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        n, kmers, line = len(codes), BASES**self.letters, _Line(codes, self.span)
        lengths = np.array([len(x) for x in codes])
        starts = np.cumsum(lengths + self.span) - lengths - self.span
        small = np.int32 if n * kmers < 2**31 else np.int64
        nothing, columns = small(n * kmers), np.ascontiguousarray(weight.T)
        owner = np.repeat(np.arange(n, dtype=small) * kmers, lengths + self.span)[: -self.span]
        total, square = np.zeros((n, weight.shape[1])), np.zeros(n)
        masks = self.masks
        places = {mask: place for place, mask in enumerate(masks)}
        for place, mask in enumerate(masks):
            # With both strands as one, a mask and its mirror image share the columns of the first of them.
            other = _mirrored(mask) if self.strands == 2 else mask
            if places[other] < place:
                continue
            keys = []
            for either in {mask, other}:
                column, known = self._columns(line, either, places)
                unknown = np.flatnonzero(~known)
                # The weight of a k-mer is added once per occurrence: no counting is needed for the sum.
                for c, of_class in enumerate(columns):
                    found = of_class.take(column, mode="clip")
                    found[unknown] = 0
                    total[:, c] += np.add.reduceat(found, starts, dtype=np.float64)
                keys.append(owner + (column - small(place * kmers)))
                keys[-1][unknown] = nothing
                square += np.add.reduceat(known, starts, dtype=np.int64)
            # A k-mer with c occurrences adds c² to the squared length: c above, c² − c here.
            key, count = _repeated(np.concatenate(keys))
            there = key != nothing
            square += np.bincount(key[there] // kmers, count[there] * (count[there] - 1.0), minlength=n)
        return total / np.sqrt(np.maximum(square, 1e-24))[:, None]

    def _columns(
        self, line: _Line, mask: tuple[int, ...], places: dict[tuple[int, ...], int]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Column of the k-mer at each place of the line but its last separator, and whether it has no N."""
        kmers = BASES**self.letters
        forward, backward, known = line.kmers(mask)
        column = forward + np.int32(places[mask] * kmers)
        if self.strands == 2:
            # The last letter's complement comes first; that of 0 … 3 is 3 minus it.
            np.minimum(column, np.int32((places[_mirrored(mask)] + 1) * kmers - 1) - backward, out=column)
        column[~known] = 0
        return column, known

    def occurrences(self, codes: Codes) -> Iterator[Occurrences]:
        """All features of one sequence, as often as they occur."""
        line, masks = _Line([codes], self.span), self.masks
        places = {mask: place for place, mask in enumerate(masks)}
        for mask in masks:
            columns, known = self._columns(line, mask, places)
            starts = np.flatnonzero(known)
            yield Occurrences(columns[starts], starts, mask)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "kmer", **asdict(self)}


class _Line:
    """All sequences in one array, with separators as long as a window: no window reaches into the next sequence.

    Many masks have the same left or right half: the numbers of halves are cached.
    """

    def __init__(self, codes: Sequence[Codes], span: int) -> None:
        gap = np.full(span, PAD, dtype=np.uint8)
        line = np.concatenate([part for x in codes for part in (x, gap)])
        self.letters = np.minimum(line, BASES - 1).astype(np.int32)
        self.known = line < BASES
        self.size, self.middle = len(line) - span, span // 2
        self._halves: dict[tuple[int, ...], Numbers] = {}

    def kmers(self, mask: tuple[int, ...]) -> Numbers:
        """Numbers of the k-mers of a mask at every place of the line but its last separator."""
        cut = sum(offset < self.middle for offset in mask)
        left, right = self._half(mask[:cut]), self._half(mask[cut:])
        forward = left[0] * np.int32(BASES ** (len(mask) - cut)) + right[0]
        backward = right[1] * np.int32(BASES**cut) + left[1]
        return forward, backward, left[2] & right[2]

    def _half(self, offsets: tuple[int, ...]) -> Numbers:
        if offsets not in self._halves:
            forward, backward = np.zeros(self.size, dtype=np.int32), np.zeros(self.size, dtype=np.int32)
            known = np.ones(self.size, dtype=np.bool_)
            for power, offset in enumerate(offsets):
                letters = self.letters[offset : offset + self.size]
                forward = forward * np.int32(BASES) + letters
                backward += letters * np.int32(BASES**power)
                known &= self.known[offset : offset + self.size]
            self._halves[offsets] = forward, backward, known
        return self._halves[offsets]


def _repeated(values: npt.NDArray[np.signedinteger]) -> tuple[npt.NDArray[np.signedinteger], npt.NDArray[np.int64]]:
    """The values that occur more than once, ascending, and their counts."""
    values = np.sort(values)
    edges = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1, [len(values)]])
    count = np.diff(edges)
    more = np.flatnonzero(count > 1)
    return values[edges[more]], count[more]


def _mirrored(mask: tuple[int, ...]) -> tuple[int, ...]:
    """Offsets of the same letters from the other end of the window."""
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
