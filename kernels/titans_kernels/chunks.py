"""Cutting a sequence into chunks, and the walk over them that the chunked ops share.

Inside, tokens lie as (N, G, n, width): N chunks of n tokens, G = B * H independent memories. Only the walk over N is
sequential; the gate algebra of all N chunks is done before it (memory.md, sections 2 and 4b).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .gates import Coefficients, End, Rows, coefficients
from .inputs import MemoryInputs
from .state import MemoryState

Weights = tuple[Tensor, ...]


class Piece(NamedTuple):
    """`number` chunks of `length` tokens from token `start` on; `opens`: each takes its gradients at its own start."""

    start: int
    number: int
    length: int
    opens: bool = True


class Chunk(NamedTuple):
    """One chunk, or a part of one: q, k (G, n, K), v (G, n, V) and one set of coefficients per layer."""

    q: Tensor
    k: Tensor
    v: Tensor
    layers: tuple[Coefficients, ...]


class Fast(NamedTuple):
    """The fast weights, momentum and anchor on the walk, L tensors (G, in, out) each."""

    weights: Weights
    momentum: Weights
    anchor: Weights


Step = Callable[[Chunk, Fast], tuple[Tensor, Weights, Weights]]

RECOMPUTE_ABOVE: Final = 128
"""Chunks of a sequence up to which training keeps every intermediate; above it each group of about sqrt(N) chunks is
run again in the backward, so that memory grows with sqrt(N) chunks. Recomputing costs 30 to 50 % more time (one CPU
thread, B=2, H=4, 64-256-64, C=64, T=4096, forward + backward: 1.42 s and 627 MiB kept, 1.83 s and 444 MiB again)."""

GROUP: Final = 32
"""Chunks whose gate algebra is done at once where nothing is recomputed; bounds the memory of a long forward."""


def pieces(tokens: int, position: int, chunk_size: int, group: int) -> list[Piece]:
    """The rest of the open chunk, the whole chunks by groups, the opened last one: those that are not empty."""
    head = min(chunk_size - position, tokens) if position else 0
    whole, tail = divmod(tokens - head, chunk_size)
    parts = [Piece(0, 1, head, opens=False)] if head else []
    for first in range(0, whole, group):
        parts.append(Piece(head + first * chunk_size, min(group, whole - first), chunk_size))
    return [*parts, Piece(tokens - tail, 1, tail)] if tail else parts


def walk(inputs: MemoryInputs, state: MemoryState, chunk_size: int, step: Step) -> tuple[Tensor, MemoryState]:
    """Runs `step` over the chunks of a sequence; `inputs` and `state` as `prepare` leaves them.

    Returns:
        y (B, T, H, V) and the state after the last token.
    """
    batch, tokens, heads, _ = inputs.q.shape
    fast = Fast(*(tuple(w.flatten(0, 1) for w in group) for group in state[:3]))
    number = -(-tokens // chunk_size)
    recompute = torch.is_grad_enabled() and number > RECOMPUTE_ABOVE
    outputs = []
    for piece in pieces(tokens, state.position, chunk_size, math.isqrt(number) if recompute else GROUP):
        if recompute:
            y, fast = checkpoint(_run, inputs, piece, fast, step, use_reentrant=False, preserve_rng_state=False)
        else:
            y, fast = _run(inputs, piece, fast, step)
        outputs.append(y)
    position = (state.position + tokens) % chunk_size
    if position == 0:
        fast = fast._replace(anchor=fast.weights)
    weights, momentum, anchor = (tuple(w.view(batch, heads, *w.shape[1:]) for w in group) for group in fast)
    return torch.cat(outputs, 1), MemoryState(weights, momentum, anchor, position)


def _run(inputs: MemoryInputs, piece: Piece, fast: Fast, step: Step) -> tuple[Tensor, Fast]:
    reads = []
    for chunk in _chunks(inputs, piece):
        if piece.opens:
            fast = fast._replace(anchor=fast.weights)
        y, weights, momentum = step(chunk, fast)
        fast = Fast(weights, momentum, fast.anchor)
        reads.append(y)
    return _to_tokens(reads, inputs.q.shape[0]), fast


def _chunks(inputs: MemoryInputs, piece: Piece) -> list[Chunk]:
    q, k, v = (_to_chunks(x, piece).unbind(0) for x in (inputs.q, inputs.k, inputs.v))
    alpha, eta, theta = (_gates_to_chunks(x, piece) for x in (inputs.alpha, inputs.eta, inputs.theta))
    mask = None
    if inputs.mask is not None:
        mask = _gates_to_chunks(inputs.mask[..., None, None].expand(inputs.alpha.shape), piece)
    layers = _split(coefficients(alpha, eta, theta, mask), piece.number)
    return [Chunk(*parts) for parts in zip(q, k, v, layers, strict=True)]


def _split(batched: Coefficients, number: int) -> list[tuple[Coefficients, ...]]:
    """Coefficients with leading axes (N, L, G) -> for each chunk, for each layer, its own with (G,)."""
    groups = (zip(*(x.flatten(0, 1).unbind(0) for x in group), strict=True) for group in batched)
    layers = [Coefficients(Rows(*a), Rows(*b), End(*e)) for a, b, e in zip(*groups, strict=True)]
    depth = len(layers) // number
    return [tuple(layers[i * depth : (i + 1) * depth]) for i in range(number)]


def _to_chunks(x: Tensor, piece: Piece) -> Tensor:
    """(B, T, H, width) -> (N, G, n, width)."""
    start, number, length, _ = piece
    cut = x[:, start : start + number * length].reshape(x.shape[0], number, length, *x.shape[2:])
    return cut.permute(1, 0, 3, 2, 4).flatten(1, 2).contiguous()


def _gates_to_chunks(x: Tensor, piece: Piece) -> Tensor:
    """(B, T, H, L) -> (N, L, G, n)."""
    start, number, length, _ = piece
    cut = x[:, start : start + number * length].reshape(x.shape[0], number, length, *x.shape[2:])
    return cut.permute(1, 4, 0, 3, 2).flatten(2, 3)


def _to_tokens(reads: list[Tensor], batch: int) -> Tensor:
    """N reads (G, n, V) -> (B, N * n, H, V)."""
    stacked = torch.stack([y.reshape(batch, -1, *y.shape[1:]) for y in reads], 1)
    return stacked.permute(0, 1, 3, 2, 4).flatten(1, 2)
