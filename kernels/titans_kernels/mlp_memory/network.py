"""The memory network M and, by hand, the gradient of its inner loss (checked against autograd in the tests).

M(x) = x + LN(net(x)) when residual, else net(x); net(x) = W_L gelu(... gelu(x W_1)), tanh-GELU, LN without affine.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

EPS: Final = 1e-6
"""Added to the variance in LN."""


def activation(h: Tensor) -> Tensor:
    """The tanh-GELU between layers."""
    return F.gelu(h, approximate="tanh")


def activation_backward(grad: Tensor, h: Tensor) -> Tensor:
    """grad * gelu'(h); differentiable again."""
    out: Tensor = torch.ops.aten.gelu_backward(grad, h, approximate="tanh")
    return out


def output(x: Tensor, h: Tensor, residual: bool) -> Tensor:
    """M(x) from the last layer's output h (..., V)."""
    return x + F.layer_norm(h, h.shape[-1:], eps=EPS) if residual else h


def output_error(x: Tensor, h: Tensor, v: Tensor, residual: bool) -> Tensor:
    """The gradient of ||M(x) - v||^2 by h, (..., V)."""
    if not residual:
        return 2 * (h - v)
    centred = h - h.mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + EPS)
    normed = centred * scale
    grad = 2 * (x + normed - v)
    return scale * (grad - grad.mean(-1, keepdim=True) - normed * (grad * normed).mean(-1, keepdim=True))


def forward(x: Tensor, weights: tuple[Tensor, ...], residual: bool) -> Tensor:
    """M(x): x (..., n, K), weights (..., in, out) -> (..., n, V)."""
    h = x @ weights[0]
    for w in weights[1:]:
        h = activation(h) @ w
    return output(x, h, residual)
