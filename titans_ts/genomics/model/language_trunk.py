"""LanguageTrunk: a language model's embedding and backbone, reading a sequence from both ends.

Shapes: B batch, T bases, D width of the backbone.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_datasets.dna.alphabet import PAD, VOCABULARY, N
from titans_ts.core.backbone import Titans
from titans_ts.core.config import TitansConfig
from titans_ts.core.initialization import embedding_
from titans_ts.genomics.model.config import ObjectiveName
from titans_ts.genomics.model.strands import reverse, reverse_complement


class LanguageTrunk(nn.Module):
    """Single nucleotides through a causal backbone, twice by the same weights; parameters are named as those of
    `LanguageNetwork`.

    The first reading starts at the first base. The second one starts at the other end: a masked model reads the
    reversed letters, as in its training, a causal model the reverse complement, because it never reads DNA against its
    direction. With `strands` "both" a causal trunk reads once: the network around it reads the other strand.

    Args:
        objective: of the language model, ``"causal"`` or ``"masked"``.
        backbone: of the language model.
        strands: ``"one"`` or ``"both"``, of the network around it.
    """

    def __init__(self, objective: ObjectiveName, backbone: TitansConfig, strands: str) -> None:
        super().__init__()
        self.objective = objective
        self.sides = 1 if objective == "causal" and strands == "both" else 2
        self.width = self.sides * backbone.width
        self.embedding = embedding_(VOCABULARY, backbone.width)
        self.backbone = Titans(backbone)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Read left-aligned bases.

        Args:
            ids: (B, T) int64, codes of `titans_datasets.dna`; or (B, T, 4) shares of A, C, G, T.
            mask: (B, T) bool, True for bases.

        Returns:
            (B, T, sides · D): output of the backbone at each base, that base included, from the left and from the
            right. Values under padding are undefined.
        """
        z = self._read(ids, mask)
        if self.sides == 1:
            return z
        lengths = mask.sum(1)
        turned = reverse(ids, lengths) if self.objective == "masked" else reverse_complement(ids, lengths)
        return torch.cat([z, reverse(self._read(turned, mask), lengths)], dim=-1)

    def take(self, weights: dict[str, Tensor]) -> None:
        """Copy the weights of a `LanguageNetwork` (its ``state_dict``) without those of its head."""
        own: dict[str, Any] = {name: value for name, value in weights.items() if not name.startswith("head.")}
        self.load_state_dict(own)

    def _read(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) from left to right, after the token before the first base."""
        start = self.embedding.weight[PAD].expand(len(mask), 1, -1)
        x = torch.cat([start, self._embedded(ids, mask)], dim=1)
        y: Tensor = self.backbone(x, mask=F.pad(mask, (1, 0), value=True))[0]
        return y[:, 1:]

    def _embedded(self, ids: Tensor, mask: Tensor) -> Tensor:
        if not ids.is_floating_point():
            y: Tensor = self.embedding(torch.where(mask, ids, PAD))
            return y
        # The share that is no letter's is N.
        table = self.embedding.weight
        return ids @ table[:N] + (1 - ids.sum(-1, keepdim=True)) * table[N]
