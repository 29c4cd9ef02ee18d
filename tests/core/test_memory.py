"""The memory layer: its gates, its start, and what a mask leaves alone."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from tests.core.common import MEMORIES, WIDTH, random_mask, tokens
from titans_kernels import MemoryState, linear_memory
from titans_ts.core import MemoryConfig, NeuralMemory
from titans_ts.core.memory import MemoryGates


def gates_of(x: torch.Tensor, config: MemoryConfig, heads: int = 4) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return MemoryGates(x.shape[-1], heads, config).to(x.dtype)(x)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
@pytest.mark.parametrize("heads", [1, 2, 5])
def test_forgetting_starts_at_the_horizons(kind: str, heads: int) -> None:
    config = MemoryConfig(kind=kind, horizon=(16.0, 1e6))  # type: ignore[arg-type]
    alpha, eta, theta = gates_of(torch.zeros(1, 1, WIDTH, dtype=torch.float64), config, heads)
    geometric = [math.sqrt(16e6)] if heads == 1 else [16 * (1e6 / 16) ** (h / (heads - 1)) for h in range(heads)]
    horizons = 1 / (alpha[0, 0] if kind == "linear" else alpha[0, 0, :, 0])
    # The bias is a float32 number around −13.8: that is what is left of its precision.
    assert torch.allclose(horizons, torch.tensor(geometric, dtype=torch.float64), rtol=1e-5)
    assert eta.min() >= 0.5 - 1e-6 and eta.max() <= 0.9 + 1e-6
    assert torch.allclose(theta, config.step_size / 2 * (1 - eta))
    closed = gates_of(torch.zeros(1, 1, WIDTH), dataclasses.replace(config, write=0.05), heads)
    assert torch.allclose(closed[2], 0.05 * config.step_size * (1 - closed[1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MEMORIES)
def test_gates_stay_in_their_ranges(name: str, dtype: torch.dtype) -> None:
    config = MEMORIES[name]
    alpha, eta, theta = gates_of(100.0 * tokens(2, 50, dtype=dtype), config)
    assert alpha.min() >= 0 and alpha.max() <= 1
    assert eta.min() >= 0 and eta.max() <= 1
    assert theta.min() >= 0
    assert (theta <= config.step_size * (1 - eta) * (1 + 1e-6)).all()
    assert alpha.shape == ((2, 50, 4) if config.kind == "linear" else (2, 50, 4, config.layers))
    if not config.momentum:
        assert (eta == 0).all()
    limited = gates_of(100.0 * tokens(2, 50, dtype=dtype), dataclasses.replace(config, momentum_limit=0.5))
    assert limited[1].max() <= 0.5
    assert (limited[2] <= config.step_size * (1 - limited[1]) * (1 + 1e-6)).all()


def test_limited_momentum_keeps_the_memory_bounded_where_free_momentum_does_not() -> None:
    """Keys and gates that repeat every 24 tokens, the worst of 64 such programs: a swing is started and let run."""
    generator = torch.Generator().manual_seed(0)
    steps, period, programs = 3000, 24, 64

    def drawn(*shape: int) -> torch.Tensor:
        """Normal numbers (…, programs, shape) that repeat, laid out over the tokens."""
        once = torch.randn(1, period, programs, *shape, generator=generator, dtype=torch.float64)
        return once.repeat(1, steps // period, 1, *([1] * len(shape)))

    k, turn, write = F.normalize(drawn(16), dim=-1), drawn(), drawn()
    v = drawn(16)
    largest = {}
    for limit in (1.0, 0.5):
        eta = limit * torch.sigmoid(4 * turn)
        theta = 0.5 * (1 - eta) * torch.sigmoid(4 * write)
        start = MemoryState.start([torch.zeros(programs, 16, 16, dtype=torch.float64)])
        _, state = linear_memory(k, k, v, torch.zeros_like(eta), eta, theta, start, chunk_size=24, anchor="token")
        largest[limit] = float(state.weights[0].abs().nan_to_num(torch.inf).max())
    assert largest[1.0] > 1e6 and largest[0.5] < 100


def test_gates_start_near_their_biases() -> None:
    config = MemoryConfig()
    x = tokens(8, 200, dtype=torch.float32)
    alpha, eta, _ = gates_of(x, config)
    still = gates_of(torch.zeros(1, 1, WIDTH), config)
    assert ((alpha.log() - still[0].log()).abs() < 1).all()
    assert ((eta - still[1]).abs() < 0.2).all()


def test_gates_keep_float32_under_autocast() -> None:
    x = tokens(1, 20, dtype=torch.float32)
    plain = gates_of(x, MemoryConfig(horizon=(1e5, 1e6)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = gates_of(x, MemoryConfig(horizon=(1e5, 1e6)))
    assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))


@pytest.mark.parametrize("name", MEMORIES)
def test_masked_tokens_leave_the_fast_weights(name: str) -> None:
    torch.manual_seed(0)
    memory = NeuralMemory(WIDTH, 2, MEMORIES[name]).double()
    start = memory.initial_state(2)
    _, after = memory(tokens(2, 9), start, torch.zeros(2, 9, dtype=torch.bool))
    for before, now in zip(start.memory.weights, after.memory.weights, strict=True):
        assert torch.equal(before.double(), now)
    _, written = memory(tokens(2, 9), start, random_mask(2, 9))
    assert not torch.equal(written.memory.weights[0], after.memory.weights[0])


def test_a_memory_that_takes_no_steps_stays_as_it_is() -> None:
    torch.manual_seed(0)
    memory = NeuralMemory(WIDTH, 2, MemoryConfig(horizon=(1e12, 1e12))).double()
    with torch.no_grad():
        memory.gates.gates.weight.zero_()
        memory.gates.gates.bias[-memory.gates.heads * memory.gates.layers :] = -100.0
    start = memory.initial_state(1)
    _, after = memory(tokens(1, 40), start)
    for before, now in zip(start.memory.weights, after.memory.weights, strict=True):
        assert torch.allclose(before.double(), now, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["deep", "linear, chunk anchor"])
def test_reading_writes_nothing_and_equals_a_masked_forward(name: str) -> None:
    torch.manual_seed(0)
    memory = NeuralMemory(WIDTH, 2, dataclasses.replace(MEMORIES[name])).double()
    x = tokens(2, 11)
    state = memory.initial_state(2)
    weights = tuple(w.double() for w in state.memory.weights)
    read, _ = memory.read(x, weights, state.conv)
    assert read.shape == x.shape
    y, _ = memory(x, state)
    # The first read happens after the first write, so the two differ; at weights frozen by the mask they do not.
    assert not torch.allclose(read, y)
    blind = torch.zeros(2, 11, dtype=torch.bool)
    assert torch.allclose(memory.read(x, weights, state.conv, blind)[0], memory(x, state, blind)[0], atol=1e-12)
