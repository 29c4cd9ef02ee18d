"""The memory ops of Titans: networks that learn while they read, in plain torch; no layer, no domain.

`y, state = op(q, k, v, alpha, eta, theta, state)`; see `linear_memory`, `mlp_memory` and `MemoryState`.
"""

from . import reference
from .dispatch import explain, use_backend
from .inner_loss import InnerLoss, inner_loss
from .linear_memory import linear_memory, linear_read
from .mlp_memory import mlp_memory, mlp_read
from .state import MemoryState
from .streamed import segment_length

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
    "segment_length",
    "use_backend",
]
