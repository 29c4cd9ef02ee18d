"""Long sequences: reading in pieces, training in spans, shifted gates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from titans_ts.core import MemoryConfig, ReadOptions, Titans, TitansConfig, TitansState
from titans_ts.core.truncated import detached, truncated_backward

BLOCKS = ("lmm", "mac", "mag", "mal", "attention")


def backbone(block: str, **memory: object) -> Titans:
    torch.manual_seed(0)
    settings = {"chunk_size": 4, **memory}
    config = TitansConfig(
        block=block,  # type: ignore[arg-type]
        width=16,
        heads=2,
        layers=2,
        window=6,
        segment=10,
        persistent_tokens=2,
        dropout=0.0,
        memory=MemoryConfig(**settings),  # type: ignore[arg-type]
    )
    return Titans(config).double().eval()


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_prefill_equals_one_read(block: str, chunk: int) -> None:
    model = backbone(block)
    x = torch.randn(2, 33, 16, dtype=torch.float64)
    mask = torch.ones(2, 33, dtype=torch.bool)
    mask[0, 5:8] = False
    seen: dict[int, Tensor] = {}
    last, state = model.prefill(x, mask=mask, chunk=chunk, visit=lambda start, y: seen.update({start: y}))
    whole, after = model(x, mask=mask)
    assert list(seen) == list(range(0, 33, chunk))
    torch.testing.assert_close(torch.cat(list(seen.values()), dim=1), whole, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(last, whole[:, -1], rtol=1e-9, atol=1e-9)
    more = torch.randn(2, 5, 16, dtype=torch.float64)
    torch.testing.assert_close(model(more, state)[0], model(more, after)[0], rtol=1e-9, atol=1e-9)
    assert not last.requires_grad


def test_prefill_embeds_ids_piece_by_piece() -> None:
    model, embedding = backbone("lmm"), nn.Embedding(7, 16).double()
    ids = torch.randint(0, 7, (2, 20))
    widest = 0

    def embed(piece: Tensor) -> Tensor:
        nonlocal widest
        widest = max(widest, piece.shape[1])
        return embedding(piece)

    last, _ = model.prefill(ids, chunk=6, embed=embed)
    torch.testing.assert_close(last, model(embedding(ids))[0][:, -1], rtol=1e-9, atol=1e-9)
    assert widest == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chunk": 0}, "chunk must be an integer ≥ 1"),
        ({"mask": torch.ones(2, 3, dtype=torch.bool)}, "mask must be"),
    ],
)
def test_prefill_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backbone("lmm").prefill(torch.randn(2, 4, 16, dtype=torch.float64), **arguments)  # type: ignore[arg-type]


def spans(model: Titans, x: Tensor, span: int) -> tuple[float, list[Tensor]]:
    model.zero_grad(set_to_none=True)

    def step(piece: slice, state: TitansState | None) -> tuple[Tensor, TitansState]:
        y, state = model(x[:, piece], state)
        return y.square().sum(), state

    loss, _ = truncated_backward(step, x.shape[1], span)
    return loss, [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_one_span_gives_the_whole_gradient_and_many_give_the_same_loss() -> None:
    model = backbone("mag")
    x = torch.randn(2, 24, 16, dtype=torch.float64)
    whole, gradients = spans(model, x, 24)
    model.zero_grad(set_to_none=True)
    expected = model(x)[0].square().sum()
    expected.backward()
    assert whole == pytest.approx(float(expected.detach()))
    for mine, theirs in zip(gradients, (p.grad for p in model.parameters() if p.grad is not None), strict=True):
        torch.testing.assert_close(mine, theirs)
    cut, other = spans(model, x, 8)
    assert cut == pytest.approx(whole)
    assert any(not torch.allclose(mine, theirs) for mine, theirs in zip(gradients, other, strict=True))


def test_states_keep_values_and_lose_graphs() -> None:
    model = backbone("mac")
    _, state = model(torch.randn(2, 12, 16, dtype=torch.float64))
    free = detached(state)
    assert type(free[0]) is type(state[0])
    assert state[0].memory.conv.requires_grad and not free[0].memory.conv.requires_grad
    torch.testing.assert_close(free[0].memory.memory.weights, state[0].memory.memory.weights)
    with pytest.raises(TypeError, match="got dict"):
        detached({"a": torch.zeros(1)})


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_shifted_gates_act_as_a_longer_sequence_would(kind: str) -> None:
    """Nearly closed gates: one read under a shift of log 4 moves the memory as four reads do."""
    model = backbone("lmm", kind=kind)
    memory = model.blocks[0].memory
    heads = model.config.heads * memory.config.layers
    with torch.no_grad():
        memory.gates.gates.bias[:heads] = -14.0
        memory.gates.gates.bias[2 * heads :] = -14.0
    x = torch.randn(1, 16, 16, dtype=torch.float64)
    start = memory.initial_state(1)
    with torch.no_grad():
        _, plain = memory(x, start)
        _, shifted = memory(x, start, options=ReadOptions(gate_shift=torch.log(torch.tensor(4.0)).item()))
        _, again = memory(x, start)
    moved = [(a - b) for a, b in zip(plain.memory.weights, start.memory.weights, strict=True)]
    further = [(a - b) for a, b in zip(shifted.memory.weights, start.memory.weights, strict=True)]
    for one, four in zip(moved, further, strict=True):
        assert one.norm() > 0
        torch.testing.assert_close(four, 4 * one, rtol=1e-3, atol=1e-3 * float(one.detach().abs().max()))
    torch.testing.assert_close(again.memory.weights, plain.memory.weights, rtol=0, atol=0)
