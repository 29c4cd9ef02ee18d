"""Sequences longer than memory: read in pieces without gradients, or train piece by piece with the state carried.

Shapes: B batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from titans_ts.core.config import require

if TYPE_CHECKING:
    from titans_ts.core.backbone import Titans, TitansState

State = TypeVar("State")


def detached(state: State) -> State:
    """The same state without the graph it came from: gradients stop here, values are shared.

    Args:
        state: a tensor, None, or (named) tuples and lists of states.

    Raises:
        TypeError: anything else is in it.
    """
    found: Any = state
    if isinstance(state, Tensor):
        found = state.detach()
    elif isinstance(state, (tuple, list)):
        parts = [detached(part) for part in state]
        found = type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    elif state is not None and not isinstance(state, (bool, int, float, str)):
        raise TypeError(f"a state is made of tensors, numbers and tuples, got {type(state).__name__}")
    return found


def pieces(length: int, chunk: int) -> Iterator[slice]:
    """Slices of at most `chunk` that cover 0 … length − 1 in order."""
    require(isinstance(chunk, int) and chunk >= 1, "chunk", "an integer ≥ 1 (tokens)", chunk)
    for start in range(0, length, chunk):
        yield slice(start, min(start + chunk, length))


@torch.no_grad()
def prefill(
    backbone: Titans,
    tokens: Tensor,
    state: TitansState | None,
    mask: Tensor | None,
    chunk: int,
    embed: Callable[[Tensor], Tensor] | None,
    visit: Callable[[int, Tensor], None] | None,
) -> tuple[Tensor, TitansState]:
    """See :meth:`titans_ts.core.Titans.prefill`."""
    require(tokens.ndim >= 2 and tokens.shape[1] >= 1, "tokens", "(batch, tokens ≥ 1, …)", tuple(tokens.shape))
    if mask is not None:
        require(mask.shape == tokens.shape[:2], "mask", f"{tuple(tokens.shape[:2])}", tuple(mask.shape))
    y = tokens
    for piece in pieces(tokens.shape[1], chunk):
        x = tokens[:, piece] if embed is None else embed(tokens[:, piece])
        y, state = backbone(x, state, None if mask is None else mask[:, piece])
        if visit is not None:
            visit(piece.start, y)
    assert state is not None
    return y[:, -1], state


def truncated_backward(
    step: Callable[[slice, State | None], tuple[Tensor, State]],
    length: int,
    span: int,
    state: State | None = None,
) -> tuple[float, State | None]:
    """Back-propagate through a long sequence in spans; the state goes on, its gradient does not.

    Gradients add up in the parameters as those of the sum of the spans' losses would, but for what flows through the
    states between spans; activations of one span are held at a time.

    Args:
        step: from the slice of tokens to read and the state before it (None at the start) to the span's share of the
            loss, a scalar, and the state after it. A share without a graph (nothing to learn there) is added, no more.
        length: tokens of the sequence.
        span: tokens of one piece.
        state: state before the first token.

    Returns:
        The sum of the shares, and the detached state after the last token.

    Raises:
        ValueError: span < 1.
    """
    total = 0.0
    for piece in pieces(length, span):
        loss, state = step(piece, state)
        if loss.requires_grad:
            loss.backward()
        total += float(loss.detach())
        state = detached(state)
    return total, state


_stretch: ContextVar[float] = ContextVar("titans_ts_stretch", default=0.0)


@contextmanager
def stretched_gates(shift: float) -> Iterator[None]:
    """Memories that read in the `with` block forget and write exp(shift) times as much where their gates are small.

    A way to train for sequences longer than those at hand, ours and not the paper's: `shift` is added to the logits of
    α and θ. Open gates (θ at its bound) stay open; gates that are almost closed open exp(shift) times as far, so that
    a stretch of n tokens which the memory should ignore disturbs it as exp(shift) · n tokens would.
    """
    token = _stretch.set(float(shift))
    try:
        yield
    finally:
        _stretch.reset(token)


def stretch() -> float:
    """The shift in use, 0 outside of `stretched_gates`."""
    return _stretch.get()
