"""What every block promises: causal, no leak between rows, equal on any split, indifferent to padding."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch
from torch import Tensor

from tests.core.common import BLOCKS, CONFIGS, flat, in_pieces, make, random_mask, tokens

LENGTH = 41
every_config = pytest.mark.parametrize("name", CONFIGS)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-10) -> bool:
    return a.shape == b.shape and bool(torch.isfinite(a).all()) and (a - b).abs().max().item() <= tolerance


@every_config
@pytest.mark.parametrize("cut", [1, 17, 30])
def test_the_future_does_not_reach_the_past(name: str, cut: int) -> None:
    model, x = make(CONFIGS[name]), tokens(2, LENGTH)
    other = x.clone()
    other[:, cut:] = 3.0 * tokens(2, LENGTH - cut, seed=1)
    before, after = model(x)[0], model(other)[0]
    assert close(before[:, :cut], after[:, :cut])
    assert not close(before[:, cut:], after[:, cut:], 1e-3)


@every_config
def test_every_token_can_reach_the_next(name: str) -> None:
    model, x = make(CONFIGS[name]), tokens(1, 12)
    other = x.clone()
    other[:, 4] += 1.0
    assert (model(x)[0] - model(other)[0])[:, 5].abs().max() > 1e-6


@every_config
def test_rows_do_not_mix(name: str) -> None:
    model, x = make(CONFIGS[name]), tokens(3, LENGTH)
    other = x.clone()
    other[1] = 5.0 * tokens(1, LENGTH, seed=2)[0]
    (a, state_a), (b, state_b) = model(x), model(other)
    keep = torch.tensor([0, 2])
    assert close(a[keep], b[keep])
    assert all(close(p[keep].double(), q[keep].double()) for p, q in zip(flat(state_a), flat(state_b), strict=True))


@every_config
def test_batch_size_does_not_matter(name: str) -> None:
    model, x, mask = make(CONFIGS[name]), tokens(3, LENGTH), random_mask(3, LENGTH)
    together = model(x, mask=mask)[0]
    alone = torch.cat([model(x[i : i + 1], mask=mask[i : i + 1])[0] for i in range(3)])
    assert close(together, alone)


@every_config
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_any_split_gives_the_same(name: str, masked: bool, seed: int) -> None:
    model, x = make(CONFIGS[name], seed), tokens(2, LENGTH, seed)
    mask = random_mask(2, LENGTH, seed) if masked else None
    borders = sorted(random.Random(seed).sample(range(1, LENGTH), 1 + 3 * seed))
    (whole, state), (parts, state_of_parts) = model(x, mask=mask), in_pieces(model, x, borders, mask)
    assert close(whole, parts)
    for a, b in zip(flat(state), flat(state_of_parts), strict=True):
        assert close(a.double(), b.double())


@pytest.mark.parametrize("name", BLOCKS)
def test_one_token_at_a_time_gives_the_same(name: str) -> None:
    model, x = make(CONFIGS[name]), tokens(2, 23)
    assert close(model(x)[0], in_pieces(model, x, list(range(1, 23)))[0])


@pytest.mark.parametrize("window", [1, 2, 7, 40, 200])
@pytest.mark.parametrize("block", ["mag", "mal", "attention"])
def test_any_window_splits_alike(block: str, window: int) -> None:
    model = make(dataclasses.replace(CONFIGS[block], window=window))
    x, mask = tokens(2, 90), random_mask(2, 90)
    assert close(model(x, mask=mask)[0], in_pieces(model, x, [3, 31, 32, 77], mask)[0])


@pytest.mark.parametrize("segment", [1, 2, 12, 41, 100])
def test_any_segment_splits_alike(segment: int) -> None:
    model = make(dataclasses.replace(CONFIGS["mac"], segment=segment))
    x, mask = tokens(2, LENGTH), random_mask(2, LENGTH)
    assert close(model(x, mask=mask)[0], in_pieces(model, x, [3, 12, 13, 30], mask)[0])


@pytest.mark.parametrize("persistent", [0, 3])
@pytest.mark.parametrize("block", BLOCKS)
def test_masked_tokens_reach_nothing(block: str, persistent: int) -> None:
    model = make(dataclasses.replace(CONFIGS[block], persistent_tokens=persistent))
    x, mask = tokens(2, LENGTH), random_mask(2, LENGTH)
    mask[1, :9] = False
    other = torch.where(mask[..., None], x, 100.0 * tokens(2, LENGTH, seed=3))
    (a, state_a), (b, state_b) = model(x, mask=mask), model(other, mask=mask)
    assert close(a[mask], b[mask])
    # What is cached of a masked token may differ (nobody reads it): the next tokens must not.
    more = tokens(2, 20, seed=4)
    assert close(model(more, state_a)[0], model(more, state_b)[0])


@pytest.mark.parametrize("persistent", [0, 3])
@pytest.mark.parametrize("length", [4, 9, 30])
def test_left_padding_leaves_attention_alone(length: int, persistent: int) -> None:
    model, x = make(dataclasses.replace(CONFIGS["attention"], persistent_tokens=persistent)), tokens(2, length)
    for pad in (1, 5, 33):
        padded = torch.cat([tokens(2, pad, seed=5), x], dim=1)
        mask = (torch.arange(pad + length) >= pad).expand(2, -1)
        assert close(model(padded, mask=mask)[0][:, pad:], model(x)[0])


@pytest.mark.parametrize("block", ["lmm", "mag", "mal"])
def test_left_padding_by_whole_chunks_leaves_the_memory_alone(block: str) -> None:
    model, x = make(CONFIGS[block]), tokens(2, 30)
    padded = torch.cat([tokens(2, 12, seed=5), x], dim=1)
    mask = (torch.arange(42) >= 12).expand(2, -1)
    assert close(model(padded, mask=mask)[0][:, 12:], model(x)[0])


@pytest.mark.parametrize("block", BLOCKS)
def test_long_sequences_stay_finite_in_float32(block: str) -> None:
    config = dataclasses.replace(CONFIGS[block], window=64, segment=128)
    model = make(config, dtype=torch.float32)
    x = 10.0 * tokens(1, 2048, dtype=torch.float32)
    with torch.no_grad():
        y, state = model(x)
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(t.float()).all() for t in flat(state))
