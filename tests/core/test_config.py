"""Configurations say what is wrong, survive a round trip through plain values, and refuse what does not fit."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from titans_ts.core import MemoryConfig, Titans, TitansConfig
from titans_ts.core.blocks import BLOCKS
from titans_ts.core.config import BLOCK_NAMES


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "lstm"}, r"memory kind must be one of .*, got 'lstm'"),
        ({"depth": 0}, "memory depth must be 1 to 4, got 0"),
        ({"depth": 5}, "memory depth must be 1 to 4, got 5"),
        ({"expansion": 0}, "memory expansion must be ≥ 1, got 0"),
        ({"chunk_size": 0}, "chunk_size must be ≥ 1 token, got 0"),
        ({"anchor": "segment"}, "anchor must be one of .*, got 'segment'"),
        ({"anchor": "token"}, "anchor must be 'chunk' for a deep memory .*, got 'token'"),
        ({"step_size": 0.0}, "step_size must be > 0, got 0.0"),
        ({"momentum_limit": 0.0}, r"momentum_limit must be in \(0, 1\], got 0.0"),
        ({"momentum_limit": 1.5}, r"momentum_limit must be in \(0, 1\], got 1.5"),
        ({"write": 0.0}, r"write must be in \(0, 1\), got 0.0"),
        ({"write": 1.0}, r"write must be in \(0, 1\), got 1.0"),
        ({"horizon": (1.0, 10.0)}, "horizon must be .*1 < shortest"),
        ({"horizon": (20.0, 10.0)}, "horizon must be .*shortest ≤ longest"),
        ({"horizon": (20.0,)}, "horizon must be two numbers"),
    ],
)
def test_bad_memories(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemoryConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"block": "rnn"}, "block must be one of .*'mac'.*, got 'rnn'"),
        ({"heads": 0}, "heads must be ≥ 1, got 0"),
        ({"width": 30}, "width must be a multiple of 2·heads = 8 .*, got 30"),
        ({"width": 0}, "width must be a multiple"),
        ({"layers": 0}, "layers must be ≥ 1, got 0"),
        ({"mlp_expansion": 0}, "mlp_expansion must be > 0, got 0"),
        ({"window": 0}, "window must be ≥ 1 token, got 0"),
        ({"segment": 0}, "segment must be ≥ 1 token, got 0"),
        ({"persistent_tokens": -1}, "persistent_tokens must be ≥ 0, got -1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_bad_backbones(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TitansConfig(**values)


def test_names_and_classes_of_blocks_agree() -> None:
    assert tuple(BLOCKS) == BLOCK_NAMES


def test_plain_values_and_back() -> None:
    config = TitansConfig("mac", 16, heads=2, memory=MemoryConfig(kind="linear", anchor="token", horizon=(8, 64)))
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert TitansConfig.from_dict(values) == config
    assert hash(config) == hash(TitansConfig.from_dict(values))


def test_bad_inputs() -> None:
    model = Titans(TitansConfig(width=16, heads=2, layers=2))
    for shape in ((2, 5), (2, 5, 8), (2, 0, 16)):
        with pytest.raises(ValueError, match=r"x must be \(batch, tokens ≥ 1, 16\), got"):
            model(torch.zeros(shape))
    with pytest.raises(ValueError, match="one entry for each of 2 blocks, got 1"):
        model(torch.zeros(1, 3, 16), model.initial_state(1)[:1])
