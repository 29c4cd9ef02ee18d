"""The linear memory op: M(x) = x W, one weight matrix per head that learns while it reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from titans_kernels import dispatch
from titans_kernels.inputs import (
    MemoryInputs,
    check,
    check_chain,
    check_queries,
    check_segment_length,
    no_autocast,
    prepare,
    working_dtype,
)
from titans_kernels.linear_memory import chunked
from titans_kernels.linear_memory import reference as _reference
from titans_kernels.state import MemoryState
from titans_kernels.torch_path.recompute import Run

__all__ = ["linear_memory", "linear_read"]


def linear_memory(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    alpha: Tensor,
    eta: Tensor,
    theta: Tensor,
    state: MemoryState | None,
    *,
    chunk_size: int = 64,
    anchor: str = "chunk",
    mask: Tensor | None = None,
    reuse_state: bool = False,
    segment_length: int | None = None,
    backend: str | None = None,
) -> tuple[Tensor, MemoryState]:
    """Writes T tokens into a linear memory and reads it after each (paper, eq. 13 to 15).

        S_t = eta_t S_{t-1} - theta_t grad ||k_t W_anchor - v_t||^2
        W_t = (1 - alpha_t) W_{t-1} + S_t,   y_t = q_t W_t

    Args:
        q, k: (B, T, H, K), queries and keys (the layer normalises the keys; the op does not).
        v: (B, T, H, V), the values to be remembered.
        alpha, eta, theta: (B, T, H), forget gate in [0, 1], momentum gate in [0, 1], step >= 0 (checked on the CPU).
        state: from `MemoryState.start(weights)` with one weight (B, H, K, V) or (H, K, V), or from the call before.
        chunk_size: C. With the chunk anchor a part of the model; with the token anchor it affects speed only.
        anchor: "chunk", gradients at the weights of the chunk's start; "token", at W_{t-1} (the exact recurrence).
        mask: (B, T) bool, False for a token that leaves weights and momentum exactly as they are; it is still read
            for and counts as a position of its chunk. Its k, v and gates may hold anything, NaN too, without effect.
            (theta = 0, alpha = 0, eta = 1 would differ: W_t would still add the momentum S_{t-1}.)
        reuse_state: on the torch and native backends a single token without a graph may overwrite the tensors of
            `state` instead of making new ones, which halves what a decoding step moves: do not use the old state
            afterwards. Ignored by the others.
        segment_length: on the torch and native backends, chunks between two states that are kept for the backward
            pass: N chunks need N / segment_length states and what belongs to segment_length chunks. None: by a budget
            of memory (torch: about the square root of N, at most 8, and the last segments keep their intermediates
            too; native: every chunk's state up to 48 MiB). Changes memory and time, no result. Ignored by the others.
        backend: "reference", "torch", "native" (for the CPU, compiled on this machine; torch computes what it does not
            take: traced calls, tensor subclasses, layers of 2^19 weights) or "triton"; None lets
            `titans_kernels.explain` choose.

    Returns:
        y (B, T, H, V) in v's dtype, and the state after token T in float32 (float64 when an input is). Any split of
        the sequence with the state carried over gives the same y and state.

    Raises:
        TypeError, ValueError: wrong dtype, shape, device or range. RuntimeError: a backend that cannot run here.

    One key and its value are written with step ½, which makes the error zero, and read again:

    Example:
        >>> import torch
        >>> k, v = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2), torch.tensor([3.0, 5.0]).view(1, 1, 1, 2)
        >>> none, half = torch.zeros(1, 1, 1), torch.full((1, 1, 1), 0.5)
        >>> y, state = linear_memory(k, k, v, none, none, half, MemoryState.start([torch.zeros(1, 2, 2)]))
        >>> y.flatten()
        tensor([3., 5.])
    """
    if anchor not in ("chunk", "token"):
        raise ValueError(f"anchor must be 'chunk' or 'token', got {anchor!r}")
    if isinstance(state, MemoryState) and len(state.weights) != 1:
        raise ValueError(f"a linear memory has 1 weight matrix, the state has {len(state.weights)}: use mlp_memory")
    if isinstance(state, MemoryState) and anchor == "token":
        state = state._replace(position=0)
    alpha, eta, theta = (x.unsqueeze(-1) if isinstance(x, Tensor) else x for x in (alpha, eta, theta))
    inputs = MemoryInputs(q, k, v, alpha, eta, theta, mask)
    state = check(inputs, state, chunk_size)
    check_segment_length(segment_length)
    chosen = dispatch.explain(q.device, backend, partial(_refusal, inputs, state)).backend
    inputs, state = prepare(inputs, state, keep_tokens=chosen == "triton")
    with no_autocast(q.device.type):
        if chosen in ("torch", "native"):
            run = Run(reuse_state, segment_length, native=chosen == "native")
            y, state = chunked.linear_memory(inputs, state, chunk_size, anchor, run)
        else:
            y, state = _run(chosen)(inputs, state, chunk_size, anchor)
    return y.to(v.dtype), state


def _run(backend: str) -> Callable[[MemoryInputs, MemoryState, int, str], tuple[Tensor, MemoryState]]:
    if backend == "triton":
        from titans_kernels.linear_memory import operators

        return operators.linear_memory
    return _reference.linear_memory


def _refusal(inputs: MemoryInputs, state: MemoryState) -> str | None:
    from titans_kernels.linear_memory import operators

    return operators.unsupported(inputs, state)


def linear_read(q: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """Reads a linear memory without writing: y_t = q_t W.

    Args:
        q: (B, T, H, K).
        weights: one tensor (B, H, K, V) or (H, K, V), e.g. `state.weights`.

    Returns:
        (B, T, H, V) in q's dtype.

    Raises:
        TypeError, ValueError: wrong dtype, shape or device.

    Example:
        >>> import torch
        >>> linear_read(torch.ones(1, 1, 1, 2), (torch.eye(2)[None],)).flatten()
        tensor([1., 1.])
    """
    check_queries(q)
    if len(weights) != 1:
        raise ValueError(f"a linear memory has 1 weight matrix, got {len(weights)}: use mlp_read")
    check_chain(q, weights, None)
    dtype = working_dtype(q, weights[0])
    with no_autocast(q.device.type):
        y = q.to(dtype).transpose(1, 2) @ weights[0].to(dtype)
    return y.transpose(1, 2).to(q.dtype)
