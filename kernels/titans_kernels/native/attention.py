"""The calls of attention.c: attention over [keys, persistent keys], without autograd.

All tensors are of the same dtype, float32 or float64, and on the CPU. titans_ts/core/attention.py has the plain form
and the Function of autograd.

Shapes: G groups (sequences or blocks of them), H heads, T queries, S keys, N persistent keys, E head width.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from titans_kernels.native import library
from titans_kernels.native.rows import run, vector


class Attention(NamedTuple):
    """What attention reads; nothing is rotated yet, rows have no gaps.

    Attributes:
        q: (G, H, T, E).
        k, v: (G, H, S, E).
        keys, values: (H, N, E), the persistent ones, N >= 1.
        mask: (G or 1, 1, T, S) bool, whether a key is seen.
        turns: cosine and sine (positions, E / 2) of the angles from position 0 on.
        first: position of the first query.
        runs: the keys are so many runs of equal length, each from position 0 on.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    keys: Tensor
    values: Tensor
    mask: Tensor
    turns: tuple[Tensor, Tensor]
    first: int
    runs: int


def attend(x: Attention, keep: bool) -> tuple[Tensor, Tensor | None]:
    """(G, H, T, E), a view of tokens before heads, and with `keep` the weights, which the backward takes."""
    x = _prepared(x)
    groups, heads, queries, width = x.q.shape
    y = x.q.new_empty(groups, queries, heads, width).transpose(1, 2)
    weights = x.q.new_empty(groups * heads * queries * _row(x)) if keep else None
    _call("attend", x, y, weights, ())
    return y, weights


def attend_backward(x: Attention, weights: Tensor | None, grad: Tensor) -> tuple[Tensor, ...]:
    """Gradients by q, k, v, keys and values from that by y; those by q, k and v are views of (G, T or S, …, H, E)."""
    x, grad = _prepared(x), _rows(grad)
    groups, heads, queries, width = x.q.shape
    if x.k.shape[2] == queries:
        tokens = x.q.new_empty(groups, queries, 3, heads, width).permute(2, 0, 3, 1, 4).unbind(0)
    else:
        both = x.q.new_empty(groups, x.k.shape[2], 2, heads, width).permute(2, 0, 3, 1, 4).unbind(0)
        tokens = (x.q.new_empty(groups, queries, heads, width).transpose(1, 2), *both)
    own = [x.q.new_empty(groups, *x.keys.shape) for _ in range(2)]
    _call("attend_backward", x, grad, weights, (*tokens, *own))
    return (*tokens, *(by.sum(0) for by in own))


def _prepared(x: Attention) -> Attention:
    (groups, heads, queries, width), many = x.q.shape, x.k.shape[2]
    own, seen = (heads, x.keys.shape[1], width), x.mask.shape
    fits = x.k.shape == x.v.shape == (groups, heads, many, width) and x.keys.shape == x.values.shape == own
    if not fits or width % 2 or many % x.runs or seen[0] not in (1, groups) or seen[1:] != (1, queries, many):
        shapes = ", ".join(str(tuple(z.shape)) for z in x[:6])
        raise ValueError(f"q, k, v, persistent keys and values, and mask do not fit together: {shapes}")
    if min(len(x.turns[0]), len(x.turns[1])) < max(x.first + queries, many // x.runs):
        raise ValueError(f"turns for {max(x.first + queries, many // x.runs)} positions are expected")
    q, k, v = map(_rows, x[:3])
    mask = x.mask if x.mask.shape[0] == 1 or x.mask.stride(0) else x.mask[:1]
    return Attention(q, k, v, x.keys.contiguous(), x.values.contiguous(), mask.contiguous(), *x[6:])


def _rows(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _row(x: Attention) -> int:
    """Numbers of a row of weights: both kinds of keys, each filled up to whole vectors."""
    lanes: int = _library(x).lanes()
    return sum(-(-count // lanes) * lanes for count in (x.k.shape[2], x.keys.shape[1]))


def _library(x: Attention) -> Any:
    return library.load(x.q.dtype, vector(x.q, x.q.shape[-1]))


def _call(name: str, x: Attention, y: Tensor, weights: Tensor | None, found: Sequence[Tensor]) -> None:
    loaded, (groups, heads, queries, width) = _library(x), x.q.shape
    numbers = [groups, heads, queries, x.k.shape[2], width, x.keys.shape[1], x.first, x.runs]
    numbers.append(x.mask.stride(0) if x.mask.shape[0] > 1 else 0)
    numbers += [z.data_ptr() for z in (x.mask, *x.turns, x.keys, x.values)]
    for heads_of in (x.q, x.k, x.v, y):
        numbers += [heads_of.data_ptr(), *heads_of.stride()[:3]]
    numbers.append(0 if weights is None else weights.data_ptr())
    for by in found[:3]:
        numbers += [by.data_ptr(), *by.stride()[:3]]
    numbers += [0] * (12 - 4 * len(found[:3])) + [by.data_ptr() for by in found[3:]] + [0] * (2 - len(found[3:]))
    described = struct.pack(f"{len(numbers)}q", *numbers)
    run(name, loaded, x.q, groups * heads, described, loaded.attention_scratch(described))
