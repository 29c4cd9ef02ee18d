"""Surprise: the written loss and its gradient by autograd, at the weights where the memory takes them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.core.common import MEMORIES, WIDTH, random_mask, tokens
from titans_kernels import inner_loss, linear_read, mlp_read
from titans_ts.core import MemoryConfig, NeuralMemory, ReadOptions, SurpriseRecord, Titans, TitansConfig


def memory_of(config: MemoryConfig) -> NeuralMemory:
    torch.manual_seed(0)
    return NeuralMemory(WIDTH, 4, config).double()


def anchors(memory: NeuralMemory, x: torch.Tensor, mask: torch.Tensor | None) -> list[tuple[torch.Tensor, ...]]:
    """The weights at which each token's gradient is taken, from the states of a read token by token."""
    state, found = memory.initial_state(len(x)), []
    for t in range(x.shape[1]):
        found.append(state.memory.anchor if state.memory.position else state.memory.weights)
        _, state = memory(x[:, t : t + 1], state, None if mask is None else mask[:, t : t + 1])
    return found


def written(k: torch.Tensor, v: torch.Tensor, weights: tuple[torch.Tensor, ...], config: MemoryConfig) -> torch.Tensor:
    """The loss (H,) of one token of one sequence, k, v (H, K), as it is written down."""
    read = linear_read if config.kind == "linear" else lambda q, w: mlp_read(q, w, config.residual)
    return (read(k[None, None], weights)[0, 0] - v).square().sum(-1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", MEMORIES)
def test_loss_and_gradient_are_those_of_autograd(name: str, masked: bool) -> None:
    config = MEMORIES[name]
    memory, x = memory_of(config), tokens(2, 11)
    mask = random_mask(2, 11) if masked else None
    record = SurpriseRecord()
    with torch.no_grad():
        memory(x, memory.initial_state(2), mask, options=ReadOptions(surprise=record))
        line = memory.qkv(x) if mask is None else memory.qkv(x) * mask[..., None]
        padded = torch.cat([memory.initial_state(2).conv, line.mT], dim=-1)
        convolved = F.conv1d(padded, memory.conv.conv_weight, groups=padded.shape[1]).mT
        _, k, v = (p.unflatten(-1, (4, -1)) for p in convolved.chunk(3, -1))
    found = record.stacked()
    assert found is not None and found.loss.shape == (2, 11, 1, 4)
    k = F.normalize(k, dim=-1, eps=1e-6)
    for t, weights in enumerate(anchors(memory, x, mask)):
        for row in range(2):
            points = tuple(w[row : row + 1].detach().requires_grad_() for w in weights)
            loss = written(k[row, t], v[row, t], points, config)
            assert torch.allclose(found.loss[row, t, 0], loss, rtol=1e-9)
            gradients = torch.autograd.grad(loss.sum(), points)
            norm = sum(g.square().sum((-2, -1)) for g in gradients)[0].sqrt()  # type: ignore[index]
            assert torch.allclose(found.gradient[row, t, 0], norm, rtol=1e-9)


@pytest.mark.parametrize("name", MEMORIES)
def test_recording_changes_no_number(name: str) -> None:
    memory, x = memory_of(MEMORIES[name]), tokens(2, 13)
    y, state = memory(x, memory.initial_state(2))
    record = SurpriseRecord()
    found, after = memory(x, memory.initial_state(2), options=ReadOptions(surprise=record))
    assert torch.allclose(found, y, rtol=1e-10, atol=1e-12)
    assert after.memory.position == state.memory.position
    for one, other in zip(after.memory.weights, state.memory.weights, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
    memory(x, memory.initial_state(2))
    stacked = record.stacked()
    assert stacked is not None and stacked.loss.shape[1] == 13


@pytest.mark.parametrize("block", ["lmm", "mac", "mag", "mal"])
def test_any_split_has_the_surprise_of_one_read(block: str) -> None:
    torch.manual_seed(0)
    memory = MemoryConfig(chunk_size=4)
    config = TitansConfig(block=block, width=16, heads=2, layers=2, segment=5, window=6, memory=memory)  # type: ignore[arg-type]
    backbone, x = Titans(config).double().eval(), tokens(2, 17, 16)
    with torch.no_grad():
        whole = SurpriseRecord()
        backbone(x, options=ReadOptions(surprise=whole))
        state, parts = None, []
        for piece in x.split([1, 3, 8, 5], dim=1):
            record = SurpriseRecord()
            _, state = backbone(piece, state, options=ReadOptions(surprise=record))
            parts.append(record.stacked())
    expected = whole.stacked()
    assert expected is not None and expected.loss.shape == (2, 17, 2, 2)
    for place in range(2):
        found = torch.cat([part[place] for part in parts if part is not None], dim=1)
        assert torch.allclose(found, expected[place], rtol=1e-8, atol=1e-10)


def test_attention_alone_has_no_surprise() -> None:
    backbone = Titans(TitansConfig(block="attention", width=16, heads=2)).double()
    record = SurpriseRecord()
    backbone(tokens(1, 3, 16), options=ReadOptions(surprise=record))
    assert record.stacked() is None


def test_messages() -> None:
    k = torch.zeros(1, 2, 1, 4)
    with pytest.raises(ValueError, match="at least one weight"):
        inner_loss(k, k, ())
    with pytest.raises(ValueError, match="V=3"):
        inner_loss(k, k[..., :3], (torch.zeros(1, 4, 4),))
