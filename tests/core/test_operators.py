"""The forms written out for the CPU, in torch and compiled, against operations of torch: values and derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from titans_kernels import dispatch
from titans_kernels.native import library, rows
from titans_ts.core import attention, operators
from titans_ts.core.blocks import BLOCKS
from titans_ts.core.config import TitansConfig
from titans_ts.core.operators import Linear, RMSNorm, convolved, gated, swiglu

WIDTH = 4


@pytest.fixture(params=["torch", "compiled"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of the forms for the CPU runs; the compiled one is skipped without a C compiler."""
    chosen: str = request.param
    if chosen == "compiled" and library.problem():
        pytest.skip(str(library.problem()))
    monkeypatch.setenv(dispatch.NATIVE, "1" if chosen == "compiled" else "0")
    monkeypatch.setattr(operators, "FEW", 0)
    return chosen


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def norm_of(weight: Tensor, kind: type[nn.RMSNorm] = RMSNorm) -> Any:
    layer = kind(len(weight), eps=1e-6)
    del layer.weight
    layer.weight = weight  # type: ignore[assignment]
    return layer


def norm(x: Tensor, weight: Tensor, kind: type[nn.RMSNorm]) -> Tensor:
    found: Tensor = norm_of(weight, kind)(x)
    return found


def gate_plain(a: Tensor, b: Tensor, weight_a: Tensor | None = None, weight_b: Tensor | None = None) -> Tensor:
    return operators.gated_plain(a, b, weight_a, weight_b, (1e-6, 1e-6))


def strided(x: Tensor, function: Callable[[Tensor], Tensor] = swiglu) -> Tensor:
    return function(x.mT)


CASES: dict[str, tuple[Callable[..., object], Callable[..., object], list[tuple[int, ...]]]] = {
    "norm": (partial(norm, kind=RMSNorm), partial(norm, kind=nn.RMSNorm), [(2, 3, 5), (5,)]),
    **{
        f"convolution of {tokens}": (
            partial(convolved, head_width=WIDTH, parts=parts),
            partial(operators.convolved_plain, head_width=WIDTH, parts=parts),
            [(2, tokens, 8 * parts), (2, 8 * parts, 3), (8 * parts, 1, 4)],
        )
        for tokens, parts in ((1, 3), (2, 3), (3, 1), (5, 3))
    },
    "norm of many": (partial(norm, kind=RMSNorm), partial(norm, kind=nn.RMSNorm), [(67, 35), (35,)]),
    "gate": (gated, gate_plain, [(2, 3, 7), (2, 3, 7)]),
    "gate of heads": (
        lambda a, b, w: gated(a, b, norm_of(w)),
        gate_plain,
        [(2, 2, 3, 5), (2, 2, 15), (5,)],
    ),
    "gate that is normed": (
        lambda a, b, w: gated(a, b, norm_b=norm_of(w)),
        lambda a, b, w: gate_plain(a, b, None, w),
        [(3, 9), (3, 9), (9,)],
    ),
    "gate of two norms": (
        lambda a, b, v, w: gated(a, b, norm_of(v), norm_of(w)),
        gate_plain,
        [(70, 3), (70, 3), (3,), (3,)],
    ),
    "swiglu": (swiglu, operators.swiglu_plain, [(2, 3, 14)]),
    "swiglu of a view": (strided, partial(strided, function=operators.swiglu_plain), [(2, 18, 3)]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("form")
def test_values_and_derivatives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "BLOCK", 1)  # spans of eight tokens
    written, plain, shapes = CASES[name]
    inputs = [draw(*shape) for shape in shapes]
    expected = plain(*inputs)
    with torch.no_grad():
        torch.testing.assert_close(written(*inputs), expected)
    torch.testing.assert_close(written(*inputs), expected)
    assert torch.autograd.gradcheck(written, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(written, inputs, fast_mode=True)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [0, 30])
def test_in_float32(name: str, batch: int, form: str) -> None:
    """A batch of 30, and none; as exact as torch is."""
    written, plain, shapes = CASES[name]
    weights = [len(shape) == 1 or shape[1:] == (1, 4) for shape in shapes]
    exact = [draw(*(shape if weight else (batch, *shape[1:]))) for shape, weight in zip(shapes, weights, strict=True)]
    inputs = [x.detach().float().requires_grad_() for x in exact]
    results = []
    for function, leaves in ((written, inputs), (plain, exact), (plain, inputs)):
        y = function(*leaves)
        outputs = y if isinstance(y, tuple) else (y,)
        grads = torch.autograd.grad([x.cos().sum() for x in outputs], leaves)
        results.append([x.detach().double() for x in (*outputs, *grads)])
    for found, expected, torchs in zip(*results, strict=True):
        assert found.shape == expected.shape
        if expected.numel():
            allowed = 4 * float((torchs - expected).abs().max()) + 2e-6 * float(expected.abs().max())
            assert float((found - expected).abs().max()) <= allowed


@pytest.mark.usefixtures("form")
def test_the_convolution_in_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "BLOCK", 1)
    inputs = [draw(2, 21, 24), draw(2, 24, 3), draw(24, 1, 4)]
    found, expected = convolved(*inputs, WIDTH, 3), operators.convolved_plain(*inputs, WIDTH, 3)
    torch.testing.assert_close(found, expected)
    grads = [torch.randn_like(x) for x in expected]
    torch.testing.assert_close(torch.autograd.grad(found, inputs, grads), torch.autograd.grad(expected, inputs, grads))


