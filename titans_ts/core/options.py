"""ReadOptions: what may differ between two reads of the same model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from titans_ts.core.surprise import SurpriseRecord


@dataclass(frozen=True)
class ReadOptions:
    """How a backbone reads: passed as ``options=`` through every block to every memory.

    One object instead of four arguments, because it only travels: `Titans`, the blocks and any network around them
    hand it on unread, and a further option changes `NeuralMemory` and this class, no signature between. Nothing else
    steers a forward pass: there is no context manager and no global.

    Attributes:
        gate_shift: added to the logits of α and θ. For small gates this multiplies them by exp(gate_shift), so that n
            tokens which the memory should ignore disturb it as exp(gate_shift) · n tokens would; a θ at its bound stays
            there. Trains for sequences longer than those at hand (ours, not the paper's). Very negative: nothing is
            written or forgotten.
        surprise: collects the inner loss of every token; None records nothing.
        backend: of the memory ops, "reference", "torch", "native" or "triton"; None lets `titans_kernels.explain`
            choose.
        segment_length: chunks between two states that are kept for the backward pass, see
            `titans_kernels.linear_memory`; None chooses.

    Example:
        >>> import torch
        >>> from titans_ts.core import SurpriseRecord, Titans, TitansConfig
        >>> backbone, record = Titans(TitansConfig("lmm", width=8, heads=2, layers=1)), SurpriseRecord()
        >>> y, state = backbone(torch.zeros(1, 5, 8), options=ReadOptions(surprise=record))
        >>> record.stacked().loss.shape
        torch.Size([1, 5, 1, 2])
    """

    gate_shift: float = 0.0
    surprise: SurpriseRecord | None = None
    backend: str | None = None
    segment_length: int | None = None


PLAIN: Final = ReadOptions()
"""Nothing chosen: the default of every `options=`."""
