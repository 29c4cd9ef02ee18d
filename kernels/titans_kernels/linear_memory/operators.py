"""The linear memory on Triton: torch operators around the kernels, the autograd.Function that joins them, the op.

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
from titans_kernels.linear_memory import launchers
from titans_kernels.state import MemoryState
from titans_kernels.torch_path.chunk_loop import Piece, pieces
from titans_kernels.torch_path.scan import is_symbolic

WIDTHS: Final = (16, 32, 64, 128)

_FORWARD: Final = (
    "(Tensor q, Tensor k, Tensor v, Tensor alpha, Tensor eta, Tensor theta, Tensor? mask, Tensor weights, "
    "Tensor momentum, Tensor? anchor, int length, bool every_token, bool save)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_BACKWARD: Final = (
    "(Tensor q, Tensor k, Tensor v, Tensor alpha, Tensor eta, Tensor theta, Tensor? mask, Tensor weights, "
    "Tensor momentum, Tensor? anchor, Tensor kept_weights, Tensor kept_momentum, Tensor by_y, Tensor by_weights, "
    "Tensor by_momentum, int length, bool every_token)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def unsupported(inputs: MemoryInputs, state: MemoryState) -> str | None:
    """Why these inputs cannot run here, for a message; None when they can."""
    widths = (inputs.q.shape[-1], inputs.v.shape[-1])
    if any(w not in WIDTHS for w in widths):
        return f"the Triton kernels take key and value widths in {WIDTHS}, got {widths}"
    if is_symbolic(inputs.q.shape[1]):
        return "the Triton kernels take a known number of tokens, got the symbolic one of torch.export"
    if torch.float64 in (inputs.q.dtype, state.weights[0].dtype):
        return "the Triton kernels work in float32, got float64"
    return None


def linear_memory(inputs: MemoryInputs, state: MemoryState, chunk_size: int, anchor: str) -> tuple[Tensor, MemoryState]:
    """The kernels on checked inputs, as `chunked.linear_memory`; tokens may stay in bfloat16."""
    token = anchor == "token"
    most = launchers.rows_at_most(inputs.q.shape[-1], inputs.v.shape[-1])
    size = min(chunk_size, most) if token else chunk_size
    position = 0 if token else state.position
    inputs = _one_dtype(inputs)
    (weights,), (momentum,), (base,) = state.weights, state.momentum, state.anchor
    reads, count = [], inputs.q.shape[1]
    for piece in pieces(count, position, size, max(count, 1)):
        if piece.opens:
            base = weights
        y, weights, momentum = _run(inputs, piece, (weights, momentum, None if piece.opens else base), token)
        reads.append(y)
    position = 0 if token else (position + count) % size
    y = reads[0] if len(reads) == 1 else torch.cat(reads, 1)
    return y, MemoryState((weights,), (momentum,), (base if position else weights,), position)


def stride_of(number: int) -> int:
    """Chunks of a segment: about sqrt(number), at least 16 so that launches stay few, at most 128 (scratch memory)."""
    return min(max(math.isqrt(number), 16), 128)


def _one_dtype(inputs: MemoryInputs) -> MemoryInputs:
    tokens, gates = inputs[:3], inputs[3:6]
    dtype = torch.bfloat16 if all(x.dtype == torch.bfloat16 for x in tokens) else torch.float32
    q, k, v = (x.to(dtype) for x in tokens)
    alpha, eta, theta = (x.float() for x in gates)
    return MemoryInputs(q, k, v, alpha, eta, theta, inputs.mask)


def _run(
    inputs: MemoryInputs, piece: Piece, state: tuple[Tensor, Tensor, Tensor | None], token: bool
) -> tuple[Tensor, Tensor, Tensor]:
    stop = piece.start + piece.number * piece.length
    cut = (None if x is None else x[:, piece.start : stop] for x in inputs)
    y, weights, momentum, *_ = _Piece.apply(  # type: ignore[no-untyped-call]
        *cut, *state, piece.length, token, torch.is_grad_enabled()
    )
    return y, weights, momentum


class _Piece(torch.autograd.Function):
    """The forward operator with its gradient; its arguments one by one, since torch.compile counts them."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, eta: Tensor, theta: Tensor, mask: Tensor | None,
        weights: Tensor, momentum: Tensor, anchor: Tensor | None, length: int, every_token: bool, save: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        outputs: tuple[Tensor, ...] = torch.ops.titans.linear_memory.default(
            q, k, v, alpha, eta, theta, mask, weights, momentum, anchor, length, every_token, save
        )
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        kept = output[3:]
        ctx.mark_non_differentiable(*kept)
        ctx.save_for_backward(*inputs[:10], *kept)
        ctx.options = inputs[10:12]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        into = _PieceBackward.apply(*ctx.saved_tensors, *grads[:3], *ctx.options)  # type: ignore[no-untyped-call]
        by_anchor = None if ctx.saved_tensors[9] is None else into[8]
        return (*into[:6], None, into[6], into[7], by_anchor, None, None, None)


