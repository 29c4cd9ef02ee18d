"""Our own rows of the benchmark, and the check that must pass before one of them is timed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from titans_kernels.bench.shapes import DTYPES, Shape
from titans_kernels.dispatch import explain
from titans_kernels.linear_memory import linear_memory
from titans_kernels.mlp_memory import mlp_memory
from titans_kernels.state import MemoryState

NAMES: Final = ("q", "k", "v", "alpha", "eta", "theta")
REFERENCE, CHUNKED, COMPILED, NATIVE, TRITON = OURS = "reference", "chunked", "chunked-compiled", "native", "triton"
REFERENCE_TOKENS: Final = 64
"""The reference is a loop over tokens whose training keeps the weights of each: it is timed on short sequences only."""
TOLERANCE: Final = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 3e-2}
"""Largest ||out - reference|| / ||reference|| of y, the state and every gradient, the reference in float64."""


class WrongResult(ValueError):
    """An op disagrees with its definition, so its speed means nothing."""


class Job(NamedTuple):
    """One row made ready for one shape.

    Attributes:
        forward: reads the sequence (T=1: one more token, state carried); run it under `torch.no_grad`.
        training: forward and backward of y into every input; None where it cannot run; `note` has the reason.
        note: what differs from the op of this package; empty for our own rows.
        compiles: the first run compiles something, and its time does not count.
    """

    forward: Callable[[], object]
    training: Callable[[], object] | None
    note: str = ""
    compiles: bool = False


class Row(NamedTuple):
    """One implementation.

    Attributes:
        name: as in the table and in `--only`.
        refuse: why it does not run for a shape on a device; empty when it does.
        build: (shape, device, calls) to a job whose forward reads `calls` times T tokens with the state carried.
        package: the distribution it comes from, empty for our own and torch's.
        call: our own op, to be checked before it is timed; None for others.
    """

    name: str
    refuse: Callable[[Shape, torch.device], str]
    build: Callable[[Shape, torch.device, int], Job]
    package: str = ""
    call: Call | None = None


class Inputs(NamedTuple):
    """q, k (B, T, H, K), v (B, T, H, V), the gates (B, T, H) or (B, T, H, L); L weights (B, H, in, out)."""

    tokens: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]


Call = Callable[[Shape, tuple[Tensor, ...], MemoryState], tuple[Tensor, MemoryState]]


def draw(shape: Shape, device: torch.device, seed: int = 0) -> Inputs:
    """Random inputs for which the memory stays bounded over any length: theta <= 0.05 (1 - eta), alpha <= 0.02."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, device=device)

    size = (shape.B, shape.T, shape.H)
    gates = (*size, len(shape.widths) - 1) if shape.op == "mlp" else size
    q, k = (F.normalize(normal(*size, shape.K), dim=-1) for _ in range(2))
    tokens = (x.to(DTYPES[shape.dtype]) for x in (q, k, normal(*size, shape.V)))
    alpha, eta, theta = (torch.rand(gates, generator=generator, device=device) for _ in range(3))
    eta = 0.5 + 0.4 * eta
    weights = (normal(shape.B, shape.H, a, b) / a**0.5 for a, b in itertools.pairwise(shape.widths))
    return Inputs((*tokens, 0.02 * alpha, eta, 0.05 * (1 - eta) * theta), tuple(weights))


def run_op(
    shape: Shape, tokens: tuple[Tensor, ...], state: MemoryState, backend: str | None
) -> tuple[Tensor, MemoryState]:
    """The public op of a shape; when it decodes, the old state is given up."""
    options: dict[str, Any] = {"chunk_size": shape.C, "backend": backend, "reuse_state": shape.decodes}
    q, k, v, alpha, eta, theta = tokens
    if shape.op == "mlp":
        return mlp_memory(q, k, v, alpha, eta, theta, state, residual=shape.K == shape.V, **options)
    anchor = "token" if shape.op == "linear-token" else "chunk"
    return linear_memory(q, k, v, alpha, eta, theta, state, anchor=anchor, **options)


def gradients(y: Tensor, inputs: list[Tensor], seed: Tensor) -> tuple[Tensor | None, ...]:
    """The backward of <y, seed> into the inputs; nothing is accumulated."""
    return torch.autograd.grad(y, inputs, seed, allow_unused=True)


def runs(shape: Shape, device: torch.device) -> str:
    """No reason to refuse."""
    return ""


def _job(shape: Shape, device: torch.device, calls: int, call: Call) -> Job:
    tokens, weights = draw(shape, device)
    state = MemoryState.start(weights)

    def forward() -> Tensor:
        nonlocal state
        state = state if shape.decodes else MemoryState.start(weights)
        for _ in range(calls):
            y, state = call(shape, tokens, state)
        return y

    def training() -> object:
        """A forward and a backward."""
        leaves = [x.detach().requires_grad_() for x in (*tokens, *weights)]
        y, _ = call(shape, tuple(leaves[:6]), MemoryState.start(leaves[6:]))
        return gradients(y, leaves, tokens[2])

    return Job(forward, None if shape.decodes else training)


