"""The compiled ops behind the interface of the torch backend: one call of the library for all chunks of a sequence.

The forward keeps the state at the start of every segment of chunks (of every chunk, while that takes no more than
`KEPT`); the backward runs a chunk's forward again just before its backward, while everything is in the cache. What the
library does not do (second outer derivatives) comes from the op's composable form; whole calls that it cannot have are
the torch backend's (`takes`).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from threading import Thread
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.native import library
from titans_kernels.state import MemoryState
from titans_kernels.torch_path.recompute import (
    Composable,
    Run,
    differentiable_gradients,
    keep_freed_memory,
    transformed,
)

DEPTH: Final = 8
"""Most layers of a memory, as in memory.c."""
WIDE: Final = 1 << 19
"""Numbers of a layer from which torch's products, of several threads, win unless there is but one token (a memory of
one head, forward and backward, one and two threads, ours to theirs; T=512: 512-512 .56 and .91, 512-1024-512 .78 and
1.08; T=256: 1024-1024 .99 and 1.49; T=8: 1024-1024 3.3 and 3.7; forward, T=1: 1024-2048-1024 .39 and .82)."""
ALONE: Final = 1 << 29
"""Operations of a forward up to which one thread does it all: torch's own threads wait for work in a loop and take a
core from ours for a while (two threads beside one, forward and backward: .78 times as fast at 3.4e8 operations, 1.2 at
1.3e9, 1.8 at 1.1e10)."""
TEAM_ALONE: Final = 1 << 22
"""The same where torch's own threads do the work."""
KEPT: Final = 48 << 20
"""Bytes of states up to which that of every chunk is kept; else segments make the least of their memory."""


class Form(NamedTuple):
    """Which memory: the deep one with or without residual and LN, the linear one with either anchor (one layer)."""

    residual: bool
    every_token: bool = False


class _Job(NamedTuple):
    form: Form
    composable: Composable
    depth: int
    chunk_size: int
    position: int
    segment: int


def takes(inputs: MemoryInputs, state: MemoryState) -> bool:
    """Whether the library can have a call: it reads numbers at their addresses, which torch does not see."""
    if transformed() or len(state.weights) > DEPTH or not inputs.v.numel():
        return False
    if not library.reads((*inputs[:6], *state.weights, *state.momentum, *state.anchor)):
        return False
    if inputs.q.shape[1] > 1 and any(w.shape[-2] * w.shape[-1] >= WIDE for w in state.weights):
        return False
    return library.ready(*_wanted(state.weights))


def walk(
    inputs: MemoryInputs, state: MemoryState, chunk_size: int, form: Form, composable: Composable, run: Run
) -> tuple[Tensor, MemoryState]:
    """Writes and reads a sequence; arguments and results as those of `recompute.walk`, for a call that it `takes`."""
    tokens, depth = inputs.q.shape[1], len(state.weights)
    tensors = (*inputs[:6], *state.weights, *state.momentum, *state.anchor)
    if tokens == 1 and inputs.mask is None and not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors)):
        return _token(inputs, state, chunk_size, form, run.reuse_state)
    longest = min(chunk_size, state.position + tokens + 1)  # work space is for so many tokens, however few come
    job = _Job(form, composable, depth, longest, state.position, 1)
    job = job._replace(segment=run.segment_length or _segment(_chunks(job, tokens), state))
    y, *new = _Walk.apply(job, inputs.mask, *tensors)  # type: ignore[no-untyped-call]
    weights, momentum, anchor = (tuple(new[i * depth : (i + 1) * depth]) for i in range(3))
    position = (state.position + tokens) % chunk_size
    if position == 0:
        anchor = weights
    elif not _opens(job, tokens):
        anchor = state.anchor
    return y, MemoryState(weights, momentum, anchor, position)


def _chunks(job: _Job, tokens: int) -> int:
    return math.ceil((tokens + job.position) / job.chunk_size)


def _opens(job: _Job, tokens: int) -> bool:
    """Whether the last chunk began in this call."""
    return job.position == 0 or _chunks(job, tokens) > 1


