"""The deep memory on Triton: torch operators around the kernels, the autograd.Function that joins them, the op.

A call is cut into parts of whole chunks (`chunk_loop.pieces`), which autograd composes. Within a part, segments of
`stride_of` chunks run after each other: the forward keeps the state at their starts, the backward goes through them in
reverse and runs each again, so that memory grows with sqrt(N) states for N chunks.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, Final

import torch
from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.mlp_memory import launchers
from titans_kernels.state import MemoryState
from titans_kernels.torch_path.chunk_loop import Piece, pieces
from titans_kernels.torch_path.scan import is_symbolic

Weights = tuple[Tensor, ...]

_INPUTS: Final = (
    "Tensor q, Tensor k, Tensor v, Tensor alpha, Tensor eta, Tensor theta, Tensor? mask, Tensor w1, Tensor w2, "
    "Tensor s1, Tensor s2, Tensor? anchor1, Tensor? anchor2"
)
_FORWARD: Final = (
    f"({_INPUTS}, int length, bool residual, bool save) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_BACKWARD: Final = (
    f"({_INPUTS}, Tensor kept, Tensor by_y, Tensor by_w1, Tensor by_w2, Tensor by_s1, Tensor by_s2, int length, "
    f"bool residual) -> ({', '.join(['Tensor'] * 12)})"
)


def unsupported(inputs: MemoryInputs, state: MemoryState, chunk_size: int) -> str | None:
    """Why these inputs cannot run here, for a message; None when they can."""
    if len(state.weights) != 2:
        return f"the Triton kernels hold memories of 2 layers, got {len(state.weights)}"
    width, value, hidden = inputs.q.shape[-1], inputs.v.shape[-1], state.weights[0].shape[-1]
    if width not in launchers.WIDTHS or value != width or hidden % width:
        return (
            f"the Triton kernels take key width = value width in {launchers.WIDTHS} and a hidden width that is a "
            f"multiple of it, got {width}, {value} and {hidden}"
        )
    if chunk_size > launchers.MAX_ROWS:
        return f"the Triton kernels take chunk_size <= {launchers.MAX_ROWS}, got {chunk_size}"
    if is_symbolic(inputs.q.shape[1]):
        return "the Triton kernels take a known number of tokens, got the symbolic one of torch.export"
    if torch.float64 in (inputs.q.dtype, state.weights[0].dtype):
        return "the Triton kernels work in float32, got float64"
    return None


def mlp_memory(inputs: MemoryInputs, state: MemoryState, chunk_size: int, residual: bool) -> tuple[Tensor, MemoryState]:
    """The kernels on checked inputs, as `chunked.mlp_memory`; tokens may stay in bfloat16."""
    inputs = _one_dtype(inputs)
    weights, momentum, anchor = state.weights, state.momentum, state.anchor
    reads, count = [], inputs.q.shape[1]
    for piece in pieces(count, state.position, chunk_size, max(count, 1)):
        if piece.opens:
            anchor = weights
        base = (None, None) if piece.opens else anchor
        y, weights, momentum = _run(inputs, piece, (*weights, *momentum, *base), residual)
        reads.append(y)
    position = (state.position + count) % chunk_size
    y = reads[0] if len(reads) == 1 else torch.cat(reads, 1)
    return y, MemoryState(weights, momentum, anchor if position else weights, position)


def stride_of(number: int) -> int:
    """Chunks of a segment: about sqrt(number), at least 8 so that launches stay few, at most 64 (scratch memory)."""
    return min(max(math.isqrt(number), 8), 64)


def _one_dtype(inputs: MemoryInputs) -> MemoryInputs:
    tokens, gates = inputs[:3], inputs[3:6]
    dtype = torch.bfloat16 if all(x.dtype == torch.bfloat16 for x in tokens) else torch.float32
    q, k, v = (x.to(dtype) for x in tokens)
    alpha, eta, theta = (x.float() for x in gates)
    return MemoryInputs(q, k, v, alpha, eta, theta, inputs.mask)


def _run(
    inputs: MemoryInputs, piece: Piece, state: tuple[Tensor | None, ...], residual: bool
) -> tuple[Tensor, Weights, Weights]:
    stop = piece.start + piece.number * piece.length
    whole = piece.start == 0 and stop == inputs.q.shape[1]
    cut = inputs if whole else (None if x is None else x[:, piece.start : stop] for x in inputs)
    arguments = (*cut, *state, piece.length, residual, torch.is_grad_enabled())
    y, w1, w2, s1, s2, _ = _Piece.apply(*arguments)  # type: ignore[no-untyped-call]
    return y, (w1, w2), (s1, s2)


class _Piece(torch.autograd.Function):
    """The forward operator, -> (y, w1, w2, s1, s2, states kept), with its gradient; its arguments one by one, since
    torch.compile counts them."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, eta: Tensor, theta: Tensor, mask: Tensor | None,
        w1: Tensor, w2: Tensor, s1: Tensor, s2: Tensor, anchor1: Tensor | None, anchor2: Tensor | None,
        length: int, residual: bool, save: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        outputs: tuple[Tensor, ...] = torch.ops.titans.mlp_memory.default(
            q, k, v, alpha, eta, theta, mask, w1, w2, s1, s2, anchor1, anchor2, length, residual, save
        )
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(output[5])
        ctx.save_for_backward(*inputs[:13], output[5])
        ctx.options = inputs[13:15]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        into = _PieceBackward.apply(*ctx.saved_tensors, *grads[:5], *ctx.options)  # type: ignore[no-untyped-call]
        by_anchor = (None, None) if ctx.saved_tensors[11] is None else into[10:]
        return (*into[:6], None, *into[6:10], *by_anchor, None, None, None)


