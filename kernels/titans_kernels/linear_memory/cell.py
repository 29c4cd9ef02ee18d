"""One chunk of the linear memory and its derivatives, in plain torch without autograd; see `recompute.Cell`.

The equations are those of `chunked.py` (kernels/MATH.md, sections 2 and 3).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from titans_kernels.torch_path.chunk_loop import Chunk, Fast, Weights
from titans_kernels.torch_path.layer_backward import (
    Read,
    Through,
    add_outer,
    along,
    backward_,
    read,
    step,
    write_,
    written,
)
from titans_kernels.torch_path.recompute import ChunkGradients, Gates


class Kept(NamedTuple):
    """The errors E (G, n, V), the read, and with the token anchor k k^T, k W, k S and the system's matrix."""

    errors: Tensor
    read: Read
    solved: tuple[Tensor, ...]


class LinearCell(NamedTuple):
    """The linear memory; errors at the chunk's start, or with `every_token` at the weights before each token."""

    every_token: bool

    def token(self, k: Tensor, v: Tensor, gates: Gates, fast: Fast, in_place: bool) -> tuple[Weights, Weights]:
        """See `recompute.Cell`."""
        anchor = fast.weights if self.every_token else fast.anchor
        error = torch.bmm(k, anchor[0]).sub_(v)
        gate = gates.keep[0], gates.eta[0], gates.step[0]
        weights, momentum = step(k, error, gate, (fast.weights[0], fast.momentum[0]), in_place)
        return (weights,), (momentum,)

    def look(self, q: Tensor, weights: Weights) -> Tensor:
        """See `recompute.Cell`."""
        return torch.bmm(q, weights[0])

    def forward(self, chunk: Chunk, fast: Fast, keep: bool) -> tuple[Tensor, Kept]:
        """See `recompute.Cell`."""
        (layer,), layer_fast = chunk.layers, (fast.weights[0], fast.momentum[0])
        if self.every_token:
            errors, solved = _solve(chunk, layer_fast)
        else:
            errors, solved = torch.bmm(chunk.k, fast.anchor[0]).sub_(chunk.v).mul_(2), ()
        y, queries = read(chunk.q, chunk.k, errors, layer.after, layer_fast)
        return y, Kept(errors, queries, solved)

    def move(self, chunk: Chunk, kept: Kept, fast: Fast) -> None:
        """See `recompute.Cell`."""
        write_(chunk.k, kept.errors, chunk.layers[0].end, (fast.weights[0], fast.momentum[0]))

    def moved(self, chunk: Chunk, kept: Kept, fast: Fast) -> tuple[Weights, Weights]:
        """See `recompute.Cell`."""
        weights, momentum = written(chunk.k, kept.errors, chunk.layers[0].end, (fast.weights[0], fast.momentum[0]))
        return (weights,), (momentum,)

    def backward(self, chunk: Chunk, fast: Fast, kept: Kept, grad: Tensor, into: Fast) -> ChunkGradients:
        """See `recompute.Cell`."""
        layer_fast, layer_into = (fast.weights[0], fast.momentum[0]), (into.weights[0], into.momentum[0])
        keys = chunk.k, kept.errors
        through = backward_(grad, kept.read, keys, chunk.layers[0], layer_fast, layer_into)
        if self.every_token:
            return _solve_backward(chunk, layer_fast, kept, through, layer_into)
        twice = through.delta.mul_(2)
        into.anchor[0].baddbmm_(chunk.k.mT, twice)
        by_k = through.a.baddbmm_(twice, fast.anchor[0].mT)
        return ChunkGradients(through.z, by_k, -twice, [through.coefficients])


def _solve(chunk: Chunk, fast: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Errors at W_{t-1}: (I - 2 K K^T o write_{t-1}) E = 2 (K W_0 keep_{t-1} + K S_0 carry_{t-1} - V)."""
    rows, k = chunk.layers[0].before, chunk.k
    parts = torch.bmm(k, fast[0]), torch.bmm(k, fast[1])
    side = (parts[0] * rows.keep).addcmul_(parts[1], rows.carry).sub_(chunk.v).mul_(2)
    products = torch.bmm(k, k.mT)
    system = (products * rows.write).mul_(-2)
    errors = torch.linalg.solve_triangular(system, side, upper=False, unitriangular=True)
    return errors, (products, *parts, system)


def _solve_backward(
    chunk: Chunk, fast: tuple[Tensor, Tensor], kept: Kept, through: Through, into: tuple[Tensor, Tensor]
) -> ChunkGradients:
    rows, k = chunk.layers[0].before, chunk.k
    products, by_weights, by_momentum, system = kept.solved
    by_side = torch.linalg.solve_triangular(system.mT, through.delta, upper=True, unitriangular=True).mul_(2)
    by_system = torch.bmm(by_side, kept.errors.mT)
    into_before = rows._replace(
        keep=along(by_side, by_weights), carry=along(by_side, by_momentum), write=by_system * products
    )
    scores = by_system.mul_(rows.write)
    by_k = through.a.baddbmm_(scores, k).baddbmm_(scores.mT, k)
    by_k.baddbmm_(by_side * rows.keep, fast[0].mT).baddbmm_(by_side * rows.carry, fast[1].mT)
    add_outer(into[0], k, by_side, rows.keep)
    add_outer(into[1], k, by_side, rows.carry)
    return ChunkGradients(through.z, by_k, -by_side, [through.coefficients._replace(before=into_before)])
