"""Launchers of the deep memory's kernels (triton_forward.py, triton_backward.py), and every configuration they use.

`B` batch, `T` tokens, `H` heads, `G` = B * H, `K` key and value width, `F` hidden width, `N` chunks of a segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from titans_kernels.mlp_memory import triton_backward as backward_kernels
from titans_kernels.mlp_memory import triton_forward as forward_kernels
from titans_kernels.triton_path.compile_spec import Variant
from titans_kernels.triton_path.dot import BF16, TF32X3, precision_of
from titans_kernels.triton_path.gates import Tiles, empty_gates, gate_backward, gate_forward

WIDTHS: Final = (16, 32, 64)
MAX_ROWS: Final = 128
STEP: Final = 16
"""Tokens up to which a lone chunk without gradient runs in one launch, gates and all."""

_TOKENS: Final = frozenset({"q", "k", "v", "y", "dy", "dq", "dk", "dv"})
_OPERANDS: Final = frozenset(
    {"keys", "active", "first", "queries", "scores", "z", "scaled", "into_output", "into_scores", "into_z"}
    | {"into_upper", "into_hidden", "into_network"}
)
"""Buffers that products read and nothing else: in the tokens' dtype, to which those round anyway. Others: float32."""


class State(NamedTuple):
    """W1 (B, H, K, F), W2 (B, H, F, K) and their momentum, float32, contiguous."""

    w1: Tensor
    w2: Tensor
    s1: Tensor
    s2: Tensor


class Tokens(NamedTuple):
    """Whole chunks: q, k, v (B, T, H, K), rows contiguous; gates (B, T, H, 2), mask (B, T) or None, contiguous."""

    q: Tensor
    k: Tensor
    v: Tensor
    alpha: Tensor
    eta: Tensor
    theta: Tensor
    mask: Tensor | None
    length: int
    residual: bool


class Segment(NamedTuple):
    """`number` chunks from token `start` on."""

    start: int
    number: int


def forward(tokens: Tokens, segment: Segment, state: State, anchor: tuple[Tensor, Tensor] | None, y: Tensor) -> State:
    """Reads and writes a segment into its place of y (B, T, H, K); the state after it."""
    values = _arguments(tokens, segment, state, anchor) | {"y": y}
    values |= _write(tokens, segment, values, keep=False)
    shape = values["shape"]
    values |= _empty(tokens, queries=shape.narrow, scores=shape.pair, z=shape.wide)
    _launch(forward_kernels.read_kernel, shape.groups * segment.number, tokens, values)
    return _state_at(values["states"], -1, state)


def step(tokens: Tokens, state: State, anchor: tuple[Tensor, Tensor] | None, y: Tensor) -> State:
    """`forward` for a single chunk of at most STEP tokens in one launch."""
    values = _arguments(tokens, Segment(0, 1), state, anchor) | {"y": y}
    shape = values["shape"]
    values |= empty_gates(tokens.alpha, Tiles(1, tokens.length))._asdict()
    new = State(*(torch.empty_like(x) for x in state))
    values |= dict(zip(("to1", "to2", "past1", "past2"), new, strict=True))
    values |= dict(alpha=tokens.alpha, eta=tokens.eta, theta=tokens.theta)
    values |= _empty(tokens, **shape.written(keep=False), queries=shape.narrow, scores=shape.pair, z=shape.wide)
    _launch(forward_kernels.step_kernel, shape.groups, tokens, values)
    return new


def backward(
    tokens: Tokens,
    segment: Segment,
    state: State,
    anchor: tuple[Tensor, Tensor] | None,
    dy: Tensor,
    into: State,
    into_anchor: tuple[Tensor, Tensor] | None,
    out: tuple[Tensor, ...],
) -> State:
    """The backward of `forward`: what reaches the state before the segment.

    Args:
        dy: (B, T, H, K), contiguous.
        into: what reaches the state after the segment.
        into_anchor: where what reaches the anchor goes, if there is one.
        out: the gradients by q, k, v, alpha, eta, theta, contiguous, whose segment is written.
    """
    values = _arguments(tokens, segment, state, anchor) | {"dy": dy}
    values |= _write(tokens, segment, values, keep=True)
    shape, grid = values["shape"], values["shape"].groups * segment.number
    tiles = Tiles(segment.number, tokens.length)
    into_gates = empty_gates(tokens.alpha, tiles)
    values |= {f"into_{name}": x for name, x in into_gates._asdict().items()}
    values |= _empty(tokens, **shape.read_backward())
    _launch(backward_kernels.read_backward_kernel, grid, tokens, values)
    _launch(backward_kernels.second_layer_kernel, grid, tokens, values)
    values |= dict(zip(("dq", "dk", "dv"), out, strict=False))
    _launch(backward_kernels.first_layer_kernel, grid, tokens, values)
    values |= dict(zip(("dw1", "dw2", "ds1", "ds2"), into, strict=True)) | {"separate": int(anchor is not None)}
    values |= dict(zip(("into_anchor1", "into_anchor2"), into_anchor or into[:2], strict=True))
    # The first layer's queries are done with: their buffer is free.
    values |= _empty(tokens, **shape.write_backward()) | {"into_hidden": values["into_z"]}
    _launch(backward_kernels.write_backward_kernel, shape.groups, tokens, values)
    _launch(backward_kernels.coefficients_kernel, grid, tokens, values)
    gates = tokens.alpha, tokens.eta, tokens.theta, tokens.mask
    gate_backward(*gates, segment.start, tiles, into_gates, (out[3], out[4], out[5]))
    return _state_at(values["into_state"], 0, state)