def _segment(number: int, state: MemoryState) -> int:
    """Chunks between two kept states: of all memories one is kept per segment, of one memory one per chunk as well."""
    memories = state.weights[0].shape[0] * state.weights[0].shape[1]
    size = sum(2 * w.numel() * w.element_size() for w in state.weights)
    return min(math.ceil(number * size / KEPT), math.isqrt(number * memories), number)


class _Walk(torch.autograd.Function):
    """(q, k, v, alpha, eta, theta, W.., S.., A..) -> (y, W.., S.., A..), as `recompute._Walk`."""

    @staticmethod
    def forward(ctx: Any, job: _Job, mask: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        keep_freed_memory()
        q, states = tensors[0], tensors[6:]
        y = torch.empty_like(tensors[2], memory_format=torch.contiguous_format)
        ends = [torch.empty_like(w, memory_format=torch.contiguous_format) for w in states]
        starts: list[Tensor] = []
        if any(ctx.needs_input_grad):
            number = math.ceil(_chunks(job, q.shape[1]) / job.segment) - 1
            size = sum(w.numel() for w in states[: 2 * job.depth])
            starts = [q.new_empty(size) for _ in range(number)]  # apart: malloc gives large blocks back to the system
        _call("forward", job, tensors, mask, (y, starts, ends, None))
        ctx.job, ctx.count = job, len(tensors)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, mask, *starts)
        return (y, *ends)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        job: _Job = ctx.job
        saved = ctx.saved_tensors  # read once: every look at it unpacks, which activation checkpointing allows once
        *tensors, mask = saved[: ctx.count + 1]
        starts = list(saved[ctx.count + 1 :])
        if torch.is_grad_enabled():
            opens = _opens(job, tensors[0].shape[1])
            found = differentiable_gradients(job.composable, (job.position, opens), mask, tensors, grads)
            return (None, None, *found)
        wanted = [True] * (6 + job.depth) + [need for need in ctx.needs_input_grad[8 + job.depth : 8 + 2 * job.depth]]
        wanted += [job.position > 0] * job.depth  # else no chunk is anchored there
        out = [
            torch.empty_like(x, memory_format=torch.contiguous_format) if w else None
            for x, w in zip(tensors, wanted, strict=True)
        ]
        y, *ends = (None if g is None else _rows(g) if i == 0 else _matrices(g) for i, g in enumerate(grads))
        _call("backward", job, tuple(tensors), mask, (y, starts, ends, out))
        return (None, None, *out)


Places = tuple[Tensor | None, list[Tensor], Sequence[Tensor | None], list[Tensor | None] | None]
"""y, the kept states, the states at the end, and the gradients by all tensors (none in the forward); in the backward
the first and the third are gradients too, None for 0."""


def _call(name: str, job: _Job, tensors: tuple[Tensor, ...], mask: Tensor | None, places: Places) -> None:
    """Runs `forward` or `backward` of memory.c, the memories shared among torch's threads."""
    y, starts, ends, out = places
    tokens, states = [*map(_rows, tensors[:3]), *tensors[3:6]], list(map(_matrices, tensors[6:]))
    table = (ctypes.c_int64 * len(starts))(*(x.data_ptr() for x in starts))
    given = [*tokens, mask, y, ctypes.addressof(table) if starts else None]
    given += _groups(states, job.depth) + _groups(ends, job.depth)
    given += [None] * (6 + 3 * DEPTH) if out is None else [*out[:6], *_groups(out[6:], job.depth)]
    numbers = [value for x in given for value in _described(x)]
    call = (ctypes.c_int64 * len(numbers))(*numbers)
    batch, count, heads, _ = tokens[0].shape
    described = _described_job([batch, count, heads, *job[2:]], job.form, states)
    loaded = library.load(*_wanted(states[: job.depth]))
    operations = 10 * count * sum(w.numel() for w in states[: job.depth])
    alone = TEAM_ALONE if library.team() else ALONE
    threads = 1 if operations < alone else min(torch.get_num_threads(), batch * heads)
    scratch = tokens[0].new_zeros(threads, loaded.scratch_numbers(described))
    _share(loaded, getattr(loaded, name), (described, call), scratch, batch * heads)


