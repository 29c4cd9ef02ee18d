"""The linear memory on Triton: which kernel runs when, with which tiles (triton_forward.py, triton_backward.py).

Shapes and layouts as there; a segment is a run of chunks whose states of every tile are in memory at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from titans_kernels.linear_memory.triton_backward import gradients_kernel, reverse_kernel, transposed_kernel
from titans_kernels.linear_memory.triton_forward import (
    APART,
    CHUNK,
    SPLIT,
    TOKEN,
    UNIT,
    forward_kernel,
    output_kernel,
    prepare_kernel,
    states_kernel,
    step_kernel,
    system_kernel,
)
from titans_kernels.triton_path.compile_spec import Variant
from titans_kernels.triton_path.dot import BF16, precision_of
from titans_kernels.triton_path.gates import SCALARS, Tiles, empty_gates, gate_backward, gate_forward

STEP_TOKENS: Final = 16
"""Tokens up to which a call goes token by token, in one launch."""


class Tokens(NamedTuple):
    """Whole chunks of one sequence and where they take their errors.

    Attributes:
        q, k (B, T, H, K), v (B, T, H, V): one dtype, float32 or bfloat16, as `readable` wants them.
        alpha, eta, theta: (B, T, H, 1) float32, contiguous; mask: (B, T) bool, contiguous, or None.
        length: tokens of a chunk; T is a multiple of it.
        anchor: CHUNK, SPLIT, APART or TOKEN.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    alpha: Tensor
    eta: Tensor
    theta: Tensor
    mask: Tensor | None
    length: int
    anchor: int

    @property
    def groups(self) -> int:
        return self.q.shape[0] * self.q.shape[2]

    def tiles(self, number: int) -> Tiles:
        rows = rows_at_most(self.q.shape[-1], self.v.shape[-1])
        return Tiles(number, self.length, -(-self.length // rows))

    def gates(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        return self.alpha, self.eta, self.theta, self.mask


class Segment(NamedTuple):
    """`number` chunks from token `start` on."""

    start: int
    number: int


class Fast(NamedTuple):
    """Weights and momentum, or their gradients, (B, H, K, V) float32, contiguous."""

    weights: Tensor
    momentum: Tensor


class Gradients(NamedTuple):
    """Where the backward writes, for all tokens: shaped like the inputs, contiguous."""

    q: Tensor
    k: Tensor
    v: Tensor
    alpha: Tensor
    eta: Tensor
    theta: Tensor


class Shape(NamedTuple):
    """What a kernel's configuration depends on: widths, rows of a tile, anchor, precision of its products."""

    key: int
    value: int
    rows: int
    anchor: int
    precision: int
    exact: int


def rows_at_most(key: int, value: int) -> int:
    """Tokens of a tile at most: what the registers hold (a product 16 wide is computed by every warp anew)."""
    return 64 if min(key, value) > 16 else 32


def anchor_of(q: Tensor, v: Tensor, length: int, every_token: bool, apart: bool) -> int:
    """Where chunks of `length` tokens take their errors: before every token, at weights given apart, at their start."""
    if every_token:
        mode = TOKEN
    elif apart:
        mode = APART
    else:
        mode = CHUNK if length <= rows_at_most(q.shape[-1], v.shape[-1]) else SPLIT
    return int(mode.value)


def forward(tokens: Tokens, segment: Segment, state: Fast, anchor: Tensor | None, y: Tensor) -> Fast:
    """Writes y (B, T, H, V) at the segment's tokens and returns the state after them."""
    tiles = tokens.tiles(segment.number)
    shape = _shape(tokens, tiles)
    new = Fast(torch.empty_like(state.weights), torch.empty_like(state.momentum))
    if tokens.q.shape[1] == tokens.length <= STEP_TOKENS:
        constants, options = configuration("step", shape)
        step_kernel[(tokens.groups * shape.value // constants["BV"],)](
            *tokens[:7], *state, anchor, y, *new, *_strides(*tokens[:3]), *tokens.q.shape[1:3], **constants, **options
        )
        return new
    prepared, *_ = _prepare(tokens, segment, None)
    if reads_along(shape):
        constants, options = configuration("forward", shape)
        forward_kernel[(tokens.groups * shape.value // constants["BV"],)](
            *tokens[:3], tokens.mask, *prepared, *state, anchor, y, *new,
            *_strides(*tokens[:3]), *_sizes(tokens, segment), **constants, **options,
        )  # fmt: skip
        return new
    stored = _walk(tokens, segment, prepared, (*state, anchor), new)
    constants, options = configuration("output", shape)
    output_kernel[(tokens.groups * tiles.total, shape.value // constants["BV"])](
        tokens.q, *prepared[1:3], prepared[5], *stored, y, *_strides(tokens.q), *_sizes(tokens, segment),
        **constants, **options,
    )  # fmt: skip
    return new


def backward(
    tokens: Tokens, segment: Segment, state: Fast, anchor: Tensor | None, by_y: Tensor, by_end: Fast, out: Gradients
) -> tuple[Fast, Tensor | None]:
    """Writes the gradients at the segment's tokens; returns those by its state and by a separate anchor.

    Args:
        state: at the segment's start; by_y (B, T, H, V) contiguous; by_end: the gradients by the segment's end.
    """
    prepared, inverse, from_reads = _prepare(tokens, segment, by_y)
    tiles, value_width = tokens.tiles(segment.number), tokens.v.shape[-1]
    *states, errors = _walk(tokens, segment, prepared, (*state, anchor), None)
    states += [torch.empty_like(x) for x in states]
    by_errors = torch.empty_like(errors)
    into, into_anchor = Fast(*map(torch.empty_like, state)), None if anchor is None else torch.empty_like(anchor)
    gates, solved, strides = prepared[:5], prepared[6:8], _strides(*tokens[:2])
    shape, sizes = _shape(tokens, tiles), _sizes(tokens, segment)
    constants, options = configuration("reverse", shape)
    reverse_kernel[(tokens.groups * value_width // constants["BV"],)](
        *tokens[:2], by_y, tokens.mask, *gates, *solved, *by_end, *into, into_anchor, *states[2:],
        from_reads, by_errors, *strides, *sizes, **constants, **options,
    )  # fmt: skip
    if inverse is not None:
        constants, options = configuration("transposed", shape)
        grid = (tokens.groups * tiles.total, tiles.rows // constants["BR"], value_width // constants["BV"])
        transposed_kernel[grid](inverse, by_errors, from_reads, **constants, **options)
        by_errors = from_reads
    by_gates = empty_gates(tokens.alpha, tiles)
    scratch = [tokens.q.new_empty(tokens.groups, tiles.total, tiles.rows, tiles.rows) for _ in range(2)]
    constants, options = configuration("gradients", shape)
    gradients_kernel[(tokens.groups * tiles.total,)](
        *tokens[:2], by_y, tokens.mask, *gates[:4], *states[:2], anchor, *states[2:], errors, by_errors,
        *out[:3], *by_gates, *scratch, *strides, *sizes, **constants, **options,
    )  # fmt: skip
    gate_backward(*tokens.gates(), segment.start, tiles, by_gates, out[3:])
    return into, into_anchor


def _prepare(
    tokens: Tokens, segment: Segment, by_y: Tensor | None
) -> tuple[tuple[Tensor | None, ...], Tensor | None, Tensor]:
    """What depends on no state: the forward kernel's arguments from `write` to `target`, the inverse, and reads^T by_y.

    With `by_y` (the backward) its `reads` are absent, else their product with it is empty.
    """
    tiles, key_width, value_width = tokens.tiles(segment.number), tokens.q.shape[-1], tokens.v.shape[-1]
    shape, sizes, grid = _shape(tokens, tiles), _sizes(tokens, segment), tokens.groups * tiles.total
    gates = gate_forward(*tokens.gates(), segment.start, tiles)
    lead = (tokens.groups, tiles.total, tiles.rows)
    token = tokens.anchor == TOKEN.value
    reads = tokens.q.new_empty(*lead, tiles.rows) if by_y is None else None
    inverse = gates.write.new_empty(*lead, tiles.rows) if token else None
    from_reads = gates.write.new_empty(*lead, value_width) if by_y is not None else gates.write.new_empty(0)
    constants, options = configuration("prepare", shape)
    q, k, v = tokens[:3]
    prepare_kernel[(grid,)](
        q, k, by_y, tokens.mask, gates.write, reads, inverse, None if by_y is None else from_reads,
        *_strides(q, k), *sizes, **constants, **options,
    )  # fmt: skip
    if not token:
        return (*gates, reads, None, None, None), None, from_reads
    solved = [q.new_empty(*lead, key_width), q.new_empty(*lead, key_width), gates.write.new_empty(*lead, value_width)]
    constants, options = configuration("system", shape)
    system_kernel[(grid, tiles.rows // constants["BR"])](
        k, v, tokens.mask, gates.keep, gates.carry, inverse, *solved,
        *_strides(k, v), *sizes, **constants, **options,
    )  # fmt: skip
    return (*gates, reads, *solved), inverse, from_reads


def _walk(
    tokens: Tokens,
    segment: Segment,
    prepared: tuple[Tensor | None, ...],
    state: tuple[Tensor | None, ...],
    new: Fast | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Every tile's weights and momentum (G, N, K, V) at its start, and its errors (G, N, BC, V); fills `new`.

    `state`: weights, momentum and separate anchor, or None, at the segment's start.
    """
    tiles = tokens.tiles(segment.number)
    shape, lead = _shape(tokens, tiles), (tokens.groups, tiles.total)
    weights = tokens.alpha.new_empty(*lead, shape.key, shape.value)
    stored = weights, torch.empty_like(weights), tokens.alpha.new_empty(*lead, tiles.rows, shape.value)
    constants, options = configuration("states", shape)
    states_kernel[(tokens.groups * shape.value // constants["BV"],)](
        *tokens[1:3], tokens.mask, *prepared[:5], *prepared[6:], *state, *stored, *(new or (None, None)),
        *_strides(*tokens[1:3]), *_sizes(tokens, segment), **constants, **options,
    )  # fmt: skip
    return stored


def readable(x: Tensor) -> bool:
    """Whether the kernels can read x (B, T, H, width) where it lies: whole rows that start on multiples of a UNIT."""
    aligned = x.data_ptr() % 16 == 0 and all(
        s % UNIT.value == 0 for s, n in zip(x.stride()[:3], x.shape[:3], strict=True) if n > 1
    )
    return x.stride(-1) == 1 and aligned


def _strides(*tensors: Tensor) -> tuple[int, ...]:
    """Those of B, T and H of each, in UNITs; that of an axis of length 1 is never used."""
    return tuple(s // UNIT.value for x in tensors for s in x.stride()[:3])


def _sizes(tokens: Tokens, segment: Segment) -> tuple[int, ...]:
    """The kernels' arguments from `start` to `P`."""
    _, total, heads, _ = tokens.q.shape
    tiles = tokens.tiles(segment.number)
    return segment.start, total, heads, tiles.number * tiles.parts, tokens.length, tiles.tokens, tiles.parts


def _shape(tokens: Tokens, tiles: Tiles) -> Shape:
    device = tokens.q.device
    precision, exact = precision_of(tokens.q.dtype, device), precision_of(torch.float32, device)
    return Shape(tokens.q.shape[-1], tokens.v.shape[-1], tiles.rows, tokens.anchor, precision, exact)


def reads_along(shape: Shape) -> bool:
    """Whether the walk over the tiles reads as well; else it stores its states, and the reads follow for all tiles."""
    return shape.precision == BF16


class _Launch(NamedTuple):
    """Units (BK) and columns (BV) at a time, warps, stages."""

    units: int = 32
    columns: int = 32
    warps: int = 4
    stages: int = 1


_FLOAT32: Final = {
    "prepare": _Launch(units=16), "system": _Launch(units=16, stages=2),
    "states": _Launch(units=16), "reverse": _Launch(units=16), "gradients": _Launch(units=16, columns=16, warps=8),
}  # fmt: skip
_BFLOAT16: Final = {
    "forward": _Launch(stages=2), "states": _Launch(units=64), "reverse": _Launch(units=64),
    "system": _Launch(units=16, stages=2), "gradients": _Launch(units=16, warps=8),
}  # fmt: skip
_BFLOAT16_WIDE: Final = _BFLOAT16 | {
    "forward": _Launch(columns=16, warps=8, stages=2), "states": _Launch(units=128, warps=8),
    "reverse": _Launch(units=64, warps=8),
}  # fmt: skip
"""The largest blocks that compile for sm_80 and sm_90 without spilling (ptxas of Triton 3.7; not timed)."""


def configuration(kernel: str, shape: Shape) -> tuple[dict[str, Any], dict[str, int]]:
    """Constants and launch options of a kernel here, one place for its launches and for `variants`."""
    table = _FLOAT32 if shape.precision != BF16 else _BFLOAT16 if shape.key <= 64 else _BFLOAT16_WIDE
    launch, tile = table.get(kernel, _Launch()), min(shape.rows, 32)
    constants = {"K": shape.key, "V": shape.value, "BC": shape.rows, "BR": tile, "LOG": tile.bit_length() - 1}
    constants |= {"BK": min(shape.key, launch.units), "BV": min(shape.value, launch.columns), "ANCHOR": shape.anchor}
    constants |= {"PRECISION": shape.precision, "EXACT": shape.exact}
    names = set(_KERNELS[kernel].arg_names)
    # A step has no product: as many warps as there are columns and rows for.
    warps = min(4, max(1, shape.key * constants["BV"] // 512)) if kernel == "step" else launch.warps
    options = {"num_warps": warps, "num_stages": launch.stages}
    return {x: c for x, c in constants.items() if x in names}, options


def variants() -> Iterator[Variant]:
    """Configurations of this module's kernels: all of square memories, other tiles' anchors at the most rows alone."""
    for width in (16, 32, 64, 128):
        most = rows_at_most(width, width)
        for rows in (16, 32, 64)[: 3 if most == 64 else 2]:
            for dtype in (torch.float32, torch.bfloat16):
                for anchor in (CHUNK, TOKEN, SPLIT, APART) if rows == most else (CHUNK, TOKEN):
                    device = torch.device("cuda")
                    precisions = precision_of(dtype, device), precision_of(torch.float32, device)
                    yield from variants_of(Shape(width, width, rows, anchor.value, *precisions))


def variants_of(shape: Shape) -> Iterator[Variant]:
    """The kernels that run for one shape, each with the arguments that are absent there."""
    token, apart = shape.anchor == TOKEN.value, shape.anchor == APART.value
    anchor = () if apart else ("anchor",)
    solved = () if token else ("by_weights", "by_momentum", "target")
    inverse = () if token else ("inverse",)
    if shape.anchor in (CHUNK.value, TOKEN.value):
        yield _variant("prepare", shape, (*inverse, "by_y", "into_errors"))
        yield _variant("prepare", shape, (*inverse, "reads"), "backward")
    if token:
        yield _variant("system", shape, ())
        yield _variant("transposed", shape, ())
        yield _variant("output", shape, ())
    if reads_along(shape):
        yield _variant("forward", shape, (*anchor, *solved))
    else:
        yield _variant("states", shape, (*anchor, *solved), "forward")
    yield _variant("states", shape, (*anchor, *solved, "new_weights", "new_momentum"))
    yield _variant("reverse", shape, (*solved[:2], *(() if apart else ("into_anchor",))))
    yield _variant("gradients", shape, anchor)
    if shape.rows == 16:
        yield _variant("step", shape, anchor)


def _variant(name: str, shape: Shape, absent: tuple[str, ...], mode: str = "") -> Variant:
    kernel = _KERNELS[name]
    constants, options = configuration(name, shape)
    dtype = "*bf16" if shape.precision == BF16 else "*fp32"
    signature = {}
    for argument in kernel.arg_names:
        if argument in constants or argument in absent:
            signature[argument] = "constexpr"
        elif argument in SCALARS:
            signature[argument] = "i32"
        elif argument == "mask":
            signature[argument] = "*i1"
        else:
            signature[argument] = dtype if argument in _OF_TOKENS else "*fp32"
    name = f"{name}-{mode}" if mode else name
    label = f"linear/{name}/{dtype[1:]}/K{shape.key}V{shape.value}/BC{shape.rows}/{_ANCHORS[shape.anchor]}"
    return Variant(label, kernel, signature, constants | {x: None for x in absent if x in signature}, options)


_KERNELS: Final = {
    "prepare": prepare_kernel, "system": system_kernel, "transposed": transposed_kernel, "forward": forward_kernel,
    "output": output_kernel, "step": step_kernel, "states": states_kernel,
    "reverse": reverse_kernel, "gradients": gradients_kernel,
}  # fmt: skip
_OF_TOKENS: Final = (
    "q", "k", "v", "y", "by_y", "into_q", "into_k", "into_v", "reads", "by_weights", "by_momentum",
    "by_reads", "by_system",
)  # fmt: skip
_ANCHORS: Final = ("chunk", "split", "apart", "token")
