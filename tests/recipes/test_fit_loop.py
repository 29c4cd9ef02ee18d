"""The training loop of recipes: its learning rates, and losses that are not finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from titans_recipes.fit_loop import Schedule, fit


def test_the_learning_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    schedule = Schedule(steps=100, learning_rate=1.0, warmup=10, floor=0.1)
    assert schedule.factor(0) == pytest.approx(0.1) and schedule.factor(4) == pytest.approx(0.5, abs=0.01)
    assert schedule.factor(50) == pytest.approx(0.55) and schedule.factor(100) == pytest.approx(0.1)
    rates = [schedule.factor(step) for step in range(10, 101)]
    assert rates == sorted(rates, reverse=True)


def test_a_module_is_trained_with_the_rates_of_its_schedule() -> None:
    """Without decay, a constant gradient moves a weight by the learning rate in each step of Adam."""
    module = nn.Linear(1, 1, bias=False)
    start = module.weight.item()
    schedule = Schedule(steps=20, learning_rate=0.01, warmup=5, floor=0.5, clip=None)

    def backward(step: int) -> float:
        """A loss whose gradient is 1."""
        loss = module.weight.sum()
        loss.backward()
        return float(loss.detach())

    fit(module, schedule, backward)
    expected = sum(0.01 * schedule.factor(step) for step in range(20))
    assert start - module.weight.item() == pytest.approx(expected, rel=1e-4) and not module.training


def test_a_loss_that_is_not_finite_ends_training() -> None:
    module = nn.Linear(1, 1)
    before = module.weight.clone()
    with pytest.raises(ValueError, match="the loss is nan at step 0: lower learning_rate"):
        fit(module, Schedule(3, 0.1), lambda step: math.nan)
    assert torch.equal(module.weight, before)
    fit(module, Schedule(0, 0.1), lambda step: math.nan)
