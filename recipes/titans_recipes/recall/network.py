"""The network of the recall task: tokens in, logits of the next token out.

Shapes: B streams, T tokens, D width, V vocabulary, A answer tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from titans_ts.core.backbone import Titans, TitansState
from titans_ts.core.config import TitansConfig, require
from titans_ts.core.initialization import embedding_, linear_


class RecallNetwork(nn.Module):
    """Embedding, Titans backbone, one linear layer.

    Args:
        vocabulary: number of different tokens V.
        config: of the backbone.
    """

    def __init__(self, vocabulary: int, config: TitansConfig) -> None:
        super().__init__()
        require(vocabulary >= 2, "vocabulary", "≥ 2 tokens", vocabulary)
        self.embedding = embedding_(vocabulary, config.width)
        self.backbone = Titans(config)
        self.head = linear_(nn.Linear(config.width, vocabulary))

    def forward(self, ids: Tensor, state: TitansState | None = None) -> tuple[Tensor, TitansState]:
        """(B, T) int64 → logits (B, T, V) of the token after each, and the state after the last."""
        y, state = self.backbone(self.embedding(ids), state)
        return self.head(y), state

    def answer(self, ids: Tensor, places: Tensor, chunk: int) -> Tensor:
        """Logits (B, A, V) of the tokens at `places`, each given the true tokens before it; without gradients.

        Args:
            ids: (B, T), any integer type, any length: read `chunk` tokens at a time.
            places: (A,) int64 ≥ 1, ascending.
            chunk: tokens read at a time.
        """
        found: list[Tensor] = []

        def look(start: int, y: Tensor) -> None:
            """Logits of the places that follow an output of this chunk."""
            here = places[(places > start) & (places <= start + y.shape[1])] - 1 - start
            if len(here):
                found.append(self.head(y[:, here]))

        self.backbone.prefill(ids, chunk=chunk, embed=lambda chunk: self.embedding(chunk.long()), visit=look)
        return torch.cat(found, dim=1)
