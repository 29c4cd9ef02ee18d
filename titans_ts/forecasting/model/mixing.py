"""Mixing between channels: attention across the channels of one window, token by token.

Shapes: B batch, M channels, G = B·M rows, N tokens, D width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.initialization import linear_


class ChannelMixer(nn.Module):
    """RMSNorm, attention over the M channels at each token, residual; it starts as the identity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.qkv = linear_(nn.Linear(width, 3 * width, bias=False))
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, channels: int) -> Tensor:
        """(G, N, D) → (G, N, D); rows of one window are adjacent."""
        z = self.norm(x).unflatten(0, (-1, channels)).transpose(1, 2)
        q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for p in self.qkv(z).chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v).transpose(-2, -3).flatten(-2)
        return x + self.out(y).transpose(1, 2).flatten(0, 1)
