"""Training of a `DayNetwork`: segments of series that are mixed and bent at random.

Shapes: S series, N days, 48 half-hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from titans_datasets.series.public.demand import PER_DAY
from titans_recipes.demand.model import FIRST, DayNetwork, Days, LinearModel
from titans_recipes.fit_loop import Schedule, fit
from titans_ts.core.config import require
from titans_ts.core.options import PLAIN, ReadOptions

# Half-day harmonics of a random response: amplitudes of the mean, the day and the half day.
AMPLITUDES = (1.0, 0.6, 0.6, 0.4, 0.4)


@dataclass(frozen=True)
class DayTraining:
    """How a network is trained: on segments of series, both drawn at random.

    Attributes:
        steps: gradient steps.
        rows: series in a step.
        segment: days of a series that are read.
        settle: first days of a segment that are not in the loss.
        mix: share of series that are a mixture of two.
        response: size of the random response to temperature, weekday, holiday and time of year that is added to a
            series, in units of its spread, so that each segment has a pattern of its own that only its past shows;
            0 adds none.
        learning_rate, weight_decay: of AdamW; the rate falls to a twentieth along a cosine.
        seed: of what is drawn.
    """

    steps: int = 150
    rows: int = 8
    segment: int = 366
    settle: int = 14
    mix: float = 0.5
    response: float = 0.3
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps >= 0, "steps", "≥ 0", self.steps)
        require(self.rows >= 1, "rows", "≥ 1", self.rows)
        require(0 <= self.settle < self.segment, "settle", f"0 to segment − 1 = {self.segment - 1} days", self.settle)
        require(0 <= self.mix <= 1, "mix", "in [0, 1]", self.mix)
        require(self.response >= 0, "response", "≥ 0", self.response)


def train(
    network: DayNetwork,
    days: Days,
    linear: LinearModel,
    last: int,
    config: DayTraining,
    options: ReadOptions = PLAIN,
) -> None:
    """Train in place on the days before `last`, reading with `options`; mean absolute error is the loss.

    Raises:
        ValueError: a segment is longer than the days there are, or the loss is not finite.
    """
    require(config.segment <= last - FIRST, "segment", f"≤ {last - FIRST} days", config.segment)
    rng = np.random.default_rng(config.seed)

    def backward(_: int) -> float:
        """Gradients of one batch."""
        drawn = draw(days, config, rng)
        start = int(rng.integers(FIRST, last - config.segment + 1))
        inputs = (x[:, start : start + config.segment] for x in (drawn.values, drawn.known(), linear(drawn)))
        values, known, base = inputs
        forecast, _ = network(values, known, base, options=options)
        loss = (forecast - values)[:, config.settle :].abs().mean()
        loss.backward()
        return float(loss.detach())

    schedule = Schedule(config.steps, config.learning_rate, warmup=10, floor=0.05, weight_decay=config.weight_decay)
    fit(network, schedule, backward)


def draw(days: Days, config: DayTraining, rng: np.random.Generator) -> Days:
    """Series of one step, `config.rows` of them: some mixed from two, most with a random response added."""
    one, two = (rng.integers(0, len(days.values), config.rows) for _ in range(2))
    share = torch.tensor(rng.random(config.rows) * (rng.random(config.rows) < config.mix), dtype=torch.float32)

    def mixed(x: Tensor) -> Tensor:
        weight = share.reshape(-1, *[1] * (x.ndim - 1))
        return (1 - weight) * x[one] + weight * x[two]

    found = days._replace(values=mixed(days.values), warmth=mixed(days.warmth), holiday=mixed(days.holiday))
    return found._replace(values=found.values + _responses(found, config.response, rng)) if config.response else found


def _responses(days: Days, size: float, rng: np.random.Generator) -> Tensor:
    """A random response (S, N, 48) to heat, cold, weekday, holiday and time of year; none for one series in seven."""
    rows = len(days.values)
    hour = torch.arange(PER_DAY) * 2 * math.pi / PER_DAY
    waves = torch.stack([torch.ones(PER_DAY), hour.sin(), hour.cos(), (2 * hour).sin(), (2 * hour).cos()])
    waves = waves * torch.tensor(AMPLITUDES)[:, None]

    def profiles(count: int) -> Tensor:
        return torch.tensor(rng.normal(size=(rows, count, len(AMPLITUDES))), dtype=torch.float32) @ waves * size

    warmth = days.warmth.repeat_interleave(2, -1)
    heat, cold = profiles(2)[:, :, None].unbind(1)
    found = (warmth - 0.2).relu() * heat + (0.2 - warmth).relu() * cold
    found = (
        found + torch.einsum("nk,rkh->rnh", days.calendar, 0.5 * profiles(9)) + days.holiday[..., None] * profiles(1)
    )
    kept: Tensor = found * torch.tensor(rng.random((rows, 1, 1)) < 6 / 7)
    return kept
