"""The walk over chunks with its outer gradient written out: the everyday path of the torch backend.

The forward keeps the state at the start of every segment of a few chunks and, within a budget, what the backward needs
of the last ones; the backward runs the others again, a segment at a time, and walks the chunks in reverse. Memory is
O(N / segment + segment) states instead of every intermediate, and the same few buffers are used again and again, which
makes it faster too. What it does not support (second outer derivatives, torch.func, torch.compile) comes from
`chunk_loop.walk`, which autograd differentiates.

Tokens lie as (B, T, H, width) outside and as (N, G, n, width) inside, see `chunk_loop`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, NamedTuple, Protocol

import torch
from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.state import MemoryState
from titans_kernels.torch_path.chunk_loop import (
    Chunk,
    Fast,
    Piece,
    Weights,
    cut_gates,
    pieces,
    to_chunks,
    tokens_and_layers,
)
from titans_kernels.torch_path.gates import End, Rows, Saved, coefficients, coefficients_backward, coefficients_kept
from titans_kernels.torch_path.layer_backward import LayerGradients

LONGEST: Final = 8
"""Chunks of a segment at most, unless `segment_length` is given (B=2, H=4, 64-256-64, C=64, forward + backward, T=4096:
1 1.09 s, 4 1.08, 8 1.10, 16 1.12, 32 1.23; peak at T=16384: 8 404 MiB, 16 548, autograd's form 2,157)."""

BLOCK: Final = 1 << 17
"""Numbers in the largest array of a chunk up to which memories are walked side by side; more are walked in blocks.
Less leaves more calls, more leaves the cache (one thread, 64-256-64, T=1024, C=64, forward + backward: 2^15 340 ms,
2^16 288, 2^17 269, 2^18 289; 896 memories 16-32-16, T=24: 2^15 134 ms, 2^16 111, 2^17 103)."""

SHORT: Final = 4
"""Chunks up to which the forward keeps what the backward needs: nothing is run again. (224 sequences of 24 tokens, 4
heads 16-32-16, C=16, forward + backward: 124 ms run again, 105 kept.)"""

KEPT: Final = 96 << 20
"""Bytes (as counted from the widths: about what is kept) up to which the same holds for the last segments of longer
sequences. (B=2, H=4, 64-256-64, C=64, T=1024, forward + backward: all run again 400 ms, all of 112 MiB kept 291.)"""

Composable = Callable[[MemoryInputs, MemoryState], tuple[Tensor, MemoryState]]


def chosen_segment(number: int) -> int:
    """Chunks per segment for a sequence of `number` chunks."""
    return min(max(math.isqrt(number), 1), LONGEST)


@cache
def keep_freed_memory() -> None:
    """Lets glibc's malloc keep what is freed: giving back one untouched block of 31 MiB raises the size up to which
    memory is reused instead of returned to the system, where every later page costs a fault (B=2, H=4,
    64-256-64, T=1024, forward + backward: 47,000 faults, 80 ms, before and none after). Elsewhere without effect."""
    torch.empty(31 << 18, dtype=torch.float32)


_DENORMAL: Final = 5e-324


@contextmanager
def _without_denormals(x: Tensor) -> Iterator[None]:
    """Numbers below 1e-38 count as 0: an old state that has decayed there makes products ten times slower."""
    if x.device.type != "cpu" or not _DENORMAL * 1.0 or not torch.set_flush_denormal(True):
        yield
        return
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class Run(NamedTuple):
    """How a call runs, which changes no result.

    Attributes:
        reuse_state: a single token without a graph may overwrite the tensors of the state.
        segment_length: chunks between two states kept for the backward; None: see `chosen_segment` and `_first_kept`.
        native: by the compiled ops.
    """

    reuse_state: bool = False
    segment_length: int | None = None
    native: bool = False


PLAIN: Final = Run()


class ChunkGradients(NamedTuple):
    """Gradients of one chunk: q, k (G, n, K), v (G, n, V), one set of coefficients per layer."""

    q: Tensor
    k: Tensor
    v: Tensor
    layers: list[LayerGradients]


class Gates(NamedTuple):
    """One token's gates, a tensor (G, 1, 1) per layer: 1 - alpha, eta, and -2 theta, the 2 of the loss's gradient."""

    keep: Weights
    eta: Weights
    step: Weights


class Cell(Protocol):
    """One chunk of an op, without autograd. `fast.anchor` are the weights the errors are taken at."""

    def token(self, k: Tensor, v: Tensor, gates: Gates, fast: Fast, in_place: bool) -> tuple[Weights, Weights]:
        """One token by the definition: k (G, 1, K) and v (G, 1, V) into the weights and momentum after it; `in_place`:
        those of `fast` are overwritten."""
        ...

    def look(self, q: Tensor, weights: Weights) -> Tensor:
        """The memory's output for q (G, n, K), the same weights for all: y (G, n, V)."""
        ...

    def forward(self, chunk: Chunk, fast: Fast, keep: bool) -> tuple[Tensor, Any]:
        """y (G, n, V) and what the three methods below need; with `keep` also what only `backward` needs."""
        ...

    def move(self, chunk: Chunk, kept: Any, fast: Fast) -> None:
        """Brings `fast.weights` and `fast.momentum` to the chunk's end, in place."""
        ...

    def moved(self, chunk: Chunk, kept: Any, fast: Fast) -> tuple[Weights, Weights]:
        """Weights and momentum at the chunk's end, in memory of their own."""
        ...

    def backward(self, chunk: Chunk, fast: Fast, kept: Any, grad: Tensor, into: Fast) -> ChunkGradients:
        """Gradients from `grad`, the one by y. `into`, the gradient by weights and momentum at the chunk's end, becomes
        the one by those at its start in place; what reaches the anchor is added to `into.anchor` (which is
        `into.weights` where the chunk opens)."""
        ...


class Block(NamedTuple):
    """Memories that are walked together: some sequences, some heads."""

    sequences: slice
    heads: slice

    def tokens(self, x: Tensor) -> Tensor:
        """The block's part of (B, T, H, width)."""
        return x[self.sequences, :, self.heads]

    def state(self, x: Tensor) -> Tensor:
        """The block's part of (B, H, in, out)."""
        return x[self.sequences, self.heads]


class _Job(NamedTuple):
    cell: Cell
    composable: Composable
    cuts: list[Piece]
    blocks: list[Block]
    position: int
    depth: int
    kept: int
    """The first cut of which the forward keeps what the backward needs."""


class _Cut(NamedTuple):
    """A cut that was run for its backward: what its gate algebra kept, its chunks, and for each the state it began with
    and what its cell kept."""

    saved: Saved
    chunks: list[Chunk]
    kept: list[tuple[Fast, Any]]


def walk(
    inputs: MemoryInputs,
    state: MemoryState,
    chunk_size: int,
    cell: Cell,
    composable: Composable,
    run: Run,
) -> tuple[Tensor, MemoryState]:
    """Runs `cell` over the chunks of a sequence; `inputs` and `state` as `prepare` leaves them.

    Args:
        composable: the same in operations that autograd knows, for what this walk does not support.
        run: see there.

    Returns:
        y (B, T, H, V) and the state after the last token.
    """
    if transformed():
        return composable(inputs, state)
    tokens, depth = inputs.q.shape[1], len(state.weights)
    tensors = (*inputs[:6], *state.weights, *state.momentum, *state.anchor)
    if tokens == 1 and not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors)):
        return _step(inputs, state, chunk_size, cell, run.reuse_state)
    segment = run.segment_length or chosen_segment(-(-tokens // chunk_size))
    cuts = pieces(tokens, state.position, chunk_size, segment)
    kept = len(cuts) if run.segment_length else _first_kept(inputs, state, cuts)
    job = _Job(cell, composable, cuts, _blocks(inputs, state, cuts), state.position, depth, kept)
    y, *new = _Walk.apply(job, inputs.mask, *tensors)  # type: ignore[no-untyped-call]
    weights, momentum, anchor = (tuple(new[i * depth : (i + 1) * depth]) for i in range(3))
    position = (state.position + tokens) % chunk_size
    if position == 0:
        anchor = weights
    elif not cuts[-1].opens:
        anchor = state.anchor
    return y, MemoryState(weights, momentum, anchor, position)


def transformed() -> bool:
    """Whether this call is compiled, traced or transformed, which only operations known to autograd can be."""
    # torch.jit.trace cannot follow a Function that writes into tensors of its own.
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return traced or torch._C._are_functorch_transforms_active()


def _first_kept(inputs: MemoryInputs, state: MemoryState, cuts: list[Piece]) -> int:
    """The first of the last cuts that are not run again in the backward."""
    if sum(cut.number for cut in cuts) <= SHORT:
        return 0
    batch, _, heads, _ = inputs.q.shape
    left, first = KEPT, len(cuts)
    for cut in reversed(cuts):
        numbers = sum(2 * w.shape[-2] * w.shape[-1] + 4 * cut.length * sum(w.shape[-2:]) for w in state.weights)
        left -= 4 * cut.number * batch * heads * numbers
        if left < 0:
            break
        first -= 1
    return first


def _step(
    inputs: MemoryInputs, state: MemoryState, chunk_size: int, cell: Cell, reuse: bool
) -> tuple[Tensor, MemoryState]:
    """A single token: two passes over every weight and nothing of a chunk's algebra."""
    # At a chunk's start the weights stay, as its anchor; inside it they are an op's own, never the caller's first ones.
    reuse = reuse and state.position > 0 and inputs.mask is None
    keep_freed_memory()
    batch, _, heads, _ = inputs.q.shape
    weights, momentum = (tuple(w.flatten(0, 1) for w in group) for group in state[:2])
    anchor = tuple(w.flatten(0, 1) for w in state.anchor) if state.position else weights
    q, k, v = (x.reshape(batch * heads, 1, -1) for x in inputs[:3])
    alpha, eta, theta = (x.reshape(batch * heads, -1, 1, 1) for x in inputs[3:6])
    gates = Gates((1 - alpha).unbind(1), eta.unbind(1), (theta * -2).unbind(1))
    with _without_denormals(inputs.q):
        new, surprise = cell.token(k, v, gates, Fast(weights, momentum, anchor), reuse)
        if inputs.mask is not None:
            real = inputs.mask.repeat_interleave(heads, 0).unsqueeze(-1)
            new = tuple(torch.where(real, a, b) for a, b in zip(new, weights, strict=True))
            surprise = tuple(torch.where(real, a, b) for a, b in zip(surprise, momentum, strict=True))
        y = cell.look(q, new)
    shaped, moved = (tuple(w.view(batch, heads, *w.shape[1:]) for w in group) for group in (new, surprise))
    position = (state.position + 1) % chunk_size
    kept = shaped if position == 0 else tuple(w.view(batch, heads, *w.shape[1:]) for w in anchor)
    return y.view(batch, 1, heads, -1), MemoryState(shaped, moved, kept, position)


def _blocks(inputs: MemoryInputs, state: MemoryState, cuts: list[Piece]) -> list[Block]:
    batch, _, heads, _ = inputs.q.shape
    longest = max(cut.length for cut in cuts)
    largest = max(max(longest * max(w.shape[-2:]), w.shape[-2] * w.shape[-1]) for w in state.weights)
    together = max(BLOCK // largest, 1)
    rows, columns = max(together // heads, 1), min(together, heads)
    return [
        Block(slice(b, min(b + rows, batch)), slice(h, min(h + columns, heads)))
        for b in range(0, batch, rows)
        for h in range(0, heads, columns)
    ]


class _Walk(torch.autograd.Function):
    """(q, k, v, alpha, eta, theta, W.., S.., A..) -> (y, W.., S.., A..): W and S after the last token, A the weights at
    the start of the last cut, where it opens a chunk."""

    @staticmethod
    def forward(ctx: Any, job: _Job, mask: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        keep_freed_memory()
        keep = any(ctx.needs_input_grad)
        y = torch.empty_like(tensors[2], memory_format=torch.contiguous_format)
        ends = [torch.empty_like(w, memory_format=torch.contiguous_format) for w in tensors[6:]]
        starts: list[Tensor] = []
        done: list[dict[int, _Cut]] = []
        for block in job.blocks:
            inputs, fast = _narrow(tensors, mask, block), _fast(tensors, block)
            done.append({})
            with _without_denormals(y):
                for i, cut in enumerate(job.cuts):
                    start = fast
                    starts += (*fast.weights, *fast.momentum) if keep else ()
                    if keep and i >= job.kept:
                        reads, fast, done[-1][i] = _run_kept(job.cell, inputs, cut, fast)
                    else:
                        reads, fast = _run(job.cell, inputs, cut, fast)
                    _store(block.tokens(y), reads, cut)
            for end, x in zip(ends, (*fast.weights, *fast.momentum, *start.weights), strict=True):
                part = block.state(end)
                part.copy_(x.view_as(part))
        ctx.job, ctx.count, ctx.done = job, len(tensors), done
        ctx.save_for_backward(*tensors, *starts, mask)
        return (y, *ends)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        job: _Job = ctx.job
        *saved, mask = ctx.saved_tensors
        tensors, starts = saved[: ctx.count], saved[ctx.count :]
        if torch.is_grad_enabled():
            place = job.position, job.cuts[-1].opens
            return (None, None, *differentiable_gradients(job.composable, place, mask, tensors, grads))
        out = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in tensors]
        count = len(job.blocks)
        for b, block in enumerate(job.blocks):
            known = starts[b * len(starts) // count : (b + 1) * len(starts) // count], ctx.done[b]
            with _without_denormals(grads[0]):
                into = _backward_block(job, (tensors, mask, block), known, grads, out)
            for g, x in zip(out[6:], (*into.weights, *into.momentum, *into.anchor), strict=True):
                part = block.state(g)
                part.copy_(x.view_as(part))
        return (None, None, *out)


def _backward_block(
    job: _Job,
    source: tuple[list[Tensor], Tensor | None, Block],
    known: tuple[list[Tensor], dict[int, _Cut]],
    grads: tuple[Tensor, ...],
    out: list[Tensor],
) -> Fast:
    """Fills the gradients by tokens and gates of one block of memories; returns those by its start state.

    `known` are the states at the start of the cuts, and some cuts as `_run_kept` left them. These are given up one by
    one: a second backward through the same graph runs them again.
    """
    (tensors, mask, block), (starts, done), depth = source, known, job.depth
    inputs, mine = _narrow(tensors, mask, block), _narrow(out, None, block)
    last = _fast((*grads[:1] * 6, *grads[1:]), block)
    into = Fast(_copies(last.weights), _copies(last.momentum), tuple(torch.zeros_like(w) for w in last.weights))
    for i in range(len(job.cuts) - 1, -1, -1):
        cut = job.cuts[i]
        ready = done.pop(i, None)
        if ready is None:
            first = 2 * i * depth
            weights, momentum = tuple(starts[first : first + depth]), tuple(starts[first + depth : first + 2 * depth])
            start = Fast(weights, momentum, _fast(tensors, block).anchor)
            *_, ready = _run_kept(job.cell, inputs, cut, start, read=False)
        _run_back(job.cell, cut, ready, (block.tokens(grads[0]), into), mine)
        if i == len(job.cuts) - 1 and cut.opens:
            for w, by_anchor in zip(into.weights, last.anchor, strict=True):
                w += by_anchor
    return into


def _run(cell: Cell, inputs: MemoryInputs, cut: Piece, start: Fast) -> tuple[list[Tensor], Fast]:
    """What every chunk of a cut reads, and the state at its end; `start` is left as it is."""
    fast = Fast(_copies(start.weights), _copies(start.momentum), start.anchor)
    fast = _opened(fast, cut)
    reads = []
    for chunk in tokens_and_layers(inputs, cut, coefficients(*cut_gates(inputs, cut))):
        read, kept = cell.forward(chunk, fast, keep=False)
        cell.move(chunk, kept, fast)
        reads.append(read)
    return reads, fast._replace(anchor=start.anchor)


def _run_kept(
    cell: Cell, inputs: MemoryInputs, cut: Piece, start: Fast, read: bool = True
) -> tuple[list[Tensor], Fast, _Cut]:
    """As `_run`, and what the backward needs; without `read` the last chunk is not written."""
    batched, saved = coefficients_kept(*cut_gates(inputs, cut))
    chunks = tokens_and_layers(inputs, cut, batched)
    reads, kept, fast = [], [], start
    for chunk in chunks:
        fast = _opened(fast, cut)
        y, mine = cell.forward(chunk, fast, keep=True)
        reads.append(y)
        kept.append((fast, mine))
        if read or chunk is not chunks[-1]:
            weights, momentum = cell.moved(chunk, mine, fast)
            fast = Fast(weights, momentum, start.anchor)
    return reads, fast, _Cut(saved, chunks, kept)


def _opened(fast: Fast, cut: Piece) -> Fast:
    return fast._replace(anchor=fast.weights) if cut.opens else fast


def _run_back(cell: Cell, cut: Piece, ready: _Cut, by: tuple[Tensor, Fast], out: MemoryInputs) -> None:
    """The chunks of a cut in reverse.

    Args:
        by: the gradient by y (B, T, H, V) and the one by the state at the cut's end, which becomes that by its start.
        out: where the gradients by tokens and gates go, (B, T, H, width).
    """
    grad, into = by
    through = _opened(into, cut)
    found: list[ChunkGradients] = []
    grads = to_chunks(grad, cut).unbind(0)
    for i in range(cut.number - 1, -1, -1):
        fast, mine = ready.kept[i]
        found.append(cell.backward(ready.chunks[i], fast, mine, grads[i], through))
    found.reverse()
    for target, name in ((out.q, "q"), (out.k, "k"), (out.v, "v")):
        _store(target, [getattr(x, name) for x in found], cut)
    _gate_gradients(ready, found, cut, out)


def _gate_gradients(ready: _Cut, found: list[ChunkGradients], cut: Piece, out: MemoryInputs) -> None:
    shape = ready.saved.step.shape[:-2]
    flat = zip(*([*x.rows, *x.end, *x.before] for chunk in found for x in chunk.layers), strict=True)
    grads = [torch.stack(x).unflatten(0, shape[:2]) for x in flat]
    before = Rows(*grads[8:]) if len(grads) > 8 else None
    by_gates = coefficients_backward(ready.saved, Rows(*grads[:3]), End(*grads[3:8]), before)
    for target, g in zip((out.alpha, out.eta, out.theta), by_gates, strict=True):
        batch, _, heads, layers = target.shape
        shaped = g.view(cut.number, layers, batch, heads, cut.length)
        _part(target, cut).copy_(shaped.permute(2, 0, 4, 3, 1))


def differentiable_gradients(
    composable: Composable,
    place: tuple[int, bool],
    mask: Tensor | None,
    tensors: list[Tensor],
    grads: tuple[Tensor | None, ...],
) -> list[Tensor | None]:
    """The gradients of a walk's `tensors` from operations that can be differentiated again.

    Args:
        place: the state's position at the start, and whether the last chunk begins in this sequence.
        grads: by the walk's outputs; None counts as 0.
    """
    depth = (len(tensors) - 6) // 3
    # Views of their own: a gradient must not run on from one input into another.
    views = [x.view_as(x) if x.requires_grad else x for x in tensors]
    weights, momentum, anchor = (tuple(views[6 + i * depth : 6 + (i + 1) * depth]) for i in range(3))
    q, k, v, alpha, eta, theta = views[:6]
    inputs = MemoryInputs(q, k, v, alpha, eta, theta, mask)
    y, end = composable(inputs, MemoryState(weights, momentum, anchor, place[0]))
    outputs = [y, *end.weights, *end.momentum]
    given = list(grads[: len(outputs)])
    if end.position and place[1]:
        outputs += end.anchor
        given += grads[1 + 2 * depth :]
    wanted = [i for i, x in enumerate(tensors) if x.requires_grad]
    chosen = [(x, g) for x, g in zip(outputs, given, strict=True) if x.requires_grad and g is not None]
    found = torch.autograd.grad(
        [x for x, _ in chosen], [views[i] for i in wanted], [g for _, g in chosen], create_graph=True, allow_unused=True
    )
    by_index = dict(zip(wanted, found, strict=True))
    return [by_index.get(i) for i in range(len(tensors))]


def _narrow(tensors: tuple[Tensor, ...] | list[Tensor], mask: Tensor | None, block: Block) -> MemoryInputs:
    q, k, v, alpha, eta, theta = map(block.tokens, tensors[:6])
    return MemoryInputs(q, k, v, alpha, eta, theta, None if mask is None else mask[block.sequences])


def _fast(tensors: tuple[Tensor, ...] | list[Tensor], block: Block) -> Fast:
    """Weights, momentum and anchor of a block, (G, in, out) each, from what follows the six token tensors."""
    flat = [block.state(x).reshape(-1, *x.shape[2:]) for x in tensors[6:]]
    depth = len(flat) // 3
    return Fast(*(tuple(flat[i * depth : (i + 1) * depth]) for i in range(3)))


def _copies(group: Weights) -> Weights:
    return tuple(x.clone(memory_format=torch.contiguous_format) for x in group)


def _part(target: Tensor, cut: Piece) -> Tensor:
    """The cut's tokens of (B, T, H, width), seen as (B, N, n, H, width)."""
    return target[:, cut.start : cut.start + cut.number * cut.length].unflatten(1, (cut.number, cut.length))


def _store(target: Tensor, chunks: list[Tensor], cut: Piece) -> None:
    """Writes N chunks (G, n, width) where they belong in (B, T, H, width)."""
    part = _part(target, cut)
    for i, x in enumerate(chunks):
        part[:, i].copy_(x.view(part.shape[0], part.shape[3], *x.shape[1:]).transpose(1, 2))
