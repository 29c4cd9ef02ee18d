"""The inner loss of a memory at given weights and the norm of its gradient (surprise)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from titans_kernels.inputs import check_chain, check_queries, no_autocast, working_dtype
from titans_kernels.mlp_memory.chunked import key_side
from titans_kernels.mlp_memory.network import forward
from titans_kernels.torch_path.chunk_loop import Chunk


class InnerLoss(NamedTuple):
    """Surprise of every token (paper, section 3.1).

    Attributes:
        loss: (B, T, H), ||M(k_t; W) - v_t||^2.
        gradient: (B, T, H), the norm of its gradient by all weights of the memory.

    Example:
        >>> loss, gradient = InnerLoss(torch.zeros(1, 5, 2), torch.zeros(1, 5, 2))
    """

    loss: Tensor
    gradient: Tensor


def inner_loss(k: Tensor, v: Tensor, weights: tuple[Tensor, ...], residual: bool = True) -> InnerLoss:
    """The inner loss of every token and the norm of its gradient, at the same weights for all; nothing is written.

    With the chunk anchor these are the losses of the tokens of one chunk, at the weights of its start (`anchor` of an
    open chunk's state, else `weights`).

    Args:
        k: (B, T, H, K), keys.
        v: (B, T, H, V), values.
        weights: L tensors (B, H, in, out) or (H, in, out).
        residual: as in `mlp_memory`; False with one weight is the linear memory.

    Raises:
        TypeError, ValueError: wrong dtype, shape or device.

    Example:
        >>> k, v = torch.ones(1, 3, 1, 2), torch.ones(1, 3, 1, 2)
        >>> found = inner_loss(k, v, (torch.zeros(1, 2, 2),), residual=False)
        >>> found.loss[0, :, 0]
        tensor([2., 2., 2.])
    """
    check_queries(k, "k")
    check_queries(v, "v")
    if not weights:
        raise ValueError("inner_loss needs at least one weight matrix, got none")
    check_chain(k, weights, v.shape[-1])
    dtype = working_dtype(k, weights[0])
    weights = tuple(w.to(dtype) for w in weights)
    k, v = (x.to(dtype).transpose(1, 2) for x in (k, v))
    with no_autocast(k.device.type):
        inputs, errors = key_side(Chunk(k, k, v, ()), weights, residual)
        loss = (forward(k, weights, residual) - v).square().sum(-1)
        # A token's gradient of a layer is the outer product of its input and its error.
        squares = [a.square().sum(-1) * e.square().sum(-1) for a, e in zip(inputs, errors, strict=True)]
    return InnerLoss(loss.transpose(1, 2), torch.stack(squares).sum(0).sqrt().transpose(1, 2))
