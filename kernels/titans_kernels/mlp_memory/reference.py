"""The deep memory a token a step."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.mlp_memory.network import EPS
from titans_kernels.state import MemoryState
from titans_kernels.torch_path.token_loop import token_loop


def mlp_memory(inputs: MemoryInputs, state: MemoryState, chunk_size: int, residual: bool) -> tuple[Tensor, MemoryState]:
    """The token loop on checked inputs; see `titans_kernels.mlp_memory`."""

    def network(x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """M(x), written out."""
        h = x @ weights[0]
        for w in weights[1:]:
            h = F.gelu(h, approximate="tanh") @ w
        return x + F.layer_norm(h, h.shape[-1:], eps=EPS) if residual else h

    return token_loop(inputs, state, chunk_size, network)
