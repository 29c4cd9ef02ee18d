"""The gate kernels against the gate algebra in torch, float64: coefficients, gradients, masks, gates of 0 and 1."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from titans_kernels.torch_path import gates

triton = pytest.importorskip("triton", reason="Triton is not installed")
tl = pytest.importorskip("triton.language", reason="Triton is not installed")
gates_triton = pytest.importorskip("titans_kernels.triton_path.gates", reason="Triton is not installed")
Tiles = gates_triton.Tiles

# Gates of exactly 0: the kernel takes a logarithm that it then does not use.
pytestmark = pytest.mark.filterwarnings("ignore:divide by zero encountered in log")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, HEADS, LAYERS = 2, 2, 2


def draw(tokens: int, seed: int = 0) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    alpha, eta, theta = torch.rand(3, BATCH, tokens, HEADS, LAYERS, generator=g).unbind(0)
    return [alpha * 0.3, eta, theta * 0.1]


def oracle(drawn: list[Tensor], mask: Tensor | None, start: int, number: int, n: int) -> dict[str, Tensor]:
    """The fields of `Gates` without the padding, in the dtype of the gates."""

    def chunks(x: Tensor) -> Tensor:
        cut = x[:, start : start + number * n].unflatten(1, (number, n))
        return cut.permute(4, 0, 3, 1, 2).flatten(1, 2)

    hidden = None if mask is None else chunks(mask[..., None, None].expand(drawn[0].shape))
    rows, _, end = gates.coefficients(*(chunks(x) for x in drawn), hidden)
    return {
        "write": rows.write,
        "keep": rows.keep[..., 0],
        "carry": rows.carry[..., 0],
        "write_momentum": end.write_momentum[..., 0],
        "keep_momentum": end.keep_momentum[..., 0, 0],
    }


def ours(drawn: list[Tensor], mask: Tensor | None, start: int, number: int, n: int) -> gates_triton.Gates:
    device = [x.to(DEVICE) for x in drawn]
    hidden = None if mask is None else mask.to(DEVICE)
    return gates_triton.Gates(*(x.cpu() for x in gates_triton.gate_forward(*device, hidden, start, Tiles(number, n))))


def without_padding(found: gates_triton.Gates, n: int) -> dict[str, Tensor]:
    return {
        "write": found.write[..., :n, :n],
        "keep": found.keep[..., :n],
        "carry": found.carry[..., :n],
        "write_momentum": found.write_momentum[..., :n],
        "keep_momentum": found.keep_momentum,
    }


@triton.jit
def inline_kernel(alpha, eta, theta, mask, write, keep, carry, write_momentum, keep_momentum, n, BC: tl.constexpr):
    """`chunk_coefficients` of n tokens with B = H = L = 1, as a kernel uses it that does a single step."""
    row = tl.arange(0, BC)
    token, real = gates_triton.tokens_of_tile(mask, 0, 0, n, n, row)
    a, e, s = gates_triton.load_gates(alpha, eta, theta, token, real)
    w, k, c, wm, km = gates_triton.chunk_coefficients(a, e, s, real.to(tl.float32), BC, 0)
    tl.store(write + row[:, None] * BC + row[None, :], w)
    tl.store(keep + row, k)
    tl.store(carry + row, c)
    tl.store(write_momentum + row, wm)
    tl.store(keep_momentum, km)


def half_masked(tokens: int) -> Tensor:
    return torch.rand(BATCH, tokens, generator=torch.Generator().manual_seed(3)) < 0.6


def distance(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return ((a - b).norm() / b.norm().clamp_min(1e-30)).item()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("number", "n"), [(1, 1), (3, 7), (2, 16), (2, 17), (1, 33)])
def test_coefficients(number: int, n: int, masked: bool) -> None:
    start = 2
    tokens = start + number * n + 3
    drawn, mask = draw(tokens), half_masked(tokens) if masked else None
    found = ours(drawn, mask, start, number, n)
    expected = oracle([x.double() for x in drawn], mask, start, number, n)
    for name, value in without_padding(found, n).items():
        exact = expected[name]
        # A rounded sum of logarithms: the smaller the product, the larger its relative error.
        allowed = 2e-7 * exact.abs() * (2 + exact.abs().clamp_min(1e-30).log().abs())
        assert ((value.double() - exact).abs() <= allowed).all(), name


@pytest.mark.parametrize("n", [5, 16, 20])
def test_padding_repeats_the_last_row(n: int) -> None:
    found = ours(draw(n), None, 0, 1, n)
    rows = found.write.shape[-1]
    assert rows == gates_triton.tile_rows(n)
    for x in (found.keep, found.carry):
        assert torch.equal(x[..., n - 1 :], x[..., n - 1 : n].expand_as(x[..., n - 1 :]))
    # A sum of n products each: the same up to the order in which the interpreter's BLAS adds a row.
    last = found.write[..., n - 1 : n, :].expand_as(found.write[..., n:, :])
    torch.testing.assert_close(found.write[..., n:, :], last, rtol=1e-6, atol=1e-9)
    assert not found.write[..., n:].any() and not found.write_momentum[..., n:].any()
    assert not found.write.triu(1).any()


@pytest.mark.parametrize(("number", "n", "masked"), [(1, 1, False), (3, 7, True), (1, 16, False), (1, 33, True)])
def test_gradients(number: int, n: int, masked: bool) -> None:
    start = 1
    tokens = start + number * n + 2
    drawn, mask = draw(tokens), half_masked(tokens) if masked else None
    rows = gates_triton.tile_rows(n)
    shapes = [x.shape for x in gates_triton.empty_gates(drawn[0], Tiles(number, n))]
    g = torch.Generator().manual_seed(5)
    into = gates_triton.Gates(*(torch.randn(s, generator=g) for s in shapes))
    # The end of the chunk lies in the last row: what padding rows get would count there, what columns get nowhere.
    for x in (into.write, into.keep[..., None], into.carry[..., None], into.write_momentum[..., None]):
        x[..., n:, :] = 0.0
    grads = {}
    for dtype in (torch.float64, torch.float32):
        leaves = [x.to(dtype).requires_grad_() for x in drawn]
        expected = oracle(leaves, mask, start, number, n)
        pairs = without_padding(into, n)
        loss = sum((expected[k] * pairs[k].to(dtype)).sum() for k in pairs)
        assert isinstance(loss, Tensor)
        grads[dtype] = [x[:, start : start + number * n] for x in torch.autograd.grad(loss, leaves)]
    into.write.masked_fill_(torch.ones(rows, rows, dtype=torch.bool).triu(1), torch.nan)
    device = [x.to(DEVICE) for x in drawn]
    hidden = None if mask is None else mask.to(DEVICE)
    moved = gates_triton.Gates(*(x.to(DEVICE) for x in into))
    found = gates_triton.gate_backward(*device, hidden, start, Tiles(number, n), moved)
    for value, exact, plain in zip(found, grads[torch.float64], grads[torch.float32], strict=True):
        assert distance(value.cpu().double(), exact) <= 2 * distance(plain.double(), exact) + 2e-7
        if mask is not None:
            assert not value.cpu()[~mask[:, start : start + number * n]].any()


def test_gradients_of_the_end_rows() -> None:
    """The gradients by a chunk's end, in the last row of a padded tile, reach every token as those by row n - 1."""
    n, drawn = 5, draw(5)
    rows = gates_triton.tile_rows(n)
    zeros = [torch.zeros_like(x) for x in gates_triton.empty_gates(drawn[0], Tiles(1, n))]
    last, end = (gates_triton.Gates(*(x.clone() for x in zeros)) for _ in range(2))
    for into, row in ((last, n - 1), (end, rows - 1)):
        into.write[..., row, :n], into.keep[..., row], into.carry[..., row] = 1.0, 2.0, 3.0
    device = [x.to(DEVICE) for x in drawn]
    results = [
        gates_triton.gate_backward(*device, None, 0, Tiles(1, n), gates_triton.Gates(*(x.to(DEVICE) for x in into)))
        for into in (last, end)
    ]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
        assert a.abs().min() > 0


