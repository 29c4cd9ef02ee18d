"""Days of electricity demand as a stream: a linear map, a network on Titans that reads on and on, its training.

A day is two tokens: a question (what is known before the day) and, after it, an answer (what the day was). The state
goes from day to day, so that the memory of a forecast holds every day since the stream began, and attention the last
few.

Shapes: S series, N days, 48 half-hours, F features of a day known before it, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from titans_datasets.series.public.demand import PER_DAY, DemandPanel
from titans_ts.core.backbone import Titans, TitansState
from titans_ts.core.config import TitansConfig, require
from titans_ts.core.initialization import linear_
from titans_ts.core.optim import parameter_groups
from titans_ts.core.options import PLAIN, ReadOptions

# The first days have no two days before them.
FIRST = 2
# Half-day harmonics of a random response: amplitudes of the mean, the day and the half day.
AMPLITUDES = (1.0, 0.6, 0.6, 0.4, 0.4)
# Memories that read with it stay as they begin: nothing is written or forgotten.
SHUT = ReadOptions(gate_shift=-50.0)


class Days(NamedTuple):
    """Series of days.

    Attributes:
        values: (S, N, 48) in units of the first year's mean and spread.
        warmth: (S, N, 24), degrees above 18 °C in units of 8, every hour.
        holiday: (S, N).
        calendar: (N, 9), day of the week as 7 columns, sine and cosine of the year's phase.
    """

    values: Tensor
    warmth: Tensor
    holiday: Tensor
    calendar: Tensor

    def known(self) -> Tensor:
        """What is known before each day (S, N, F): temperatures, heat alone, yesterday's mean, holidays, calendar."""
        yesterday = torch.roll(self.warmth, 1, 1).mean(-1, keepdim=True)
        holidays = torch.stack([self.holiday, torch.roll(self.holiday, 1, 1)], dim=-1)
        calendar = self.calendar.expand(len(self.warmth), -1, -1)
        return torch.cat([self.warmth, self.warmth.relu(), yesterday, holidays, calendar], dim=-1)

    def rows(self, index: list[int]) -> Days:
        """Some of the series."""
        return self._replace(values=self.values[index], warmth=self.warmth[index], holiday=self.holiday[index])


def days_of(panel: DemandPanel) -> tuple[Days, Tensor]:
    """The panel's days, and the spread (S,) of each series' first year in MW, the unit of its values."""
    first = panel.demand[:, :365].reshape(len(panel.names), -1)
    mean, spread = first.mean(1)[:, None, None], first.std(1)[:, None, None]
    warmth = (panel.temperature.reshape(*panel.demand.shape[:2], 24, -1).mean(-1) - 18) / 8
    day = np.arange(panel.demand.shape[1])
    week = np.eye(7)[(day + panel.start.dayofweek) % 7]
    phase = (day + panel.start.dayofyear - 1) * 2 * np.pi / 365.25
    calendar = np.column_stack([week, np.sin(phase), np.cos(phase)])
    arrays = ((panel.demand - mean) / spread, warmth, panel.holiday, calendar)
    return Days(*(torch.tensor(x, dtype=torch.float32) for x in arrays)), torch.tensor(spread[:, 0, 0])


class LinearMap:
    """Ridge regression of a day's 48 values on earlier days and on what is known before it.

    Args:
        days: series to learn from.
        stretch: the days to learn from.
        lags: which days before are read.
        penalty: of standardised regressors, a share of the number of days.
    """

    def __init__(self, days: Days, stretch: slice, lags: tuple[int, ...] = (1, 2), penalty: float = 0.03) -> None:
        self.lags = lags
        stretch = slice(max(stretch.start, *lags), stretch.stop)
        x, y = (part[:, stretch].flatten(0, 1).double() for part in (self._regressors(days), days.values))
        self.mean, self.spread, self.level = x.mean(0), x.std(0) + 1e-3, y.mean(0)
        z = (x - self.mean) / self.spread
        gram = z.T @ z + penalty * len(z) * torch.eye(z.shape[1], dtype=z.dtype)
        self.weight = torch.linalg.solve(gram, z.T @ (y - self.level))

    def _regressors(self, days: Days) -> Tensor:
        return torch.cat([*(torch.roll(days.values, lag, 1) for lag in self.lags), days.known()], dim=-1)

    def __call__(self, days: Days) -> Tensor:
        """(S, N, 48); the first days, whose lags are not there, are of no use."""
        x = (self._regressors(days).double() - self.mean) / self.spread
        found: Tensor = x @ self.weight + self.level
        return found.float()


