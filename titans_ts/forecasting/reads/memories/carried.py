"""Carried states: all that the reads need of the steps before the last few thousand, of constant size.

Shapes: B series, T steps, S sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from titans_ts.forecasting.model.scaling import fill_forward
from titans_ts.forecasting.reads.memories import lag_memory, phase_memory
from titans_ts.forecasting.reads.memories.lag_memory import LagState
from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys, PhaseState

# Steps of one unit of time in the sums of a trend.
TREND_UNIT = 64


@dataclass(frozen=True)
class TrendState:
    """Sums for the least-squares line through all steps since the first observed one, gaps closed.

    Attributes:
        age: (B,) steps since the first observed one, that included; 0 before it.
        level: (B,) of the values.
        product: (B,) of value times place; places count from the first step, in units of `TREND_UNIT`.
        first_value: (B,) the first observed value, 0 before it.
    """

    age: Tensor
    level: Tensor
    product: Tensor
    first_value: Tensor

    @property
    def places(self) -> tuple[Tensor, Tensor]:
        """Sums (B,) of the places and of their squares."""
        steps = self.age.to(self.level)
        first, second = steps * (steps - 1) / 2, (steps - 1) * steps * (2 * steps - 1) / 6
        return first / TREND_UNIT, second / TREND_UNIT**2

    @property
    def sums(self) -> tuple[Tensor, ...]:
        """Steps, places, squares of places, values, products: (B,) each."""
        return self.age.to(self.level), *self.places, self.level, self.product

    def moved(self, factor: Tensor, shift: Tensor) -> TrendState:
        """The state of factor · x + shift, both (B,)."""
        begun = self.age > 0
        return TrendState(
            self.age,
            factor * self.level + shift * self.age,
            factor * self.product + shift * self.places[0],
            torch.where(begun, factor * self.first_value + shift, 0.0),
        )


@dataclass(frozen=True)
class Carried:
    """States of all memories after the same steps, each of the same series in the same units.

    Attributes:
        phases, lags, trend: see there.

    Example:
        >>> import torch
        >>> from titans_ts.forecasting.reads.memories.carried import Carried
        >>> from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys
        >>> keys, values = PhaseKeys(torch.tensor([[7.0, 0.0]])), torch.arange(20.0)[None]
        >>> whole = Carried.empty(keys).update(keys, values, torch.ones_like(values))
        >>> whole.trend.age.tolist(), whole.trend.level.tolist()
        ([20], [190.0])
    """

    phases: PhaseState
    lags: LagState
    trend: TrendState

    @classmethod
    def empty(cls, keys: PhaseKeys) -> Carried:
        """Before the first step."""
        count, dtype = len(keys.periods), keys.periods.dtype
        flat = torch.zeros(count, dtype=dtype)
        trend = TrendState(torch.zeros(count, dtype=torch.long), flat, flat, flat)
        return cls(phase_memory.empty(keys), lag_memory.empty(count, dtype), trend)

    def update(self, keys: PhaseKeys, values: Tensor, observed: Tensor) -> Carried:
        """The states after T more steps: values (B, T), 0 where missing; observed (B, T), 1 or 0."""
        if not values.shape[1]:
            return self
        phases = phase_memory.update(keys, self.phases, values, observed)
        return Carried(phases, lag_memory.update(self.lags, values, observed), self._trend(values, observed))

    def _trend(self, values: Tensor, observed: Tensor) -> TrendState:
        trend, steps = self.trend, values.shape[1]
        begun = trend.age > 0
        seen = (observed.cumsum(1) > 0) | begun[:, None]
        age = trend.age + seen.sum(1)
        filled = self.filled(values, observed)
        place = (age[:, None] - steps + torch.arange(steps)).to(values) / TREND_UNIT
        first = torch.where(begun, trend.first_value, filled[:, 0])
        return TrendState(
            age,
            trend.level + (filled * seen).sum(1),
            trend.product + (filled * place * seen).sum(1),
            torch.where(age > 0, first, 0.0),
        )

    def filled(self, values: Tensor, observed: Tensor) -> Tensor:
        """T more steps (B, T) with gaps closed, the first of them by what came before."""
        row = torch.cat([self.lags.filled[:, -1:], values], 1)
        begun = (self.trend.age > 0)[:, None].to(observed)
        return fill_forward(row, torch.cat([begun, observed], 1))[:, 1:]

    def moved(self, factor: Tensor, shift: Tensor) -> Carried:
        """The states of the series factor · x + shift, both (B,): exact, without the steps themselves.

        The key of the phases has a constant 1, so that Σ k (a x + b) = a Σ k x + b Σ k · 1 is in the state. Keys and
        values of the lags are relative to the last value: the shift does not reach them, and their own constant has no
        units.
        """
        phases, lags = self.phases, self.lags
        cross = phases.cross * factor[:, None, None] + phases.gram[..., 0] * shift[:, None, None]
        units = torch.ones_like(lags.cross[..., 0])
        units[:, :-1] = factor[:, None]
        lags = replace(
            lags,
            gram=lags.gram * units[:, :, None] * units[:, None],
            cross=lags.cross * (units * factor[:, None])[..., None],
            energy=lags.energy * factor.square(),
            filled=lags.filled * factor[:, None] + shift[:, None],
        )
        return Carried(replace(phases, cross=cross), lags, self.trend.moved(factor, shift))

    def at_step(self, time: int) -> Carried:
        """The same states with another number of the next step, for keys whose origin moves along."""
        return replace(self, phases=replace(self.phases, time=time))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Carried:
        """The states with every tensor changed, such as to some of the series."""
        return Carried(*(_mapped(getattr(self, field.name), change) for field in fields(self)))


def _mapped(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    tensors = {field.name: getattr(state, field.name) for field in fields(state)}
    return replace(state, **{name: change(x) for name, x in tensors.items() if isinstance(x, Tensor)})