def _ours(name: str, backend: str, refuse: Callable[[Shape, torch.device], str], compiled: bool = False) -> Row:
    def call(shape: Shape, tokens: tuple[Tensor, ...], state: MemoryState) -> tuple[Tensor, MemoryState]:
        return run_op(shape, tokens, state, backend)

    run = _compile_late(call) if compiled else call

    def build(shape: Shape, device: torch.device, calls: int) -> Job:
        return _job(shape, device, calls, run)._replace(compiles=compiled or backend == "triton")

    return Row(name, refuse, build, call=run)


def _compile_late(call: Call) -> Call:
    """Compiled when first called: torch's compiler alone takes a second to import."""

    @functools.cache
    def compiled() -> Call:
        return torch.compile(call)

    return lambda shape, tokens, state: compiled()(shape, tokens, state)


def _refuse_reference(shape: Shape, device: torch.device) -> str:
    if shape.T <= REFERENCE_TOKENS:
        return ""
    return f"T > {REFERENCE_TOKENS}: a token a step, and training keeps the weights of each"


def _refuse_compiled(shape: Shape, device: torch.device) -> str:
    return "one token a call: nothing to fuse, and it compiles again for each position of a chunk" * shape.decodes


def _refuse_native(shape: Shape, device: torch.device) -> str:
    try:
        explain(device, "native")
    except RuntimeError as error:
        return str(error)
    return ""


def _refuse_triton(shape: Shape, device: torch.device) -> str:
    if device.type != "cuda":
        return f"needs CUDA tensors, these are on {device.type}"
    try:
        explain(device, "triton")
    except RuntimeError as error:
        return str(error)
    return ""


def our_rows(compiled: bool = False) -> tuple[Row, ...]:
    """Reference, chunked, (with `compiled`) compiled chunked, native, triton."""
    middle = (_ours(COMPILED, "torch", _refuse_compiled, compiled=True),) if compiled else ()
    return (
        _ours(REFERENCE, "reference", _refuse_reference),
        _ours(CHUNKED, "torch", runs),
        *middle,
        _ours(NATIVE, "native", _refuse_native),
        _ours(TRITON, "triton", _refuse_triton),
    )


def check(shape: Shape, row: Row, device: torch.device) -> None:
    """Compares one of our rows with the definition in float64: y, the state after the last token, every gradient.

    The widths, C and dtype are the shape's; B=1, H=2 and one and a half chunks keep it to seconds. The sequence is fed
    in three parts with the state carried, the second and third inside a chunk. On the CPU float64 is checked too.

    Raises:
        WrongResult: an error above `TOLERANCE`, or NaN.
    """
    if row.call is None:
        return
    small = shape._replace(B=1, H=2, T=shape.C + shape.C // 2 + 1)
    given = draw(small, device, seed=1)
    expected = _results(small, _double(given), lambda s, tokens, state: run_op(s, tokens, state, "reference"))
    for exact in (True, False) if device.type == "cpu" else (False,):
        found = _results(small, _double(given) if exact else given, row.call)
        allowed = TOLERANCE[torch.float64 if exact else DTYPES[shape.dtype]]
        for name, value in found.items():
            error = _distance(value, expected[name])
            if not error <= allowed:
                raise WrongResult(
                    f"{shape.name}: {row.name} is wrong, so it is not timed: {name} differs from the reference by "
                    f"{error:.1e} of its norm, allowed {allowed:.0e} ({'float64' if exact else shape.dtype})"
                )


def _double(given: Inputs) -> Inputs:
    return Inputs(tuple(x.double() for x in given.tokens), tuple(w.double() for w in given.weights))


def _results(shape: Shape, given: Inputs, call: Call) -> dict[str, Tensor]:
    leaves = [x.detach().requires_grad_() for x in (*given.tokens, *given.weights)]
    state = MemoryState.start(leaves[6:])
    reads = []
    for part in zip(*(x.split([shape.T - 2, 1, 1], 1) for x in leaves[:6]), strict=True):
        y, state = call(shape, part, state)
        reads.append(y)
    results = {"y": torch.cat(reads, 1)}
    for group in ("weights", "momentum"):
        results |= {f"state.{group}[{i}]": w for i, w in enumerate(getattr(state, group))}
    generator = torch.Generator().manual_seed(2)
    # Rounded to the tokens' dtype in every precision: the same linear function of the results is differentiated.
    seeds = [torch.randn(x.shape, generator=generator).to(DTYPES[shape.dtype]).to(x) for x in results.values()]
    grads = torch.autograd.grad(list(results.values()), leaves, seeds)
    names = (*NAMES, *(f"weights[{i}]" for i in range(len(given.weights))))
    return results | {f"the gradient of {name}": grad for name, grad in zip(names, grads, strict=True)}


def _distance(a: Tensor, b: Tensor) -> float:
    return ((a.double() - b).norm() / b.norm().clamp_min(1e-12)).item()