class _Shape(NamedTuple):
    """Shapes of the buffers of a segment."""

    groups: int
    number: int
    rows: int
    width: int
    hidden: int

    @property
    def narrow(self) -> tuple[int, ...]:
        return (self.groups, self.number, self.rows, self.width)

    @property
    def wide(self) -> tuple[int, ...]:
        return (self.groups, self.number, self.rows, self.hidden)

    @property
    def square(self) -> tuple[int, ...]:
        return (self.groups, self.number, self.rows, self.rows)

    @property
    def pair(self) -> tuple[int, ...]:
        return (*self.square, 2)

    @property
    def states(self) -> tuple[int, ...]:
        return (self.number, 4, self.groups, self.width * self.hidden)

    def written(self, keep: bool) -> dict[str, tuple[int, ...]]:
        """What `states_kernel` leaves; with `keep` also what the backward needs."""
        hidden = self.wide if keep else (self.groups, self.rows, self.hidden)
        upper = self.wide if keep else (0,)
        scaled = (self.groups, 4, self.rows, self.width)
        narrow = dict.fromkeys(("keys", "outputs", "errors"), self.narrow)
        return {
            **narrow,
            **dict.fromkeys(("active", "first"), self.wide),
            "hidden": hidden,
            "upper": upper,
            "scaled": scaled,
        }

    def read_backward(self) -> dict[str, tuple[int, ...]]:
        """Buffers of the reads' backward."""
        wide = ("z", "before", "into_z", "into_active", "into_first")
        output, scaled = (*self.narrow, 3), (*self.narrow, 2)
        narrow = dict.fromkeys(("queries", "into_errors", "into_keys"), self.narrow)
        rest = {"scores": self.pair, "into_scores": self.square, "into_output": output, "scaled": scaled}
        return {**narrow, **dict.fromkeys(wide, self.wide), **rest, "into_state": self.states}

    def write_backward(self) -> dict[str, tuple[int, ...]]:
        """Buffers of the writes' backward."""
        return {
            "into_upper": (self.groups, self.rows, self.hidden),
            "into_network": (self.groups, self.rows, self.width),
        }


def _arguments(tokens: Tokens, segment: Segment, state: State, anchor: tuple[Tensor, Tensor] | None) -> dict[str, Any]:
    """What the kernels take of a call, by the names of their arguments; `shape` is for the launchers."""
    batch, count, heads, width = tokens.q.shape
    hidden, groups = state.w1.shape[-1], batch * heads
    values: dict[str, Any] = {"q": tokens.q, "k": tokens.k, "v": tokens.v, "mask": tokens.mask, **state._asdict()}
    for name in "qkv":
        values |= dict(zip((f"{name}_b", f"{name}_t", f"{name}_h"), values[name].stride(), strict=False))
    values |= dict(zip(("key1", "key2"), anchor or state[:2], strict=True))
    values |= {"start": segment.start, "T": count, "H": heads, "N": segment.number, "n": tokens.length}
    shape = _Shape(groups, segment.number, Tiles(1, tokens.length).rows, width, hidden)
    return values | {"G": groups, "F": hidden, "shape": shape}


def _write(tokens: Tokens, segment: Segment, values: dict[str, Any], keep: bool) -> dict[str, Any]:
    """Gates and states of a segment: the buffers by name; `keep` for the backward."""
    shape = values["shape"]
    tiles = Tiles(segment.number, tokens.length)
    gates = gate_forward(tokens.alpha, tokens.eta, tokens.theta, tokens.mask, segment.start, tiles)
    new = {**gates._asdict(), **_empty(tokens, **shape.written(keep), states=shape.states)}
    _launch(forward_kernels.states_kernel, shape.groups, tokens, values | new, UPPER=keep)
    return new


