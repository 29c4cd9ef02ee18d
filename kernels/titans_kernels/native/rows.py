"""The calls of rows.c: what stands around the memory op, one pass over the numbers each, without autograd.

All tensors are of the same dtype, float32 or float64, and on the CPU; what is returned has no gaps.
titans_ts/core/operators.py has the plain forms and the Functions of autograd.

Shapes: B batch, T tokens, C channels, n taps, N rows, W their width.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from titans_kernels.native import library

TOGETHER: Final = 64
"""Rows of an item of a call, whose sums are kept apart: a thread takes an item at a time, and float has few digits."""
ALONE: Final = 1 << 15
"""Numbers up to which one thread does it all."""


class Line(NamedTuple):
    """What the convolution takes: its first `normed` channels are brought to length 1 by heads of `width`.

    Attributes:
        line: (B, T, C).
        cache: (B, n - 1, C), the tokens before.
        weight: (n, C), the current token's last.
        width: of a head.
        normed: channels, a multiple of width.
        shortest: length below which a vector is divided by this instead.
    """

    line: Tensor
    cache: Tensor
    weight: Tensor
    width: int
    normed: int
    shortest: float


def convolve(x: Line) -> tuple[Tensor, Tensor]:
    """(B, T, C), and 1 / length (B, T, normed / width)."""
    x = _whole(x)
    out = torch.empty_like(x.line)
    scale = out.new_empty(*out.shape[:2], x.normed // x.width)
    run("convolve", _library(x), out, _items(x), _line(x, (out, scale), (), ()))
    return out, scale


def convolve_backward(x: Line, kept: tuple[Tensor, Tensor], grads: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by line, cache and weight.

    Args:
        x: as in the forward.
        kept: what it returned.
        grads: by the equal parts of its first result, at most three, (B, T, C / parts).
    """
    x, grads = _whole(x), [g.contiguous() for g in grads]
    by_line, by_cache, by_weight = (
        x.line.new_empty(n) for n in (x.line.shape, x.cache.shape, (_items(x), *x.weight.shape))
    )
    described = _line(x, kept, grads, (by_line, by_cache, by_weight))
    run("convolve_backward", _library(x), x.line, _items(x), described, x.weight.numel())
    return by_line, by_cache, by_weight.sum(0)


