"""States of streams, for any model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from titans_kernels import MemoryState

State = Any
# Windows are read side by side, each with a memory of its own: as many as have this many numbers in all.
SIDE_BY_SIDE, ROOM = 16, 2**24


def expand(state: State, batch: int) -> State:
    """The state of one stream as that of `batch` equal ones."""
    if isinstance(state, Tensor):
        return state.expand(batch, *state.shape[1:])
    if isinstance(state, tuple):
        parts = [expand(part, batch) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


def memory_size(state: State) -> int:
    """How many numbers the weights of all memories of a state have."""
    if isinstance(state, MemoryState):
        return sum(w[0].numel() for w in state.weights)
    return sum(memory_size(part) for part in state) if isinstance(state, tuple) else 0


def side_by_side(state: State) -> int:
    """How many windows may have a memory like this one's at the same time."""
    return max(1, min(SIDE_BY_SIDE, ROOM // memory_size(state)))
