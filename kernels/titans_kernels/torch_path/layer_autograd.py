"""One layer over one chunk: the read, row t with the weights after token t, and the write, the weights at the end.

Both are written out with their backward: plain autograd keeps and multiplies more (n, out) tensors than needed, which
on the CPU costs as much as the products (one thread, B=224, H=4, 16-32-16, T=24, C=16, forward + backward: 126 ms with
plain autograd, 111 ms so). The backwards are made of differentiable operations: higher derivatives work.

Shapes: z, a (G, n, in), delta (G, n, out), weights and momentum (G, in, out), G = B * H, n tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from titans_kernels.torch_path.gates import Coefficients

Gradients = tuple[Tensor, ...]


class _Read(torch.autograd.Function):
    """out = keep (z W) + carry (z S) + ((z a^T) * write) delta."""

    generate_vmap_rule = True

    # Arguments one by one: of `*args` torch.compile without gradients makes one too many.
    @staticmethod
    def forward(
        z: Tensor, a: Tensor, delta: Tensor, keep: Tensor, carry: Tensor, write: Tensor, weights: Tensor,
        momentum: Tensor,
    ) -> Tensor:  # fmt: skip
        out = torch.bmm(z, weights).mul_(keep)
        out.addcmul_(torch.bmm(z, momentum), carry)
        return out.baddbmm_(torch.bmm(z, a.mT).mul_(write), delta)

    @staticmethod
    def setup_context(ctx: Any, inputs: Gradients, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        z, a, delta, keep, carry, write, weights, momentum = ctx.saved_tensors
        scores = torch.bmm(z, a.mT)
        into_scores = torch.bmm(grad, delta.mT)
        weighted = into_scores * write
        by_weights, by_momentum = torch.bmm(grad, weights.mT), torch.bmm(grad, momentum.mT)
        into_z = torch.baddbmm(torch.addcmul(by_weights * keep, by_momentum, carry), weighted, a)
        return (
            into_z,
            torch.bmm(weighted.mT, z),
            torch.bmm((scores * write).mT, grad),
            (by_weights * z).sum(-1, keepdim=True),
            (by_momentum * z).sum(-1, keepdim=True),
            into_scores * scores,
            torch.bmm((z * keep).mT, grad),
            torch.bmm((z * carry).mT, grad),
        )


class _Write(torch.autograd.Function):
    """W' = keep W + carry S + a^T (write delta) and S' = keep_momentum S + a^T (write_momentum delta)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        a: Tensor, delta: Tensor, keep: Tensor, carry: Tensor, write: Tensor, keep_momentum: Tensor,
        write_momentum: Tensor, weights: Tensor, momentum: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        new_weights = (weights * keep).addcmul_(momentum, carry).baddbmm_(a.mT, delta * write)
        new_momentum = (momentum * keep_momentum).baddbmm_(a.mT, delta * write_momentum)
        return new_weights, new_momentum

    @staticmethod
    def setup_context(ctx: Any, inputs: Gradients, output: Gradients) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, by_weights: Tensor, by_momentum: Tensor) -> Gradients:
        a, delta, keep, carry, write, keep_momentum, write_momentum, weights, momentum = ctx.saved_tensors
        first, second = torch.bmm(a, by_weights), torch.bmm(a, by_momentum)
        into_a = torch.bmm(delta * write, by_weights.mT)
        return (
            torch.baddbmm(into_a, delta * write_momentum, by_momentum.mT),
            torch.addcmul(first * write, second, write_momentum),
            (by_weights * weights).sum((-2, -1), keepdim=True),
            (by_weights * momentum).sum((-2, -1), keepdim=True),
            (first * delta).sum(-1, keepdim=True),
            (by_momentum * momentum).sum((-2, -1), keepdim=True),
            (second * delta).sum(-1, keepdim=True),
            by_weights * keep,
            torch.addcmul(by_weights * carry, by_momentum, keep_momentum),
        )


def read_layer(z: Tensor, a: Tensor, delta: Tensor, layer: Coefficients, fast: tuple[Tensor, Tensor]) -> Tensor:
    """A layer applied to query activations, row t with the weights after token t: z (G, n, in) -> (G, n, out).

    `a` (G, n, in) and `delta` (G, n, out) are the layer's inputs and errors for the keys; `fast` its W_0 and S_0.
    """
    out: Tensor = _Read.apply(z, a, delta, *layer.after, *fast)  # type: ignore[no-untyped-call]
    return out


def write_layer(a: Tensor, delta: Tensor, layer: Coefficients, fast: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A layer's weights and momentum at the end of the chunk, (G, in, out) each; arguments as in `read_layer`."""
    new: tuple[Tensor, Tensor] = _Write.apply(a, delta, *layer.end, *fast)  # type: ignore[no-untyped-call]
    return new
