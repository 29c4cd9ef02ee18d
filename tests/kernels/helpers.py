"""Random sequences for the memory ops, and the comparison of two backends with every outer gradient.

`B` batch, `T` tokens, `H` heads, `K`, `V` key and value width, `L` layers of the memory, `C` chunk length.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from titans_kernels import MemoryState, linear_memory, mlp_memory

NAMES = ("q", "k", "v", "alpha", "eta", "theta")


class Case(NamedTuple):
    """Inputs of an op in its own order, and the memory's weights at the start."""

    tokens: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    def cut(self, start: int, stop: int) -> tuple[Tensor, ...]:
        return tuple(x[:, start:stop] for x in self.tokens)

    def replace(self, **changes: Tensor | float) -> Case:
        new = [
            x if n not in changes else torch.as_tensor(changes[n], dtype=x.dtype).expand_as(x).clone()
            for n, x in zip(NAMES, self.tokens, strict=True)
        ]
        return Case(tuple(new), self.weights)


def make_case(
    widths: tuple[int, ...],
    tokens: int,
    *,
    seed: int = 0,
    batch: int = 2,
    heads: int = 2,
    dtype: torch.dtype = torch.float64,
    linear: bool = False,
    theta: float = 0.05,
    alpha: float = 0.1,
) -> Case:
    """`widths` (K, hidden ..., V); alpha, eta, theta uniform in (0, alpha), (0, 1), (0, theta (1 - eta) * 2)."""
    g = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    shape = (batch, tokens, heads)
    gates = shape if linear else (*shape, len(widths) - 1)
    q, k = (F.normalize(normal(*shape, widths[0]), dim=-1) for _ in range(2))
    v, eta = normal(*shape, widths[-1]), uniform(*gates)
    step = 2 * theta * (1 - eta) * uniform(*gates)
    drawn = (q, k, v, alpha * uniform(*gates), eta, step)
    weights = [normal(batch, heads, i, o) / i**0.5 for i, o in itertools.pairwise(widths)]
    return Case(tuple(x.to(dtype) for x in drawn), tuple(w.to(dtype) for w in weights))


def call(case: Case, state: MemoryState | None = None, **options: Any) -> tuple[Tensor, MemoryState]:
    """The op that fits the case's gates, from the case's weights unless a state is given."""
    op = linear_memory if case.tokens[3].dim() == 3 else mlp_memory
    return op(*case.tokens, MemoryState.start(case.weights) if state is None else state, **options)


def outputs_and_gradients(case: Case, state: MemoryState | None = None, **options: Any) -> dict[str, Tensor]:
    """y, the end state, and the gradient of a random linear function of all of them by every input."""
    state = MemoryState.start(case.weights) if state is None else state
    inputs = {n: x.clone().requires_grad_() for n, x in zip(NAMES, case.tokens, strict=True)}
    groups = {n: tuple(w.clone().requires_grad_() for w in getattr(state, n)) for n in ("weights", "momentum")}
    if state.position:
        groups["anchor"] = tuple(w.clone().requires_grad_() for w in state.anchor)
    leaves = {**inputs, **{f"{n}{i}": w for n, group in groups.items() for i, w in enumerate(group)}}
    begin = MemoryState(groups["weights"], groups["momentum"], groups.get("anchor", groups["weights"]), state.position)
    y, end = call(Case(tuple(inputs.values()), ()), begin, **options)
    results = {"y": y, **named_state(end)}
    g = torch.Generator().manual_seed(1)
    loss = sum((x * torch.randn(x.shape, generator=g, dtype=torch.float64)).sum() for x in results.values())
    assert isinstance(loss, Tensor)
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return {**results, **{f"d {n}": grad for n, grad in zip(leaves, grads, strict=True)}}


def named_state(state: MemoryState) -> dict[str, Tensor]:
    return {f"{n}[{i}]": w for n in ("weights", "momentum", "anchor") for i, w in enumerate(getattr(state, n))}


def distance(a: Tensor, b: Tensor) -> float:
    """Norm of the difference, relative to b."""
    assert a.shape == b.shape
    assert torch.isfinite(b).all()
    return ((a - b).norm() / b.norm().clamp_min(1e-12)).item()


def assert_close(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float) -> None:
    assert a.keys() == b.keys()
    errors = {n: distance(a[n], b[n]) for n in a}
    wrong = {n: e for n, e in errors.items() if not e <= tolerance}
    assert not wrong, wrong
