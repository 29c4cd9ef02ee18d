"""k-mers as numbers, a k-mer and its reverse complement as one.

Shapes: R sequences, M k-mers of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.alphabet import Codes, N

LONGEST = 32  # two bits per base in 64 bits


class Kmers(NamedTuple):
    """k-mers of many sequences.

    Args:
        values: (M,) uint64, equal where k-mers are equal or reverse complements of each other.
        rows: (M,) number of the sequence of each, ascending.
    """

    values: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int64]


def canonical_kmers(arrays: Sequence[Codes], k: int) -> Kmers:
    """All k-mers without N, in the order of their positions; a sequence shorter than k has none.

    Args:
        arrays: numbers of each sequence, as `encode_all` gives them.
        k: length of the k-mers, 1 … 32.

    Raises:
        ValueError: k is out of range.

    Example:
        >>> from titans_datasets.dna import encode_all
        >>> found = canonical_kmers(encode_all(["AAC", "GTT", "ANC"]), 3)
        >>> found.rows.tolist(), bool(found.values[0] == found.values[1])
        ([0, 1], True)
    """
    if not 1 <= k <= LONGEST:
        raise ValueError(f"k must be 1 … {LONGEST}, got {k}")
    # An N after each sequence keeps k-mers from reaching into the next one.
    gap = np.array([N], dtype=np.uint8)
    flat = np.concatenate([part for array in arrays for part in (array, gap)])
    rows = np.repeat(np.arange(len(arrays)), [len(array) + 1 for array in arrays])
    count = len(flat) - k + 1
    if count < 1:
        return Kmers(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))
    seen = np.concatenate([[0], np.cumsum(flat == N)])
    whole = seen[k:] == seen[:-k]
    digits = (flat & 3).astype(np.uint64)
    values = np.minimum(_read(digits, k), _read((3 - digits)[::-1], k)[::-1])
    return Kmers(values[whole], rows[:count][whole])


def _read(digits: npt.NDArray[np.uint64], k: int) -> npt.NDArray[np.uint64]:
    """Every k consecutive digits as a number, built from 1, 2, 4, 8 … digits: log k passes instead of k."""
    power, size = digits, 1
    out, done = digits[:0], 0
    while True:
        if k & size:
            if done:
                count = len(digits) - done - size + 1
                power_there = power[done : done + count]
                out = (out[:count] << np.uint64(2 * size)) | power_there
            else:
                out = power
            done += size
            if done == k:
                return out
        count = len(digits) - 2 * size + 1
        power = (power[:count] << np.uint64(2 * size)) | power[size : size + count]
        size *= 2
