"""Left-aligned batches, reversed sequences, reverse complements.

Padding is always moved to the end of the sequence first: a memory that shares gradients within chunks, and tokens of
several bases, would otherwise depend on the amount of padding before them.

Shapes: B batch, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from titans_datasets.dna.alphabet import PAD, VOCABULARY

# A ↔ T, C ↔ G; N and padding stay.
_COMPLEMENT = (3, 2, 1, 0, 4, 5)


def left_aligned(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The batch with padding after the sequences and without columns of padding only.

    Args:
        ids: (B, T) int64, codes of `titans_datasets.dna`; values under padding are ignored. Or (B, T, 4) shares of A,
            C, G, T, to be differentiated, without padding.
        mask: (B, T) bool, True for bases, one contiguous segment per row.

    Returns:
        ids (B, T'), mask (B, T') and the lengths (B,).

    Raises:
        ValueError: shapes differ, a code is unknown, a row has no base, padding between bases, or padding with shares
            of letters.
    """
    if ids.is_floating_point():
        if ids.shape != (*mask.shape, 4) or not bool(mask.all()):
            raise ValueError(
                f"shares of letters must be (batch, tokens, 4) without padding, got {tuple(ids.shape)} and a mask "
                f"{tuple(mask.shape)} that marks {int(mask.sum())}: pass sequences of one length"
            )
        return ids, mask, mask.sum(1)
    if ids.ndim != 2 or ids.shape != mask.shape:
        raise ValueError(
            f"input_ids and attention_mask must both be (batch, tokens), got {tuple(ids.shape)} and {tuple(mask.shape)}"
        )
    lengths = mask.sum(1)
    if int(lengths.min()) < 1:
        raise ValueError(f"row {int(lengths.argmin())} of the batch is padding only: leave it out")
    start = mask.to(torch.uint8).argmax(1)
    place = torch.arange(int(lengths.max()), device=ids.device)
    real = place < lengths[:, None]
    source = (start[:, None] + place).clamp_max(ids.shape[1] - 1)
    if not bool((mask.gather(1, source) | ~real).all()):
        raise ValueError(
            "attention_mask must mark one segment per row, got padding between bases: use N for unknown bases"
        )
    aligned = torch.where(real, ids.gather(1, source), PAD)
    if bool(((aligned < 0) | (aligned >= VOCABULARY) | (real & (aligned == PAD))).any()):
        raise ValueError(f"input_ids must be 0 … {PAD - 1} (A, C, G, T, N) where attention_mask is True")
    return aligned, real, lengths


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Each row reversed, its padding still at the end: x (B, T, …), lengths (B,)."""
    place = torch.arange(x.shape[1], device=x.device)
    source = (lengths[:, None] - 1 - place) % x.shape[1]
    return x.gather(1, source.reshape(*source.shape, *[1] * (x.ndim - 2)).expand(x.shape))


def reverse_complement(ids: Tensor, lengths: Tensor) -> Tensor:
    """Reverse complement of left-aligned ids (B, T), or shares of letters (B, T, 4), padding still at the end."""
    back = reverse(ids, lengths)
    if ids.is_floating_point():
        return back.flip(-1)
    place = torch.arange(ids.shape[1], device=ids.device)
    complement = torch.tensor(_COMPLEMENT, device=ids.device)
    return torch.where(place < lengths[:, None], complement[back.clamp(0, PAD)], PAD)
