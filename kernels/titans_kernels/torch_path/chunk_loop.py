"""Cutting a sequence into chunks, and the walk over them that the chunked ops share.

Inside, tokens lie as (N, G, n, width): N chunks of n tokens, G = B * H independent memories. Only the walk over N is
sequential; the gate algebra of all N chunks is done before it (kernels/MATH.md, sections 2 and 4b).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.state import MemoryState
from titans_kernels.torch_path import scan
from titans_kernels.torch_path.gates import Coefficients, End, Rows, coefficients

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

UNROLLED: Final = 4
"""Chunks up to which an exported program has no loop."""

GROUP: Final = 32
"""Chunks whose gate algebra is done at once; bounds the memory of a long forward."""


def pieces(tokens: int, position: int, chunk_size: int, group: int) -> list[Piece]:
    """The rest of the open chunk, the whole chunks by groups, the opened last one: those that are not empty."""
    head = min(chunk_size - position, tokens) if position else 0
    whole, tail = (tokens - head) // chunk_size, (tokens - head) % chunk_size
    parts = [Piece(0, 1, head, opens=False)] if head else []
    for first in range(0, whole, group):
        parts.append(Piece(head + first * chunk_size, min(group, whole - first), chunk_size))
    return [*parts, Piece(tokens - tail, 1, tail)] if tail else parts


def walk(inputs: MemoryInputs, state: MemoryState, chunk_size: int, step: Step) -> tuple[Tensor, MemoryState]:
    """Runs `step` over the chunks of a sequence, every operation known to autograd; see also `recompute.walk`.

    Returns:
        y (B, T, H, V) and the state after the last token.
    """
    batch, tokens, heads, _ = inputs.q.shape
    # A program of torch.export would hold a long loop unrolled.
    if scan.is_symbolic(tokens) or (torch.compiler.is_exporting() and tokens > UNROLLED * chunk_size):
        return _scan(inputs, state, chunk_size, step)
    fast = Fast(*(tuple(w.flatten(0, 1) for w in group) for group in state[:3]))
    outputs = []
    for piece in pieces(tokens, state.position, chunk_size, GROUP):
        y, fast = _run(inputs, piece, fast, step)
        outputs.append(y)
    position = (state.position + tokens) % chunk_size
    if position == 0:
        fast = fast._replace(anchor=fast.weights)
    weights, momentum, anchor = (tuple(w.view(batch, heads, *w.shape[1:]) for w in group) for group in fast)
    return torch.cat(outputs, 1), MemoryState(weights, momentum, anchor, position)


def _scan(inputs: MemoryInputs, state: MemoryState, chunk_size: int, step: Step) -> tuple[Tensor, MemoryState]:
    """`walk` over whole chunks, the first and the last filled up with masked tokens."""
    batch, tokens, heads, _ = inputs.q.shape
    parts, depth, device = scan.Parts(tokens, chunk_size, state.position), len(state.weights), inputs.q.device
    chunks = [*(parts.cut(x) for x in inputs[:6]), parts.mask(inputs.mask, batch, device), parts.opens(device)[:, 0]]
    start = [w.reshape(batch * heads, *w.shape[2:]) for group in state[:3] for w in group]

    def one(fast: list[Tensor], xs: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """One chunk, from the state as a list of tensors."""
        q, k, v, alpha, eta, theta, real, opened = xs
        weights, momentum, anchor = (tuple(fast[i * depth : (i + 1) * depth]) for i in range(3))
        anchor = tuple(torch.where(opened, w, a) for w, a in zip(weights, anchor, strict=True))
        chunk = MemoryInputs(q, k, v, alpha, eta, theta, real)
        y, new = _run(chunk, Piece(0, 1, chunk_size, opens=False), Fast(weights, momentum, anchor), step)
        return [*new.weights, *new.momentum, *anchor], y

    end, reads = scan.scan(one, start, chunks)
    shaped = [w.view(batch, heads, *w.shape[1:]) for w in end]
    weights, momentum, anchor = (tuple(shaped[i * depth : (i + 1) * depth]) for i in range(3))
    y = parts.joined(reads)
    return y, MemoryState(weights, momentum, anchor, (state.position + tokens) % chunk_size)


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
    return tokens_and_layers(inputs, piece, coefficients(*cut_gates(inputs, piece)))


def cut_gates(inputs: MemoryInputs, piece: Piece) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """alpha, eta, theta and the mask of a piece, each (N, L, G, n)."""
    alpha, eta, theta = (_gates_to_chunks(x, piece) for x in (inputs.alpha, inputs.eta, inputs.theta))
    mask = None
    if inputs.mask is not None:
        mask = _gates_to_chunks(inputs.mask[..., None, None].expand(inputs.alpha.shape), piece)
    return alpha, eta, theta, mask


def tokens_and_layers(inputs: MemoryInputs, piece: Piece, batched: Coefficients) -> list[Chunk]:
    """The chunks of a piece from its tokens and its coefficients, whose leading axes are (N, L, G)."""
    q, k, v = (to_chunks(x, piece).unbind(0) for x in (inputs.q, inputs.k, inputs.v))
    return [Chunk(*parts) for parts in zip(q, k, v, _split(batched, piece.number), strict=True)]


def _split(batched: Coefficients, number: int) -> list[tuple[Coefficients, ...]]:
    """Coefficients with leading axes (N, L, G) -> for each chunk, for each layer, its own with (G,)."""
    groups = (zip(*(x.flatten(0, 1).unbind(0) for x in group), strict=True) for group in batched)
    layers = [Coefficients(Rows(*a), Rows(*b), End(*e)) for a, b, e in zip(*groups, strict=True)]
    depth = len(layers) // number
    return [tuple(layers[i * depth : (i + 1) * depth]) for i in range(number)]


def to_chunks(x: Tensor, piece: Piece) -> Tensor:
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
