"""The Triton kernels of the deep memory (in the interpreter where there is no GPU) against the torch chunk form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.library import opcheck
from torch.utils._python_dispatch import TorchDispatchMode

from tests.kernels.helpers import NAMES, Case, distance, make_case, named_state
from titans_kernels import MemoryState
from titans_kernels.inputs import MemoryInputs
from titans_kernels.mlp_memory import chunked
from titans_kernels.torch_path import gates

pytest.importorskip("triton")
from titans_kernels.mlp_memory import launchers, operators

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOOR = 4e-7
"""A few roundings of float32, for quantities where the torch form happens to lose nothing."""


def small(tokens: int, expansion: int = 1, width: int = 16, **changes: Any) -> Case:
    """One head, one sequence, float32: the interpreter takes about half a second a chunk."""
    settings: dict[str, Any] = {"batch": 1, "heads": 1, "dtype": torch.float32, **changes}
    case = make_case((width, expansion * width, width), tokens, **settings)
    return Case(tuple(x.to(DEVICE) for x in case.tokens), tuple(w.float().to(DEVICE) for w in case.weights))


def in_bfloat16(case: Case) -> Case:
    return Case(tuple(x.bfloat16() if i < 3 else x for i, x in enumerate(case.tokens)), case.weights)


def exact(case: Case) -> Case:
    return Case(tuple(x.double() for x in case.tokens), tuple(w.double() for w in case.weights))


def opened(case: Case, position: int) -> MemoryState:
    """A state in the middle of a chunk whose weights, momentum and anchor all differ."""
    others = [tuple(w.roll(s, -1) * 0.5 for w in case.weights) for s in (1, 2)]
    return MemoryState(case.weights, others[0], others[1], position)


def converted(state: MemoryState, dtype: torch.dtype) -> MemoryState:
    return MemoryState(*(tuple(w.to(dtype) for w in group) for group in state[:3]), state.position)


Op = Callable[[MemoryInputs, MemoryState, int, bool], tuple[Tensor, MemoryState]]


def results(
    op: Op, case: Case, state: MemoryState | None, chunk: int, residual: bool = True, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """y, the end state, and the gradient of a random linear function of all of them by every input."""
    state = MemoryState.start(case.weights) if state is None else state
    inputs = {n: x.detach().requires_grad_() for n, x in zip(NAMES, case.tokens, strict=True)}
    names = ("weights", "momentum", "anchor") if state.position else ("weights", "momentum")
    groups = {n: tuple(w.detach().requires_grad_() for w in getattr(state, n)) for n in names}
    leaves = {**inputs, **{f"{n}{i}": w for n, group in groups.items() for i, w in enumerate(group)}}
    begin = MemoryState(groups["weights"], groups["momentum"], groups.get("anchor", groups["weights"]), state.position)
    y, end = op(MemoryInputs(*inputs.values(), mask), begin, chunk, residual)
    out = {"y": y, **named_state(end)}
    g = torch.Generator().manual_seed(1)
    weights = {n: torch.randn(x.shape, generator=g, dtype=torch.float64).to(x.device) for n, x in out.items()}
    loss = torch.stack([(x.double() * weights[n]).sum() for n, x in out.items()]).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return {**out, **{f"d {n}": grad for n, grad in zip(leaves, grads, strict=True)}}


class RoundedProducts(TorchDispatchMode):
    """Torch as it is with bfloat16 tokens: products round their operands, the gate algebra stays float32."""

    gates_off = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        rounds = func.overloadpacket in (torch.ops.aten.bmm, torch.ops.aten.baddbmm, torch.ops.aten.baddbmm_)
        if rounds and not self.gates_off and args[-1].dim() == 3:
            args = (*args[:-2], *(x.bfloat16().to(x.dtype) for x in args[-2:]))
        return func(*args, **(kwargs or {}))


def plain_torch(case: Case, state: MemoryState, *options: Any, **more: Any) -> dict[str, Tensor]:
    """The torch chunk form at the tokens' own precision."""
    dtypes = [x.dtype for x in case.tokens[:3]]
    full = Case(tuple(x.float() for x in case.tokens), case.weights)
    if torch.bfloat16 not in dtypes:
        return results(chunked.mlp_memory, full, state, *options, **more)
    with RoundedProducts() as mode, pytest.MonkeyPatch.context() as patch:

        def unrounded(*args: Any) -> gates.Coefficients:
            mode.gates_off = True
            try:
                return coefficients(*args)
            finally:
                mode.gates_off = False

        from titans_kernels.torch_path import chunk_loop as chunks

        coefficients = chunks.coefficients
        patch.setattr(chunks, "coefficients", unrounded)
        out = results(chunked.mlp_memory, full, state, *options, **more)
    return {n: x.bfloat16() if n in ("y", "d q", "d k", "d v") else x for n, x in out.items()}


