"""The linear memory, chunk-parallel: M(x) = x W (kernels/MATH.md, sections 2 and 3)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.linear_memory.cell import LinearCell
from titans_kernels.state import MemoryState
from titans_kernels.torch_path import recompute
from titans_kernels.torch_path.chunk_loop import Chunk, Fast, Weights, walk
from titans_kernels.torch_path.layer_autograd import read_layer, write_layer
from titans_kernels.torch_path.recompute import PLAIN, Run


def linear_memory(
    inputs: MemoryInputs,
    state: MemoryState,
    chunk_size: int,
    anchor: str,
    run: Run = PLAIN,
) -> tuple[Tensor, MemoryState]:
    """The chunk form on checked inputs; see `titans_kernels.linear_memory`."""
    every_token = anchor == "token"
    if every_token:
        state = state._replace(anchor=state.weights, position=0)
    y, state = _walk(inputs, state, chunk_size, every_token, run)
    return y, state._replace(anchor=state.weights, position=0) if every_token else state


def _walk(
    inputs: MemoryInputs, state: MemoryState, chunk_size: int, every_token: bool, run: Run
) -> tuple[Tensor, MemoryState]:
    composable = partial(differentiable, chunk_size=chunk_size, every_token=every_token)
    if run.native:
        from titans_kernels.native import walk as compiled

        if compiled.takes(inputs, state):
            return compiled.walk(inputs, state, chunk_size, compiled.Form(False, every_token), composable, run)
    return recompute.walk(inputs, state, chunk_size, LinearCell(every_token), composable, run)


def differentiable(
    inputs: MemoryInputs, state: MemoryState, chunk_size: int, every_token: bool
) -> tuple[Tensor, MemoryState]:
    """The same in operations that autograd differentiates to any order, torch.func and torch.compile know."""
    return walk(inputs, state, chunk_size, _token_anchor if every_token else _chunk_anchor)


def _chunk_anchor(chunk: Chunk, fast: Fast) -> tuple[Tensor, Weights, Weights]:
    return _finish(chunk, fast, 2 * (chunk.k @ fast.anchor[0] - chunk.v))


def _token_anchor(chunk: Chunk, fast: Fast) -> tuple[Tensor, Weights, Weights]:
    """Errors at W_{t-1}: (I - 2 K K^T o write_{t-1}) E = 2 (K W_0 keep_{t-1} + K S_0 carry_{t-1} - V)."""
    (layer,), k = chunk.layers, chunk.k
    keep, carry, write = layer.before
    kept = keep * (k @ fast.weights[0]) + carry * (k @ fast.momentum[0])
    system = (k @ k.mT) * write
    errors = torch.linalg.solve_triangular(-2 * system, 2 * (kept - chunk.v), upper=False, unitriangular=True)
    return _finish(chunk, fast, errors)


def _finish(chunk: Chunk, fast: Fast, errors: Tensor) -> tuple[Tensor, Weights, Weights]:
    (layer,), layer_fast = chunk.layers, (fast.weights[0], fast.momentum[0])
    y = read_layer(chunk.q, chunk.k, errors, layer, layer_fast)
    weights, momentum = write_layer(chunk.k, errors, layer, layer_fast)
    return y, (weights,), (momentum,)
