"""Sliding-window and segment attention against a dense masked softmax written out.

`B` batch, `T` tokens, `H` heads, `E` head width, `N` persistent tokens.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.core.common import WIDTH, random_mask, tokens
from titans_ts.core import SegmentAttention, SlidingWindowAttention

HEADS = 2


def rotate(x: Tensor, position: int) -> Tensor:
    """x (E,) turned by its position, a pair (i, i + E/2) at a time."""
    half = x.shape[0] // 2
    out = x.clone()
    for i in range(half):
        angle = position * 10000.0 ** (-i / half)
        out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        out[i + half] = x[i] * math.sin(angle) + x[i + half] * math.cos(angle)
    return out


def written_out(layer: SlidingWindowAttention, x: Tensor, mask: Tensor) -> Tensor:
    """One query, head and row at a time: softmax over persistent tokens and the visible ones of the window."""
    q, k, v = (p.unflatten(-1, (HEADS, -1)) for p in layer.qkv(x).chunk(3, dim=-1))
    out = torch.zeros_like(q)
    for b, t, h in itertools.product(range(x.shape[0]), range(x.shape[1]), range(HEADS)):
        seen = [s for s in range(max(0, t - layer.window + 1), t + 1) if mask[b, s]]
        # A persistent token has no position: it meets the query as it is.
        scores = [q[b, t, h] @ key for key in layer.persistent.persistent_keys[h]]
        scores += [rotate(q[b, t, h], t) @ rotate(k[b, s, h], s) for s in seen]
        values = [*layer.persistent.persistent_values[h], *(v[b, s, h] for s in seen)]
        if scores:
            out[b, t, h] = (torch.stack(scores) / math.sqrt(q.shape[-1])).softmax(0) @ torch.stack(values)
    return layer.out(out.flatten(-2))


@pytest.mark.parametrize("persistent", [0, 2])
@pytest.mark.parametrize(("length", "window"), [(9, 1), (9, 4), (12, 4), (25, 4), (25, 7), (6, 20)])
def test_sliding_window_is_a_dense_masked_softmax(length: int, window: int, persistent: int) -> None:
    torch.manual_seed(0)
    layer = SlidingWindowAttention(WIDTH, HEADS, window, persistent).double()
    x, mask = tokens(2, length), random_mask(2, length)
    expected = written_out(layer, x, mask)
    assert (layer(x, layer.initial_state(2), mask)[0] - expected).abs().max() < 1e-10
    first, state = layer(x[:, :5], layer.initial_state(2), mask[:, :5])
    second, _ = layer(x[:, 5:], state, mask[:, 5:])
    assert (torch.cat([first, second], dim=1) - expected).abs().max() < 1e-10


def test_state_is_the_last_window_and_no_more() -> None:
    layer = SlidingWindowAttention(WIDTH, HEADS, 4, 2)
    x, state = tokens(2, 50, dtype=torch.float32), layer.initial_state(2)
    for start in range(0, 50, 10):
        _, state = layer(x[:, start : start + 10], state)
        assert state.keys.shape[2] == state.values.shape[2] == state.valid.shape[1] == 3


def test_segment_attention_is_causal_in_the_memory_too() -> None:
    torch.manual_seed(0)
    layer = SegmentAttention(WIDTH, HEADS, 2).double()
    x, h, mask = tokens(2, 9), tokens(2, 9, seed=1), random_mask(2, 9)
    other = h.clone()
    other[:, 5] += 10.0
    mask[:, 5] = True
    before, _ = layer(x, h, layer.initial_state(2), mask)
    after, _ = layer(x, other, layer.initial_state(2), mask)
    assert (before - after)[:, :5].abs().max() < 1e-12
    assert (before - after)[:, 5:].abs().max() > 1e-3


def test_segment_attention_written_out() -> None:
    torch.manual_seed(0)
    layer = SegmentAttention(WIDTH, HEADS, 2).double()
    x, h, mask = tokens(1, 7), tokens(1, 7, seed=1), torch.ones(1, 7, dtype=torch.bool)
    mask[0, 2] = False
    q, k, v = (p.unflatten(-1, (HEADS, -1))[0] for p in layer.qkv(x).chunk(3, dim=-1))
    hk, hv = (p.unflatten(-1, (HEADS, -1))[0] for p in layer.memory_kv(h).chunk(2, dim=-1))
    out = torch.zeros_like(q)
    for t, head in itertools.product(range(7), range(HEADS)):
        seen = [s for s in range(t + 1) if mask[0, s]]
        scores = [q[t, head] @ key for key in layer.persistent.persistent_keys[head]]
        scores += [rotate(q[t, head], t) @ rotate(key[s, head], s) for key in (hk, k) for s in seen]
        values = [*layer.persistent.persistent_values[head], *(value[s, head] for value in (hv, v) for s in seen)]
        out[t, head] = (torch.stack(scores) / math.sqrt(q.shape[-1])).softmax(0) @ torch.stack(values)
    y, _ = layer(x, h, layer.initial_state(1), mask)
    assert (y[0] - layer.out(out.flatten(-2))).abs().max() < 1e-10
