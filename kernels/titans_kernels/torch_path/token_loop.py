"""The definition of the memory, a token a step (kernels/MATH.md, section 1): the loop that both references share.

The inner gradient is taken by autograd of the written loss, with its graph, so that outer gradients hold every
second-order term. Slow on purpose: it is the definition that everything else is compared with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.state import MemoryState

Weights = tuple[Tensor, ...]
Network = Callable[[Tensor, Weights], Tensor]


def token_loop(
    inputs: MemoryInputs, state: MemoryState, chunk_size: int, network: Network, every_token: bool = False
) -> tuple[Tensor, MemoryState]:
    """Reads T tokens one by one; `inputs` and `state` as `prepare` leaves them.

    Args:
        network: M(x; W), x (B, H, 1, K) and weights (B, H, in, out) to (B, H, 1, V).
        every_token: take gradients at W_{t-1} instead of at the chunk's start.
    """
    weights, momentum, anchor, position = state
    outputs = []
    for t in range(inputs.q.shape[1]):
        if position == 0 or every_token:
            anchor = weights
        q, k, v = (x[:, t].unsqueeze(-2) for x in (inputs.q, inputs.k, inputs.v))
        grads = inner_gradient(network, k, v, anchor)
        alpha, eta, theta = (x[:, t, ..., None, None].unbind(2) for x in (inputs.alpha, inputs.eta, inputs.theta))
        surprise = tuple(e * s - th * g for e, s, th, g in zip(eta, momentum, theta, grads, strict=True))
        moved = tuple((1 - a) * w + s for a, w, s in zip(alpha, weights, surprise, strict=True))
        if inputs.mask is not None:
            real = inputs.mask[:, t, None, None, None]
            surprise = tuple(torch.where(real, new, old) for new, old in zip(surprise, momentum, strict=True))
            moved = tuple(torch.where(real, new, old) for new, old in zip(moved, weights, strict=True))
        weights, momentum = moved, surprise
        outputs.append(network(q, weights).squeeze(-2))
        position = 0 if every_token else (position + 1) % chunk_size
    anchor = weights if position == 0 else anchor
    return torch.stack(outputs, 1), MemoryState(weights, momentum, anchor, position)


def inner_gradient(network: Network, k: Tensor, v: Tensor, weights: Weights) -> Weights:
    """The gradient of ||M(k; W) - v||^2 by W, from autograd; part of the outer graph when there is one."""
    outer = torch.is_grad_enabled()
    with torch.enable_grad():
        points = tuple(w if w.requires_grad else w.detach().requires_grad_() for w in weights)
        loss = (network(k, points) - v).square().sum()
        grads = torch.autograd.grad(loss, points, create_graph=outer)
    return grads