def _share(loaded: Any, function: Any, arguments: tuple[object, ...], scratch: Tensor, memories: int) -> None:
    """Every row of `scratch` is the work space of a thread, which takes its part of the memories."""
    threads, team = len(scratch), library.team()
    if threads > 1 and team:
        loaded.shared(team, function, *arguments, scratch.data_ptr(), scratch.shape[1], memories, threads)
        return
    bounds = [memories * i // threads for i in range(threads + 1)]
    parts = [(*arguments, row.data_ptr(), *bounds[i : i + 2]) for i, row in enumerate(scratch.unbind(0))]
    others = [Thread(target=function, args=part) for part in parts[1:]]
    for thread in others:
        thread.start()
    function(*parts[0])
    for thread in others:
        thread.join()


def _groups(states: Sequence[Tensor | None], depth: int) -> list[Tensor | None]:
    """Weights, momentum and anchor, each filled up to `DEPTH` layers."""
    filling: list[Tensor | None] = [None] * (DEPTH - depth)
    return [x for i in range(3) for x in (*states[i * depth : (i + 1) * depth], *filling)]


def _described(x: Tensor | int | None) -> list[int]:
    """`Tensor` of memory.c: a tensor or an address, with strides."""
    if not isinstance(x, Tensor):
        return [x or 0, 0, 0, 0, 0]
    strides = list(x.stride())
    return [x.data_ptr(), *strides, *[0] * (4 - len(strides))]


def _wanted(weights: Sequence[Tensor]) -> tuple[torch.dtype, int]:
    """Type and vectors of the library that fits the weights (…, in, out) of a memory's layers."""
    first = weights[0]
    widths = first.shape[-2], *(w.shape[-1] for w in weights)
    return first.dtype, library.vector_for(widths, first.element_size())


def _described_job(sizes: list[int], form: Form, weights: list[Tensor]) -> ctypes.Array[ctypes.c_int64]:
    """`sizes`: batch, tokens, heads, and what `Job` of memory.c has up to the widths, without the form."""
    depth = sizes[3]
    widths = [weights[0].shape[-2], *(w.shape[-1] for w in weights[:depth])]
    numbers = [*sizes, *form, *widths, *[0] * (DEPTH + 1 - len(widths))]
    return (ctypes.c_int64 * len(numbers))(*map(int, numbers))


def _rows(x: Tensor) -> Tensor:
    """Tokens with rows without gaps."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _matrices(x: Tensor) -> Tensor:
    """A state with matrices without gaps; those of a batch may be one."""
    return x if x.stride(-1) == 1 and x.stride(-2) == x.shape[-1] else x.contiguous()


def _token(
    inputs: MemoryInputs, state: MemoryState, chunk_size: int, form: Form, reuse: bool
) -> tuple[Tensor, MemoryState]:
    """A single token, without a graph; see `recompute._step` for `reuse`."""
    keep_freed_memory()
    depth, v = len(state.weights), inputs.v
    tokens = [x.contiguous() for x in inputs[:6]]
    weights, momentum = (tuple(w.contiguous() for w in group) for group in state[:2])
    anchor = tuple(w.contiguous() for w in state.anchor) if state.position else weights
    # At a chunk's start the weights stay, as its anchor; inside it they are an op's own, never the caller's first ones.
    if reuse and state.position > 0:
        new, surprise = weights, momentum
    else:
        new, surprise = (tuple(map(torch.empty_like, group)) for group in (weights, momentum))
    y = torch.empty_like(tokens[2])
    filling = [0] * (DEPTH - depth)
    numbers = [x.data_ptr() for x in (*tokens, y)]
    for group in (weights, momentum, anchor, new, surprise):
        numbers += [*(w.data_ptr() for w in group), *filling]
    batch, _, heads, _ = v.shape
    described = _described_job([batch, 1, heads, depth, 1, 0, 1], form, list(weights))
    loaded = library.load(*_wanted(weights))
    scratch = v.new_empty(loaded.scratch_numbers(described))
    loaded.token(described, (ctypes.c_int64 * len(numbers))(*numbers), scratch.data_ptr(), 0, batch * heads)
    position = (state.position + 1) % chunk_size
    return y, MemoryState(new, surprise, new if position == 0 else anchor, position)
