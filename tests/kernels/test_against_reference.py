"""The chunk form against the definition (token loop, inner gradient by autograd): float64, every outer gradient."""

from __future__ import annotations

import pytest
import torch

from tests.kernels.helpers import NAMES, Case, assert_close, call, make_case, outputs_and_gradients
from titans_kernels import MemoryState, mlp_read

TOLERANCE = 1e-10


def compare(case: Case, state: MemoryState | None = None, **options: object) -> None:
    chunked = outputs_and_gradients(case, state, backend="torch", **options)
    reference = outputs_and_gradients(case, state, backend="reference", **options)
    assert_close(chunked, reference, TOLERANCE)


@pytest.mark.parametrize("anchor", ["chunk", "token"])
@pytest.mark.parametrize("tokens", [1, 7, 63, 64, 65])
def test_linear(tokens: int, anchor: str) -> None:
    compare(make_case((4, 3), tokens, linear=True), chunk_size=64 if tokens > 7 else 4, anchor=anchor)


@pytest.mark.parametrize("tokens", [1, 7, 63, 64, 65])
def test_mlp_lengths(tokens: int) -> None:
    compare(make_case((4, 8, 4), tokens), chunk_size=16)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("widths", [(4, 4), (4, 4, 4), (4, 8, 4), (4, 16, 4), (4, 8, 8, 4), (4, 6, 8, 4, 4)])
def test_mlp_depths_and_widths(widths: tuple[int, ...], residual: bool) -> None:
    compare(make_case(widths, 21, seed=len(widths)), chunk_size=8, residual=residual)


def test_mlp_plain_network_may_change_the_width() -> None:
    compare(make_case((4, 5, 3), 11), chunk_size=4, residual=False)


@pytest.mark.parametrize("anchor", ["chunk", "token"])
def test_linear_long(anchor: str) -> None:
    compare(make_case((3, 3), 500, linear=True, batch=1, heads=1), anchor=anchor)


def test_mlp_long() -> None:
    compare(make_case((3, 6, 3), 500, batch=1, heads=1, theta=0.01), chunk_size=64)


@pytest.mark.parametrize("tokens", [2, 3, 4, 20])
def test_state_in_the_middle_of_a_chunk(tokens: int) -> None:
    """Weights, momentum and anchor all differ, and the outer gradient reaches each of them."""
    case = make_case((4, 6, 4), tokens, seed=3)
    parts = [make_case((4, 6, 4), 1, seed=s).weights for s in (4, 5)]
    compare(case, MemoryState(case.weights, parts[0], parts[1], 5), chunk_size=8)


@pytest.mark.parametrize("anchor", ["chunk", "token"])
def test_linear_with_momentum_at_the_start(anchor: str) -> None:
    case = make_case((4, 3), 13, linear=True)
    momentum = make_case((4, 3), 1, seed=8).weights
    compare(case, MemoryState(case.weights, momentum, case.weights, 0), chunk_size=4, anchor=anchor)


@pytest.mark.parametrize("widths", [(4, 4), (4, 8, 4)])
@pytest.mark.parametrize("anchor", ["chunk", "token"])
def test_masked_tokens(widths: tuple[int, ...], anchor: str) -> None:
    mask = torch.rand(2, 21, generator=torch.Generator().manual_seed(0)) < 0.6
    linear = len(widths) == 2
    options = {"anchor": anchor} if linear else {}
    compare(make_case(widths, 21, linear=linear), chunk_size=8, mask=mask, **options)


@pytest.mark.parametrize("name", ["alpha", "eta", "theta"])
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("linear", [True, False])
def test_gates_at_the_ends_of_their_range(name: str, value: float, linear: bool) -> None:
    """Exactly 0 and 1, where a product of gates written with logarithms or divisions has no derivative."""
    if name == "theta":
        value *= 0.01
    case = make_case((4, 4) if linear else (4, 6, 4), 11, linear=linear, theta=0.01)
    gate = case.tokens[NAMES.index(name)].clone()
    gate[:, ::2] = value
    compare(case.replace(**{name: gate}), chunk_size=8)


def test_outer_gradient_by_finite_differences() -> None:
    """The outer gradient against numbers alone: no autograd in the check."""
    case = make_case((3, 4, 3), 6, batch=1, heads=1)
    tensors = tuple(x.clone().requires_grad_() for x in (*case.tokens, *case.weights))

    def read(*xs: torch.Tensor) -> torch.Tensor:
        return call(Case(xs[:6], xs[6:]), chunk_size=4)[0]

    assert torch.autograd.gradcheck(read, tensors)


def test_second_outer_derivatives() -> None:
    """The written-out backwards can be differentiated again."""
    case = make_case((2, 3, 2), 3, batch=1, heads=1)
    tensors = tuple(x.clone().requires_grad_() for x in (*case.tokens, *case.weights))

    def read(*xs: torch.Tensor) -> torch.Tensor:
        return call(Case(xs[:6], xs[6:]), chunk_size=2)[0]

    assert torch.autograd.gradgradcheck(read, tensors, atol=1e-5)


@pytest.mark.parametrize("residual", [True, False])
def test_read_alone_is_the_op_that_writes_nothing(residual: bool) -> None:
    case = make_case((4, 8, 4), 9).replace(alpha=0.0, theta=0.0)
    y, _ = call(case, residual=residual)
    torch.testing.assert_close(mlp_read(case.tokens[0], case.weights, residual), y, rtol=1e-12, atol=1e-12)