def compare(case: Case, state: MemoryState | None, *options: Any, **more: Any) -> dict[str, Tensor]:
    """Holds the kernels against float64, with twice the error of plain torch; returns their results."""
    state = MemoryState.start(case.weights) if state is None else state
    ours = results(operators.mlp_memory, case, state, *options, **more)
    plain = plain_torch(case, state, *options, **more)
    right = results(chunked.mlp_memory, exact(case), converted(state, torch.float64), *options, **more)
    assert ours.keys() == plain.keys() == right.keys()
    for name, x in ours.items():
        assert x.dtype == (case.tokens[0].dtype if name in ("y", "d q", "d k", "d v") else torch.float32), name
        error, allowed = distance(x.double(), right[name]), distance(plain[name].double(), right[name])
        assert error <= 2 * allowed + FLOOR, (name, error, allowed)
    return ours


@pytest.mark.parametrize("tokens", [1, 7, 17, 33])
def test_lengths(tokens: int) -> None:
    compare(small(tokens), None, 16)


@pytest.mark.parametrize(("expansion", "residual"), [(2, True), (4, False)])
def test_expansions(expansion: int, residual: bool) -> None:
    compare(small(6, expansion), None, 4, residual)


@pytest.mark.parametrize(("width", "tokens"), [(32, 5), (64, 3), (16, 20), (16, 40), (16, 100)])
def test_widths_and_rows(width: int, tokens: int) -> None:
    """Tiles of 16 to 128 rows; the last one goes through in two halves."""
    compare(small(tokens, 1, width), None, tokens)


@pytest.mark.parametrize(("expansion", "tokens", "residual"), [(2, 12, True), (1, 24, False)])
def test_bfloat16(expansion: int, tokens: int, residual: bool) -> None:
    compare(in_bfloat16(small(tokens, expansion)), None, 8 if residual else 24, residual)


@pytest.mark.parametrize("tokens", [2, 12])
def test_state_in_the_middle_of_a_chunk(tokens: int) -> None:
    case = small(tokens)
    compare(case, opened(case, 5), 8)


