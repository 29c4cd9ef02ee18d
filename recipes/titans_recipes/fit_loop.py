"""The training loop of the small networks of recipes: AdamW, a linear warm-up, then a cosine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from titans_ts.core.optim import parameter_groups


@dataclass(frozen=True)
class Schedule:
    """How weights are updated.

    Attributes:
        steps: gradient steps.
        learning_rate: its maximum.
        warmup: steps of the linear warm-up.
        floor: share of the learning rate that is left at the end of the cosine.
        weight_decay, betas: of AdamW.
        clip: largest norm of the gradient; None: it is not clipped.
    """

    steps: int
    learning_rate: float
    warmup: int = 1
    floor: float = 0.1
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float | None = 1.0

    def factor(self, step: int) -> float:
        """The share of `learning_rate` in force at a step."""
        cosine = (1 - self.floor) / 2 * (1 + math.cos(math.pi * step / max(1, self.steps)))
        return (self.floor + cosine) * min(1.0, (step + 1) / self.warmup)


def fit(module: nn.Module, schedule: Schedule, backward: Callable[[int], float]) -> None:
    """Train in place; the module is left in evaluation mode.

    Args:
        module: its parameters are trained.
        schedule: see :class:`Schedule`.
        backward: called with the number of each step; adds the gradients of one batch and returns its loss.

    Raises:
        ValueError: a loss is not finite.
    """
    groups = parameter_groups(module, schedule.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=schedule.betas)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.factor)
    module.train()
    for step in range(schedule.steps):
        loss = backward(step)
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss} at step {step}: lower learning_rate or the memory's step_size")
        if schedule.clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), schedule.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
    module.eval()
