"""What is timed, as data, and what it must cost: shapes, operation and byte counts, floors.

`B` batch, `T` tokens, `H` heads, `K`, `V` key and value width, `F` hidden width of the memory (0: linear), `C` chunk.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import torch

OPS: Final = ("linear", "linear-token", "mlp")
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Shape(NamedTuple):
    """One line of the table. `op` is one of `OPS` ("linear": chunk anchor, "linear-token": exact recurrence)."""

    name: str
    op: str
    B: int
    H: int
    K: int
    V: int
    F: int
    T: int
    C: int
    dtype: str = "float32"

    @property
    def widths(self) -> tuple[int, ...]:
        """(K, F, V), or (K, V) for a linear memory."""
        return (self.K, self.F, self.V) if self.F else (self.K, self.V)

    @property
    def decodes(self) -> bool:
        """One token a call, state carried: generation."""
        return self.T == 1

    def describe(self) -> str:
        """One line for people."""
        anchor = {"linear": ", chunk anchor", "linear-token": ", token anchor"}.get(self.op, "")
        memory = f"memory {'-'.join(map(str, self.widths))}{anchor}"
        return f"{self.name}: {memory}, batch {self.B}, {self.H} heads, T={self.T}, C={self.C}, {self.dtype}"


CPU: Final = (
    Shape("mlp-t64", "mlp", 2, 4, 64, 64, 256, 64, 16),
    Shape("mlp-c64-1k", "mlp", 2, 4, 64, 64, 256, 1024, 64),
    Shape("mlp-c16-1k", "mlp", 2, 4, 64, 64, 256, 1024, 16),
    Shape("mlp-c64-4k", "mlp", 2, 4, 64, 64, 256, 4096, 64),
    Shape("mlp-c16-4k", "mlp", 2, 4, 64, 64, 256, 4096, 16),
    Shape("mlp-decode", "mlp", 2, 4, 64, 64, 256, 1, 64),
    Shape("mlp-decode-b1", "mlp", 1, 4, 64, 64, 256, 1, 64),
    Shape("linear-t64", "linear", 2, 4, 64, 64, 0, 64, 64),
    Shape("linear-1k", "linear", 2, 4, 64, 64, 0, 1024, 64),
    Shape("linear-4k", "linear", 2, 4, 64, 64, 0, 4096, 64),
    Shape("linear-token-1k", "linear-token", 2, 4, 64, 64, 0, 1024, 64),
    Shape("linear-token-4k", "linear-token", 2, 4, 64, 64, 0, 4096, 64),
    Shape("linear-decode", "linear-token", 2, 4, 64, 64, 0, 1, 64),
    Shape("linear-decode-b1", "linear-token", 1, 4, 64, 64, 0, 1, 64),
)
GPU: Final = (
    Shape("gpu-linear", "linear", 8, 16, 64, 64, 0, 8192, 64, "bfloat16"),
    Shape("gpu-linear-token", "linear-token", 8, 16, 64, 64, 0, 8192, 64, "bfloat16"),
    Shape("gpu-mlp-128", "mlp", 8, 16, 64, 64, 128, 8192, 64, "bfloat16"),
    Shape("gpu-mlp-256", "mlp", 8, 16, 64, 64, 256, 8192, 64, "bfloat16"),
    Shape("gpu-mlp-256-c16", "mlp", 8, 16, 64, 64, 256, 8192, 16, "bfloat16"),
    Shape("gpu-linear-decode", "linear-token", 8, 16, 64, 64, 0, 1, 64, "bfloat16"),
    Shape("gpu-mlp-decode", "mlp", 8, 16, 64, 64, 256, 1, 64, "bfloat16"),
)
TINY: Final = (
    Shape("tiny-mlp", "mlp", 1, 2, 8, 8, 16, 24, 8),
    Shape("tiny-linear", "linear-token", 1, 2, 8, 8, 0, 24, 8),
    Shape("tiny-decode", "mlp", 1, 2, 8, 8, 16, 1, 8),
)
SETS: Final = {"cpu": CPU, "gpu": GPU, "tiny": TINY}


def choose(names: Sequence[str] | None, device: str) -> tuple[Shape, ...]:
    """The shapes of these names, in this order; a set's name stands for the set; None is the device's set.

    Raises:
        ValueError: an unknown name; the text lists the known ones.
    """
    if not names:
        return CPU if device == "cpu" else GPU
    known: dict[str, tuple[Shape, ...]] = {shape.name: (shape,) for shape in itertools.chain(*SETS.values())} | SETS
    unknown = [name for name in names if name not in known]
    if unknown:
        choices = [name for name in known if not name.startswith("tiny")]
        raise ValueError(f"no shape named {unknown[0]!r}: choose among {', '.join(choices)}")
    return tuple(dict.fromkeys(shape for name in names for shape in known[name]))


class Count(NamedTuple):
    """Operations of the matrix products (a multiply-add counts 2) and bytes that must cross the memory bus."""

    flops: int
    bytes: int

    def floor(self, flops_per_second: float, bytes_per_second: float) -> float:
        """Seconds under which no version can run: the slower of arithmetic and traffic, both at full rate."""
        return max(self.flops / flops_per_second, self.bytes / bytes_per_second)


def chunk_lengths(shape: Shape) -> Iterator[int]:
    """Tokens of each chunk, the last one may be shorter."""
    for start in range(0, shape.T, shape.C):
        yield min(shape.C, shape.T - start)


def forward_flops(shape: Shape) -> int:
    """Operations of the chunk form, forward.

    One memory, one chunk of n tokens, a layer of `in` x `out` (an entry of a product is 2 operations a term):

        key side     k W_anchor                              2 n in out    (token anchor: k W_0 and k S_0, 4 n in out)
        errors       delta W^T, not in the first layer       2 n in out
        query side   z W_0 and z S_0                         4 n in out
        attention    z a^T and its product with delta        2 p (in + out), p = n (n + 1) / 2 pairs i <= t
        write        a^T delta into W and into S             4 n in out
        token anchor (I - 2 tril(K K^T o write)) E = ...     2 p' (in + out), p' = n (n - 1) / 2 pairs i < t

    Everything else is elementwise (gates: c[t] = (1 - alpha_t) c[t-1] + H[t] is 3 operations a pair) and not counted;
    nor are the upper triangles, which a kernel multiplies too where it works on whole tiles.
    """
    total = 0
    for n in chunk_lengths(shape):
        pairs, below = n * (n + 1) // 2, n * (n - 1) // 2
        for layer, (a, b) in enumerate(itertools.pairwise(shape.widths)):
            products = 10 + 2 * (layer > 0) + 2 * (shape.op == "linear-token")
            total += products * n * a * b + 2 * pairs * (a + b)
            total += 2 * below * (a + b) if shape.op == "linear-token" else 0
    return total * shape.B * shape.H


def forward_bytes(shape: Shape) -> int:
    """Every input read once, every output written once: q, k, v, y in the tokens' dtype, gates and states in float32.

    The state is weights and momentum, read at the start and written at the end. The states between chunks are not
    counted: a kernel may keep them on the chip.
    """
    return _tokens(shape) * (2 * shape.K + 2 * shape.V) * _item(shape) + _gates(shape) + 2 * _state(shape)


def backward_bytes(shape: Shape) -> int:
    """Inputs and y's gradient read again, gradients of q, k, v, gates and of the state at the start written.

    Nothing the forward computed is counted: it can be computed again.
    """
    inputs = _tokens(shape) * (2 * shape.K + 2 * shape.V) * _item(shape) + _gates(shape) + 2 * _state(shape)
    gradients = _tokens(shape) * (2 * shape.K + shape.V) * _item(shape) + _gates(shape) + _state(shape)
    return inputs + gradients


def forward_count(shape: Shape) -> Count:
    """Operations and bytes of one forward call."""
    return Count(forward_flops(shape), forward_bytes(shape))


def training_count(shape: Shape) -> Count:
    """Forward and backward.

    Each product of the forward has two factors and so two products of the same size in the backward: three times the
    forward. What a version computes a second time instead of keeping it is not counted.
    """
    return Count(3 * forward_flops(shape), forward_bytes(shape) + backward_bytes(shape))


def _tokens(shape: Shape) -> int:
    return shape.B * shape.T * shape.H


def _item(shape: Shape) -> int:
    return DTYPES[shape.dtype].itemsize


def _gates(shape: Shape) -> int:
    """alpha, eta, theta: one each per token, head and layer, float32."""
    return 3 * _tokens(shape) * (len(shape.widths) - 1) * 4


def _state(shape: Shape) -> int:
    """Weights and momentum, float32."""
    return 2 * shape.B * shape.H * sum(a * b for a, b in itertools.pairwise(shape.widths)) * 4
