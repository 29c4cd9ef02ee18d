"""The ops by definition: token by token, inner gradients by autograd. Same arguments as the ops, save `backend`."""

from __future__ import annotations

from functools import partial

from titans_kernels.linear_memory import linear_memory as _linear_memory
from titans_kernels.mlp_memory import mlp_memory as _mlp_memory

__all__ = ["linear_memory", "mlp_memory"]

linear_memory = partial(_linear_memory, backend="reference")
mlp_memory = partial(_mlp_memory, backend="reference")
