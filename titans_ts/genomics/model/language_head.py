"""LanguageModelHead: logits of the base at a position from the bases around it.

Shapes: B batch, T bases, D width; `…` any leading dimensions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.config import require
from titans_ts.core.initialization import linear_
from titans_ts.genomics.model.encoder import BASES


class LanguageModelHead(nn.Module):
    """Logits of A, C, G, T, the loss of known bases, and samples of new ones.

    Args:
        width: D of one reading.
        sides: 1 reads the bases before a base (causal), 2 those on both sides of it (masked). Default: 1.
        soft_mask_weight: weight of lower-case bases in the loss; upper-case ones have 1. Default: 1.0.

    Example:
        >>> import torch
        >>> LanguageModelHead(width=8)(torch.zeros(2, 30, 8)).shape
        torch.Size([2, 30, 4])
    """

    def __init__(self, width: int, sides: int = 1, soft_mask_weight: float = 1.0) -> None:
        super().__init__()
        require(sides in (1, 2), "sides", "1 (causal) or 2 (masked)", sides)
        require(math.isfinite(soft_mask_weight) and soft_mask_weight >= 0, "soft_mask_weight", "≥ 0", soft_mask_weight)
        self.sides, self.soft_mask_weight = sides, soft_mask_weight
        # The two readings of a masked network meet here for the first time.
        self.join = linear_(nn.Linear(sides * width, width)) if sides == 2 else None
        self.out = linear_(nn.Linear(width, BASES), 0.5)

    def forward(self, z: Tensor) -> Tensor:
        """(…, sides · D) → logits (…, 4)."""
        if self.join is not None:
            z = F.gelu(self.join(z))
        logits: Tensor = self.out(z)
        return logits

    def losses(
        self, logits: Tensor, ids: Tensor, mask: Tensor, soft_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Loss of each base in nats and its weight.

        Args:
            logits: (B, T, 4).
            ids: (B, T) int64, the true bases; N has weight 0.
            mask: (B, T) bool, False for padding, which has weight 0.
            soft_mask: (B, T) bool, True for lower-case letters; None for upper case everywhere.

        Returns:
            Losses and weights, both (B, T), 0 at N and padding.
        """
        known = mask & (ids < BASES)
        target = torch.where(known, ids, 0)
        losses = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(ids)
        weight = known.to(losses.dtype)
        if soft_mask is not None:
            weight = torch.where(soft_mask, weight * self.soft_mask_weight, weight)
        return torch.where(known, losses, 0.0), weight

    @staticmethod
    def sample(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Draw bases (…,) from logits (…, 4); temperature 0 takes the most probable base."""
        if temperature == 0:
            return logits.argmax(-1)
        p = (logits.double() / temperature).softmax(-1)
        return torch.multinomial(p.reshape(-1, BASES), 1, generator=generator).view(p.shape[:-1])