class _PieceBackward(torch.autograd.Function):
    """First-order gradients only: a second derivative raises instead of silently missing."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, eta: Tensor, theta: Tensor, mask: Tensor | None,
        w1: Tensor, w2: Tensor, s1: Tensor, s2: Tensor, anchor1: Tensor | None, anchor2: Tensor | None, kept: Tensor,
        by_y: Tensor, by_w1: Tensor, by_w2: Tensor, by_s1: Tensor, by_s2: Tensor, length: int, residual: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        outputs: tuple[Tensor, ...] = torch.ops.titans.mlp_memory_backward.default(
            q, k, v, alpha, eta, theta, mask, w1, w2, s1, s2, anchor1, anchor2, kept,
            by_y, by_w1, by_w2, by_s1, by_s2, length, residual,
        )  # fmt: skip
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        raise NotImplementedError("the Triton kernels have no second-order gradients: use backend='torch'")


def _tokens(args: tuple[Any, ...], length: int, residual: bool) -> launchers.Tokens:
    q, k, v = (_aligned(x) for x in args[:3])
    alpha, eta, theta = (x.contiguous() for x in args[3:6])
    mask = None if args[6] is None else args[6].contiguous()
    return launchers.Tokens(q, k, v, alpha, eta, theta, mask, length, residual)


def _aligned(x: Tensor) -> Tensor:
    """x (B, T, H, K) with rows that the kernels read 16 elements at a time."""
    *outer, last = x.stride()
    return x if last == 1 and all(stride % 16 == 0 for stride in outer) else x.contiguous()


def _state(args: tuple[Any, ...]) -> tuple[launchers.State, tuple[Tensor, Tensor] | None]:
    w1, w2, s1, s2 = (x.contiguous() for x in args[7:11])
    anchor = None if args[11] is None else (args[11].contiguous(), args[12].contiguous())
    return launchers.State(w1, w2, s1, s2), anchor


def _segments(tokens: int, length: int) -> list[launchers.Segment]:
    number = tokens // length
    stride = stride_of(number)
    return [launchers.Segment(i * length, min(stride, number - i)) for i in range(0, number, stride)]


def _forward(*args: Any) -> tuple[Tensor, ...]:
    length, residual, save = args[13:]
    tokens, (state, anchor) = _tokens(args, length, residual), _state(args)
    y = torch.empty(tokens.v.shape, dtype=tokens.v.dtype, device=tokens.v.device)
    starts, segments = [], _segments(tokens.q.shape[1], length)
    with _device(tokens.q):
        if not save and len(segments) == segments[0].number == 1 and length <= launchers.STEP:
            state = launchers.step(tokens, state, anchor, y)
        else:
            for segment in segments:
                starts.append(state)
                state = launchers.forward(tokens, segment, state, anchor, y)
    return y, *state, _kept(starts[1:] if save else [], state.w1)


def _backward(*args: Any) -> tuple[Tensor, ...]:
    kept, by_y, *by_state, length, residual = args[13:]
    tokens, (state, anchor) = _tokens(args, length, residual), _state(args)
    starts = [state, *(_unpack(x, state) for x in kept.unbind(1))]
    out = tuple(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in tokens[:6])
    into = launchers.State(*(x.contiguous() for x in by_state))
    into_anchor = None if anchor is None else (torch.empty_like(anchor[0]), torch.empty_like(anchor[1]))
    by_y = by_y.contiguous()
    segments = _segments(tokens.q.shape[1], length)
    with _device(tokens.q):
        for segment, start in zip(segments[::-1], starts[::-1], strict=True):
            into = launchers.backward(tokens, segment, start, anchor, by_y, into, into_anchor, out)
    return *out, *into, *(into_anchor or (state.w1.new_empty(0), state.w1.new_empty(0)))


def _kept(states: list[launchers.State], like: Tensor) -> Tensor:
    """(B, number, 4, H, K * F)."""
    size = (like.shape[0], 0, 4, like.shape[1], like.shape[2] * like.shape[3])
    if not states:
        return like.new_empty(size)
    return torch.stack([torch.stack([x.flatten(2) for x in s], 1) for s in states], 1)


def _unpack(kept: Tensor, like: launchers.State) -> launchers.State:
    w1, w2, s1, s2 = (x.reshape(y.shape).contiguous() for x, y in zip(kept.unbind(1), like, strict=True))
    return launchers.State(w1, w2, s1, s2)


def _device(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def _forward_shapes(*args: Any) -> tuple[Tensor, ...]:
    q, v, w1 = args[0], args[2], args[7]
    number = len(_segments(q.shape[1], args[13])) - 1 if args[15] else 0
    kept = w1.new_empty(w1.shape[0], number, 4, w1.shape[1], w1.shape[2] * w1.shape[3])
    return v.new_empty(v.shape), *(x.new_empty(x.shape) for x in args[7:11]), kept


def _backward_shapes(*args: Any) -> tuple[Tensor, ...]:
    w1 = args[7]
    into_anchor = (w1.new_empty(0) if x is None else x.new_empty(x.shape) for x in args[11:13])
    return *(x.new_empty(x.shape) for x in (*args[:6], *args[7:11])), *into_anchor


def _folded(operator: Any) -> Any:
    """The vmap rule of an operator: the mapped axis goes into B, first on every tensor in and out."""

    def rule(
        info: Any, in_dims: tuple[int | None, ...], *args: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        """As `torch.library.register_vmap` calls it."""
        size = info.batch_size
        flat = []
        for x, axis in zip(args, in_dims, strict=True):
            if isinstance(x, Tensor):
                x = (x.expand(size, *x.shape) if axis is None else x.movedim(axis, 0)).flatten(0, 1)
            flat.append(x)
        outputs = operator(*flat)
        unfolded = tuple(x.unflatten(0, (size, -1)) if x.dim() > 1 else x.expand(size, 0) for x in outputs)
        return unfolded, (0,) * len(outputs)

    return rule


def _register() -> None:
    for name, schema, run, shapes in (
        ("mlp_memory", _FORWARD, _forward, _forward_shapes),
        ("mlp_memory_backward", _BACKWARD, _backward, _backward_shapes),
    ):
        torch.library.define(f"titans::{name}", schema)
        for device in ("cuda", "cpu"):
            torch.library.impl(f"titans::{name}", device, run)
        torch.library.register_fake(f"titans::{name}", shapes)
        torch.library.register_vmap(f"titans::{name}", _folded(getattr(torch.ops.titans, name).default))


_register()
