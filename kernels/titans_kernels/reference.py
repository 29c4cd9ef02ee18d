"""The ops by definition: token by token, inner gradients by autograd. Same arguments as the ops, save `backend`.

>>> import torch
>>> from titans_kernels import MemoryState
>>> q, k, v = torch.randn(3, 1, 6, 2, 8)
>>> alpha, eta, theta = torch.full((3, 1, 6, 2), 0.1)
>>> state = MemoryState.start([torch.zeros(2, 8, 8)])
>>> y, _ = linear_memory(q, k, v, alpha, eta, theta, state, chunk_size=4)
>>> fast, _ = _linear_memory(q, k, v, alpha, eta, theta, state, chunk_size=4)
>>> torch.allclose(y, fast, rtol=1e-3, atol=1e-4)
True
"""

from __future__ import annotations

from functools import partial

from titans_kernels.linear_memory import linear_memory as _linear_memory
from titans_kernels.mlp_memory import mlp_memory as _mlp_memory

__all__ = ["linear_memory", "mlp_memory"]

linear_memory = partial(_linear_memory, backend="reference")
mlp_memory = partial(_mlp_memory, backend="reference")