@pytest.mark.usefixtures("form")
def test_a_vector_of_zeros_has_no_length() -> None:
    inputs = [torch.zeros(1, 2, 24, dtype=torch.float64, requires_grad=True), draw(1, 24, 3), draw(24, 1, 4)]
    with torch.no_grad():
        inputs[1][:, :8] = 0
    found, expected = convolved(*inputs, WIDTH, 3), operators.convolved_plain(*inputs, WIDTH, 3)
    torch.testing.assert_close(found, expected)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(*(torch.autograd.grad(x.sum(), inputs, retain_graph=True) for x in (a, b)))


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("bias", [True, False])
def test_a_large_product(bias: bool) -> None:
    """Large enough for oneDNN, where the processor has AVX-512; the plain product elsewhere."""
    layer, x = Linear(128, 160, bias=bias), torch.randn(2, 64, 128, requires_grad=True)
    assert x.numel() * 160 >= operators.LARGE
    y, grad = layer(x), torch.randn(2, 64, 160)
    found = torch.autograd.grad(y, [x, *layer.parameters()], grad)
    wide = Linear(128, 160, bias=bias).double()
    wide.load_state_dict(layer.state_dict())
    z = x.detach().double().requires_grad_()
    expected = torch.autograd.grad(wide(z), [z, *wide.parameters()], grad.double())
    torch.testing.assert_close(y.double(), wide(z), rtol=0, atol=1e-4)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-5 * float(b.abs().max()))
    first = torch.autograd.grad(layer(x), [layer.weight], grad, create_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(first.sum(), [x])[0], grad.sum(-1, keepdim=True).expand_as(x))


