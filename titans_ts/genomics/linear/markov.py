"""Markov models of DNA: counts of k-mers that predict the next base, as baselines of language models.

Shapes: T bases of a sequence, k bases of context.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.alphabet import Codes, N, reverse_complement

FloatArray = npt.NDArray[np.float64]
HIGHEST_ORDER = 10


def markov_bits(train: Sequence[Codes], test: Sequence[Codes], order: int, *, both_strands: bool = True) -> float:
    """Bits per base of test sequences under k-mer counts of the training sequences, one added to every count.

    Bases without `order` known bases directly before them are left out.

    Args:
        train, test: encoded sequences.
        order: k, 0 … 10; 0 counts single bases.
        both_strands: also count the training sequences' reverse complements.

    Raises:
        ValueError: order out of range, or no base of the test sequences has that many before it.
    """
    if not 0 <= order <= HIGHEST_ORDER:
        raise ValueError(f"order must be 0 … {HIGHEST_ORDER}, got {order}")
    counts = np.ones(N ** (order + 1))
    for codes in train:
        strands = (codes, reverse_complement(codes)) if both_strands else (codes,)
        for strand in strands:
            counts += np.bincount(_kmers(strand, order + 1), minlength=len(counts))
    table = counts.reshape(-1, N)
    bits = -np.log2(table / table.sum(1, keepdims=True)).reshape(-1)
    kmers = [_kmers(codes, order + 1) for codes in test]
    total = sum(map(len, kmers))
    if not total:
        raise ValueError(f"test must hold {order + 1} bases A, C, G, T in a row, got none: lower the order")
    return float(sum(bits[one].sum() for one in kmers) / total)


def _kmers(codes: Codes, size: int) -> npt.NDArray[np.int64]:
    """Numbers of the k-mers of `size` bases without N, in order."""
    if len(codes) < size:
        return np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, size)
    return np.asarray(windows[(windows < N).all(1)].astype(np.int64) @ N ** np.arange(size)[::-1])
