"""What goes into an op: one set of checks and one working precision for every backend."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NamedTuple

import torch
from torch import Tensor

from titans_kernels.state import MemoryState

START = "pass MemoryState.start(weights) with the memory's initial weights"


FEW: Final = 64
"""Numbers up to which a Python list is faster than three operators: this matters in decoding."""


class MemoryInputs(NamedTuple):
    """One sequence: q, k (B, T, H, K), v (B, T, H, V), gates (B, T, H, L), mask (B, T) or None."""

    q: Tensor
    k: Tensor
    v: Tensor
    alpha: Tensor
    eta: Tensor
    theta: Tensor
    mask: Tensor | None


def check(inputs: MemoryInputs, state: MemoryState | None, chunk_size: int) -> MemoryState:
    """The state, when the call's arguments fit each other.

    Raises:
        TypeError, ValueError: a dtype, device, shape or range is wrong; the text says what to do.
    """
    state = check_state(state)
    _check_tokens(inputs)
    _check_gates(inputs, len(state.weights))
    check_chunk_size(chunk_size, state.position)
    check_chain(inputs.q, state.weights, inputs.v.shape[-1])
    _check_ranges(inputs)
    return state


def prepare(inputs: MemoryInputs, state: MemoryState, keep_tokens: bool = False) -> tuple[MemoryInputs, MemoryState]:
    """Brings a checked call to the working precision (float32, or float64 when the inputs are), the state to B.

    Masked keys and values become 0, so that a missing value (NaN) at a masked token has no effect.

    Args:
        keep_tokens: leave q, k, v in their dtype.
    """
    dtype = working_dtype(inputs.q, state.weights[0])
    mask = inputs.mask
    q, k, v = inputs[:3] if keep_tokens else (_in(x, dtype) for x in inputs[:3])
    alpha, eta, theta = (_in(x, dtype) for x in inputs[3:6])
    if mask is not None:
        hidden = ~mask[..., None, None]
        k, v = k.masked_fill(hidden, 0.0), v.masked_fill(hidden, 0.0)
    if any(w.dtype != dtype or w.dim() == 3 for group in state[:3] for w in group):
        state = state.to(dtype=dtype).expand(inputs.q.shape[0])
    return MemoryInputs(q, k, v, alpha, eta, theta, mask), state


def _in(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x if x.dtype == dtype else x.to(dtype)


def no_autocast(kind: str) -> AbstractContextManager[object]:
    """Autocast off inside; nothing at all where it is off already."""
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def working_dtype(q: Tensor, weights: Tensor) -> torch.dtype:
    """float64 when the tokens or the weights are, else float32: bf16 never reaches the fast weights."""
    return torch.float64 if torch.float64 in (q.dtype, weights.dtype) else torch.float32


def check_state(state: MemoryState | None) -> MemoryState:
    """The state itself, or a TypeError that says how to make one."""
    if not isinstance(state, MemoryState):
        raise TypeError(f"state must be a MemoryState, got {type(state).__name__}: {START}")
    shapes = [w.shape for w in state.weights]
    for name, group in (("momentum", state.momentum), ("anchor", state.anchor)):
        if [w.shape for w in group] != shapes:
            raise ValueError(
                f"state {name} must be shaped like the weights, {[tuple(s) for s in shapes]}, got "
                f"{[tuple(w.shape) for w in group]}: {START}"
            )
    return state


def check_chunk_size(chunk_size: int, position: int) -> None:
    """Raises ValueError for a chunk_size below 1 or one that the state's open chunk already exceeds."""
    if not isinstance(chunk_size, int) or isinstance(chunk_size, bool):
        raise TypeError(f"chunk_size must be an int, got {type(chunk_size).__name__}")
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be >= 1, got {chunk_size}")
    if not 0 <= position < chunk_size:
        raise ValueError(
            f"the state stands at position {position} of its chunk, but chunk_size is {chunk_size}: "
            "go on with the chunk_size the state was made with (it is part of the model)"
        )


def check_segment_length(chunks: int | None) -> None:
    """Raises unless segment_length is None or a whole number of chunks >= 1."""
    if chunks is not None and (not isinstance(chunks, int) or isinstance(chunks, bool) or chunks < 1):
        raise ValueError(f"segment_length must be a whole number of chunks >= 1 or None, got {chunks!r}")