@pytest.mark.parametrize("alpha", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("eta", [0.0, 1.0, 0.6])
def test_gates_of_exactly_0_and_1(alpha: float, eta: float) -> None:
    n, drawn = 9, draw(9)
    drawn[0][:, ::2], drawn[1][:, 1::3] = alpha, eta
    expected = oracle([x.double() for x in drawn], None, 0, 1, n)
    for name, value in without_padding(ours(drawn, None, 0, 1, n), n).items():
        assert torch.isfinite(value).all()
        torch.testing.assert_close(value.double(), expected[name], atol=3e-7, rtol=1e-6)


def test_a_slow_decay_is_felt() -> None:
    """alpha = 1e-6 for 64 tokens keeps exp(-6.4e-5), and eta = 1 - 1e-6 likewise: no 2^-22 from the logarithm."""
    drawn = [torch.full((1, 64, 1, 1), x) for x in (1e-6, 1 - 1e-6, 0.01)]
    found, expected = ours(drawn, None, 0, 1, 64), oracle([x.double() for x in drawn], None, 0, 1, 64)
    assert (found.keep.double() - expected["keep"]).abs().max() <= 6e-8
    assert (found.keep_momentum.double() - expected["keep_momentum"]).abs().max() <= 6e-8


def test_nothing_behind_a_mask_is_read() -> None:
    n, mask = 12, half_masked(12)
    clean = draw(n)
    dirty = [torch.where(mask[..., None, None], x, torch.nan) for x in clean]
    for a, b in zip(ours(clean, mask, 0, 1, n), ours(dirty, mask, 0, 1, n), strict=True):
        assert torch.equal(a, b)


def test_expanded_and_strided_gates() -> None:
    drawn = draw(20)
    views = [x.expand(BATCH, 20, HEADS, LAYERS) for x in (drawn[0][:1, :, :1], drawn[1][:, :, :, :1], drawn[2])]
    views[2] = torch.cat([drawn[2], drawn[2]], 1)[:, ::2]
    for a, b in zip(ours(views, None, 0, 2, 10), ours([x.clone() for x in views], None, 0, 2, 10), strict=True):
        assert torch.equal(a, b)


def test_chunks_cut_into_parts() -> None:
    """Two chunks of 7 in tiles of 4 and 3 tokens, against each tile alone; gradients into larger tensors."""
    drawn, mask = [x[:1, :, :, :1].contiguous().to(DEVICE) for x in draw(16)], half_masked(16)[:1].to(DEVICE)
    found = gates_triton.gate_forward(*drawn, mask, 1, Tiles(2, 7, parts=2))
    into = gates_triton.Gates(*(torch.randn(x.shape).to(DEVICE) for x in found))
    whole = (torch.zeros_like(drawn[0]), torch.zeros_like(drawn[0]), torch.zeros_like(drawn[0]))
    gates_triton.gate_backward(*drawn, mask, 1, Tiles(2, 7, parts=2), into, whole)
    assert not any(x[:, :1].any() or x[:, 15:].any() for x in whole)
    for tile, (start, n) in enumerate([(1, 4), (5, 3), (8, 4), (12, 3)]):
        alone = gates_triton.gate_forward(*drawn, mask, start, Tiles(1, n))
        for a, b in zip(found, alone, strict=True):
            assert torch.equal(a[:, :, tile : tile + 1], b)
        part = gates_triton.Gates(*(x[:, :, tile : tile + 1].contiguous() for x in into))
        for a, b in zip(whole, gates_triton.gate_backward(*drawn, mask, start, Tiles(1, n), part), strict=True):
            assert torch.equal(a[:, start : start + n], b)


@pytest.mark.parametrize("n", [1, 11, 16, 20])
def test_coefficients_in_a_kernel(n: int) -> None:
    drawn = [x[:1, :, :1, :1].contiguous().to(DEVICE) for x in draw(n)]
    mask = half_masked(n)[:1].contiguous().to(DEVICE)
    expected = gates_triton.gate_forward(*drawn, mask, 0, Tiles(1, n))
    found = gates_triton.Gates(*(torch.empty_like(x) for x in expected))
    inline_kernel[(1,)](*drawn, mask, *found, n, expected.write.shape[-1])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
