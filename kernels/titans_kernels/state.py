"""The state of a neural memory: fast weights in the open, in and out of every op.

Shape legend of this package: `B` batch, `T` tokens, `H` heads, `K` key width, `V` value width, `C` chunk length,
`L` layers of the memory, `in`, `out` a layer's widths (the first `in` is K, the last `out` is V).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class MemoryState(NamedTuple):
    """Everything a memory remembers of one batch of sequences (paper, eq. 13 and 14).

    Attributes:
        weights: L fast weights W_l, each (B, H, in, out); the memory reads with them.
        momentum: L past surprises S_l, shaped like the weights.
        anchor: the weights at the start of the open chunk, where the chunk anchor takes its gradients; equal to
            `weights` when `position` is 0.
        position: tokens already read in the open chunk, 0 <= position < chunk_size (masked ones count).

    The tensors are float32 (float64 when the inputs are), whatever the dtype of the tokens. A state just made by
    `start` from (H, in, out) weights keeps them without the batch axis; the first op call expands them.

    Example:
        >>> state = MemoryState.start([torch.zeros(4, 8, 16), torch.zeros(4, 16, 8)], batch_size=2)
        >>> [tuple(w.shape) for w in state.weights], state.position
        ([(2, 4, 8, 16), (2, 4, 16, 8)], 0)
    """

    weights: tuple[Tensor, ...]
    momentum: tuple[Tensor, ...]
    anchor: tuple[Tensor, ...]
    position: int = 0

    @classmethod
    def start(cls, weights: tuple[Tensor, ...] | list[Tensor], batch_size: int | None = None) -> MemoryState:
        """The state before the first token: given weights, no surprise, an empty chunk.

        Args:
            weights: L tensors, each (B, H, in, out), or (H, in, out) to be shared by the batch.
            batch_size: B; expands (H, in, out) weights now (without it the op's first call does).

        Raises:
            TypeError: a weight is no floating-point tensor.
            ValueError: no weights, a weight that is neither 3- nor 4-dimensional, or a wrong batch size.
        """
        weights = tuple(weights)
        _check_start(weights, batch_size)
        if batch_size is not None:
            weights = tuple(w.expand(batch_size, *w.shape[-3:]) for w in weights)
        weights = tuple(w if w.dtype == torch.float64 else w.float() for w in weights)
        return cls(weights, tuple(torch.zeros_like(w) for w in weights), weights, 0)

    def detach(self) -> MemoryState:
        """The same state, cut from the autograd graph (truncated back-propagation through time)."""
        return self._map(Tensor.detach)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> MemoryState:
        """The same state on another device or in another dtype."""
        return self._map(lambda t: t.to(device=device, dtype=dtype))

    def expand(self, batch_size: int) -> MemoryState:
        """The same state with a batch axis on every tensor: (H, in, out) becomes (B, H, in, out)."""
        return self._map(lambda t: t if t.dim() == 4 else t.expand(batch_size, *t.shape))

    def _map(self, function: Callable[[Tensor], Tensor]) -> MemoryState:
        weights = tuple(function(t) for t in self.weights)
        momentum = tuple(function(t) for t in self.momentum)
        same = all(a is w for a, w in zip(self.anchor, self.weights, strict=True))
        anchor = weights if same else tuple(function(t) for t in self.anchor)
        return MemoryState(weights, momentum, anchor, self.position)


def _check_start(weights: tuple[Tensor, ...], batch_size: int | None) -> None:
    if not weights:
        raise ValueError("MemoryState.start needs one weight per layer of the memory, got none")
    for i, w in enumerate(weights):
        if not isinstance(w, Tensor) or not w.is_floating_point():
            raise TypeError(f"weights[{i}] must be a floating-point tensor, got {getattr(w, 'dtype', type(w))}")
        if w.dim() not in (3, 4):
            raise ValueError(f"weights[{i}] must be (H, in, out) or (B, H, in, out), got shape {tuple(w.shape)}")
        if batch_size is not None and w.dim() == 4 and w.shape[0] not in (1, batch_size):
            raise ValueError(f"weights[{i}] has batch {w.shape[0]}, but batch_size={batch_size}: drop one of the two")