def test_products_of_fewer_bits_where_torch_is_allowed_to() -> None:
    """bfloat16 by torch's own switch, where the processor has it; of results and gradients the type stays."""
    layer, x = Linear(128, 160), torch.randn(2, 64, 128, requires_grad=True)
    leaves = [x, *layer.parameters()]
    expected = [layer(x), *torch.autograd.grad(layer(x).sum(), leaves)]
    torch.set_float32_matmul_precision("medium")
    try:
        found = [layer(x), *torch.autograd.grad(layer(x).sum(), leaves)]
    finally:
        torch.set_float32_matmul_precision("highest")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.01 * float(b.abs().max().detach()))
    assert torch.equal(found[0], expected[0]) != operators._BFLOAT16


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("layer", [Linear(4, 4), RMSNorm(4, eps=1e-6), swiglu, lambda x: gated(x, x)])
def test_other_ways_to_run(layer: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(3, 4)
    expected = layer(x)
    torch.testing.assert_close(torch.func.vmap(layer)(x), expected)
    with torch.autocast("cpu"):
        torch.testing.assert_close(layer(x).float(), expected, rtol=0, atol=0.05)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("batch", [1, 2])
def test_attention_that_keeps_its_weights(batch: int, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against one call of torch's attention, masks of every sequence and of all."""
    tokens = attention.PersistentTokens(3, 2, 4).double()
    inputs = [draw(2, 2, n, 4) for n in (3, 6, 6)]
    mask = attention.seen(3, 6, 3, inputs[0].device) & (torch.rand(batch, 1, 1, 6) > 0.3)
    leaves = [*inputs, *tokens.parameters()]

    def run() -> tuple[Tensor, ...]:
        y = tokens.attend(inputs[0], 2, *inputs[1:], mask, runs)
        return y, *torch.autograd.grad(y.cos().sum(), leaves)

    found = run()
    with torch.no_grad():
        torch.testing.assert_close(tokens.attend(inputs[0], 2, *inputs[1:], mask, runs), found[0])
    monkeypatch.setenv(dispatch.NATIVE, "0")
    monkeypatch.setattr(attention, "FEW_SCORES", 0)
    torch.testing.assert_close(found, run())


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("few", [0, 1 << 30])
@pytest.mark.parametrize("kind", ["causal", "stripes", "nothing"])
def test_attention_to_many_keys(kind: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a block of queries and of keys; blocks of keys that nobody sees; weights kept or found again."""
    queries, keys = (3, 4480) if kind == "stripes" else (150, 300)
    tokens = attention.PersistentTokens(3, 1, 4).double()
    inputs = [draw(2, 1, n, 4) for n in (queries, keys, keys)]
    key = torch.arange(keys)
    masks = {
        "causal": attention.seen(0, queries, 100, inputs[0].device).repeat(1, 1, 1, 2),
        "stripes": (key % 128 < 64).expand(1, 1, queries, keys),
        "nothing": (key < 0).expand(2, 1, queries, keys),
    }
    leaves = [*inputs, *tokens.parameters()]

    def run() -> tuple[Tensor, ...]:
        y = tokens.attend(inputs[0], 0, *inputs[1:], masks[kind], runs=2)
        return y, *torch.autograd.grad(y.cos().sum(), leaves)

    monkeypatch.setattr(attention, "FEW_SCORES", few)
    found = run()
    with torch.no_grad():
        torch.testing.assert_close(tokens.attend(inputs[0], 0, *inputs[1:], masks[kind], runs=2), found[0])
    monkeypatch.setenv(dispatch.NATIVE, "0")
    monkeypatch.setattr(attention, "FEW_SCORES", 0)
    torch.testing.assert_close(found, run())


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize(("batch", "tokens", "window"), [(2, 37, 64), (2, 20, 7), (0, 5, 8)])
def test_attention_layer_in_float32(batch: int, tokens: int, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the layer, causal in one call and in blocks, queries and keys views of the projection."""
    layer = attention.SlidingWindowAttention(36, 2, window, persistent=5)
    x = torch.randn(batch, tokens, 36, requires_grad=True)

    def run() -> tuple[Tensor, ...]:
        y, state = layer(x, layer.initial_state(batch))
        return y, *torch.autograd.grad(y.cos().sum() + state.keys.sin().sum(), [x, *layer.parameters()])

    found = run()
    monkeypatch.setenv(dispatch.NATIVE, "0")
    monkeypatch.setattr(attention, "FEW_SCORES", 0)
    torch.testing.assert_close(found, run(), rtol=1e-4, atol=1e-5)


def test_rotations() -> None:
    x = draw(2, 3, 6)
    with torch.autocast("cpu"):  # the plain form
        expected = attention.rotary(x, 5)
    torch.testing.assert_close(attention.rotary(x, 5), expected)
    assert torch.autograd.gradcheck(lambda x: attention.rotary(x, 5), [x], fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: attention.rotary(x, 5), [x], fast_mode=True)


@pytest.mark.skipif(library.problem() is not None, reason=str(library.problem()))
def test_shapes_that_do_not_fit_are_refused() -> None:
    """The compiled ops would read what is not theirs."""
    x, w = torch.randn(2, 3, 24), torch.randn(4, 24)
    with pytest.raises(ValueError, match=r"cache.*\(2, 3, 24\).*\(1, 3, 24\)"):
        rows.convolve(rows.Line(x, x[:1], w, 4, 16, 1e-6))
    with pytest.raises(ValueError, match=r"taps"):
        rows.convolve(rows.Line(x, x, w[:, :8], 4, 16, 1e-6))
    with pytest.raises(ValueError, match=r"weights"):
        rows.gated([rows.Side(x[0], w[0, :5], 1e-6)])
    with pytest.raises(ValueError, match=r"as many"):
        rows.gated([rows.Side(w), rows.Side(w[:2])])


@pytest.mark.skipif(library.problem() is not None, reason=str(library.problem()))
@pytest.mark.parametrize("name", CASES)
def test_who_runs_it_changes_no_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of torch's threads or three."""
    for module, constant in ((operators, "FEW"), (rows, "ALONE")):
        monkeypatch.setattr(module, constant, 0)
    monkeypatch.setattr(rows, "TOGETHER", 4)
    monkeypatch.setenv(dispatch.NATIVE, "1")
    written, _, shapes = CASES[name]
    inputs = [draw(*shape) for shape in shapes]

    def run() -> list[Tensor]:
        y = written(*inputs)
        outputs = y if isinstance(y, tuple) else (y,)
        return [*outputs, *torch.autograd.grad([x.cos().sum() for x in outputs], inputs)]

    alone, before = run(), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        torch.testing.assert_close(run(), alone, rtol=0, atol=0)
        monkeypatch.setattr(library, "team", lambda: None)  # the form in torch, which may add up in another order
        torch.testing.assert_close(run(), alone)
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("form")
def test_thirds_of_a_projection() -> None:
    """Also where the gradients lie as the thirds do, and twice."""
    x = draw(2, 5, 3 * 8)
    found = attention.thirds(x, 2)
    torch.testing.assert_close(found, tuple(p.unflatten(-1, (2, 4)).transpose(1, 2) for p in x.chunk(3, -1)))
    whole = torch.randn(2, 5, 24, dtype=torch.float64, requires_grad=True)
    lying = whole.unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    torch.testing.assert_close(torch.autograd.grad(found, x, lying, retain_graph=True)[0], whole)
    apart = tuple(g.detach().contiguous() for g in lying)
    torch.testing.assert_close(torch.autograd.grad(found, x, apart, retain_graph=True)[0], whole)
    by_x = torch.autograd.grad(found, x, lying, create_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(by_x.square().sum(), whole)[0], 2 * whole)


@pytest.mark.usefixtures("form")
def test_those_who_watch_or_repeat_a_block_find_what_it_does() -> None:
    """A counter of operations, a tracer, and activation checkpointing, which looks at what is kept once."""
    block = BLOCKS["attention"](TitansConfig("attention", width=32, heads=2, layers=1, dropout=0.0))

    def read(x: Tensor) -> Tensor:
        return block(x, block.initial_state(4))[0]

    x = torch.randn(4, 32, 32, requires_grad=True)
    y = checkpoint(read, x, use_reentrant=False)
    torch.testing.assert_close(y, read(x))
    torch.testing.assert_close(*(torch.autograd.grad(z.square().sum(), x) for z in (y, read(x))))
    with FlopCounterMode(display=False) as counted:
        read(x)
    assert counted.get_total_flops() > 2 * x.numel() * 32 * 8
    with torch.no_grad():
        traced = make_fx(read)(x.detach())
    other = torch.randn(4, 32, 32)
    torch.testing.assert_close(traced(other), read(other))


def layouts(x: Tensor) -> Iterator[Tensor]:
    """The same numbers in other places: axes in another order, every second of a larger tensor, rows with gaps."""
    last = x.movedim(-1, 0).contiguous().movedim(0, -1)
    wide, long = x.new_ones([2 * size + 1 for size in x.shape]), x.new_ones(*x.shape[:-1], x.shape[-1] + 5)
    wide[tuple(slice(1, None, 2) for _ in x.shape)] = x
    long[..., 2:-3] = x
    yield from (last, x.flip(0).contiguous().flip(0), wide[tuple(slice(1, None, 2) for _ in x.shape)], long[..., 2:-3])


def normed_gate(a: Tensor, b: Tensor, weight_a: Tensor, weight_b: Tensor) -> Tensor:
    return gated(a, b, norm_of(weight_a), norm_of(weight_b))


def attend_all(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    persistent = attention.PersistentTokens(*keys.shape[1::-1], keys.shape[2])
    del persistent.persistent_keys, persistent.persistent_values
    persistent.persistent_keys, persistent.persistent_values = keys, values  # type: ignore[assignment]
    mask = torch.ones(7, 14, dtype=torch.bool).tril(7).mT.contiguous().mT
    return persistent.attend(q, 7, k, v, mask.expand(len(q), 1, -1, -1))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, w: norm_of(w)(x), [(70, 5), (5,)]),
        (lambda x, w: norm_of(w)(x), [(1, 9, 16), (16,)]),
        (normed_gate, [(9, 7, 5), (9, 7, 5), (5,), (5,)]),
        (gated, [(9, 16), (9, 16)]),
        (swiglu, [(90, 10)]),
        (swiglu, [(3, 4, 32)]),
        (partial(convolved, head_width=8, parts=3), [(3, 9, 48), (3, 48, 3), (48, 1, 4)]),
        (attend_all, [(2, 3, 7, 6), (2, 3, 14, 6), (2, 3, 14, 6), (3, 2, 6), (3, 2, 6)]),
        (partial(attention.thirds, heads=2), [(2, 5, 24)]),
    ],
)
def test_numbers_may_lie_anywhere(
    function: Callable[..., Tensor | tuple[Tensor, ...]], shapes: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What compiled code reads at addresses: inputs and gradients of any strides."""
    monkeypatch.setattr(operators, "FEW", 0)
    monkeypatch.setenv(dispatch.NATIVE, "0")
    inputs = [draw(*shape) for shape in shapes]

    def found(given: list[Tensor], places: int | None = None) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        y = function(*given)
        outputs = [y] if isinstance(y, Tensor) else list(y)
        grads = [x.cos().detach() for x in outputs]
        grads = grads if places is None else [list(layouts(x))[places] for x in grads]
        return outputs, torch.autograd.grad(outputs, given, grads)

    expected = found(inputs)
    monkeypatch.setenv(dispatch.NATIVE, "1")
    for i, x in enumerate(inputs):
        for place, lying in enumerate(layouts(x.detach())):
            given = [*inputs[:i], lying.requires_grad_(), *inputs[i + 1 :]]
            torch.testing.assert_close(found(given, place), expected)
            with torch.no_grad():
                y = function(*given)
            torch.testing.assert_close([y] if isinstance(y, Tensor) else list(y), expected[0])
