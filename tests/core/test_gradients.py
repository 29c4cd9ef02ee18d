"""Gradients reach every parameter, stay finite, and the optimiser's groups hold each parameter once."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.core.common import CONFIGS, make, random_mask, tokens
from titans_ts.core import Titans, parameter_groups

every_config = pytest.mark.parametrize("name", CONFIGS)


@every_config
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_finite_and_reach_every_parameter(name: str, masked: bool) -> None:
    model, x = make(CONFIGS[name], dtype=torch.float32), tokens(2, 33, dtype=torch.float32).requires_grad_()
    y, _ = model(x, mask=random_mask(2, 33) if masked else None)
    (y * tokens(2, 33, seed=1, dtype=torch.float32)).sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name
    assert x.grad is not None and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("block", ["mac", "mag", "mal", "attention"])
def test_queries_that_see_nothing_have_finite_gradients(block: str) -> None:
    model = make(dataclasses.replace(CONFIGS[block], persistent_tokens=0))
    x, mask = tokens(2, 33).requires_grad_(), random_mask(2, 33)
    mask[0] = False
    mask[1, :20] = False
    y, _ = model(x, mask=mask)
    y.square().sum().backward()
    assert torch.isfinite(y).all()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("block", ["lmm", "mac"])
def test_gradient_of_the_state_reaches_earlier_tokens(block: str) -> None:
    model, x = make(CONFIGS[block]), tokens(1, 20).requires_grad_()
    _, state = model(x[:, :13])
    model(x[:, 13:], state)[0].sum().backward()
    assert x.grad is not None and x.grad[:, :5].abs().max() > 0


@every_config
def test_groups_hold_every_parameter_once(name: str) -> None:
    model = Titans(CONFIGS[name])
    groups = parameter_groups(model, 0.1)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]


def test_only_matrices_of_the_backbone_decay() -> None:
    model = Titans(CONFIGS["mag"])
    names = {id(p): name for name, p in model.named_parameters()}
    decayed = {names[id(p)] for p in parameter_groups(model, 0.1)[0]["params"]}
    assert {name.rsplit(".", 2)[-2] for name in decayed} == {"qkv", "gate", "out", "up", "down"}


def test_frozen_parameters_are_left_out() -> None:
    model = Titans(CONFIGS["lmm"])
    for parameter in model.blocks[0].parameters():
        parameter.requires_grad_(False)
    held = [p for group in parameter_groups(model, 0.1) for p in group["params"]]
    assert len(held) == sum(p.requires_grad for p in model.parameters())
