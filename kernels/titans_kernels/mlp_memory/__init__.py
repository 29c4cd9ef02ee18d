"""The deep memory op: an MLP per head whose weights learn while it reads."""

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
from titans_kernels.mlp_memory import chunked, network
from titans_kernels.mlp_memory import reference as _reference
from titans_kernels.state import MemoryState
from titans_kernels.torch_path.recompute import Run

__all__ = ["mlp_memory", "mlp_read"]


def mlp_memory(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    alpha: Tensor,
    eta: Tensor,
    theta: Tensor,
    state: MemoryState | None,
    *,
    chunk_size: int = 16,
    residual: bool = True,
    mask: Tensor | None = None,
    reuse_state: bool = False,
    segment_length: int | None = None,
    backend: str | None = None,
) -> tuple[Tensor, MemoryState]:
    """Writes T tokens into a deep memory and reads it after each (paper, eq. 13 to 15).

        S_t = eta_t S_{t-1} - theta_t grad ||M(k_t; W_anchor) - v_t||^2,   W_t = (1 - alpha_t) W_{t-1} + S_t,
        y_t = M(q_t; W_t),   M(x) = x + LN(W_L gelu(... gelu(x W_1)))

    W_anchor are the weights at the start of the token's chunk; tanh-GELU; LN without affine, eps 1.

    Args:
        q, k: (B, T, H, K), queries and keys (the layer normalises the keys; the op does not).
        v: (B, T, H, V), the values to be remembered.
        alpha, eta, theta: (B, T, H, L), forget gate in [0, 1], momentum gate in [0, 1], step >= 0, one per layer of
            the memory (checked on the CPU; theta / (1 - eta) above about 0.1 can blow up).
        state: from `MemoryState.start(weights)` with L weights (B, H, in, out) or (H, in, out), the first in = K, the
            last out = V; or from the call before.
        chunk_size: C, a part of the model: train and run with the same.
        residual: True for M above (needs K = V), False for the plain network without x and LN.
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

    Example:
        >>> import torch
        >>> q, k, v = torch.randn(3, 1, 20, 2, 8)
        >>> alpha, eta, theta = (x.expand(1, 20, 2, 2) for x in torch.tensor([0.01, 0.5, 0.02]))
        >>> state = MemoryState.start([torch.randn(2, 8, 16) / 8, torch.randn(2, 16, 8) / 8])
        >>> y, state = mlp_memory(q, k, v, alpha, eta, theta, state, chunk_size=16)
        >>> y.shape, state.position
        (torch.Size([1, 20, 2, 8]), 4)
    """
    inputs = MemoryInputs(q, k, v, alpha, eta, theta, mask)
    state = check(inputs, state, chunk_size)
    check_segment_length(segment_length)
    _check_residual(residual, q.shape[-1], v.shape[-1])
    chosen = dispatch.explain(q.device, backend, partial(_refusal, inputs, state, chunk_size)).backend
    inputs, state = prepare(inputs, state, keep_tokens=chosen == "triton")
    with no_autocast(q.device.type):
        if chosen in ("torch", "native"):
            run = Run(reuse_state, segment_length, native=chosen == "native")
            y, state = chunked.mlp_memory(inputs, state, chunk_size, residual, run)
        else:
            y, state = _run(chosen)(inputs, state, chunk_size, residual)
    return y.to(v.dtype), state


def _run(backend: str) -> Callable[[MemoryInputs, MemoryState, int, bool], tuple[Tensor, MemoryState]]:
    if backend == "triton":
        from titans_kernels.mlp_memory import operators

        return operators.mlp_memory
    return _reference.mlp_memory


def _refusal(inputs: MemoryInputs, state: MemoryState, chunk_size: int) -> str | None:
    from titans_kernels.mlp_memory import operators

    return operators.unsupported(inputs, state, chunk_size)


def mlp_read(q: Tensor, weights: tuple[Tensor, ...], residual: bool = True) -> Tensor:
    """Reads a deep memory without writing: y_t = M(q_t; W), the same weights for every token.

    Args:
        q: (B, T, H, K).
        weights: L tensors (B, H, in, out) or (H, in, out), e.g. `state.weights`.
        residual: as in `mlp_memory`.

    Returns:
        (B, T, H, V) in q's dtype.

    Raises:
        TypeError, ValueError: wrong dtype, shape or device.

    Example:
        >>> import torch
        >>> mlp_read(torch.ones(1, 3, 2, 8), (torch.zeros(2, 8, 16), torch.zeros(2, 16, 8))).shape
        torch.Size([1, 3, 2, 8])
    """
    check_queries(q)
    if not weights:
        raise ValueError("mlp_read needs at least one weight matrix, got none")
    check_chain(q, weights, None)
    _check_residual(residual, q.shape[-1], weights[-1].shape[-1])
    dtype = working_dtype(q, weights[0])
    with no_autocast(q.device.type):
        y = network.forward(q.to(dtype).transpose(1, 2), tuple(w.to(dtype) for w in weights), residual)
    return y.transpose(1, 2).to(q.dtype)


def _check_residual(residual: bool, keys: int, values: int) -> None:
    if residual and keys != values:
        raise ValueError(
            f"residual=True adds x (K={keys}) to the output (V={values}): make K = V or pass residual=False"
        )
