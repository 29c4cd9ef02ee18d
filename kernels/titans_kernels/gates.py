"""Gate algebra: the scalar coefficients of a chunk, for all chunks, heads and layers at once (memory.md, section 2).

Unrolling W_t = (1 - alpha_t) W_{t-1} + m_t S_t and S_t = eta_t S_{t-1} - theta_t grad_t over a chunk of n tokens leaves
scalars only. Index 0 below is the state before the chunk, 1..n are its tokens:

    A[t, j] = prod_{l=j+1..t} (1 - alpha_l)     H[j, i] = prod_{l=i+1..j} eta_l     c = A[:, 1:] diag(m) H[1:, :]
    W_t     = A[t, 0] W_0 + c[t, 0] S_0 - sum_i c[t, i] theta_i grad_i
    S_t     = H[t, 0] S_0               - sum_i H[t, i] theta_i grad_i

`m` is 1 for a token and 0 for a masked one, whose alpha, eta, theta count as 0, 1, 0: weights and momentum stay as
they are. Every entry is a sum of products of numbers in [0, 1]: nothing cancels, and gates of exactly 0 are exact.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

_NO_FACTOR: Final = -1e4
"""Stands for log(0) = -inf, which a mask cannot multiply away: exp of it is 0 in float32 and float64."""


class End(NamedTuple):
    """What one chunk of n tokens does to one layer's weights and momentum, leading axes (..., G), G = B * H.

    Attributes:
        keep, carry: (..., 1, 1), A[n, 0] and c[n, 0], how much of W_0 and S_0 is in W_n.
        write: (..., n, 1), -c[n, i] theta_i, the weight of token i's gradient in W_n.
        keep_momentum: (..., 1, 1), H[n, 0].
        write_momentum: (..., n, 1), -H[n, i] theta_i.
    """

    keep: Tensor
    carry: Tensor
    write: Tensor
    keep_momentum: Tensor
    write_momentum: Tensor


class Rows(NamedTuple):
    """The weights before or after every token of a chunk: W_t = keep W_0 + carry S_0 + sum_i write[t, i] grad_i.

    Attributes:
        keep, carry: (..., n, 1), A[t, 0] and c[t, 0].
        write: (..., n, n), -c[t, i] theta_i.
    """

    keep: Tensor
    carry: Tensor
    write: Tensor


class Coefficients(NamedTuple):
    """One layer's coefficients in a chunk: after every token t, before it (t - 1), and at the chunk's end."""

    after: Rows
    before: Rows
    end: End


class _Decay(torch.autograd.Function):
    """P[t, j] = prod_{l=j+1..t} g_l for 0 <= j <= t <= n, else 0; g (..., n) -> P (..., n+1, n+1).

    g = 1 - gate when `complement`, else g = gate. The forward adds logarithms (log1p(-gate) keeps an alpha of 1e-7
    that 1 - alpha would round); every entry has its own sum, never a difference of two. The backward needs no division
    by g: dP[t, j] / dg_l = P[t, l] P[l-1, j].
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(gate: Tensor, complement: bool) -> Tensor:
        n = gate.shape[-1]
        logs = torch.log1p(-gate) if complement else torch.log(gate)
        lower = gate.new_ones(n + 1, n + 1).tril_()
        sums = logs.new_zeros(*gate.shape[:-1], n + 1, n + 1)
        sums[..., 1:, :] = logs.clamp_(min=_NO_FACTOR).unsqueeze(-1)
        return sums.mul_(lower.tril(-1)).cumsum_(-2).exp_().mul_(lower)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.complement = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (decay,) = ctx.saved_tensors
        product = decay[..., :, 1:].mT @ grad
        into_gate = (product * decay[..., :-1, :]).sum(-1)
        return (-into_gate if ctx.complement else into_gate), None


def decay_matrix(gate: Tensor, complement: bool = False) -> Tensor:
    """All products of consecutive gates, (..., n) -> (..., n+1, n+1) lower triangular; see `_Decay`.

    `complement=True` multiplies 1 - gate. In float32 a chunk's product resolves a total decay of about 6e-8: alpha
    acts down to about 6e-8 / C, below that the weights themselves (float32) cannot show it.
    """
    decay: Tensor = _Decay.apply(gate, complement)  # type: ignore[no-untyped-call]
    return decay


def coefficients(alpha: Tensor, eta: Tensor, theta: Tensor, mask: Tensor | None) -> Coefficients:
    """The coefficients of chunks of n tokens from their gates (memory.md, section 2).

    Args:
        alpha, eta, theta: (..., n), the forget gate, the momentum gate, the step.
        mask: broadcastable to (..., n), True for a token, False for a masked one; or None.
    """
    if mask is not None:
        alpha = torch.where(mask, alpha, 0.0)
        eta = torch.where(mask, eta, 1.0)
        theta = torch.where(mask, theta, 0.0)
    keep, momentum = decay_matrix(alpha, complement=True), decay_matrix(eta)
    into = keep[..., 1:]
    if mask is not None:
        into = into * mask.unsqueeze(-2)
    c = into @ momentum[..., 1:, :]
    step = -theta.unsqueeze(-2)
    rows = (keep[..., :1], c[..., :1], c[..., 1:] * step)
    last = (momentum[..., -1:, 1:] * step).mT
    keep_end, carry_end, write_end = (x[..., -1:, :] for x in rows)
    end = End(keep_end, carry_end, write_end.mT, momentum[..., -1:, :1], last)
    return Coefficients(Rows(*(x[..., 1:, :] for x in rows)), Rows(*(x[..., :-1, :] for x in rows)), end)
