"""Training data of a language model: sequences cut into windows, with their case.

Shapes: n windows, B of a batch, T bases of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.dna.alphabet import Codes, N, encode_all, reverse_complement, soft_mask
from titans_datasets.dna.batches.buckets import pad
from titans_datasets.dna.batches.windows import window_starts
from titans_ts.genomics.inputs import read_sequences
from titans_ts.genomics.model.network import Batch
from titans_ts.genomics.training.holdout import IntArray, hold_out, related

BoolArray = npt.NDArray[np.bool_]


class Windows(NamedTuple):
    """Encoded windows, as `titans_ts.genomics.training.fit.train` takes them.

    Attributes:
        codes: n arrays (T,).
        soft: n arrays (T,), True for lower-case letters.
        random: draws the windows of a batch whose reverse complement is read; None: none of them.
    """

    codes: Sequence[Codes]
    soft: Sequence[BoolArray]
    random: np.random.Generator | None = None

    def take(self, rows: IntArray, random: np.random.Generator | None = None) -> Windows:
        """Some of them."""
        return Windows([self.codes[i] for i in rows], [self.soft[i] for i in rows], random)

    def batch(self, rows: IntArray) -> Batch:
        """Windows of one batch, padded on the right."""
        flip = np.zeros(len(rows), dtype=bool) if self.random is None else self.random.random(len(rows)) < 0.5
        codes = [reverse_complement(self.codes[i]) if f else self.codes[i] for i, f in zip(rows, flip, strict=True)]
        soft = [self.soft[i][::-1] if f else self.soft[i] for i, f in zip(rows, flip, strict=True)]
        ids, mask = pad(codes)
        lower = torch.zeros_like(mask)
        lower[mask] = torch.from_numpy(np.concatenate(soft))
        return {"input_ids": ids, "attention_mask": mask, "soft_mask": lower}


def cut(codes: Codes, size: int) -> list[slice]:
    """Adjacent windows of `size` bases, the last one shorter."""
    return [slice(start, start + size) for start in window_starts(len(codes), size, size)]


def read_windows(X: Any, sequence_column: str, size: int, soft_mask_weight: float) -> Windows:
    """Windows of all sequences, without those in which no base counts in the loss.

    Raises:
        ValueError, TypeError: see `titans_datasets.dna.encode_all`; or no base counts.
    """
    texts = read_sequences(X, sequence_column)
    pairs = zip(encode_all(texts), map(soft_mask, texts), strict=True)
    found = [(codes[part], soft[part]) for codes, soft in pairs for part in cut(codes, size)]
    kept = [(c, s) for c, s in found if ((c < N) & (~s if soft_mask_weight == 0 else True)).any()]
    if not kept:
        rule = "upper-case A, C, G or T (soft_mask_weight is 0)" if soft_mask_weight == 0 else "A, C, G or T"
        raise ValueError(f"X must hold bases that count in the loss, got no {rule}: pass other sequences")
    return Windows([c for c, _ in kept], [s for _, s in kept])


def split(windows: Windows, fraction: float, seed: int) -> tuple[IntArray, IntArray | None]:
    """Rows to learn from and held-out rows (None for none); equal windows always together.

    Raises:
        ValueError: too few different windows for a held-out part.
    """
    everything = np.arange(len(windows.codes), dtype=np.int64)
    if fraction == 0:
        return everything, None
    try:
        (part,) = hold_out(related(windows.codes, None), np.zeros(len(everything), dtype=np.int64), fraction, 1, seed)
    except ValueError as error:
        raise ValueError(
            f"validation_fraction={fraction:g} of {len(everything)} windows leaves nothing to hold out or nothing to "
            "learn from: pass more or longer sequences, lower context_length, or 0 to hold out nothing"
        ) from error
    return np.setdiff1d(everything, part), part
