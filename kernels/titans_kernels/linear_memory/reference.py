"""The linear memory a token a step: M(x) = x W."""

from __future__ import annotations

from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.state import MemoryState
from titans_kernels.torch_path.token_loop import token_loop


def linear_memory(inputs: MemoryInputs, state: MemoryState, chunk_size: int, anchor: str) -> tuple[Tensor, MemoryState]:
    """The token loop on checked inputs; see `titans_kernels.linear_memory`."""
    if anchor == "token":
        state = state._replace(anchor=state.weights, position=0)
    return token_loop(inputs, state, chunk_size, lambda x, weights: x @ weights[0], every_token=anchor == "token")