def check_chain(q: Tensor, weights: tuple[Tensor, ...], values: int | None) -> None:
    """Raises unless q (B, T, H, K) fits the first layer, each layer the next, and the last one the value width."""
    batch, _, heads, width = q.shape
    for i, w in enumerate(weights):
        if w.dim() not in (3, 4) or w.shape[-3] != heads or (w.dim() == 4 and w.shape[0] != batch):
            raise ValueError(
                f"state weights[{i}] must be (H, in, out) or (B, H, in, out) with B={batch}, H={heads} as in q, "
                f"got {tuple(w.shape)}: {START}"
            )
        if w.shape[-2] != width:
            source = "the key width" if i == 0 else f"layer {i - 1}"
            raise ValueError(f"state weights[{i}] must take {width} inputs ({source}), got {tuple(w.shape)}")
        if w.device != q.device:
            raise ValueError(f"q is on {q.device}, state weights[{i}] on {w.device}: move the state with state.to(...)")
        width = w.shape[-1]
    if values is not None and width != values:
        raise ValueError(f"the last weights must give V={values} outputs (the value width), got {width}")


def check_queries(q: Tensor, name: str = "q") -> None:
    """Raises unless q is a floating-point tensor (B, T, H, K) with T >= 1."""
    if not isinstance(q, Tensor) or not q.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {getattr(q, 'dtype', type(q).__name__)}")
    if q.dim() != 4 or q.shape[1] < 1:
        raise ValueError(f"{name} must be (B, T, H, width) with T >= 1, got {tuple(q.shape)}")


def _check_tokens(inputs: MemoryInputs) -> None:
    q, k, v, mask = inputs.q, inputs.k, inputs.v, inputs.mask
    for name, x in (("q", q), ("k", k), ("v", v)):
        check_queries(x, name)
        if x.device != q.device:
            raise ValueError(f"q is on {q.device}, {name} on {x.device}: move them to one device")
    if k.shape != q.shape:
        raise ValueError(f"k must have q's shape {tuple(q.shape)}, got {tuple(k.shape)}")
    if v.shape[:3] != q.shape[:3]:
        raise ValueError(f"v must be (B, T, H, V) with (B, T, H) = {tuple(q.shape[:3])} as in q, got {tuple(v.shape)}")
    if mask is None:
        return
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError("mask must be a bool tensor (B, T), True for a real token: use mask.bool()")
    if mask.shape != q.shape[:2] or mask.device != q.device:
        raise ValueError(
            f"mask must be (B, T) = {tuple(q.shape[:2])} on {q.device}, got {tuple(mask.shape)} on {mask.device}"
        )


def _check_ranges(inputs: MemoryInputs) -> None:
    """Raises for alpha or eta outside [0, 1] or theta below 0 at a token that counts; NaN is the caller's to find.

    Only on the CPU: elsewhere the look at the numbers would wait for the device.
    """
    if inputs.q.device.type != "cpu" or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return
    for name, x, most in (("alpha", inputs.alpha, 1.0), ("eta", inputs.eta, 1.0), ("theta", inputs.theta, math.inf)):
        real = x.detach() if inputs.mask is None else x.detach()[inputs.mask]
        if real.numel() == 0:
            return
        low, high = _bounds(real)
        if low < 0 or high > most:
            wanted = "in [0, 1]" if most == 1 else ">= 0"
            raise ValueError(
                f"{name} must be {wanted}, got {low:.4g} to {high:.4g}: "
                + ("use a sigmoid, as titans_ts.core.memory.MemoryGates does" if most == 1 else "steps go downhill")
            )


def _bounds(x: Tensor) -> tuple[float, float]:
    if x.numel() > FEW:
        low, high = torch.aminmax(x)
        return low.item(), high.item()
    values = x.flatten().tolist()
    return min(values), max(values)


def _check_gates(inputs: MemoryInputs, depth: int) -> None:
    expected = (*inputs.q.shape[:3], depth)
    for name, x in (("alpha", inputs.alpha), ("eta", inputs.eta), ("theta", inputs.theta)):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f"{name} must be a floating-point tensor, got {getattr(x, 'dtype', type(x).__name__)}")
        if x.shape != expected:
            raise ValueError(
                f"{name} must be one gate per token, head and layer, (B, T, H, L) = {expected} "
                f"(linear_memory: (B, T, H)), got {tuple(x.shape)}"
            )
        if x.device != inputs.q.device:
            raise ValueError(f"q is on {inputs.q.device}, {name} on {x.device}: move them to one device")
