"""Titans: a stack of equal blocks with the state in the open.

Shapes: B batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from titans_ts.core.blocks import BLOCKS, BlockState
from titans_ts.core.config import TitansConfig
from titans_ts.core.truncated import prefill

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

    def prefill(
        self,
        tokens: Tensor,
        state: TitansState | None = None,
        mask: Tensor | None = None,
        *,
        chunk: int = 4096,
        embed: Callable[[Tensor], Tensor] | None = None,
        visit: Callable[[int, Tensor], None] | None = None,
    ) -> tuple[Tensor, TitansState]:
        """Read a sequence of any length without gradients, `chunk` tokens at a time: memory grows with the chunk only.

        Millions of tokens are passed as ids with their embedding, so that their vectors never exist all at once::

            last, state = backbone.prefill(ids, embed=embedding)

        Args:
            tokens: (B, T, D), or anything (B, T, …) that `embed` takes.
            state: state after the tokens before; None starts anew.
            mask: (B, T) bool, as in `forward`.
            chunk: tokens read at a time; the result does not depend on it, up to rounding.
            embed: from a chunk of tokens to (B, n, D); None where the tokens are vectors.
            visit: called with the number of a chunk's first token and its outputs (B, n, D); what it does not keep is
                gone.

        Returns:
            The output at the last token (B, D) and the state after it.

        Raises:
            ValueError: as `forward`; or chunk < 1, or the mask has another shape.
        """
        return prefill(self, tokens, state, mask, chunk, embed, visit)
