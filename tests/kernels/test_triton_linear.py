"""The Triton linear memory against the chunk form in torch in float64: forward, every gradient, splits, masks, dtypes.

Without a GPU the kernels run in Triton's interpreter, on tensors of the CPU.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.helpers import Case, call, distance, make_case, named_state, outputs_and_gradients
from titans_kernels import MemoryState, linear_memory
from titans_kernels.inputs import MemoryInputs
from titans_kernels.torch_path.gates import Coefficients, coefficients

operators = pytest.importorskip("titans_kernels.linear_memory.operators", reason="Triton is not installed")
if torch.cuda.is_available():
    pytest.skip("the interpreter needs a machine without a GPU", allow_module_level=True)

# Gates of exactly 0: the kernel takes a logarithm that it then does not use.
pytestmark = pytest.mark.filterwarnings("ignore:divide by zero encountered in log")

FLOOR = 4e-7
"""A few roundings of float32: below it the two backends' errors are chance."""


def float32(case: Case) -> Case:
    return Case(tuple(x.float() for x in case.tokens), tuple(w.float() for w in case.weights))


def mid_chunk(case: Case, position: int) -> MemoryState:
    """A state that stands in the middle of its chunk, momentum and anchor included."""
    g = torch.Generator().manual_seed(7)
    momentum, anchor = (
        tuple(torch.randn(w.shape, generator=g, dtype=torch.float64).to(w.dtype) / 4 for w in case.weights)
        for _ in range(2)
    )
    return MemoryState(case.weights, momentum, anchor, position)


def assert_as_good_as_torch(case: Case, position: int = 0, **options: Any) -> None:
    """The kernels lose at most twice what the same chunk form loses in float32."""

    def run(case: Case, backend: str) -> dict[str, Tensor]:
        state = mid_chunk(case, position) if position else None
        return outputs_and_gradients(case, state, backend=backend, **options)

    exact, plain, ours = run(case, "torch"), run(float32(case), "torch"), run(float32(case), "triton")
    assert exact.keys() == ours.keys()
    wrong = {}
    for name, value in exact.items():
        error = distance(ours[name].double(), value)
        if not error <= 2 * distance(plain[name].double(), value) + FLOOR:
            wrong[name] = error
    assert not wrong, wrong


@pytest.mark.parametrize("anchor", ["chunk", "token"])
@pytest.mark.parametrize(
    ("tokens", "size", "widths"),
    [
        (1, 16, (16, 16)),
        (7, 16, (16, 16)),
        (17, 16, (16, 16)),
        (33, 16, (16, 32)),
        (36, 36, (32, 32)),
        (17, 17, (32, 64)),
    ],
)
def test_forward_and_gradients(anchor: str, tokens: int, size: int, widths: tuple[int, int]) -> None:
    case = make_case(widths, tokens, linear=True, batch=1, heads=1)
    assert_as_good_as_torch(case, anchor=anchor, chunk_size=size)


@pytest.mark.parametrize(("tokens", "size", "position"), [(52, 49, 0), (40, 50, 3)])
def test_chunks_longer_than_a_tile(tokens: int, size: int, position: int) -> None:
    case = make_case((16, 16), tokens, linear=True, batch=1, heads=1)
    assert_as_good_as_torch(case, position, chunk_size=size)


@pytest.mark.parametrize("tokens", [3, 11, 30])
def test_from_the_middle_of_a_chunk(tokens: int) -> None:
    case = make_case((16, 16), tokens, linear=True, batch=2, heads=1)
    assert_as_good_as_torch(case, 5, chunk_size=16)


@pytest.mark.parametrize("anchor", ["chunk", "token"])
def test_mask(anchor: str) -> None:
    case = make_case((16, 16), 20, linear=True, batch=2, heads=1)
    mask = torch.rand(2, 20, generator=torch.Generator().manual_seed(2)) < 0.6
    assert_as_good_as_torch(case, mask=mask, anchor=anchor, chunk_size=17)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("anchor", ["chunk", "token"])
