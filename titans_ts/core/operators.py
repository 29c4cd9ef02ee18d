"""What stands around attention and the memory op, with backwards written out for the CPU.

Each function is first a few operations of torch (`…_plain`), which other devices, autocast, torch.compile,
torch.export, torch.func and second derivatives take; on a CPU a form with fewer passes over the same numbers gives the
same results up to rounding, in one pass where the compiled ops hold (`titans_kernels.dispatch`).
`benchmarks/blocks.py` shows what they give.

Shapes: B batch, T tokens, D width, H heads, K = D/H.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_kernels.dispatch import explain
from titans_kernels.native import library, rows

NORM_EPS: Final = 1e-6
"""Length below which l2norm divides by it instead."""

LARGE: Final = 1 << 21
"""Multiplications of a product from which oneDNN is faster than MKL, which on processors of AMD uses no AVX-512 (Zen 5,
one thread: 3072 x 128 x 384 in 1.2 instead of 2.8 ms, 768 x 32 x 96 in 30 instead of 46 us, 64 x 32 x 64 in 12 instead
of 5 us)."""

BLOCK: Final = 1 << 18
"""Numbers that the convolution handles at a time: they stay in the cache between its passes."""


FEW: Final = 1 << 11
"""Numbers from which norms and gates go to the compiled ops, whose call costs what a few operations of torch do (256: a
norm 20.5 instead of 18 us, a gate 14 instead of 7)."""

_PLAIN: Final = (Tensor, nn.Parameter)


def written_out(*tensors: Tensor) -> bool:
    """Whether the forms for the CPU can run: plain eager tensors there, all of the same float dtype, and nobody who
    watches the operations."""
    first = tensors[0]
    return (
        not torch.compiler.is_compiling()
        and not torch._C._len_torch_dispatch_stack()
        and all(type(x) in _PLAIN for x in tensors)
        and first.device.type == "cpu"
        and first.dtype in (torch.float32, torch.float64)
        and all(x.dtype == first.dtype for x in tensors)
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        and not torch._C._are_functorch_transforms_active()
    )


def compiled(*tensors: Tensor, width: int = 0) -> bool:
    """Whether the compiled forms can run: as `written_out`, and the compiled ops are the CPU's choice.

    Args:
        tensors: the inputs.
        width: of heads, where the form works on them.
    """
    if not (written_out(*tensors) and library.reads(tensors) and explain("cpu").backend == "native"):
        return False
    return rows.runs(tensors[0], width)


def needs_graph(*tensors: Tensor) -> bool:
    """Whether autograd is to know what is done with the tensors; without a graph a Function's own cost is saved."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def differentiable(
    plain: Callable[..., Tensor | tuple[Tensor, ...]],
    ctx: Any,
    inputs: Sequence[Tensor | None],
    grads: tuple[Tensor, ...],
) -> Iterator[Tensor | None]:
    """A Function's gradients by its tensors, from operations that can be differentiated again."""
    # Views of their own: a gradient must not run on from one input into another.
    views = [None if x is None else x.view_as(x) for x in inputs]
    found = plain(*views)
    outputs = found if isinstance(found, tuple) else (found,)
    wanted = [x for x, need in zip(views, ctx.needs_input_grad, strict=False) if need and x is not None]
    by = iter(torch.autograd.grad(outputs, wanted, grads, create_graph=True, allow_unused=True))
    return (next(by) if need else None for need in ctx.needs_input_grad[: len(views)])


# Linear layers


class Linear(nn.Linear):
    """`torch.nn.Linear` with oneDNN's matrix product where it is the faster one.

    Example:
        >>> Linear(4, 3)(torch.ones(2, 5, 4)).shape
        torch.Size([2, 5, 3])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (…, in), weight (out, in), bias (out,) → (…, out)."""
    if not (has_onednn() and x.dtype == torch.float32 and written_out(x, weight)):
        return F.linear(x, weight, bias)
    if x.numel() * weight.shape[0] < LARGE:
        return F.linear(x, weight, bias)
    flat = x.reshape(-1, x.shape[-1])
    y: Tensor = _Linear.apply(flat, weight, bias) if needs_graph(x, weight) else product(flat, weight, bias)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], -1)


def has_onednn() -> bool:
    """Whether products may go to oneDNN: this build has it, and the processor AVX-512."""
    return _ONEDNN and bool(torch.backends.mkldnn.enabled)


