"""Learning rates: a one-cycle schedule, and a rate of their own for pretrained weights."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from titans_ts.core.optim import parameter_groups


def one_cycle(steps: int, step: int) -> float:
    """Factor of the peak rate, for `torch.optim.lr_scheduler.LambdaLR`: up over a fifth of the steps, then down.

    `OneCycleLR` refuses a step beyond the planned ones; the batches of an epoch are planned approximately only, so here
    the rate stays low after the last planned step.

    Args:
        steps: planned steps.
        step: from 0.
    """
    place = min(step / steps, 1.0)
    turn = place / 0.2 if place < 0.2 else 1 + (place - 0.2) / 0.8
    return 0.001 + 0.999 * (1 - math.cos(math.pi * turn)) / 2


def rated_groups(network: nn.Module, weight_decay: float, rate: float, pretrained_rate: float) -> list[dict[str, Any]]:
    """The groups of `titans_ts.core.optim.parameter_groups` with their learning rates.

    Args:
        network: its module `language`, where it has one, is pretrained.
        weight_decay: on matrices.
        rate: learning rate of all but the pretrained weights.
        pretrained_rate: times `rate` is the learning rate of the pretrained weights.
    """
    trunk = getattr(network, "language", None)
    known = set() if trunk is None else {id(parameter) for parameter in trunk.parameters()}
    groups = []
    for group in parameter_groups(network, weight_decay):
        for own, share in ((False, 1.0), (True, pretrained_rate)):
            members = [one for one in group["params"] if (id(one) in known) == own]
            groups.append({**group, "params": members, "lr": rate * share})
    return [group for group in groups if group["params"]]
