"""Titans: a stack of equal blocks with the state in the open.

Shapes: B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from titans_ts.core.blocks import BLOCKS, BlockState
from titans_ts.core.config import TitansConfig

TitansState = tuple[BlockState, ...]


class Titans(nn.Module):
    """The backbone (paper section 4). Causal; equal on any split of the sequence when the state is carried.

    Args:
        config: see :class:`TitansConfig`.
    """

    def __init__(self, config: TitansConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(BLOCKS[config.block](config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=1e-6)

    def initial_state(self, batch: int) -> TitansState:
        """State of ``batch`` sequences before their first token, one entry a block."""
        return tuple(cast(BlockState, block.initial_state(batch)) for block in self.blocks)  # type: ignore[operator]

    def forward(
        self, x: Tensor, state: TitansState | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, TitansState]:
        """Read T more tokens.

        Args:
            x: (B, T, D), T ≥ 1.
            state: state after the tokens before; ``None`` starts anew.
            mask: (B, T) bool, ``False`` for padding: not attended to, not written to memory.

        Returns:
            (B, T, D) and the state after the last token.

        Raises:
            ValueError: x is not (B, T, width) with T ≥ 1, or the state belongs to another stack.
        """
        if x.ndim != 3 or x.shape[1] < 1 or x.shape[2] != self.config.width:
            raise ValueError(f"x must be (batch, tokens ≥ 1, {self.config.width}), got {tuple(x.shape)}")
        state = self.initial_state(len(x)) if state is None else state
        if len(state) != len(self.blocks):
            raise ValueError(f"state must have one entry for each of {len(self.blocks)} blocks, got {len(state)}")
        after = []
        for block, before in zip(self.blocks, state, strict=True):
            x, block_state = block(x, before, mask)
            after.append(block_state)
        return self.norm(x), tuple(after)