_ONEDNN: Final = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
_BFLOAT16: Final = _ONEDNN and torch.cpu._is_avx512_bf16_supported()
"""Products of bfloat16 run at more than twice the rate, for those who allow it by torch's own switch,
`torch.set_float32_matmul_precision("medium")`; their results have its 8 bits, norms and the memory op float32's 24."""


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a (M, K), b (N, K), bias (N,) → a bᵀ + bias, without autograd."""
    if a.shape[0] * b.numel() < LARGE:
        return F.linear(a, b, bias)
    if a.stride(-1) != 1 and a.stride(0) == 1 and compiled(a):
        a = rows.turned(a.mT)  # oneDNN has it without gaps; torch's copy of a transpose takes twice as long
    if torch.get_float32_matmul_precision() == "medium" and _BFLOAT16:
        a, b, bias = a.bfloat16(), b.bfloat16(), None if bias is None else bias.bfloat16()
    out: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return out.float()


class _Linear(torch.autograd.Function):
    """x (M, in), weight (out, in), bias (out,) or None → (M, out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias = ctx.needs_input_grad
        # With a graph to be made: operations that autograd knows.
        times = (lambda a, b: a @ b.mT) if torch.is_grad_enabled() else product
        into_weight = None
        if by_weight and x.shape[1] < grad.shape[1]:
            into_weight = times(x.mT, grad.mT).mT  # oneDNN copies the first factor: the smaller one
        elif by_weight:
            into_weight = times(grad.mT, x.mT)
        return times(grad, weight.mT) if by_x else None, into_weight, grad.sum(0) if by_bias else None


# Norms and gates


class RMSNorm(nn.RMSNorm):
    """`torch.nn.RMSNorm` over the last axis.

    Example:
        >>> RMSNorm(4)(torch.full((2, 4), 3.0))[0]
        tensor([1., 1., 1., 1.], grad_fn=<SelectBackward0>)
    """

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        assert self.eps is not None
        if not written_out(x, self.weight):
            return super().forward(x)
        if compiled(x, self.weight) and x.numel() >= FEW:
            return _one_pass(x, None, self, None)
        if needs_graph(x, self.weight):
            y: Tensor = _RMSNorm.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
            return y
        return (x * rms_scale(x, self.eps)).mul_(self.weight)


def rms_scale(x: Tensor, eps: float) -> Tensor:
    """1 / √(mean(x²) + eps), (…, D) → (…, 1)."""
    return torch.linalg.vecdot(x, x).unsqueeze(-1).div_(x.shape[-1]).add_(eps).rsqrt_()


class _RMSNorm(torch.autograd.Function):
    """x (…, D), weight (D,), eps → x / rms(x) · weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = rms_scale(x, eps)
        ctx.save_for_backward(x, weight, scale)
        ctx.eps = eps
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            width, eps = weight.shape, ctx.eps
            return (*differentiable(lambda x, w: F.rms_norm(x, width, w, eps), ctx, (x, weight), (grad,)), None)
        by_weight = (grad * x).view(-1, x.shape[-1]).mT.mv(scale.view(-1)) if ctx.needs_input_grad[1] else None
        by_x = grad * weight
        along = torch.linalg.vecdot(by_x, x).unsqueeze(-1).mul_(scale.pow(3)).div_(-x.shape[-1])
        return by_x.mul_(scale).addcmul_(x, along), by_weight, None


def gated(a: Tensor, b: Tensor, norm_a: RMSNorm | None = None, norm_b: RMSNorm | None = None) -> Tensor:
    """norm_a(a) · silu(norm_b(b)), without a norm where it is None; a has as many numbers as b (…, D) → (…, D)."""
    weights = [norm.weight for norm in (norm_a, norm_b) if norm is not None]
    if compiled(a, b, *weights) and b.numel() >= FEW and len({len(w) for w in weights}) <= 1:
        return _one_pass(a, b, norm_a, norm_b)
    a, b = (x if norm is None else norm(x) for x, norm in ((a, norm_a), (b, norm_b)))
    return a.reshape(b.shape) * F.silu(b)


def _one_pass(a: Tensor, b: Tensor | None, *norms: RMSNorm | None) -> Tensor:
    """`gated` by the compiled op; norm(a) without b."""
    weights = [None if norm is None else norm.weight for norm in norms]
    eps = [0.0 if norm is None or norm.eps is None else norm.eps for norm in norms]
    if needs_graph(*(x for x in (a, b, *weights) if x is not None)):
        y: Tensor = _Gated.apply(a, b, *weights, eps)  # type: ignore[no-untyped-call]
        return y
    return _Gated.found(a, b, weights, eps)[0]


def gated_plain(
    a: Tensor, b: Tensor | None, weight_a: Tensor | None, weight_b: Tensor | None, eps: Sequence[float]
) -> Tensor:
    """`gated` in operations of torch; weights (W,) of the norms, their eps."""
    a = a if weight_a is None else F.rms_norm(a, weight_a.shape, weight_a, eps[0])
    if b is None:
        return a
    b = b if weight_b is None else F.rms_norm(b, weight_b.shape, weight_b, eps[1])
    return a.reshape(b.shape) * F.silu(b)


class _Gated(torch.autograd.Function):
    """a, b, the norms' weights (b and they may be None), their eps → as b; see `gated_plain`."""

    @staticmethod
    def sides(a: Tensor, b: Tensor | None, weights: Sequence[Tensor | None], eps: Sequence[float]) -> list[rows.Side]:
        """What the compiled op takes."""
        width = next((len(w) for w in weights if w is not None), a.shape[-1])
        sides = zip((a, b), weights, eps, strict=True)
        return [rows.Side(x.reshape(-1, width), weight, e) for x, weight, e in sides if x is not None]

    @staticmethod
    def found(
        a: Tensor, b: Tensor | None, weights: Sequence[Tensor | None], eps: Sequence[float]
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The result, and what the backward needs."""
        y, scales = rows.gated(_Gated.sides(a, b, weights, eps))
        return y.view(a.shape if b is None else b.shape), scales

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor | None,
        weight_a: Tensor | None,
        weight_b: Tensor | None,
        eps: Sequence[float],
    ) -> Tensor:
        y, scales = _Gated.found(a, b, (weight_a, weight_b), eps)
        ctx.save_for_backward(a, b, weight_a, weight_b, *scales)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b, weight_a, weight_b, *scales = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = a, b, weight_a, weight_b
            return (*differentiable(partial(gated_plain, eps=ctx.eps), ctx, inputs, (grad,)), None)
        sides = _Gated.sides(a, b, (weight_a, weight_b), ctx.eps)
        into = [torch.empty_like(side.rows, memory_format=torch.contiguous_format) for side in sides]
        by_weights = rows.gated_backward(sides, scales, grad.reshape(sides[0].rows.shape), into)
        by = [g.view(x.shape) for g, x in zip(into, (a, b), strict=False)]
        return (*by, *[None] * (2 - len(by)), *by_weights, *[None] * (2 - len(by)), None)


def swiglu(x: Tensor) -> Tensor:
    """value · silu(gate) of x (…, 2·D), the values before the gates → (…, D)."""
    if not compiled(x) or x.numel() < FEW:
        return swiglu_plain(x)
    y: Tensor = _SwiGLU.apply(x) if needs_graph(x) else _SwiGLU.found(x)  # type: ignore[no-untyped-call]
    return y


def swiglu_plain(x: Tensor) -> Tensor:
    """`swiglu` in operations of torch."""
    value, gate = x.chunk(2, dim=-1)
    return value * F.silu(gate)


class _SwiGLU(torch.autograd.Function):
    """`swiglu`; the gradients of both halves are written where they belong."""

    @staticmethod
    def sides(x: Tensor) -> list[rows.Side]:
        """What the compiled op takes: both halves."""
        return [rows.Side(half) for half in x.reshape(-1, x.shape[-1]).chunk(2, dim=-1)]

    @staticmethod
    def found(x: Tensor) -> Tensor:
        """The result."""
        return rows.gated(_SwiGLU.sides(x))[0].view(*x.shape[:-1], x.shape[-1] // 2)

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _SwiGLU.found(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor | None:
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return next(differentiable(swiglu_plain, ctx, (x,), (grad,)))
        by = torch.empty_like(x, memory_format=torch.contiguous_format)
        halves = by.view(-1, x.shape[-1]).chunk(2, dim=-1)
        rows.gated_backward(_SwiGLU.sides(x), (None, None), grad.reshape(-1, grad.shape[-1]), halves)
        return by


# Causal convolution and l2norm


def convolved(line: Tensor, cache: Tensor, weight: Tensor, head_width: int, parts: int) -> tuple[Tensor, ...]:
    """Depthwise causal convolution of projections, the first two (q and k) to length 1.

    Args:
        line: (B, T, P·D), the projections to P of q, k, v, one after the other.
        cache: (B, P·D, n − 1), the inputs before the first token.
        weight: (P·D, 1, n), of a convolution n wide, the current token's last.
        head_width: K.
        parts: P.

    Returns:
        P tensors (B, T, H, K).
    """
    if not written_out(line, cache, weight):
        return convolved_plain(line, cache, weight, head_width, parts)
    function: Any = _ConvolvedAtOnce if compiled(line, width=head_width) else _Convolved
    if needs_graph(line, cache, weight):
        found: tuple[Tensor, ...] = function.apply(line, cache, weight, head_width, parts)
        return found
    if function is _ConvolvedAtOnce:
        return _parts(rows.convolve(_line(line, cache, weight, head_width, parts))[0], head_width, parts)
    return _convolve(line, cache.mT, weight[:, 0].mT.contiguous(), head_width, parts)[0]


def convolved_token(
    line: Tensor, cache: Tensor, weight: Tensor, head_width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`convolved` of a single token without autograd, and the cache after it."""
    window = torch.cat([cache, line.mT], dim=-1)
    out = torch.linalg.vecdot(window, weight[:, 0]).view(len(line), 1, 3, -1, head_width)
    vectors = out[:, :, :2]
    vectors.div_(torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_(min=NORM_EPS))
    q, k, v = out.unbind(2)
    return q, k, v, window[..., 1:]


def convolved_plain(line: Tensor, cache: Tensor, weight: Tensor, head_width: int, parts: int) -> tuple[Tensor, ...]:
    """`convolved` in operations of torch."""
    padded = torch.cat([cache, line.mT], dim=-1)
    out = F.conv1d(padded, weight, groups=padded.shape[1]).mT.unflatten(-1, (parts, -1, head_width)).unbind(2)
    return (*(F.normalize(x, dim=-1, eps=NORM_EPS) for x in out[:2]), *out[2:])


def _spans(line: Tensor, first: int) -> Iterator[slice]:
    """Tokens from `first` on, so many at a time that they stay in the cache."""
    batch, tokens, width = line.shape
    size = max(BLOCK // max(batch * width, 1), 8)
    return (slice(start, min(start + size, tokens)) for start in range(first, tokens, size))


def _convolve(
    line: Tensor, cache: Tensor, taps: Tensor, head_width: int, parts: int
) -> tuple[tuple[Tensor, ...], Tensor]:
    """cache (B, n − 1, P·D), taps (n, P·D) → P tensors (B, T, H, K), and 1 / length of the first two (B, T, 2·H, 1)."""
    back = cache.shape[1]
    out = torch.empty_like(line)
    heads = out.unflatten(-1, (parts, -1, head_width))
    vectors = heads[:, :, :2].flatten(2, 3)
    scale = line.new_empty(*vectors.shape[:3], 1)
    _taps(torch.cat([cache, line[:, :back]], dim=1), taps, out[:, :back])
    for span in _spans(line, 0):
        first = max(span.start, back)
        if span.stop > first:
            _taps(line[:, first - back : span.stop], taps, out[:, first : span.stop])
        mine = vectors[:, span]
        scale[:, span] = torch.linalg.vector_norm(mine, dim=-1, keepdim=True).clamp_(min=NORM_EPS).reciprocal_()
        mine.mul_(scale[:, span])
    return heads.unbind(2), scale


def _taps(window: Tensor, taps: Tensor, out: Tensor) -> None:
    """window (B, t + n − 1, P·D) → out (B, t, P·D), its convolution."""
    tokens = out.shape[1]
    torch.mul(window[:, -tokens:], taps[-1], out=out)
    for i in range(len(taps) - 1):
        out.addcmul_(window[:, i : i + tokens], taps[i])


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, line: Tensor, cache: Tensor, weight: Tensor, head_width: int, parts: int
    ) -> tuple[Tensor, ...]:
        found, scale = _convolve(line, cache.mT, weight[:, 0].mT.contiguous(), head_width, parts)
        ctx.save_for_backward(line, cache, weight, scale, *found[:2])
        ctx.plain = partial(convolved_plain, head_width=head_width, parts=parts)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        line, cache, weight, scale, *units = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*differentiable(ctx.plain, ctx, (line, cache, weight), grads), None, None)
        taps = weight[:, 0].mT.contiguous()
        back = len(taps) - 1
        by_line, by_taps = torch.empty_like(line), torch.zeros_like(taps)
        by_cache = torch.zeros_like(cache.mT, memory_format=torch.contiguous_format)
        by_out = _through_length(grads, units, scale, torch.empty_like(line))
        front = torch.cat([cache.mT, line[:, :back]], dim=1)
        _through_taps(by_out[:, :back], front, by_taps)
        for span in _spans(line, 0):
            first = max(span.start, back)
            if span.stop > first:
                _through_taps(by_out[:, first : span.stop], line[:, first - back : span.stop], by_taps)
            _adjoint(by_out, taps, span, by_line)
        for i in range(back):  # what the cache's token i gave to the first ones
            for t in range(min(i + 1, line.shape[1])):
                by_cache[:, i].addcmul_(by_out[:, t], taps[i - t])
        return by_line, by_cache.mT, by_taps.mT.unsqueeze(1), None, None


def _through_length(grads: Sequence[Tensor], units: Sequence[Tensor], scale: Tensor, out: Tensor) -> Tensor:
    """The gradient by the convolution's output (B, T, P·D) from those by the P parts; `units` are those of length 1."""
    parts = out.unflatten(-1, (len(grads), *grads[0].shape[2:])).unbind(2)
    for grad, unit, by, length in zip(grads, units, parts, scale.chunk(len(units), dim=2), strict=False):
        along = torch.linalg.vecdot(grad, unit).unsqueeze(-1).neg_()
        along.masked_fill_(length >= 1 / NORM_EPS, 0.0)
        torch.addcmul(grad, unit, along, out=by).mul_(length)
    for grad, by in zip(grads[2:], parts[2:], strict=True):
        by.copy_(grad)
    return out


def _through_taps(grad: Tensor, window: Tensor, by_taps: Tensor) -> None:
    """Adds what reaches the taps: grad (B, t, P·D), window (B, t + n − 1, P·D)."""
    tokens = grad.shape[1]
    for i in range(len(by_taps)):
        by_taps[i] += (grad * window[:, i : i + tokens]).sum((0, 1))


def _adjoint(grad: Tensor, taps: Tensor, span: slice, out: Tensor) -> None:
    """The gradient by the tokens of a span: each went into itself and the n − 1 tokens after it."""
    torch.mul(grad[:, span], taps[-1], out=out[:, span])
    for ahead in range(1, len(taps)):
        stop = min(span.stop, grad.shape[1] - ahead)
        if stop > span.start:
            part = slice(span.start, stop)
            out[:, part].addcmul_(grad[:, part.start + ahead : stop + ahead], taps[-1 - ahead])


def _line(line: Tensor, cache: Tensor, weight: Tensor, head_width: int, parts: int) -> rows.Line:
    """What the compiled op takes for `convolved`."""
    normed = line.shape[-1] // parts * min(parts, 2)
    return rows.Line(line, cache.mT, weight[:, 0].mT, head_width, normed, NORM_EPS)


def _parts(out: Tensor, head_width: int, parts: int) -> tuple[Tensor, ...]:
    return out.unflatten(-1, (parts, -1, head_width)).unbind(2)


class _ConvolvedAtOnce(torch.autograd.Function):
    """`convolved` by the compiled op."""

    @staticmethod
    def forward(
        ctx: Any, line: Tensor, cache: Tensor, weight: Tensor, head_width: int, parts: int
    ) -> tuple[Tensor, ...]:
        out, scale = rows.convolve(_line(line, cache, weight, head_width, parts))
        ctx.save_for_backward(line, cache, weight, out, scale)
        ctx.sizes = head_width, parts
        return _parts(out, head_width, parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, out, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            head_width, parts = ctx.sizes
            plain = partial(convolved_plain, head_width=head_width, parts=parts)
            return (*differentiable(plain, ctx, inputs, grads), None, None)
        line, cache, weight = rows.convolve_backward(_line(*inputs, *ctx.sizes), (out, scale), grads)
        return line, cache.mT, weight.mT.unsqueeze(1), None, None
