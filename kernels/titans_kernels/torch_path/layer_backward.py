"""A layer's read and write over one chunk and their derivatives, in plain torch without autograd.

The same algebra as `layer_autograd.py`, for the walk with its outer gradient written out (`recompute.py`): states
change in place, and nothing is kept that is not returned. Fresh memory costs ten times the arithmetic on a CPU (512
KiB: one multiplication 12 us in used memory, 180 us in new), so that few live tensors are what makes it fast.

Shapes: z, a (G, n, in), delta (G, n, out), weights and momentum (G, in, out), G = B * H, n tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from titans_kernels.torch_path.gates import Coefficients, End, Rows


class Read(NamedTuple):
    """What a layer's read leaves for its backward.

    Attributes:
        z: (G, n, in), its input.
        scores: (G, n, n), z a^T.
        parts: z W and z S (G, n, out) where out <= in, else nothing.
    """

    z: Tensor
    scores: Tensor
    parts: tuple[Tensor, ...]


class LayerGradients(NamedTuple):
    """What reaches a layer's coefficients, shaped like `Rows` (after every token) and `End`; `before` may be empty."""

    rows: Rows
    end: End
    before: Rows | tuple[()] = ()


class Through(NamedTuple):
    """Gradients of a layer's read and write: by z and a (G, n, in), by delta (G, n, out), by the coefficients."""

    z: Tensor
    a: Tensor
    delta: Tensor
    coefficients: LayerGradients


# Coefficients scale rows, so they may go to either side of a product: always to the narrower one.


def read(z: Tensor, a: Tensor, delta: Tensor, rows: Rows, fast: tuple[Tensor, Tensor]) -> tuple[Tensor, Read]:
    """keep (z W) + carry (z S) + ((z a^T) * write) delta, (G, n, out), and what `backward_` needs."""
    weights, momentum = fast
    scores = torch.bmm(z, a.mT)
    parts: tuple[Tensor, ...] = ()
    if z.shape[-1] < delta.shape[-1]:
        out = torch.bmm(z * rows.keep, weights).baddbmm_(z * rows.carry, momentum)
    else:
        parts = torch.bmm(z, weights), torch.bmm(z, momentum)
        out = (parts[0] * rows.keep).addcmul_(parts[1], rows.carry)
    return out.baddbmm_(scores * rows.write, delta), Read(z, scores, parts)


def write_(a: Tensor, delta: Tensor, end: End, fast: tuple[Tensor, Tensor]) -> None:
    """Brings W and S to the end of the chunk, in place."""
    weights, momentum = fast
    weights.mul_(end.keep).addcmul_(momentum, end.carry)
    momentum.mul_(end.keep_momentum)
    _add_writes(a, delta, end, fast)


