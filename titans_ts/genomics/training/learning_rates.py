"""How fast which weights learn: a one-cycle schedule, and a rate of its own for what was learned before.

Shapes: none.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from titans_ts.core.optim import parameter_groups


def one_cycle(steps: int, step: int) -> float:
    """Share of the peak rate: up over a fifth of the steps, down over the rest, low ever after."""
    place = min(step / steps, 1.0)
    turn = place / 0.2 if place < 0.2 else 1 + (place - 0.2) / 0.8
    return 0.001 + 0.999 * (1 - math.cos(math.pi * turn)) / 2


def rated_groups(network: nn.Module, weight_decay: float, rate: float, pretrained_rate: float) -> list[dict[str, Any]]:
    """The groups of `titans_ts.core.optim.parameter_groups` with their learning rates.

    Args:
        network: its part `language`, where it has one, is pretrained.
        weight_decay: on matrices.
        rate: learning rate of all but the pretrained weights.
        pretrained_rate: times `rate` is the learning rate of the pretrained ones.
    """
    trunk = getattr(network, "language", None)
    known = set() if trunk is None else {id(parameter) for parameter in trunk.parameters()}
    groups = []
    for group in parameter_groups(network, weight_decay):
        for own, share in ((False, 1.0), (True, pretrained_rate)):
            members = [one for one in group["params"] if (id(one) in known) == own]
            groups.append({**group, "params": members, "lr": rate * share})
    return [group for group in groups if group["params"]]
