"""Titans: a stack of equal blocks with the state in the open.

Shapes: B batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from titans_ts.core.blocks import BLOCKS, Block, BlockState
from titans_ts.core.config import TitansConfig, require
from titans_ts.core.operators import RMSNorm
from titans_ts.core.options import PLAIN, ReadOptions
from titans_ts.core.truncated import spans

TitansState = tuple[BlockState, ...]


class Titans(nn.Module):
    """The backbone (paper section 4). Causal; the same on any split of the sequence when the state is carried.

    Args:
        config: see :class:`TitansConfig`.

    Example:
        >>> import torch
        >>> from titans_ts.core import TitansConfig
        >>> backbone = Titans(TitansConfig("mag", width=16, heads=2, layers=2)).eval()
        >>> x = torch.randn(1, 20, 16)
        >>> y, _ = backbone(x)
        >>> first, state = backbone(x[:, :7])
        >>> rest, state = backbone(x[:, 7:], state)
        >>> torch.allclose(torch.cat([first, rest], dim=1), y, atol=1e-4)
        True
    """

    def __init__(self, config: TitansConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(cast(nn.Module, BLOCKS[config.block](config)) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, eps=1e-6)

    def initial_state(self, batch: int) -> TitansState:
        """State of ``batch`` sequences before their first token, one entry for each block."""
        # The type in quotes: torch.compile does not trace a subscripted one.
        return tuple(cast("Block[Any]", block).initial_state(batch) for block in self.blocks)

    def forward(
        self,
        x: Tensor,
        state: TitansState | None = None,
        mask: Tensor | None = None,
        *,
        options: ReadOptions = PLAIN,
    ) -> tuple[Tensor, TitansState]:
        """Read T more tokens.

        Args:
            x: (B, T, D), T ≥ 1.
            state: state after the tokens before; ``None`` starts anew.
            mask: (B, T) bool, ``False`` for padding: not attended to, not written to memory.
            options: how to read, see :class:`ReadOptions`.

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
            x, block_state = block(x, before, mask, options=options)
            after.append(block_state)
        return self.norm(x), tuple(after)

    @torch.no_grad()
    def prefill(
        self,
        tokens: Tensor,
        state: TitansState | None = None,
        mask: Tensor | None = None,
        *,
        chunk: int = 4096,
        embed: Callable[[Tensor], Tensor] | None = None,
        visit: Callable[[int, Tensor], None] | None = None,
        options: ReadOptions = PLAIN,
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
            visit: called with the number of a chunk's first token and its outputs (B, n, D), which are not kept.
            options: as in `forward`.

        Returns:
            The output at the last token (B, D) and the state after it.

        Raises:
            ValueError: as `forward`; or chunk < 1, or the mask has another shape.
        """
        require(tokens.ndim >= 2 and tokens.shape[1] >= 1, "tokens", "(batch, tokens ≥ 1, …)", tuple(tokens.shape))
        if mask is not None:
            require(mask.shape == tokens.shape[:2], "mask", f"{tuple(tokens.shape[:2])}", tuple(mask.shape))
        y = tokens
        for span in spans(tokens.shape[1], chunk, "chunk"):
            x = tokens[:, span] if embed is None else embed(tokens[:, span])
            y, state = self(x, state, None if mask is None else mask[:, span], options=options)
            if visit is not None:
                visit(span.start, y)
        assert state is not None
        return y[:, -1], state
