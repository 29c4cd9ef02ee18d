"""The memory ops of Titans: networks that learn while they read. Ops only, no layers; plain torch and Triton.

`y, state = op(q, k, v, alpha, eta, theta, state)`; see `linear_memory`, `mlp_memory` and `MemoryState`.
"""

from titans_kernels import reference
from titans_kernels.dispatch import explain
from titans_kernels.inner_loss import InnerLoss, inner_loss
from titans_kernels.linear_memory import linear_memory, linear_read
from titans_kernels.mlp_memory import mlp_memory, mlp_read
from titans_kernels.state import MemoryState

__all__ = [
    "InnerLoss",
    "MemoryState",
    "explain",
    "inner_loss",
    "linear_memory",
    "linear_read",
    "mlp_memory",
    "mlp_read",
    "reference",
]
