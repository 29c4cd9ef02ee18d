"""Sequences of different lengths side by side, and which of them go together.

Shapes: B sequences, T tokens of the longest one, n tokens of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_datasets.dna.alphabet import PAD, Codes, N

SIDES = ("right", "left")
# How far apart the lengths of a shuffled batch may be, beyond what its size asks for: 5 % more padding at most.
_SPREAD = 0.05


def pad(arrays: Sequence[Codes], side: str = "right") -> tuple[Tensor, Tensor]:
    """Encoded sequences as one batch.

    Args:
        arrays: numbers of each sequence (n,), as `encode_all` gives them.
        side: where the padding goes, "right" or "left".

    Returns:
        input_ids (B, T) int64 with `PAD` beyond the end, attention_mask (B, T) bool, True where there is a base (N is
        one). Both lie on the CPU.

    Raises:
        ValueError: no sequences, an empty one, an unknown side, or numbers that are none of 0 … 4.
    """
    if side not in SIDES:
        raise ValueError(f"side must be one of {', '.join(SIDES)}, got {side!r}")
    if not len(arrays):
        raise ValueError("arrays must hold at least one sequence, got none")
    lengths = np.array([len(array) for array in arrays])
    if not lengths.all():
        raise ValueError(f"sequence {int(lengths.argmin())} is empty: remove it")
    places, longest = np.arange(lengths.max()), int(lengths.max())
    first = np.zeros_like(lengths) if side == "right" else longest - lengths
    mask = (places >= first[:, None]) & (places < (first + lengths)[:, None])
    flat = np.concatenate(arrays)
    if flat.dtype.kind not in "iu" or flat.min() < 0 or flat.max() > N:
        raise ValueError(f"arrays must hold the numbers 0 … {N} of `encode`, got {flat.min()} … {flat.max()}")
    ids = np.full(mask.shape, PAD, dtype=np.int64)
    ids[mask] = flat
    return torch.from_numpy(ids), torch.from_numpy(mask)


def bucketed(
    lengths: npt.ArrayLike, tokens_per_batch: int, generator: np.random.Generator | None = None
) -> list[npt.NDArray[np.int64]]:
    """Which sequences go together, so that little is padding: every index once, sequences of like length side by side.

    Args:
        lengths: of the sequences (n,).
        tokens_per_batch: most tokens B · T of a batch, padding included; a longer sequence makes a batch alone.
        generator: draws the order of the batches and who shares one; None: from short to long, always alike.

    Returns:
        Arrays of indices, one a batch.

    Raises:
        ValueError: no lengths, a length or tokens_per_batch below 1.
    """
    sizes = np.asarray(lengths)
    if sizes.ndim != 1 or not sizes.size or sizes.min() < 1:
        raise ValueError(f"lengths must be one row of numbers ≥ 1, got {lengths!r:.60}")
    if tokens_per_batch < 1:
        raise ValueError(f"tokens_per_batch must be ≥ 1, got {tokens_per_batch}")
    if generator is None:
        order = np.argsort(sizes, kind="stable")
    else:
        order = np.argsort(sizes * generator.uniform(1, 1 + _SPREAD, len(sizes)), kind="stable")
    batches = _pack(order, sizes, tokens_per_batch)
    if generator is not None:
        batches = [batches[i] for i in generator.permutation(len(batches))]
    return batches


def _pack(
    order: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], tokens_per_batch: int
) -> list[npt.NDArray[np.int64]]:
    borders, start, longest = [], 0, 0
    for place, size in enumerate(sizes[order].tolist()):
        longest = max(longest, size)
        if place > start and (place - start + 1) * longest > tokens_per_batch:
            borders.append(place)
            start, longest = place, size
    return np.split(order, borders)
