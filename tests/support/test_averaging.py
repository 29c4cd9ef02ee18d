"""Averaged weights, and the best of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from titans_ts.support.averaging import AveragedWeights, BestWeights


def constant(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_the_average_is_an_exponential_mean_whose_memory_grows_with_the_steps(decay: float) -> None:
    average, expected = AveragedWeights(constant(1.0), decay), 1.0
    for step in range(1, 30):
        value = math.sin(step)
        average.update(constant(value), step)
        # The first update copies the weights, as torch's averages do.
        kept = 0.0 if step == 1 else min(decay, step / (step + 10))
        expected = kept * expected + (1 - kept) * value
    assert average.network.weight.item() == pytest.approx(expected, rel=1e-5)


def test_only_better_averages_are_kept() -> None:
    best = BestWeights(constant(0.0), 0.0, loss=1.0)
    for step, (value, loss, kept) in enumerate([(1.0, 2.0, False), (2.0, 0.5, True), (3.0, math.nan, False)], 1):
        best.average.update(constant(value), step)
        assert best.offer(loss, step) is kept
    assert (best.at, best.waited, best.loss) == (2, 1, 0.5)
    assert torch.equal(best.state["weight"], torch.tensor([[2.0]]))


def test_without_a_loss_the_last_average_is_kept() -> None:
    best = BestWeights(constant(0.0), 0.0, loss=math.nan)
    best.average.update(constant(4.0), 1)
    assert best.offer(None, 1) and best.at == 1 and math.isnan(best.loss)
