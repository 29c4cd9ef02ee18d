"""The memory network M and, by hand, the gradient of its inner loss (checked against autograd in the tests).

M(x) = x + LN(net(x)) when residual, else net(x); net(x) = W_L gelu(... gelu(x W_1)), tanh-GELU, LN without affine.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EPS: Final = 1.0
"""Added to the variance in LN. With the usual 1e-6 the last layer's scale does not matter, so forgetting shrinks it
until every step is too long: of two copies of a stream that differ by 1e-14 the outputs are 1e7 times further apart
after 500 random tokens (step_size 0.1) and unrelated after 1,000. With 0.1 the factor is 5 to 1e6, with 1 up to 10."""
_C: Final = math.sqrt(2 / math.pi)
_D: Final = 0.044715
# Numbers as tensors without axes: a sum with one is a single pass, on any device and in the other tensor's dtype.
_TWO_C: Final = torch.tensor(2 * _C, dtype=torch.float64)
_FOUR: Final = torch.tensor(4.0, dtype=torch.float64)


def activation(h: Tensor) -> Tensor:
    """The tanh-GELU between layers."""
    return F.gelu(h, approximate="tanh")


class Curve(NamedTuple):
    """gelu(h), gelu'(h) and, on request, gelu''(h), shaped like h."""

    value: Tensor
    slope: Tensor
    bend: Tensor | None


def activation_value(h: Tensor) -> Tensor:
    """`activation` as h sigmoid(2u): on a CPU half the time of torch's own tanh-GELU."""
    return _doubled(h, h * h).sigmoid_().mul_(h)


def activation_curve(h: Tensor, bend: bool) -> Curve:
    """gelu and its derivatives in one go, with g = sigmoid(2u) and b = g (1 - g).

    gelu = h g, gelu' = g + b h 2u', gelu'' = b (2u' (4 + h 2u' (1 - 2 g)) - 4 C).
    """
    square = h * h
    doubled = _doubled(h, square)
    gate = torch.sigmoid(doubled)
    third = doubled.add_(h, alpha=-4 / 3 * _C)  # h 2u' / 3
    bell = torch.addcmul(gate, gate, gate, value=-1)
    slope = torch.addcmul(gate, bell, third, value=3)
    second = None
    if bend:
        second = third.addcmul_(third, gate, value=-2)
        steep = torch.add(_TWO_C, square, alpha=6 * _C * _D, out=square)
        second = torch.add(_FOUR, second, alpha=3, out=second).mul_(steep).sub_(4 * _C).mul_(bell)
    return Curve(gate.mul_(h), slope, second)


def _doubled(h: Tensor, square: Tensor) -> Tensor:
    """2u = 2 C (h + D h^3); sigmoid(2u) = (1 + tanh u) / 2."""
    return torch.add(_TWO_C, square, alpha=2 * _C * _D).mul_(h)


class _ActivationBackward(torch.autograd.Function):
    """grad * gelu'(h); torch's own derivative of it takes three times as many passes over h.

    gelu(h) = h (1 + tanh u) / 2 with u = C (h + D h^3), u' = slope; gelu''(h) = (1 - tanh^2) curve with
    curve = u' + h u'' / 2 - tanh h u'^2 and h u'' / 2 = u' - C.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, h: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten.gelu_backward(grad, h, approximate="tanh")
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor]:
        grad, h = ctx.saved_tensors
        square = h * h
        tanh = (square * (_C * _D)).add_(_C).mul(h).tanh_()
        slope = (square * (3 * _C * _D)).add_(_C)
        curve = torch.addcmul((slope * 2).sub_(_C), tanh * h, slope * slope, value=-1)
        second = torch.addcmul(curve, tanh * tanh, curve, value=-1)
        return activation_backward(outer, h), outer * grad * second


def activation_backward(grad: Tensor, h: Tensor) -> Tensor:
    """grad * gelu'(h); differentiable again."""
    out: Tensor = _ActivationBackward.apply(grad, h)  # type: ignore[no-untyped-call]
    return out


def output(x: Tensor, h: Tensor, residual: bool) -> Tensor:
    """M(x) from the last layer's output h (..., V)."""
    return x + F.layer_norm(h, h.shape[-1:], eps=EPS) if residual else h


class _OutputError(torch.autograd.Function):
    """scale * P(2 (x + normed - v)), P(r) = r - mean(r) - normed mean(r normed): LN's backward of the residual error.

    In the backward the error G reaches h through r, through the normed in P and through scale; `N` below is what
    reaches normed, and LN's own backward is scale * P(N) again.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, h: Tensor, v: Tensor) -> Tensor:
        normed, scale = normalise(h)
        return scale * project(2 * (x + normed - v), normed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, h, v = ctx.saved_tensors
        normed, scale = normalise(h)
        residual = 2 * (x + normed - v)
        into_x = 2 * scale * project(grad, normed)
        along, across = _mean(residual * normed), _mean(grad * normed)
        into_normed = into_x - scale * (grad * along + residual * across)
        through_scale = normed * _mean(grad * project(residual, normed))
        return into_x, scale * (project(into_normed, normed) - scale * through_scale), -into_x


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


def normalise(h: Tensor) -> tuple[Tensor, Tensor]:
    """LN(h) and its scale 1 / sqrt(var + eps), (..., V) and (..., 1)."""
    centred = h - _mean(h)
    scale = torch.rsqrt(_mean(centred * centred) + EPS)
    return centred * scale, scale


def project(r: Tensor, normed: Tensor) -> Tensor:
    """LN's backward of r without the scale: r - mean(r) - normed mean(r normed)."""
    return torch.addcmul(r - _mean(r), normed, _mean(r * normed), value=-1)


def output_error(x: Tensor, h: Tensor, v: Tensor, residual: bool) -> Tensor:
    """The gradient of ||M(x) - v||^2 by h, (..., V)."""
    if not residual:
        return 2 * (h - v)
    error: Tensor = _OutputError.apply(x, h, v)  # type: ignore[no-untyped-call]
    return error


def forward(x: Tensor, weights: tuple[Tensor, ...], residual: bool) -> Tensor:
    """M(x): x (..., n, K), weights (..., in, out) -> (..., n, V)."""
    h = x @ weights[0]
    for w in weights[1:]:
        h = activation(h) @ w
    return output(x, h, residual)
