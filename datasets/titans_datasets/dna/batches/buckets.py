"""Padded batches of sequences of different lengths, grouped into buckets of similar length.

Shapes: R sequences of a set, B of a batch, T tokens of its longest one, n tokens of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from titans_datasets.dna.alphabet import PAD, Codes, N, encode_all

Indices: TypeAlias = npt.NDArray[np.int64]
Batch: TypeAlias = dict[str, Tensor]

SIDES = ("right", "left")
# Lengths that differ by less than this factor are shuffled together: 5 % more padding at most.
_LIKE = 1.05


def pad(arrays: Sequence[Codes], side: str = "right") -> tuple[Tensor, Tensor]:
    """Encoded sequences as one batch.

    Args:
        arrays: numbers of each sequence (n,), as `encode_all` gives them.
        side: where the padding goes, "right" or "left".

    Returns:
        input_ids (B, T) int64 with `PAD` beyond the end, attention_mask (B, T) bool, True where there is a base (N is
        one). Both lie on the CPU.

    Raises:
        ValueError: no sequences, an empty one, an unknown side, or numbers that are not 0 … 4.

    Example:
        >>> from titans_datasets.dna import encode_all
        >>> ids, mask = pad(encode_all(["ACG", "T"]))
        >>> ids.tolist(), mask.sum(dim=1).tolist()
        ([[0, 1, 2], [3, 5, 5]], [3, 1])
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
) -> list[Indices]:
    """Which sequences go together, so that little is padding: every index once, sequences of like length side by side.

    Args:
        lengths: of the sequences (n,).
        tokens_per_batch: most tokens B · T of a batch, padding included; a longer sequence makes a batch alone.
        generator: draws the order of the batches and who shares one; None: from short to long, always alike.

    Returns:
        Arrays of indices, one a batch; of the same lengths the same number of batches, whatever is drawn.

    Raises:
        ValueError: no lengths, a length or tokens_per_batch below 1.

    Example:
        >>> [batch.tolist() for batch in bucketed([5, 90, 6, 100], tokens_per_batch=200)]
        [[0, 2], [1, 3]]
    """
    sizes = np.asarray(lengths)
    if sizes.ndim != 1 or not sizes.size or sizes.min() < 1:
        raise ValueError(f"lengths must be one row of numbers ≥ 1, got {lengths!r:.60}")
    if tokens_per_batch < 1:
        raise ValueError(f"tokens_per_batch must be ≥ 1, got {tokens_per_batch}")
    if generator is None:
        return _pack(np.argsort(sizes, kind="stable"), sizes, tokens_per_batch)
    like = np.floor(np.log(sizes) / np.log(_LIKE)).astype(np.int64)
    longest = np.zeros(like.max() + 1, dtype=sizes.dtype)
    np.maximum.at(longest, like, sizes)
    # Who shares a bucket counts as long as its longest: the batches' borders are the same in every draw.
    order = np.lexsort((generator.random(len(sizes)), like))
    batches = _pack(order, longest[like], tokens_per_batch)
    return [batches[i] for i in generator.permutation(len(batches))]


def _pack(order: Indices, sizes: Indices, tokens_per_batch: int) -> list[Indices]:
    borders, start, longest = [], 0, 0
    for place, size in enumerate(sizes[order].tolist()):
        longest = max(longest, size)
        if place > start and (place - start + 1) * longest > tokens_per_batch:
            borders.append(place)
            start, longest = place, size
    return np.split(order, borders)


class LabelledSequences(NamedTuple):
    """Sequences, as `as_sequences` accepts them, and labels (R,) or (R, …) as numbers, None where there are none.

    Example:
        >>> LabelledSequences(["ACGT", "GG"], [0, 1]).labels
        [0, 1]
    """

    sequences: Any
    labels: Any = None


def _numbers(labels: Any) -> Tensor:
    found = np.asarray(labels)
    if found.dtype.kind not in "fiub":
        raise ValueError(
            f"labels must be numbers, got {found.dtype} such as {found.ravel()[:1].tolist()}: number the classes, for "
            "example by np.unique(labels, return_inverse=True)"
        )
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        place = int((~np.isfinite(found.reshape(len(found), -1)).all(1)).argmax())
        raise ValueError(f"label {place} is missing or not finite: leave sequence {place} out")
    return torch.as_tensor(found)


class SequenceBatches(Dataset[Batch]):
    """Batches by arrays of indices (B,): input_ids, attention_mask (B, T), index (B,), and labels (B, …)."""

    def __init__(self, data: LabelledSequences) -> None:
        self.arrays = encode_all(data.sequences)
        self.lengths = np.array([len(array) for array in self.arrays])
        self.labels = None if data.labels is None else _numbers(data.labels)
        if self.labels is not None and len(self.labels) != len(self.arrays):
            raise ValueError(f"labels must be {len(self.arrays)}, one a sequence, got {len(self.labels)}")

    def __getitem__(self, index: Indices) -> Batch:
        input_ids, attention_mask = pad([self.arrays[i] for i in index])
        batch = {"input_ids": input_ids, "attention_mask": attention_mask, "index": torch.from_numpy(index)}
        return batch if self.labels is None else {**batch, "labels": self.labels[batch["index"]]}


class BucketSampler(Sampler[Indices]):
    """Length buckets of an epoch; with a seed shuffled, differently in each epoch and alike in each run."""

    def __init__(self, lengths: Indices, tokens_per_batch: int, seed: int | None = None) -> None:
        self.lengths, self.tokens_per_batch, self.seed, self.epoch = lengths, tokens_per_batch, seed, 0
        self.batches = len(bucketed(lengths, tokens_per_batch, None if seed is None else np.random.default_rng(seed)))

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Indices]:
        generator = None if self.seed is None else np.random.default_rng((self.seed, self.epoch))
        return iter(bucketed(self.lengths, self.tokens_per_batch, generator))

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch
