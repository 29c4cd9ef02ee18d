"""The forms written out for the CPU against operations of torch: values, first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from titans_ts.core import attention, operators
from titans_ts.core.operators import Linear, RMSNorm, convolved

WIDTH = 4


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def norm(x: Tensor, weight: Tensor, kind: type[nn.RMSNorm]) -> Tensor:
    layer = kind(len(weight), eps=1e-6)
    del layer.weight
    layer.weight = weight  # type: ignore[assignment]
    return layer(x)


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
}


@pytest.mark.parametrize("name", CASES)
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


def test_the_convolution_in_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "BLOCK", 1)
    inputs = [draw(2, 21, 24), draw(2, 24, 3), draw(24, 1, 4)]
    found, expected = convolved(*inputs, WIDTH, 3), operators.convolved_plain(*inputs, WIDTH, 3)
    torch.testing.assert_close(found, expected)
    grads = [torch.randn_like(x) for x in expected]
    torch.testing.assert_close(torch.autograd.grad(found, inputs, grads), torch.autograd.grad(expected, inputs, grads))


def test_a_vector_of_zeros_has_no_length() -> None:
    inputs = [torch.zeros(1, 2, 24, dtype=torch.float64, requires_grad=True), draw(1, 24, 3), draw(24, 1, 4)]
    with torch.no_grad():
        inputs[1][:, :8] = 0
    found, expected = convolved(*inputs, WIDTH, 3), operators.convolved_plain(*inputs, WIDTH, 3)
    torch.testing.assert_close(found, expected)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(*(torch.autograd.grad(x.sum(), inputs, retain_graph=True) for x in (a, b)))


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


@pytest.mark.parametrize("layer", [Linear(4, 4), RMSNorm(4, eps=1e-6)])
def test_other_ways_to_run(layer: nn.Module) -> None:
    x = torch.randn(3, 4)
    expected = layer(x)
    torch.testing.assert_close(torch.func.vmap(layer)(x), expected)
    with torch.autocast("cpu"):
        torch.testing.assert_close(layer(x).float(), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("batch", [1, 2])
def test_attention_that_keeps_its_weights(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against one call of torch's attention, masks of every sequence and of all."""
    tokens = attention.PersistentTokens(3, 2, 4).double()
    inputs = [draw(2, 2, n, 4) for n in (3, 5, 5)]
    mask = attention.seen(2, 5, 3, inputs[0].device) & (torch.rand(batch, 1, 1, 5) > 0.3)
    leaves = [*inputs, *tokens.parameters()]

    def run() -> tuple[Tensor, ...]:
        y = tokens.attend(inputs[0], 2, *inputs[1:], mask)
        return y, *torch.autograd.grad(y.cos().sum(), leaves)

    found = run()
    with torch.no_grad():
        torch.testing.assert_close(tokens.attend(inputs[0], 2, *inputs[1:], mask), found[0])
    monkeypatch.setattr(attention, "FEW_SCORES", 0)
    torch.testing.assert_close(found, run())


def test_rotations() -> None:
    x = draw(2, 3, 6)
    with torch.autocast("cpu"):  # the plain form
        expected = attention.rotary(x, 5)
    torch.testing.assert_close(attention.rotary(x, 5), expected)
    assert torch.autograd.gradcheck(lambda x: attention.rotary(x, 5), [x], fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: attention.rotary(x, 5), [x], fast_mode=True)