def _together(x: Line) -> int:
    """Sequences whose sums are kept together."""
    return max(1, TOGETHER // max(1, x.line.shape[1]))


def _items(x: Line) -> int:
    return -(-len(x.line) // _together(x))


def _library(x: Line) -> Any:
    return library.load(x.line.dtype, vector(x.line, x.width))


def _whole(x: Line) -> Line:
    (batch, _, channels), taps = x.line.shape, len(x.weight)
    if x.weight.shape[1] != channels or x.normed > channels or x.normed % x.width:
        raise ValueError(f"taps for {channels} channels are expected, got {tuple(x.weight.shape)}, heads of {x.width}")
    if x.cache.shape != (batch, taps - 1, channels):
        raise ValueError(f"a cache of {(batch, taps - 1, channels)} is expected, got {tuple(x.cache.shape)}")
    return x._replace(line=x.line.contiguous(), cache=x.cache.contiguous(), weight=x.weight.contiguous())


def _line(x: Line, kept: Sequence[Tensor], grads: Sequence[Tensor], found: Sequence[Tensor]) -> bytes:
    """`Line` of rows.c."""
    numbers = (*x.line.shape, len(x.weight), x.width, x.normed, x.shortest)
    places = _places(*x[:3], *kept, *grads, *[None] * (3 - len(grads)))
    sizes = len(grads), _together(x)
    return struct.pack("6qd8P2q3P", *numbers, *places, *sizes, *_places(*found, *[None] * (3 - len(found))))


class Side(NamedTuple):
    """A factor of a gated product.

    Attributes:
        rows: (N, W).
        weight: (W,) of its RMSNorm, None for none.
        eps: of its RMSNorm.
    """

    rows: Tensor
    weight: Tensor | None = None
    eps: float = 0.0


def gated(sides: Sequence[Side]) -> tuple[Tensor, list[Tensor | None]]:
    """norm(a) · silu(norm(b)) of two sides, norm(a) of one: (N, W), and 1 / rms (N,) of each, None without a norm."""
    sides, shape = [_sound(side) for side in sides], sides[0].rows.shape
    if any(x.rows.shape != shape or (x.weight is not None and x.weight.shape != shape[1:]) for x in sides):
        raise ValueError(f"both sides must have as many rows and weights as wide as they are, got {tuple(shape)} first")
    out = sides[0].rows.new_empty(sides[0].rows.shape)
    scales = [None if side.weight is None else out.new_empty(len(out)) for side in sides]
    described = [(side, (scale,)) for side, scale in zip(sides, scales, strict=True)]
    run("gated", library.load(out.dtype), out, -(-len(out) // TOGETHER), _gated(described, out, None))
    return out, scales


def gated_backward(
    sides: Sequence[Side], scales: Sequence[Tensor | None], grad: Tensor, into: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients of `gated`.

    Args:
        sides: as in the forward.
        scales: what it returned.
        grad: (N, W).
        into: (N, W), where the gradients by the sides' rows are written, rows without gaps.

    Returns:
        Those by the weights.
    """
    if any(x.shape != grad.shape or (x.stride(1) != 1 and x.shape[1] > 1) for x in into):
        raise ValueError(f"gradients are written into rows without gaps of {tuple(grad.shape)}")
    sides, grad = [_sound(side) for side in sides], grad.contiguous()
    items = -(-len(grad) // TOGETHER)
    sums = [None if side.weight is None else grad.new_empty(items, grad.shape[1]) for side in sides]
    described = list(zip(sides, zip(scales, into, sums, strict=True), strict=True))
    run("gated_backward", library.load(grad.dtype), grad, items, _gated(described, None, grad))
    return [None if x is None else x.sum(0) for x in sums]


def _sound(side: Side) -> Side:
    """With rows and a weight that have no gaps."""
    rows, weight = side.rows, side.weight
    if rows.stride(1) != 1 and rows.shape[1] > 1:
        rows = rows.contiguous()
    return Side(rows, None if weight is None else weight.contiguous(), side.eps)


def _gated(sides: Sequence[tuple[Side, tuple[Tensor | None, ...]]], out: Tensor | None, grad: Tensor | None) -> bytes:
    """`Gated` of rows.c."""
    numbers: list[int | float] = [*sides[0][0].rows.shape, TOGETHER]
    for side, places in sides:
        by = places[1].stride(0) if len(places) > 1 and places[1] is not None else 0
        numbers += [*_places(*side[:2], *places, *[None] * (3 - len(places))), side.rows.stride(0), by, side.eps]
    numbers += [0] * (8 * (2 - len(sides)))
    return struct.pack("3q5P2qd5P2qd2P", *numbers, *_places(out, grad))


def turned(x: Tensor) -> Tensor:
    """x (M, N) → its transpose without gaps, (N, M)."""
    x = x.contiguous()
    out = x.new_empty(x.shape[::-1])
    loaded = library.load(x.dtype)
    run("turn_over", loaded, x, -(-x.shape[1] // loaded.lanes()), struct.pack("2q2P", *x.shape, *_places(x, out)))
    return out


def _places(*tensors: Tensor | None) -> list[int]:
    return [0 if x is None else x.data_ptr() for x in tensors]


def vector(x: Tensor, width: int = 0) -> int:
    """Bytes of the vectors for heads of a width, as in the memory op of as wide ones; without one, for whole rows."""
    return library.vector_for((width,), x.element_size()) if width else library.WIDEST


def runs(x: Tensor, width: int = 0) -> bool:
    """Whether there is the library, and torch's threads, if there are several, can share the work."""
    return library.ready(x.dtype, vector(x, width)) and (torch.get_num_threads() == 1 or library.team() is not None)


def run(name: str, loaded: Any, like: Tensor, items: int, described: bytes, scratch: int = 0) -> None:
    """Runs a function of a library on all items of a call, shared among torch's threads where they are many numbers.

    Args:
        name: the function, `Part_of` in memory.c.
        loaded: the library.
        like: what it works on: its size and dtype count.
        items: how many there are.
        described: the call.
        scratch: numbers that every thread needs.
    """
    function, threads = getattr(loaded, name), min(torch.get_num_threads(), items)
    team = library.team() if threads > 1 and like.numel() >= ALONE else None
    row = -(-scratch // 16) * 16
    room = like.new_empty((threads if team else 1) * row)
    if team:
        loaded.shared(team, function, None, described, room.data_ptr(), row, items, threads)
    else:
        function(None, described, room.data_ptr(), 0, items)
