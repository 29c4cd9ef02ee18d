"""Surprise: what every memory of a backbone did not expect while it was reading.

Shapes: B batch, T tokens, N memories (one a block), H heads, C chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from titans_kernels import InnerLoss, MemoryState, inner_loss, linear_memory, linear_read, mlp_memory
from titans_ts.core.config import MemoryConfig

__all__ = [
    "InnerLoss",
    "MemoryState",
    "SurpriseRecord",
    "linear_errors",
    "observed_write",
    "record_surprise",
    "recording",
]

Tokens = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class SurpriseRecord:
    """What was read while `record_surprise` was on: the pieces of each memory, in the order of the blocks."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[InnerLoss]] = {}

    def add(self, memory: object, piece: InnerLoss) -> None:
        """Another piece of what one memory reads."""
        self._pieces.setdefault(id(memory), []).append(piece)

    def stacked(self) -> InnerLoss | None:
        """Losses and norms of all tokens, (B, T, N, H) each; None when no memory has read anything."""
        if not self._pieces:
            return None
        lines = [(torch.cat(parts, dim=1) for parts in zip(*pieces, strict=True)) for pieces in self._pieces.values()]
        loss, gradient = (torch.stack(memories, dim=2) for memories in zip(*lines, strict=True))
        return InnerLoss(loss, gradient)


_record: ContextVar[SurpriseRecord | None] = ContextVar("titans_ts_surprise", default=None)


@contextmanager
def record_surprise() -> Iterator[SurpriseRecord]:
    """Every `NeuralMemory` that reads in the `with` block also records the inner loss of its tokens.

    The states are those of an ordinary read up to rounding: sequences are cut where chunks begin. Holds for the current
    thread or async task.
    """
    record = SurpriseRecord()
    token = _record.set(record)
    try:
        yield record
    finally:
        _record.reset(token)


def recording() -> SurpriseRecord | None:
    """The record in use, None outside of `record_surprise`."""
    return _record.get()


def observed_write(
    tokens: Tokens, state: MemoryState, config: MemoryConfig, mask: Tensor | None
) -> tuple[Tensor, MemoryState, InnerLoss]:
    """The memory op on q, k, v, alpha, eta, theta, with the loss ‖M(k; W_anchor) − v‖² of every token.

    Returns:
        y (B, T, H, V), the state after the last token, and the losses at the weights where each token's gradient is
        taken (B, T, H).
    """
    if config.anchor == "token":
        return _token_anchor(tokens, state, config, mask)
    outputs, losses, start = [], [], 0
    while start < tokens[0].shape[1]:
        piece = slice(start, start + config.chunk_size - state.position)
        q, k, v, alpha, eta, theta = (x[:, piece] for x in tokens)
        hidden = None if mask is None else mask[:, piece]
        anchor = state.anchor if state.position else state.weights
        losses.append(inner_loss(k, v, anchor, config.kind == "mlp" and config.residual))
        size = config.chunk_size
        if config.kind == "linear":
            y, state = linear_memory(q, k, v, alpha, eta, theta, state, chunk_size=size, anchor="chunk", mask=hidden)
        else:
            y, state = mlp_memory(
                q, k, v, alpha, eta, theta, state, chunk_size=size, residual=config.residual, mask=hidden
            )
        outputs.append(y)
        start = piece.stop
    loss, gradient = (torch.cat(parts, dim=1) for parts in zip(*losses, strict=True))
    return torch.cat(outputs, dim=1), state, InnerLoss(loss, gradient)


def _token_anchor(
    tokens: Tokens, state: MemoryState, config: MemoryConfig, mask: Tensor | None
) -> tuple[Tensor, MemoryState, InnerLoss]:
    """The loss of token t is taken at W_{t−1}: the answer to its key when that is asked a token earlier."""
    q, k, v, alpha, eta, theta = tokens
    size = config.chunk_size
    errors, _ = linear_errors(tokens[1:], state, size, mask)
    loss = errors.square().sum(-1)
    y, state = linear_memory(q, k, v, alpha, eta, theta, state, chunk_size=size, anchor="token", mask=mask)
    return y, state, InnerLoss(loss, 2 * loss.sqrt() * k.norm(dim=-1))


def linear_errors(
    tokens: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    state: MemoryState,
    chunk_size: int = 64,
    mask: Tensor | None = None,
) -> tuple[Tensor, MemoryState]:
    """What a linear memory with the token anchor expects of each token before it is written, against what it is.

    Args:
        tokens: k (B, T, H, K), v (B, T, H, V), and alpha, eta, theta (B, T, H), as `linear_memory` takes them.
        state: before the first token.
        chunk_size: C, a matter of speed alone.
        mask: (B, T) bool, False for tokens that are not written; their errors are those of what their place holds.

    Returns:
        v − M(k; W_{t−1}), (B, T, H, V), and the state after the last token.
    """
    k, v, alpha, eta, theta = tokens
    # Asked after each token for the next one's key; after the last one for nothing.
    ahead = torch.cat([k[:, 1:], torch.zeros_like(k[:, :1])], dim=1)
    y, after = linear_memory(ahead, k, v, alpha, eta, theta, state, chunk_size=chunk_size, anchor="token", mask=mask)
    return v - torch.cat([linear_read(k[:, :1], state.weights), y[:, :-1]], dim=1), after
