"""Surprise: the inner loss of every token at each memory of a backbone (paper section 3.1).

Shapes: B batch, T tokens, N memories (one a block), H heads, C chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from titans_kernels import InnerLoss, MemoryState, inner_loss, linear_memory, linear_read
from titans_ts.core.config import MemoryConfig

__all__ = [
    "InnerLoss",
    "MemoryState",
    "SurpriseRecord",
    "linear_errors",
    "observed_write",
]

Tokens = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
KeysAndGates = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
MemoryOp = Callable[..., tuple[Tensor, MemoryState]]


class SurpriseRecord:
    """Inner losses of everything that is read with `ReadOptions(surprise=record)`, apart for each memory.

    The states are those of an ordinary read up to rounding: sequences are cut where chunks begin. A record may collect
    several reads, one after the other; `stacked` joins them along the tokens.

    Example:
        >>> import torch
        >>> from titans_ts.core import ReadOptions, Titans, TitansConfig
        >>> backbone, record = Titans(TitansConfig("lmm", width=8, heads=2, layers=3)), SurpriseRecord()
        >>> _ = backbone(torch.randn(1, 5, 8), options=ReadOptions(surprise=record))
        >>> record.stacked().loss.shape
        torch.Size([1, 5, 3, 2])
    """

    def __init__(self) -> None:
        self._segments: dict[int, list[InnerLoss]] = {}

    def add(self, memory: object, segment: InnerLoss) -> None:
        """Append the losses (B, n, H) of the next n tokens that one memory read."""
        self._segments.setdefault(id(memory), []).append(segment)

    def stacked(self) -> InnerLoss | None:
        """Losses and norms of all tokens, (B, T, N, H) each, memories in the order of the blocks; None if empty."""
        if not self._segments:
            return None
        lines = [(torch.cat(parts, dim=1) for parts in zip(*each, strict=True)) for each in self._segments.values()]
        loss, gradient = (torch.stack(memories, dim=2) for memories in zip(*lines, strict=True))
        return InnerLoss(loss, gradient)


def observed_write(
    op: MemoryOp, tokens: Tokens, state: MemoryState, config: MemoryConfig, mask: Tensor | None
) -> tuple[Tensor, MemoryState, InnerLoss]:
    """A memory op, and the loss ‖M(k; W_anchor) − v‖² of every token (paper, eq. 12).

    Args:
        op: called as ``op(q, k, v, alpha, eta, theta, state, mask=…)``.
        tokens: q, k, v (B, T, H, K) and alpha, eta, theta, as the op takes them.
        state: before the first token.
        config: of the memory.
        mask: (B, T) bool or None.

    Returns:
        y (B, T, H, V), the state after the last token, and the losses at the weights where each token's gradient is
        taken (B, T, H).
    """
    if config.anchor == "token":
        return _token_anchor(op, tokens, state, mask)
    outputs, losses, start = [], [], 0
    while start < tokens[0].shape[1]:
        chunk = slice(start, start + config.chunk_size - state.position)
        q, k, v, alpha, eta, theta = (x[:, chunk] for x in tokens)
        anchor = state.anchor if state.position else state.weights
        losses.append(inner_loss(k, v, anchor, config.kind == "mlp" and config.residual))
        y, state = op(q, k, v, alpha, eta, theta, state, mask=None if mask is None else mask[:, chunk])
        outputs.append(y)
        start = chunk.stop
    loss, gradient = (torch.cat(parts, dim=1) for parts in zip(*losses, strict=True))
    return torch.cat(outputs, dim=1), state, InnerLoss(loss, gradient)


def _token_anchor(
    op: MemoryOp, tokens: Tokens, state: MemoryState, mask: Tensor | None
) -> tuple[Tensor, MemoryState, InnerLoss]:
    """The loss of token t is taken at W_{t−1}: what the memory reads for its key one token earlier."""
    errors, _ = _errors(op, tokens[1:], state, mask)
    loss = errors.square().sum(-1)
    y, state = op(*tokens, state, mask=mask)
    return y, state, InnerLoss(loss, 2 * loss.sqrt() * tokens[1].norm(dim=-1))


def linear_errors(
    tokens: KeysAndGates, state: MemoryState, chunk_size: int = 64, mask: Tensor | None = None
) -> tuple[Tensor, MemoryState]:
    """Errors of a linear memory with the token anchor: each value less what the memory read just before its write.

    Args:
        tokens: k (B, T, H, K), v (B, T, H, V), and alpha, eta, theta (B, T, H), as `linear_memory` takes them.
        state: before the first token.
        chunk_size: C; affects speed only.
        mask: (B, T) bool, False for tokens that are not written; errors are computed for them too.

    Returns:
        v − M(k; W_{t−1}), (B, T, H, V), and the state after the last token.
    """
    return _errors(partial(linear_memory, chunk_size=chunk_size, anchor="token"), tokens, state, mask)


def _errors(op: MemoryOp, tokens: KeysAndGates, state: MemoryState, mask: Tensor | None) -> tuple[Tensor, MemoryState]:
    k, v, alpha, eta, theta = tokens
    # After each token the memory is read with the next one's key; the last read is not used.
    ahead = torch.cat([k[:, 1:], torch.zeros_like(k[:, :1])], dim=1)
    y, after = op(ahead, k, v, alpha, eta, theta, state, mask=mask)
    return v - torch.cat([linear_read(k[:, :1], state.weights), y[:, :-1]], dim=1), after
