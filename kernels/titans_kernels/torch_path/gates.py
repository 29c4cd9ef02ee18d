"""Gate algebra: a chunk's scalar coefficients, for all chunks, heads and layers at once (kernels/MATH.md, section 2).

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
        return _products(gate, complement)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.complement = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (decay,) = ctx.saved_tensors
        into_gate = _through_products(decay, grad)
        return (-into_gate if ctx.complement else into_gate), None


def _products(gate: Tensor, complement: bool) -> Tensor:
    n = gate.shape[-1]
    logs = torch.log1p(-gate) if complement else torch.log(gate)
    lower = gate.new_ones(n + 1, n + 1).tril_()
    sums = logs.new_empty(*gate.shape[:-1], n + 1, n + 1)
    sums[..., 0, :].zero_()  # no assignment: torch.export cannot save the constant tensor that it makes of it
    sums[..., 1:, :] = logs.clamp_(min=_NO_FACTOR).unsqueeze(-1) * lower.tril(-1)[1:]
    return sums.cumsum_(-2).exp_().mul_(lower)


def _through_products(decay: Tensor, grad: Tensor) -> Tensor:
    return (decay[..., :, 1:].mT @ grad).mul(decay[..., :-1, :]).sum(-1)


def decay_matrix(gate: Tensor, complement: bool = False) -> Tensor:
    """All products of consecutive gates, (..., n) -> (..., n+1, n+1) lower triangular; see `_Decay`.

    `complement=True` multiplies 1 - gate. In float32 a chunk's product resolves a total decay of about 6e-8: alpha
    acts down to about 6e-8 / C, below that the weights themselves (float32) cannot show it.
    """
    decay: Tensor = _Decay.apply(gate, complement)  # type: ignore[no-untyped-call]
    return decay


def coefficients(alpha: Tensor, eta: Tensor, theta: Tensor, mask: Tensor | None) -> Coefficients:
    """The coefficients of chunks of n tokens from their gates (kernels/MATH.md, section 2).

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
    return _gather(keep, momentum, c, -theta.unsqueeze(-2))


def _gather(keep: Tensor, momentum: Tensor, c: Tensor, step: Tensor) -> Coefficients:
    rows = (keep[..., :1], c[..., :1], c[..., 1:] * step)
    last = (momentum[..., -1:, 1:] * step).mT
    keep_end, carry_end, write_end = (x[..., -1:, :] for x in rows)
    end = End(keep_end, carry_end, write_end.mT, momentum[..., -1:, :1], last)
    return Coefficients(Rows(*(x[..., 1:, :] for x in rows)), Rows(*(x[..., :-1, :] for x in rows)), end)


class Saved(NamedTuple):
    """What `coefficients_backward` needs: the products of both gates, c, -theta as a row, and the mask (..., 1, n)."""

    keep: Tensor
    momentum: Tensor
    c: Tensor
    step: Tensor
    mask: Tensor | None


def coefficients_kept(alpha: Tensor, eta: Tensor, theta: Tensor, mask: Tensor | None) -> tuple[Coefficients, Saved]:
    """`coefficients` without autograd, and what its backward wants."""
    if mask is not None:
        alpha, eta, theta = torch.where(mask, alpha, 0.0), torch.where(mask, eta, 1.0), torch.where(mask, theta, 0.0)
        mask = mask.unsqueeze(-2)
    keep, momentum, step = _products(alpha, complement=True), _products(eta, complement=False), -theta.unsqueeze(-2)
    c = (keep[..., 1:] if mask is None else keep[..., 1:] * mask) @ momentum[..., 1:, :]
    return _gather(keep, momentum, c, step), Saved(keep, momentum, c, step, mask)


def coefficients_backward(saved: Saved, rows: Rows, end: End, before: Rows | None) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by alpha, eta, theta (..., n) from those by `after`, `end` and, where it was used, `before`."""
    keep, momentum, c, step, mask = saved
    by_c = torch.empty_like(c)
    by_c[..., 0, :] = 0
    by_c[..., 1:, :1], by_c[..., 1:, 1:] = rows.carry, rows.write
    by_keep = torch.empty_like(keep)
    by_keep[..., 0, 0] = 0
    by_keep[..., 1:, :1] = rows.keep
    by_c[..., -1, :1] += end.carry.squeeze(-1)
    by_c[..., -1, 1:] += end.write.squeeze(-1)
    by_keep[..., -1, :1] += end.keep.squeeze(-1)
    if before is not None:
        by_c[..., :-1, :1] += before.carry
        by_c[..., :-1, 1:] += before.write
        by_keep[..., :-1, :1] += before.keep
    last = end.write_momentum.squeeze(-1)
    by_theta = last * momentum[..., -1, 1:] + (by_c[..., 1:] * c[..., 1:]).sum(-2)
    by_c[..., 1:] *= step
    into = by_c @ momentum[..., 1:, :].mT
    by_keep[..., 1:] = into if mask is None else into.mul_(mask)
    by_momentum = torch.empty_like(momentum)
    by_momentum[..., 0, :] = 0
    by_momentum[..., 1:, :] = (keep[..., 1:] if mask is None else keep[..., 1:] * mask).mT @ by_c
    by_momentum[..., -1, :1] += end.keep_momentum.squeeze(-1)
    by_momentum[..., -1, 1:] += last * step.squeeze(-2)
    found = -_through_products(keep, by_keep), _through_products(momentum, by_momentum), -by_theta
    if mask is None:
        return found
    hidden = ~mask.squeeze(-2)
    return found[0].masked_fill_(hidden, 0.0), found[1].masked_fill_(hidden, 0.0), found[2].masked_fill_(hidden, 0.0)