def written(a: Tensor, delta: Tensor, end: End, fast: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """W and S at the end of the chunk, in memory of their own."""
    weights, momentum = fast
    new = (weights * end.keep).addcmul_(momentum, end.carry), momentum * end.keep_momentum
    _add_writes(a, delta, end, new)
    return new


def _add_writes(a: Tensor, delta: Tensor, end: End, into: tuple[Tensor, Tensor]) -> None:
    for target, weight in zip(into, (end.write, end.write_momentum), strict=True):
        add_outer(target, a, delta, weight)


def add_outer(target: Tensor, a: Tensor, b: Tensor, weight: Tensor) -> None:
    """target += (a * weight)^T b."""
    if a.shape[-1] < b.shape[-1]:
        target.baddbmm_((a * weight).mT, b)
    else:
        target.baddbmm_(a.mT, b * weight)


def backward_(
    grad: Tensor,
    queries: Read,
    keys: tuple[Tensor, Tensor],
    layer: Coefficients,
    fast: tuple[Tensor, Tensor],
    into: tuple[Tensor, Tensor],
) -> Through:
    """A layer's read and write backwards.

    Args:
        grad: (G, n, out), the gradient by the read's output.
        queries: what `read` left.
        keys: a and delta.
        layer: the coefficients.
        fast: W and S at the start of the chunk.
        into: gradients by W and S at the chunk's end; changed in place to those at its start.
    """
    z, scores, _ = queries
    rows, end = layer.after, layer.end
    by_score = torch.bmm(grad, keys[1].mT)
    weighted = by_score * rows.write
    sums = torch.bmm(weighted.mT, z), torch.bmm((scores * rows.write).mT, grad)
    into_z, by_keep, by_carry = _read_backward(grad, queries, rows, fast)
    into_z.baddbmm_(weighted, keys[0])
    of_rows = Rows(by_keep, by_carry, by_score.mul_(scores))
    of_end = _write_backward(keys, end, fast, into, sums)
    into[1].mul_(end.keep_momentum).addcmul_(into[0], end.carry)
    into[0].mul_(end.keep)
    add_outer(into[0], z, grad, rows.keep)
    add_outer(into[1], z, grad, rows.carry)
    return Through(into_z, *sums, LayerGradients(of_rows, of_end))


def _read_backward(
    grad: Tensor, queries: Read, rows: Rows, fast: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by z (through the state alone), keep and carry."""
    weights, momentum = fast
    if queries.parts:
        by_keep, by_carry = (along(grad, x) for x in queries.parts)
        into_z = torch.bmm(grad * rows.keep, weights.mT).baddbmm_(grad * rows.carry, momentum.mT)
        return into_z, by_keep, by_carry
    first, second = torch.bmm(grad, weights.mT), torch.bmm(grad, momentum.mT)
    by_keep, by_carry = along(first, queries.z), along(second, queries.z)
    return first.mul_(rows.keep).addcmul_(second, rows.carry), by_keep, by_carry


def _write_backward(
    keys: tuple[Tensor, Tensor],
    end: End,
    fast: tuple[Tensor, Tensor],
    into: tuple[Tensor, Tensor],
    sums: tuple[Tensor, Tensor],
) -> End:
    """Adds the write's part to `sums`, the gradients by a and delta; `into` is left as it is."""
    (a, delta), (into_a, into_delta) = keys, sums
    if a.shape[-1] < delta.shape[-1]:
        first, second = torch.bmm(delta, into[0].mT), torch.bmm(delta, into[1].mT)
        into_a.addcmul_(first, end.write).addcmul_(second, end.write_momentum)
        into_delta.baddbmm_(a * end.write, into[0]).baddbmm_(a * end.write_momentum, into[1])
        narrow = a
    else:
        first, second = torch.bmm(a, into[0]), torch.bmm(a, into[1])
        into_delta.addcmul_(first, end.write).addcmul_(second, end.write_momentum)
        into_a.baddbmm_(delta * end.write, into[0].mT).baddbmm_(delta * end.write_momentum, into[1].mT)
        narrow = delta
    return End(
        _dot(into[0], fast[0]),
        _dot(into[0], fast[1]),
        along(first, narrow),
        _dot(into[1], fast[1]),
        along(second, narrow),
    )


def step(
    a: Tensor, error: Tensor, gates: tuple[Tensor, Tensor, Tensor], fast: tuple[Tensor, Tensor], in_place: bool
) -> tuple[Tensor, Tensor]:
    """W and S after one token: S' = eta S + step a^T error, W' = keep W + S'; a (G, 1, in), gates (G, 1, 1)."""
    (keep, eta, size), (weights, momentum) = gates, fast
    narrow = a.shape[-1] < error.shape[-1]
    outer = torch.bmm((a * size).mT, error) if narrow else torch.bmm(a.mT, error * size)
    if in_place:
        torch.addcmul(outer, momentum, eta, out=momentum)
        return torch.addcmul(momentum, weights, keep, out=weights), momentum
    surprise = outer.addcmul_(momentum, eta)
    return torch.addcmul(surprise, weights, keep), surprise


def along(a: Tensor, b: Tensor) -> Tensor:
    """Row-wise inner products, (G, n, width) twice -> (G, n, 1)."""
    return torch.linalg.vecdot(a, b).unsqueeze(-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Matrix-wise inner products, (G, in, out) twice -> (G, 1, 1)."""
    # A product with a transposed view: 16 times faster than (G, in * out, 1), a third than mul and sum.
    return torch.bmm(a.flatten(1).unsqueeze(1), b.flatten(1).unsqueeze(1).mT)