def _empty(tokens: Tokens, **shapes: tuple[int, ...]) -> dict[str, Tensor]:
    q = tokens.q
    dtypes = {name: q.dtype if name in _OPERANDS else torch.float32 for name in shapes}
    return {name: torch.empty(shape, dtype=dtypes[name], device=q.device) for name, shape in shapes.items()}


def _state_at(states: Tensor, chunk: int, like: State) -> State:
    """One chunk's state out of (N, 4, G, K * F)."""
    w1, w2, s1, s2 = (x.clone().view(y.shape) for x, y in zip(states[chunk], like, strict=True))
    return State(w1, w2, s1, s2)


def _launch(kernel: Any, grid: int, tokens: Tokens, values: dict[str, Any], **flags: bool) -> None:
    shape = values["shape"]
    precision = precision_of(tokens.q.dtype, tokens.q.device)
    exact = precision_of(torch.float32, tokens.q.device)
    constants, options = configuration(kernel, shape.width, shape.rows, precision, exact, tokens.residual)
    constants |= flags
    named = {name: values[name] for name in kernel.arg_names if name not in constants}
    kernel[(grid,)](**named, **{n: x for n, x in constants.items() if n in kernel.arg_names}, **options)


def configuration(
    kernel: Any, width: int, rows: int, precision: int, exact: int, residual: bool
) -> tuple[dict[str, Any], dict[str, int]]:
    """Constants and launch options of a kernel: tiles that spill nothing on sm_80 and sm_90 (triton 3.6, 3.7)."""
    name = kernel.__name__
    block, piece = (min(32, width), width) if precision == BF16 else (16, 16)
    if name == "step_kernel" or (name == "states_kernel" and rows == MAX_ROWS):
        piece = min(32, width)
    large = name == "first_layer_kernel" or (width == rows == 64 and name in ("read_kernel", "read_backward_kernel"))
    at_once = 32 if large and precision != BF16 else 64
    constants = {"K": width, "BC": rows, "BR": min(at_once, rows), "BF": block, "BK": piece, "BT": min(piece, rows)}
    constants |= {"RESIDUAL": residual, "PRECISION": precision, "EXACT": exact}
    # Left to itself ptxas spills a little rather than hold fewer programs at a time. AMD's compiler has no such option.
    crowded = name == "write_backward_kernel" and width == 64 and rows == 32 and precision == BF16
    options = {"num_warps": 4 if rows <= 32 and not crowded else 8, "num_stages": 1}
    return constants, options if torch.version.hip else {**options, "maxnreg": 255}


def variants() -> Iterator[Variant]:
    """Every configuration of every kernel on an NVIDIA GPU; with a mask where the memory has the residual."""
    kernels: tuple[tuple[Any, dict[str, bool]], ...] = (
        (forward_kernels.states_kernel, {"UPPER": False}),
        (forward_kernels.states_kernel, {"UPPER": True}),
        (forward_kernels.read_kernel, {}),
        (forward_kernels.step_kernel, {}),
        (backward_kernels.read_backward_kernel, {}),
        (backward_kernels.second_layer_kernel, {}),
        (backward_kernels.first_layer_kernel, {}),
        (backward_kernels.write_backward_kernel, {}),
        (backward_kernels.coefficients_kernel, {}),
    )
    for kernel, flags in kernels:
        for rows in (16,) if kernel is forward_kernels.step_kernel else (16, 32, 64, 128):
            for width in WIDTHS:
                for dtype in ("bf16", "fp32"):
                    yield from _variants_of(kernel, flags, rows, width, dtype)


def _variants_of(kernel: Any, flags: dict[str, bool], rows: int, width: int, dtype: str) -> Iterator[Variant]:
    names = kernel.arg_names
    for residual in (True, False) if "RESIDUAL" in names else (True,):
        for masked in (False, True) if "mask" in names and residual else (False,):
            precision = BF16 if dtype == "bf16" else TF32X3
            constants, options = configuration(kernel, width, rows, precision, TF32X3, residual)
            constants = {n: x for n, x in {**constants, **flags}.items() if n in names}
            signature = {n: "constexpr" if n in constants else _type_of(n, dtype, masked) for n in names}
            if "mask" in names and not masked:
                constants["mask"] = None
            tags = [f"K{width}", f"BC{rows}", dtype, *([] if residual else ["plain"]), *(["mask"] if masked else [])]
            tags += [n.lower() for n, on in flags.items() if on]
            yield Variant(f"mlp/{kernel.__name__}/{'/'.join(tags)}", kernel, signature, constants, options)


def _type_of(name: str, dtype: str, masked: bool) -> str:
    if name in forward_kernels.SIZES:
        return "i32"
    if name == "mask":
        return "*i1" if masked else "constexpr"
    return f"*{dtype}" if name in _TOKENS or name in _OPERANDS else "*fp32"