class _PieceBackward(torch.autograd.Function):
    """First-order gradients only: a second derivative raises instead of silently missing."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, eta: Tensor, theta: Tensor, mask: Tensor | None,
        weights: Tensor, momentum: Tensor, anchor: Tensor | None, kept_weights: Tensor, kept_momentum: Tensor,
        by_y: Tensor, by_weights: Tensor, by_momentum: Tensor, length: int, every_token: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        outputs: tuple[Tensor, ...] = torch.ops.titans.linear_memory_backward.default(
            q, k, v, alpha, eta, theta, mask, weights, momentum, anchor, kept_weights, kept_momentum,
            by_y, by_weights, by_momentum, length, every_token,
        )  # fmt: skip
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        raise NotImplementedError("the Triton kernels have no second-order gradients: use backend='torch'")


def _tokens(args: tuple[Any, ...], anchor: Tensor | None, length: int, every_token: bool) -> launchers.Tokens:
    """The operators' first arguments, q to mask, as the kernels want them."""
    q, k, v = (x if launchers.readable(x) else x.clone(memory_format=torch.contiguous_format) for x in args[:3])
    alpha, eta, theta = (_contiguous(x) for x in args[3:6])
    mask = None if args[6] is None else _contiguous(args[6])
    mode = launchers.anchor_of(q, v, length, every_token, anchor is not None)
    return launchers.Tokens(q, k, v, alpha, eta, theta, mask, length, mode)


def _contiguous(x: Tensor) -> Tensor:
    """Also at a multiple of 16 bytes, as the kernels are compiled for: a part of a tensor may start anywhere."""
    return x.contiguous() if x.data_ptr() % 16 == 0 else x.clone(memory_format=torch.contiguous_format)


def _segments(tokens: int, length: int) -> list[launchers.Segment]:
    number = tokens // length
    stride = stride_of(number)
    return [launchers.Segment(i * length, min(stride, number - i)) for i in range(0, number, stride)]


def _forward(*args: Any) -> tuple[Tensor, ...]:
    weights, momentum, anchor, length, every_token, save = args[7:]
    tokens = _tokens(args, anchor, length, every_token)
    state = launchers.Fast(_contiguous(weights), _contiguous(momentum))
    anchor = None if anchor is None else _contiguous(anchor)
    y = torch.empty(tokens.v.shape, dtype=tokens.v.dtype, device=tokens.v.device)
    starts = []
    with _device(tokens.q):
        for segment in _segments(tokens.q.shape[1], length):
            starts.append(state)
            state = launchers.forward(tokens, segment, state, anchor, y)
    kept = (_kept([s[i] for s in starts[1:]] if save else [], weights) for i in range(2))
    return y, *state, *kept


def _backward(*args: Any) -> tuple[Tensor, ...]:
    weights, momentum, anchor, kept_weights, kept_momentum, by_y, by_weights, by_momentum, length, every_token = args[
        7:
    ]
    tokens = _tokens(args, anchor, length, every_token)
    anchor, by_y = None if anchor is None else _contiguous(anchor), _contiguous(by_y)
    starts = [(weights, momentum), *zip(kept_weights.unbind(1), kept_momentum.unbind(1), strict=True)]
    out = launchers.Gradients(*(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in tokens[:6]))
    into, into_anchor = launchers.Fast(_contiguous(by_weights), _contiguous(by_momentum)), None
    segments = _segments(tokens.q.shape[1], length)
    with _device(tokens.q):
        for segment, start in zip(segments[::-1], starts[::-1], strict=True):
            state = launchers.Fast(_contiguous(start[0]), _contiguous(start[1]))
            into, into_anchor = launchers.backward(tokens, segment, state, anchor, by_y, into, out)
    return *out, *into, weights.new_empty(0) if into_anchor is None else into_anchor


def _kept(states: list[Tensor], like: Tensor) -> Tensor:
    """(B, number, H, K, V)."""
    return torch.stack(states, 1) if states else like.new_empty(like.shape[0], 0, *like.shape[1:])


def _device(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def _forward_shapes(*args: Any) -> tuple[Tensor, ...]:
    q, v, weights, momentum, length, save = args[0], args[2], args[7], args[8], args[10], args[12]
    number = len(_segments(q.shape[1], length)) - 1 if save else 0
    kept = (x.new_empty(x.shape[0], number, *x.shape[1:]) for x in (weights, momentum))
    return v.new_empty(v.shape), weights.new_empty(weights.shape), momentum.new_empty(momentum.shape), *kept


def _backward_shapes(*args: Any) -> tuple[Tensor, ...]:
    weights, momentum, anchor = args[7:10]
    into_anchor = weights.new_empty(0) if anchor is None else anchor.new_empty(anchor.shape)
    return *(x.new_empty(x.shape) for x in (*args[:6], weights, momentum)), into_anchor


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
        ("linear_memory", _FORWARD, _forward, _forward_shapes),
        ("linear_memory_backward", _BACKWARD, _backward, _backward_shapes),
    ):
        torch.library.define(f"titans::{name}", schema)
        for device in ("cuda", "cpu"):
            torch.library.impl(f"titans::{name}", device, run)
        torch.library.register_fake(f"titans::{name}", shapes)
        torch.library.register_vmap(f"titans::{name}", _folded(getattr(torch.ops.titans, name).default))


_register()
