"""Truncated back-propagation through time: training on sequences whose activations do not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from torch import Tensor

from titans_ts.core.config import require

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


def spans(length: int, size: int, name: str = "span") -> Iterator[slice]:
    """Slices of at most `size` tokens that cover 0 … length − 1 in order.

    Raises:
        ValueError: size is no integer ≥ 1; the message calls it `name`.
    """
    require(isinstance(size, int) and size >= 1, name, "an integer ≥ 1 (tokens)", size)
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def truncated_backward(
    step: Callable[[slice, State | None], tuple[Tensor, State]],
    length: int,
    span: int,
    state: State | None = None,
) -> tuple[float, State | None]:
    """Back-propagate through a long sequence span by span: the state is carried on, its gradient is not.

    Gradients add up in the parameters as those of the sum of the spans' losses would, except for what flows through
    the states between spans. Only the activations of one span exist at a time.

    Args:
        step: from the slice of tokens to read and the state before it (None at the start) to the span's share of the
            loss, a scalar, and the state after it. A share without a graph counts in the sum only.
        length: tokens of the sequence.
        span: tokens of a span.
        state: state before the first token.

    Returns:
        The sum of the shares, and the detached state after the last token.

    Raises:
        ValueError: span < 1.

    Example:
        >>> import torch
        >>> from titans_ts.core import Titans, TitansConfig
        >>> backbone, x = Titans(TitansConfig("lmm", width=8, heads=2, layers=1)), torch.randn(1, 48, 8)
        >>> def step(span, state):
        ...     y, state = backbone(x[:, span], state)
        ...     return y.square().mean() / 3, state
        >>> loss, state = truncated_backward(step, length=48, span=16)
    """
    total = 0.0
    for tokens in spans(length, span):
        loss, state = step(tokens, state)
        if loss.requires_grad:
            loss.backward()
        total += float(loss.detach())
        state = detached(state)
    return total, state
