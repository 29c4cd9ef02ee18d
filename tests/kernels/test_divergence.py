"""When a linear memory stays bounded: the steps of a chunk of equal keys add up."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from titans_kernels import MemoryState, linear_memory

CHUNK, TOKENS = 16, 16 * 60


def distance(step: float, keys: Tensor, anchor: str = "chunk") -> Tensor:
    """Largest |W| after keys (1, T, 1, 4) of norm 1 that are to be answered with 0, from W = 1; no momentum."""
    zeros = torch.zeros(1, TOKENS, 1, dtype=torch.float64)
    state = MemoryState.start((torch.ones(1, 4, 4, dtype=torch.float64),))
    theta = torch.full_like(zeros, step)
    _, state = linear_memory(keys, keys, 0 * keys, zeros, zeros, theta, state, chunk_size=CHUNK, anchor=anchor)
    return state.weights[0].abs().max()


def equal_keys() -> Tensor:
    return F.normalize(torch.ones(1, TOKENS, 1, 4, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("seed", range(3))
def test_chunk_size_times_step_up_to_1_is_bounded(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    drawn = F.normalize(torch.randn(1, TOKENS, 1, 4, generator=generator, dtype=torch.float64), dim=-1)
    few = drawn[:, :1].where(torch.rand(1, TOKENS, 1, 1, generator=generator) < 0.9, drawn)
    for keys in (drawn, few, equal_keys()):
        assert distance(1 / CHUNK, keys) <= 2.0


def test_beyond_it_equal_keys_drive_it_to_infinity_but_not_with_the_token_anchor() -> None:
    assert distance(2 / CHUNK, equal_keys()) > 1e9
    assert distance(2 / CHUNK, equal_keys(), "token") <= 2.0