def test_segments_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three chunks in one segment, and in two."""
    case = small(12)
    whole = compare(case, None, 4)
    monkeypatch.setattr(operators, "stride_of", lambda number: 2)
    for name, x in results(operators.mlp_memory, case, None, 4).items():
        assert torch.equal(x, whole[name]), name


def test_gates_at_the_ends_of_their_range() -> None:
    case = small(8, theta=0.01)
    alpha, eta, theta = (x.clone() for x in case.tokens[3:])
    alpha[:, 0], alpha[:, 2], eta[:, 1], eta[:, 3], theta[:, 3:5] = 0.0, 1.0, 0.0, 1.0, 0.0
    compare(Case((*case.tokens[:3], alpha, eta, theta), case.weights), None, 6)


def test_nan_behind_the_mask_reaches_nothing() -> None:
    case = small(6)
    mask = torch.ones(1, 6, dtype=torch.bool, device=DEVICE)
    mask[0, 2:5] = False
    q, *rest = case.tokens
    hidden = [~mask.reshape(1, 6, *[1] * (x.dim() - 2)) for x in rest]
    zeros = (x.masked_fill(h, 0.0) for x, h in zip(rest[:2], hidden[:2], strict=True))
    clean = compare(Case((q, *zeros, *rest[2:]), case.weights), None, 4, mask=mask)
    dirty = Case((q, *(x.masked_fill(h, torch.nan) for x, h in zip(rest, hidden, strict=True))), case.weights)
    for name, x in results(operators.mlp_memory, dirty, None, 4, mask=mask).items():
        assert torch.equal(x, clean[name]), name


def test_nan_stays_in_its_sequence() -> None:
    case = small(3, batch=2)
    v = case.tokens[2].clone()
    v[1, 1] = torch.nan
    clean, dirty = (results(operators.mlp_memory, c, None, 4) for c in (case, case.replace(v=v)))
    for name, x in dirty.items():
        assert torch.equal(x[0], clean[name][0]), name
    assert dirty["y"][1, 1:].isnan().all()


def test_strides_heads_and_expanded_tensors() -> None:
    """Rows that do not lie on 16 elements, tokens in another order, a batch axis of stride 0, transposed weights."""
    case = small(3, batch=2, heads=2)
    q, k, v, alpha, eta, theta = case.tokens
    q, eta = (x[:1].expand_as(x) for x in (q, eta))
    k = torch.nn.functional.pad(k, (0, 3))[..., :-3]
    v = v.permute(2, 1, 0, 3).contiguous().permute(2, 1, 0, 3)
    weights = (case.weights[0].mT.contiguous().mT, case.weights[1][:1].expand_as(case.weights[1]))
    compare(Case((q, k, v, alpha, eta, theta.mT.contiguous().mT), weights), None, 4)


@pytest.mark.parametrize("grad", [True, False])
def test_any_split_gives_the_same(grad: bool) -> None:
    """Without gradient a short piece is one launch, with it several: both against the whole."""
    case = small(11)
    mask = torch.ones(1, 11, dtype=torch.bool, device=DEVICE)
    mask[0, 4:6] = False
    state, reads = MemoryState.start(case.weights), []
    with torch.set_grad_enabled(grad):
        y, end = operators.mlp_memory(MemoryInputs(*case.tokens, mask), state, 8, True)
        for a, b in ((0, 1), (1, 6), (6, 11)):
            part, state = operators.mlp_memory(MemoryInputs(*case.cut(a, b), mask[:, a:b]), state, 8, True)
            reads.append(part)
    assert state.position == end.position == 3
    torch.testing.assert_close(torch.cat(reads, 1), y, rtol=1e-5, atol=1e-5)
    for (name, x), other in zip(named_state(end).items(), named_state(state).values(), strict=True):
        torch.testing.assert_close(other, x, rtol=1e-5, atol=1e-5, msg=name)


def test_a_step_is_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []
    launch = launchers._launch
    monkeypatch.setattr(
        launchers, "_launch", lambda kernel, *a, **k: launched.append(kernel) or launch(kernel, *a, **k)
    )
    monkeypatch.setattr(launchers, "gate_forward", None)
    case = small(1)
    with torch.no_grad():
        _, state = operators.mlp_memory(MemoryInputs(*case.tokens, None), MemoryState.start(case.weights), 16, True)
        operators.mlp_memory(MemoryInputs(*case.tokens, None), state, 16, True)
    assert launched == [launchers.forward_kernels.step_kernel] * 2


def test_unsupported_inputs_are_named() -> None:
    case = small(2)
    inputs, state = MemoryInputs(*case.tokens, None), MemoryState.start(case.weights)
    assert operators.unsupported(inputs, state, 16) is None
    assert "chunk_size <= 128" in str(operators.unsupported(inputs, state, 129))
    assert "2 layers" in str(operators.unsupported(inputs, MemoryState.start(case.weights[:1]), 16))
    wide = inputs._replace(q=torch.zeros(1, 2, 1, 24))
    assert "24" in str(operators.unsupported(wide, state, 16))
    assert "float64" in str(operators.unsupported(inputs._replace(q=inputs.q.double()), state, 16))


def arguments(case: Case, anchor: bool) -> tuple[Any, ...]:
    momentum = tuple(torch.zeros_like(w) for w in case.weights)
    return (*case.tokens, None, *case.weights, *momentum, *(case.weights if anchor else (None, None)))


@pytest.fixture
def any_memory() -> Iterator[None]:
    """opcheck compares what it did not fill: not with NaN everywhere."""
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = False
    yield
    torch.utils.deterministic.fill_uninitialized_memory = before


@pytest.mark.usefixtures("any_memory")
@pytest.mark.parametrize("anchor", [True, False])
def test_operators(anchor: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "stride_of", lambda number: 1)
    case = small(4)
    length = 4 if anchor else 2
    given = arguments(case, anchor)
    checks = ("test_schema", "test_faketensor")
    opcheck(torch.ops.titans.mlp_memory.default, (*given, length, True, True), test_utils=checks)
    y, *state, kept = torch.ops.titans.mlp_memory(*given, length, True, True)
    backward = torch.ops.titans.mlp_memory_backward.default
    opcheck(backward, (*given, kept, y, *state, length, True), test_utils=checks)


def reads_of(case: Case, chunk: int = 4) -> Callable[..., Tensor]:
    def read(k: Tensor, w: Tensor) -> Tensor:
        tokens = (case.tokens[0], k, *case.tokens[2:])
        y, state = operators.mlp_memory(
            MemoryInputs(*tokens, None), MemoryState.start((w, case.weights[1])), chunk, True
        )
        return y.sin().sum() + state.momentum[0].sum()

    return read


def test_compiled_without_a_break() -> None:
    case = small(6)
    read = reads_of(case)
    expected = torch.func.grad(read, argnums=(0, 1))(case.tokens[1], case.weights[0])
    leaves = [x.clone().requires_grad_() for x in (case.tokens[1], case.weights[0])]
    compiled = torch.compile(read, fullgraph=True, backend="aot_eager")
    compiled(*leaves).backward()
    for leaf, grad in zip(leaves, expected, strict=True):
        torch.testing.assert_close(leaf.grad, grad)


def test_mapped_over_another_axis() -> None:
    case, other = small(3), small(3, seed=1)
    stacked = [torch.stack(x) for x in zip(case.tokens, other.tokens, strict=True)]

    def read(*tokens: Tensor) -> Tensor:
        return operators.mlp_memory(MemoryInputs(*tokens, None), MemoryState.start(case.weights), 4, True)[0]

    y = torch.func.vmap(read)(*stacked)
    for i, one in enumerate((case, other)):
        torch.testing.assert_close(y[i], read(*one.tokens))


def test_second_derivatives_are_refused() -> None:
    case = small(2)
    k = case.tokens[1].clone().requires_grad_()
    grad = torch.autograd.grad(reads_of(case)(k, case.weights[0]), k, create_graph=True)[0]
    with pytest.raises(NotImplementedError, match="backend='torch'"):
        grad.sum().backward()
