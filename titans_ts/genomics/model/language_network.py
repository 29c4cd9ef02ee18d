"""LanguageNetwork: predicts each base from the bases before it, or from those on both sides.

A network reads single nucleotides from left to right; its state is passed in and returned. Batches of the losses have
`input_ids`, `attention_mask` and optionally `soft_mask`.

Shapes: B batch, T bases, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_datasets.dna.alphabet import PAD, VOCABULARY
from titans_ts.core.backbone import Titans, TitansState
from titans_ts.core.initialization import embedding_
from titans_ts.core.options import PLAIN, ReadOptions
from titans_ts.genomics.model.config import LanguageConfig
from titans_ts.genomics.model.language_head import LanguageModelHead
from titans_ts.genomics.model.network import Batch
from titans_ts.genomics.model.strands import reverse


class LanguageState(NamedTuple):
    """State of a network after reading a part of B sequences; its size does not grow with their length.

    Attributes:
        hidden: (B, D), the output at the last base read, from which the next base is predicted.
        backbone: one entry per block.
        ended: (B,) bool, True where padding was read: such a row has no more bases.

    Example:
        >>> from titans_ts.genomics import LanguageConfig
        >>> state = LanguageNetwork(LanguageConfig()).initial_state(batch=2)
        >>> len(state.hidden), state.ended.tolist()
        (2, [False, False])
    """

    hidden: Tensor
    backbone: TitansState
    ended: Tensor


class LanguageNetwork(nn.Module):
    """Logits of A, C, G, T at every position of a sequence. Causal networks may be fed in segments of any length.

    Args:
        config: see :class:`titans_ts.genomics.model.config.LanguageConfig`.

    Example:
        >>> import torch
        >>> from titans_ts.genomics import LanguageConfig
        >>> network = LanguageNetwork(LanguageConfig()).eval()
        >>> ids = torch.randint(0, 4, (2, 30))  # A, C, G, T are 0, 1, 2, 3
        >>> logits, state = network(ids, torch.ones_like(ids, dtype=torch.bool))
        >>> logits.shape, network.expected(state).shape  # at each of these bases, and at the next one
        (torch.Size([2, 30, 4]), torch.Size([2, 4]))
    """

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        # The padding code's row is the token before the first base: padding itself is never read.
        self.embedding = embedding_(VOCABULARY, config.backbone.width)
        self.backbone = Titans(config.backbone)
        sides = 1 if config.objective == "causal" else 2
        self.head = LanguageModelHead(config.backbone.width, sides, config.soft_mask_weight)

    def initial_state(self, batch: int) -> LanguageState:
        """State of `batch` sequences before their first base."""
        device = self.embedding.weight.device
        x = self.embedding(torch.full((batch, 1), PAD, device=device))
        y, backbone = self.backbone(x)
        return LanguageState(y[:, -1], backbone, torch.zeros(batch, dtype=torch.bool, device=device))

    def read(
        self, ids: Tensor, mask: Tensor, state: LanguageState | None = None, options: ReadOptions = PLAIN
    ) -> tuple[Tensor, LanguageState]:
        """Read T more bases from left to right.

        Args:
            ids: (B, T) int64, codes of `titans_datasets.dna`; values under padding are ignored.
            mask: (B, T) bool, True for bases; padding follows the last base of a sequence.
            state: state after the bases before; None starts anew.
            options: of the backbone.

        Returns:
            The backbone's output at each base, that base included (B, T, D), and the state after the last one.

        Raises:
            ValueError: shapes differ, a code is unknown, a base follows padding, or the state is of another batch.
        """
        state = self.initial_state(len(ids)) if state is None else state
        _check(ids, mask, state)
        x = self.embedding(torch.where(mask, ids, PAD))
        y, backbone = self.backbone(x, state.backbone, mask, options=options)
        count = mask.sum(1)
        last = y.gather(1, (count - 1).clamp_min(0)[:, None, None].expand(-1, 1, y.shape[-1]))[:, 0]
        hidden = torch.where((count > 0)[:, None], last, state.hidden)
        return y, LanguageState(hidden, backbone, state.ended | ~mask[:, -1])

    def forward(self, ids: Tensor, mask: Tensor, state: LanguageState | None = None) -> tuple[Tensor, LanguageState]:
        """Predict each of T more bases.

        Args:
            ids, mask, state: as in `read`; a masked network takes whole sequences only, without a state.

        Returns:
            Logits (B, T, 4) of A, C, G, T at each base, computed without that base, and the state after the last one.
            Values under padding are undefined.

        Raises:
            ValueError: as `read`; or a state for a masked network.
        """
        if self.config.objective == "masked" and state is not None:
            raise ValueError("a masked network reads whole sequences from both ends: leave state out")
        before = self.initial_state(len(ids)) if state is None else state
        y, after = self.read(ids, mask, before)
        z = _moved(y, before.hidden)
        if self.config.objective == "masked":
            lengths = mask.sum(1).clamp_min(1)
            back, _ = self.read(reverse(ids, lengths), mask, before)
            z = torch.cat([z, reverse(_moved(back, before.hidden), lengths)], dim=-1)
        return self.head(z), after

    def expected(self, state: LanguageState) -> Tensor:
        """Logits (B, 4) of the next base; causal networks only."""
        logits: Tensor = self.head(state.hidden)
        return logits

    def row_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of each base in nats and its weight, both (B, T); 0 and 0 for N and padding.

        Raises:
            ValueError: as `read`.
        """
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        logits, _ = self(ids, mask)
        return self.head.losses(logits, ids, mask, batch.get("soft_mask"))

    def loss(self, batch: Batch) -> Tensor:
        """Weighted mean loss, a scalar in nats per base."""
        losses, weight = self.row_losses(batch)
        return (losses * weight).sum() / weight.sum().clamp_min(1e-12)


def _moved(y: Tensor, before: Tensor) -> Tensor:
    """Outputs shifted to the right by one base: what was known before each base."""
    return torch.cat([before[:, None], y[:, :-1]], dim=1)


def _check(ids: Tensor, mask: Tensor, state: LanguageState) -> None:
    if ids.ndim != 2 or ids.shape != mask.shape or ids.shape[1] < 1:
        raise ValueError(
            f"ids and mask must both be (batch, bases ≥ 1), got {tuple(ids.shape)} and {tuple(mask.shape)}"
        )
    if len(state.ended) != len(ids):
        raise ValueError(f"state must be of the same batch, got {len(state.ended)} rows for {len(ids)}")
    if bool(((ids < 0) | (ids >= PAD))[mask].any()):
        raise ValueError(f"ids must be 0 … {PAD - 1} (A, C, G, T, N) where mask is True")
    before = torch.cat([~state.ended[:, None], mask[:, :-1]], dim=1)
    wrong = (mask & ~before).any(1)
    if bool(wrong.any()):
        raise ValueError(
            f"row {int(wrong.to(torch.uint8).argmax())} has a base after padding: padding must follow the last base "
            "of a sequence; use N for unknown bases"
        )