def test_nothing_behind_a_mask_is_read(anchor: str, dtype: torch.dtype) -> None:
    case = float32(make_case((16, 16), 20, linear=True, batch=2, heads=1))
    mask = torch.rand(2, 20, generator=torch.Generator().manual_seed(2)) < 0.6
    q, k, v, *gates = (*(x.to(dtype) for x in case.tokens[:3]), *(x[..., None] for x in case.tokens[3:]))
    hidden = ~mask[..., None, None]
    dirty = [x.masked_fill(hidden, torch.nan) for x in (k, v, *gates)]
    results = []
    for tensors in ((q, k, v, *gates), (q, *dirty)):
        leaves = [x.detach().requires_grad_() for x in tensors]
        state = MemoryState.start(case.weights)
        y, end = operators.linear_memory(MemoryInputs(*leaves, mask), state, 17, anchor)
        grads = torch.autograd.grad(y.float().sin().sum() + end.momentum[0].sum(), leaves)
        assert not any(g[~mask].any() for g in grads[1:])
        results.append([y, *end.weights, *end.momentum, *grads])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(("anchor", "tokens", "size"), [("chunk", 51, 17), ("token", 51, 17), ("chunk", 15, 5)])
def test_segments(anchor: str, tokens: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three chunks in segments of two and in one: the states kept at segment starts carry everything."""
    case = float32(make_case((16, 16), tokens, linear=True, batch=1, heads=1))
    options = {"anchor": anchor, "chunk_size": size, "backend": "triton"}
    whole = outputs_and_gradients(case, **options)
    monkeypatch.setattr(operators, "stride_of", lambda number: 2)
    for name, value in outputs_and_gradients(case, **options).items():
        assert torch.equal(value, whole[name]), name


def test_no_grad_keeps_nothing() -> None:
    case = float32(make_case((16, 16), 40, linear=True, batch=1, heads=1))
    arguments = operator_arguments(case, 20)
    *_, kept, _ = torch.ops.titans.linear_memory(*arguments, False)
    assert kept.shape == (1, 0, 1, 16, 16)
    with torch.no_grad():
        y, end = call(case, backend="triton", chunk_size=20)
    again, _ = call(case, backend="triton", chunk_size=20)
    assert torch.equal(y, again) and not y.requires_grad and end.position == 0


def test_nan_stays_in_its_batch_element() -> None:
    case = float32(make_case((16, 16), 20, linear=True, batch=2, heads=1))
    clean = outputs_and_gradients(case, backend="triton", anchor="token", chunk_size=20)
    dirty = Case(tuple(x.clone() for x in case.tokens), case.weights)
    for x in dirty.tokens:
        x[0, 4] = torch.nan
    for name, value in outputs_and_gradients(dirty, backend="triton", anchor="token", chunk_size=20).items():
        assert value[0].isnan().any(), name
        assert torch.equal(value[1], clean[name][1]), name


@pytest.mark.parametrize(
    ("alpha", "eta", "theta"), [(0.0, 0.0, 0.1), (0.0, 1.0, 0.01), (1.0, 0.0, 0.1), (1.0, 1.0, 0.0)]
)
def test_gates_of_exactly_0_and_1(alpha: float, eta: float, theta: float) -> None:
    case = make_case((16, 16), 18, linear=True, batch=1, heads=1).replace(alpha=alpha, eta=eta, theta=theta)
    assert_as_good_as_torch(case, anchor="token", chunk_size=18)


@pytest.mark.parametrize(("dtype", "margin"), [(torch.float32, 1), (torch.bfloat16, 16)])
def test_strided_and_expanded(dtype: torch.dtype, margin: int) -> None:
    """Tokens as (B, H, T, K), every other row, columns first, a part of wider rows; shared weights and gates."""
    case = make_case((16, 16), 40, linear=True, batch=2, heads=2)
    q, k, v = (x.to(dtype) for x in case.tokens[:3])
    gates = [x.float()[:, ::2, :1].expand(2, 20, 2) for x in case.tokens[3:]]
    by_head = q.transpose(1, 2).contiguous().transpose(1, 2)[:, ::2]
    columns_first = k.transpose(-1, -2).contiguous().transpose(-1, -2)[:, ::2]
    part = F.pad(v, (margin, 0))[:, ::2, :, margin:]
    views = [by_head, columns_first, part, *gates, case.weights[0].float()[:1].expand(2, -1, -1, -1)]
    results = []
    for tensors in (views, [x.contiguous() for x in views]):
        *tokens, weights = (x.detach().requires_grad_() for x in tensors)
        y, end = call(Case(tuple(tokens), (weights,)), backend="triton", chunk_size=20)
        assert y.dtype == dtype
        grads = torch.autograd.grad(y.float().sin().sum() + end.weights[0].sum(), [*tokens, weights])
        results.append([y, *end.weights, *end.momentum, *grads])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


class _Rounded(torch.autograd.Function):
    """A product with operands rounded to bfloat16, as are those of its gradients; accumulated in float32."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a.bfloat16().float() @ b.bfloat16().float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        a, b = (x.bfloat16().float() for x in ctx.saved_tensors)
        grad = grad.bfloat16().float()
        return grad @ b.mT, a.mT @ grad


def rounded_chunk_form(case: Case, state: MemoryState, anchor: str, size: int) -> tuple[Tensor, MemoryState]:
    """The chunk form in torch whose big products round their operands to bfloat16; gates and solve in float32.

    From the middle of a chunk only to its end.
    """
    q, k, v, alpha, eta, theta = (x.float().transpose(1, 2) for x in case.tokens)
    (w,), (s,) = state.weights, state.momentum
    mul = _Rounded.apply
    reads = []
    for i in range(0, q.shape[2], size):
        qc, kc, vc, a, e, t = (x[:, :, i : i + size] for x in (q, k, v, alpha, eta, theta))
        after, before, end = Coefficients(*coefficients(a, e, t, None))
        errors = 2 * (mul(kc, state.anchor[0] if state.position else w) - vc)
        if anchor == "token":
            apart = before.keep * mul(kc, w) + before.carry * mul(kc, s) - vc
            system = -2 * mul(kc, kc.mT) * before.write
            errors = torch.linalg.solve_triangular(system, 2 * apart, upper=False, unitriangular=True)
        read = after.keep * mul(qc, w) + after.carry * mul(qc, s)
        reads.append(read + mul(mul(qc, kc.mT) * after.write, errors))
        w, s = (
            end.keep * w + end.carry * s + mul(kc.mT, end.write * errors),
            end.keep_momentum * s + mul(kc.mT, end.write_momentum * errors),
        )
    end_anchor = state.anchor if state.position else (w,)
    return torch.cat(reads, 2).transpose(1, 2).bfloat16(), MemoryState((w,), (s,), end_anchor, 0)


@pytest.mark.parametrize(
    ("anchor", "tokens", "size", "position", "widths"),
    [
        ("chunk", 51, 17, 0, (16, 32)),
        ("chunk", 40, 40, 0, (32, 16)),
        ("chunk", 36, 64, 5, (32, 32)),
        ("token", 51, 17, 0, (16, 32)),
        ("token", 36, 36, 0, (32, 32)),
    ],
)
def test_bfloat16(
    anchor: str, tokens: int, size: int, position: int, widths: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most twice the error of the chunk form in torch at the same precision, a product at a time."""
    case = float32(make_case(widths, tokens, linear=True, batch=1, heads=2))
    case = Case((*(x.bfloat16() for x in case.tokens[:3]), *case.tokens[3:]), case.weights)
    state, options = mid_chunk(case, position), {"anchor": anchor, "chunk_size": size}
    if not position:
        state = state._replace(anchor=state.weights)
    exact = outputs_and_gradients(
        Case(tuple(x.double() for x in case.tokens), ()), state.to(dtype=torch.float64), backend="torch", **options
    )
    ours = outputs_and_gradients(case, state, backend="triton", **options)
    monkeypatch.setattr("tests.kernels.helpers.call", lambda c, s, **_: rounded_chunk_form(c, s, anchor, size))
    plain = outputs_and_gradients(case, state)
    for name, value in exact.items():
        if name not in ("anchor[0]", "d anchor0") or position:
            assert ours[name].dtype == plain[name].dtype, name
            allowed = 2 * distance(plain[name].double(), value)
            assert distance(ours[name].double(), value) <= allowed, (name, allowed)


@settings(max_examples=6, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 44), max_size=3), seed=st.integers(0, 99), anchor=st.sampled_from(["chunk", "token"])
)
def test_any_split_gives_the_same(cuts: list[int], seed: int, anchor: str) -> None:
    case = float32(make_case((16, 16), 45, seed=seed, linear=True, batch=1, heads=1))
    options = {"anchor": anchor, "chunk_size": 20, "backend": "triton"}
    with torch.no_grad():
        y, end = call(case, **options)
        state, reads, edges = MemoryState.start(case.weights), [], [0, *sorted(set(cuts)), 45]
        for start, stop in itertools.pairwise(edges):
            part, state = call(Case(case.cut(start, stop), case.weights), state, **options)
            reads.append(part)
    assert distance(torch.cat(reads, 1), y) <= 2e-6
    assert state.position == end.position
    for a, b in zip(named_state(state).values(), named_state(end).values(), strict=True):
        assert distance(a, b) <= 2e-6


def operator_arguments(case: Case, length: int, every_token: bool = False, anchor: Tensor | None = None) -> list[Any]:
    q, k, v, *gates = case.tokens
    (weights,) = case.weights
    mask = torch.rand(q.shape[:2], generator=torch.Generator().manual_seed(1)) < 0.8
    return [q, k, v, *(x[..., None] for x in gates), mask, weights, 0.1 * weights, anchor, length, every_token]


@pytest.mark.parametrize("form", ["chunk", "token", "anchor given"])
def test_operators(form: str) -> None:
    """opcheck: schema, fake tensors, autograd registration, dynamic shapes; of the forward and of the backward."""
    case = float32(make_case((16, 16), 18, linear=True, batch=1, heads=1))
    apart = case.weights[0] * 0.5 if form == "anchor given" else None
    arguments = operator_arguments(case, 18, form == "token", apart)
    torch.library.opcheck(torch.ops.titans.linear_memory.default, (*arguments, True))
    y, weights, momentum, *kept = torch.ops.titans.linear_memory(*arguments, True)
    torch.library.opcheck(
        torch.ops.titans.linear_memory_backward.default,
        (*arguments[:10], *kept, y, weights, momentum, *arguments[10:]),
    )


def loss_of(k: Tensor, case: Case) -> Tensor:
    q, _, *rest = case.tokens
    y, end = linear_memory(q, k, *rest, MemoryState.start(case.weights), chunk_size=17, backend="triton")
    return y.square().sum() + end.weights[0].square().sum()


def test_compile_and_function_transforms() -> None:
    case = float32(make_case((16, 16), 17, linear=True, batch=1, heads=1))
    k = case.tokens[1].clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss_of(k, case), k)
    compiled = torch.compile(loss_of, fullgraph=True, backend="aot_eager")
    (found,) = torch.autograd.grad(compiled(k, case), k)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(torch.func.grad(loss_of)(k.detach(), case), expected, rtol=0, atol=0)
    pair = torch.stack([k.detach(), 0.5 * k.detach()])
    both = torch.func.vmap(torch.func.grad(lambda x: loss_of(x, case)))(pair)
    torch.testing.assert_close(both[0], expected)
    torch.testing.assert_close(both[1], torch.func.grad(loss_of)(pair[1], case))


def test_second_derivatives_are_refused() -> None:
    case = float32(make_case((16, 16), 3, linear=True, batch=1, heads=1))
    k = case.tokens[1].clone().requires_grad_()
    (first,) = torch.autograd.grad(loss_of(k, case), k, create_graph=True)
    with pytest.raises(NotImplementedError, match="backend='torch'"):
        torch.autograd.grad(first.sum(), k)


def test_what_the_kernels_do_not_take() -> None:
    with pytest.raises(RuntimeError, match=r"widths in \(16, 32, 64, 128\), got \(8, 16\)"):
        call(float32(make_case((8, 16), 3, linear=True)), backend="triton")
    with pytest.raises(RuntimeError, match="float64"):
        call(make_case((16, 16), 3, linear=True), backend="triton")