class DayNetwork(nn.Module):
    """What the linear map leaves over, from the stream of days.

    Args:
        features: F.
        config: of the backbone.
    """

    def __init__(self, features: int, config: TitansConfig) -> None:
        super().__init__()
        self.question = linear_(nn.Linear(PER_DAY + features, config.width))
        self.answer = linear_(nn.Linear(2 * PER_DAY + features, config.width))
        self.known = linear_(nn.Linear(features, config.width))
        self.backbone = Titans(config)
        self.head = nn.Linear(config.width, PER_DAY)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        values: Tensor,
        known: Tensor,
        anchor: Tensor,
        state: TitansState | None = None,
        options: ReadOptions = PLAIN,
    ) -> tuple[Tensor, TitansState]:
        """values, anchor (the map's forecast) (S, N, 48), known (S, N, F) → forecasts (S, N, 48), each from the days
        before it and from what is known before it; and the state after the last day."""
        question = self.question(torch.cat([anchor, known], dim=-1))
        answer = self.answer(torch.cat([values, values - anchor, known], dim=-1))
        tokens = torch.stack([question, answer], dim=2) + self.known(known)[:, :, None]
        z, state = self.backbone(tokens.flatten(1, 2), state, options=options)
        return anchor + self.head(z[:, ::2]), state


@dataclass(frozen=True)
class DayTraining:
    """How a network is trained: on stretches of days of series drawn at random.

    Attributes:
        steps: gradient steps.
        rows: series of a step.
        stretch: days of a series.
        settle: first days of a stretch that do not count.
        mix: share of series that are a mixture of two.
        response: size of the random response to temperature, weekday, holiday and time of year that is added to a
            series, in units of its spread: every stretch has habits of its own, to be learned from its past; 0 for
            series as they are.
        learning_rate, weight_decay: of AdamW; the rate falls to a twentieth along a cosine.
        seed: of what is drawn.
    """

    steps: int = 150
    rows: int = 8
    stretch: int = 366
    settle: int = 14
    mix: float = 0.5
    response: float = 0.3
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps >= 0, "steps", "≥ 0", self.steps)
        require(self.rows >= 1, "rows", "≥ 1", self.rows)
        require(0 <= self.settle < self.stretch, "settle", f"0 to stretch − 1 = {self.stretch - 1} days", self.settle)
        require(0 <= self.mix <= 1, "mix", "in [0, 1]", self.mix)
        require(self.response >= 0, "response", "≥ 0", self.response)


def train(
    network: DayNetwork,
    days: Days,
    linear: LinearMap,
    last: int,
    config: DayTraining,
    options: ReadOptions = PLAIN,
) -> None:
    """Train in place on the days before `last`, reading with `options`; mean absolute error is the loss.

    Raises:
        ValueError: a stretch is longer than the days there are, or the loss is not finite.
    """
    require(config.stretch <= last - FIRST, "stretch", f"≤ {last - FIRST} days", config.stretch)
    rng = np.random.default_rng(config.seed)
    optimizer = torch.optim.AdamW(
        parameter_groups(network, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.98)
    )
    network.train()
    for step in range(config.steps):
        falling = 0.05 + 0.475 * (1 + math.cos(math.pi * step / config.steps))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, (step + 1) / 10) * falling
        drawn = draw(days, config, rng)
        start = int(rng.integers(FIRST, last - config.stretch + 1))
        inputs = (x[:, start : start + config.stretch] for x in (drawn.values, drawn.known(), linear(drawn)))
        values, known, anchor = inputs
        forecast, _ = network(values, known, anchor, options=options)
        loss = (forecast - values)[:, config.settle :].abs().mean()
        if not bool(loss.isfinite()):
            raise ValueError(f"the loss is {float(loss)} at step {step}: lower learning_rate or the memory's step_size")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    network.eval()


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


@torch.no_grad()
def forecasts(network: DayNetwork, days: Days, linear: LinearMap, options: ReadOptions = PLAIN) -> Tensor:
    """Day-ahead forecasts (S, N, 48) of whole streams, from the first day on; those of the first two are of no use."""
    rest = (x[:, FIRST:] for x in (days.values, days.known(), linear(days)))
    found, _ = network(*rest, options=options)
    return torch.cat([days.values[:, :FIRST], found], dim=1)
