"""Networks are compared with their weights, or with the memory, before they are made."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from titans_ts.core import TitansConfig
from titans_ts.core.config import BlockName
from titans_ts.forecasting.model.config import HeadName, NetworkConfig
from titans_ts.forecasting.model.heads import HEADS
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.support.guards.limits import MOST_WEIGHTS, built, memory_left
from titans_ts.support.guards.shapes import ShapesAlone


def layers(count: int, width: int = 2) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(count)))


def test_a_network_has_the_weights_of_its_file() -> None:
    weights = layers(2).state_dict()
    assert isinstance(built(lambda: layers(2), "the network", weights), nn.Sequential)
    for other in (lambda: layers(1), lambda: layers(3), lambda: layers(2, width=3)):
        with pytest.raises(ValueError, match="its weights are not those of the network"):
            built(other, "the network", weights)


def test_layers_beyond_those_of_the_file_are_not_made() -> None:
    made = 0

    def many() -> nn.Module:
        nonlocal made
        parts = []
        while made < 10**6:
            made += 1
            parts.append(nn.Linear(2, 2))
        return nn.Sequential(*parts)

    with pytest.raises(ValueError, match="its weights are not those of the network"):
        built(many, "the network", layers(2).state_dict())
    assert made < 10
    made = 0
    with pytest.raises(ValueError, match="choose fewer layers"):
        built(many, "the network")
    assert made < MOST_WEIGHTS


def test_random_numbers_are_those_of_a_network_made_at_once() -> None:
    torch.manual_seed(0)
    wanted = layers(2)[0].weight
    torch.manual_seed(0)
    assert torch.equal(built(lambda: layers(2), "the network")[0].weight, wanted)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("block", get_args(BlockName))
def test_shapes_are_those_of_the_network(head: HeadName, block: BlockName) -> None:
    backbone = TitansConfig(width=8, heads=2, layers=1, block=block)
    config = NetworkConfig(
        context_length=16, prediction_length=3, patch_length=4, patch_stride=2, head=head, backbone=backbone
    )
    with ShapesAlone(), torch.device("meta"):
        found = ForecastNetwork(config).state_dict()
    wanted = ForecastNetwork(config).state_dict()
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in wanted.items()}


def test_the_shapes_of_a_joined_tensor_are_those_of_torch() -> None:
    def made() -> list[torch.Tensor]:
        first = torch.ones(2, 3)
        pair = torch.stack([first, 1.0 - first])
        return [
            pair,
            torch.cat([first, first], dim=1),
            torch.cat([pair, pair], dim=-1),
            torch.cat([first, first]),
            first.neg() / pair,
        ]

    with ShapesAlone(), torch.device("meta"):
        found = [one.shape for one in made()]
    assert found == [one.shape for one in made()]


def test_a_limit_of_the_heap_counts() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (2**40, before[1]))
    try:
        assert memory_left() <= 2**40
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
