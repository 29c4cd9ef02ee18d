"""Days of electricity demand as a stream: a linear model, and a network on Titans whose state goes from day to day.

A day is two tokens: a question (what is known before the day) and, after it, an answer (what the day was). The memory
of a forecast therefore holds every day since the stream began, attention the last few.

Shapes: S series, N days, 48 half-hours, F features of a day known before it, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from titans_datasets.series.public.demand import PER_DAY, DemandPanel
from titans_ts.core.backbone import Titans, TitansState
from titans_ts.core.config import TitansConfig
from titans_ts.core.initialization import linear_
from titans_ts.core.options import PLAIN, ReadOptions

# The first days have no two days before them.
FIRST = 2
# Memories that read with it stay in their initial state: nothing is written or forgotten.
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


class LinearModel:
    """Ridge regression of a day's 48 values on earlier days and on what is known before it.

    Args:
        days: series to learn from.
        span: the days to learn from.
        lags: which days before are read.
        penalty: of standardised regressors, a share of the number of days.
    """

    def __init__(self, days: Days, span: slice, lags: tuple[int, ...] = (1, 2), penalty: float = 0.03) -> None:
        self.lags = lags
        span = slice(max(span.start, *lags), span.stop)
        x, y = (part[:, span].flatten(0, 1).double() for part in (self._regressors(days), days.values))
        self.mean, self.spread, self.level = x.mean(0), x.std(0) + 1e-3, y.mean(0)
        z = (x - self.mean) / self.spread
        gram = z.T @ z + penalty * len(z) * torch.eye(z.shape[1], dtype=z.dtype)
        self.weight = torch.linalg.solve(gram, z.T @ (y - self.level))

    def _regressors(self, days: Days) -> Tensor:
        return torch.cat([*(torch.roll(days.values, lag, 1) for lag in self.lags), days.known()], dim=-1)

    def __call__(self, days: Days) -> Tensor:
        """Forecasts (S, N, 48); those of the first days, which have no lags, are meaningless."""
        x = (self._regressors(days).double() - self.mean) / self.spread
        found: Tensor = x @ self.weight + self.level
        return found.float()


class DayNetwork(nn.Module):
    """A correction of the linear model's forecasts, from the stream of days.

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
        linear: Tensor,
        state: TitansState | None = None,
        options: ReadOptions = PLAIN,
    ) -> tuple[Tensor, TitansState]:
        """Day-ahead forecasts of a stream, each from the days before it and from what is known before it.

        Args:
            values: (S, N, 48), the days.
            known: (S, N, F), see `Days.known`.
            linear: (S, N, 48), forecasts of the linear model.
            state: after the days before; None starts a stream.
            options: of the backbone.

        Returns:
            Forecasts (S, N, 48), and the state after the last day.
        """
        question = self.question(torch.cat([linear, known], dim=-1))
        answer = self.answer(torch.cat([values, values - linear, known], dim=-1))
        tokens = torch.stack([question, answer], dim=2) + self.known(known)[:, :, None]
        z, state = self.backbone(tokens.flatten(1, 2), state, options=options)
        return linear + self.head(z[:, ::2]), state


@torch.no_grad()
def forecasts(network: DayNetwork, days: Days, linear: LinearModel, options: ReadOptions = PLAIN) -> Tensor:
    """Day-ahead forecasts (S, N, 48) of whole streams; those of the first two days are meaningless."""
    rest = (x[:, FIRST:] for x in (days.values, days.known(), linear(days)))
    found, _ = network(*rest, options=options)
    return torch.cat([days.values[:, :FIRST], found], dim=1)
