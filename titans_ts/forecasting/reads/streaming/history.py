"""Histories of unlimited length in memory of constant size: the last steps, and states of all before them.

Steps are absorbed into the states in chunks that end at fixed steps, so that results are the same to the bit however
observations arrive.

Shapes: B series, T steps, W steps kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_ts.forecasting.reads.forecast import LARGEST
from titans_ts.forecasting.reads.held_out import NEEDED
from titans_ts.forecasting.reads.memories.carried import Carried
from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys
from titans_ts.forecasting.reads.periods import CALENDAR, chosen_periods, computed_periods
from titans_ts.forecasting.reads.series import BLOCK, Series
from titans_ts.forecasting.reads.streaming.units import Totals, Units

FloatArray = npt.NDArray[np.float64]

# Steps absorbed at once.
CHUNK = 512
# Steps kept at least: the context of the experts' drafts before the first of the boundaries that are tested.
CONTEXT = 2048
TESTED = (NEEDED + 1) * BLOCK
# Of the longest period, which folds read.
SEASONS = 4


@dataclass(frozen=True)
class Absorbed:
    """What is left of the steps before those kept: states in units of their own, and totals.

    Attributes:
        carried: the time of its phases counts from the first step of all.
        units: of the states.
        totals: in the units of the values.
    """

    carried: Carried
    units: Units
    totals: Totals


class ReadingHistory:
    """The last steps of B series, and the states of all before them.

    Args:
        series: B.
        season, second: declared periods, in steps; 0 for none.

    Attributes:
        values: (B, capacity) the last `kept` steps, NaN for missing; what follows them is free.
        kept, steps: how many are kept, and how many there were.
        periods: (B, 2) once they are fixed, None before.
        absorbed: None as long as all steps are kept.
    """

    def __init__(self, series: int, season: float, second: float) -> None:
        self.season, self.second = season, second
        self.periods: FloatArray | None = None
        self.absorbed: Absorbed | None = None
        self.kept = self.steps = 0
        least = _least_steps(max(season, second or CALENDAR.get(int(season), 0.0)))
        self.values = np.full((series, least + CHUNK), np.nan)

    @property
    def capacity(self) -> int:
        """Steps that are kept at most."""
        return self.values.shape[1]

    @property
    def last(self) -> FloatArray:
        """The steps kept (B, kept)."""
        return self.values[:, : self.kept]

    def append(self, values: FloatArray) -> None:
        """Take in more steps (B, T), NaN for missing."""
        place = 0
        while place < values.shape[1]:
            if self.kept == self.capacity:
                self._absorb()
            part = values[:, place : place + self.capacity - self.kept]
            self.values[:, self.kept : self.kept + part.shape[1]] = part
            self.kept += part.shape[1]
            self.steps += part.shape[1]
            place += part.shape[1]

    def restore(self, values: FloatArray, steps: int, capacity: int, periods: FloatArray | None) -> None:
        """Go on from the last steps kept (B, kept) of so many."""
        self.values = np.full((len(values), capacity), np.nan)
        self.kept, self.steps, self.periods = values.shape[1], steps, periods
        self.values[:, : self.kept] = values

    def totals(self) -> Totals:
        """Of all steps."""
        own = Totals.of(self.last)
        return own if self.absorbed is None else self.absorbed.totals.joined(own)

    def read(self, rows: slice, units: Units) -> tuple[Series, Carried | None]:
        """Some of the series in float64 and units near 1, and the states before their first step.

        Args:
            rows: which.
            units: of all of them.
        """
        own = units.part(rows)
        values = np.clip(own.of(self.values[rows, : self.kept]), -LARGEST, LARGEST)
        periods = self.periods_of(units)[rows]
        if self.absorbed is None:
            return _whole(values, periods), None
        absorbed = self.absorbed
        carried = own.moved(absorbed.carried.mapped(lambda state: state[rows]), absorbed.units.part(rows))
        return _rest(values, periods, carried)

    def periods_of(self, units: Units) -> FloatArray:
        """Periods (B, 2): those fixed, else of the steps kept, which are all."""
        if self.periods is not None:
            return self.periods
        values = np.clip(units.of(self.last), -LARGEST, LARGEST)
        observed = np.isfinite(values)
        computed = computed_periods(np.where(observed, values, 0.0), observed)
        return chosen_periods(computed, [self.kept] * len(values), self.season, self.second)

    def _absorb(self) -> None:
        """Make room: fix the periods and keep more steps if they are long, else move a chunk into the states."""
        units = self.totals().units
        if self.periods is None:
            self.periods = self.periods_of(units)
            least = _least_steps(float(self.periods.max(initial=0.0)))
            if (more := least + CHUNK - self.capacity) > 0:
                self.values = np.pad(self.values, ((0, 0), (0, more)), constant_values=np.nan)
                return
        keys = PhaseKeys(torch.from_numpy(self.periods))
        if self.absorbed is None:
            carried, totals = Carried.empty(keys), Totals.of(self.values[:, :0])
        else:
            carried, totals = units.moved(self.absorbed.carried, self.absorbed.units), self.absorbed.totals
        chunk = self.values[:, :CHUNK]
        carried = carried.update(keys, *_tensors(np.clip(units.of(chunk), -LARGEST, LARGEST)))
        self.absorbed = Absorbed(carried, units, totals.joined(Totals.of(chunk)))
        self.values[:, :-CHUNK] = self.values[:, CHUNK:]
        self.kept -= CHUNK


def _least_steps(period: float) -> int:
    """Steps that are kept at least where the longest period is so long."""
    return max(CONTEXT, math.ceil(SEASONS * (period + 1))) + TESTED


def _tensors(values: FloatArray) -> tuple[Tensor, Tensor]:
    """Values, 0 where missing, and which were observed."""
    observed = np.isfinite(values)
    return torch.from_numpy(np.where(observed, values, 0.0)), torch.from_numpy(observed).double()


def _whole(values: FloatArray, periods: FloatArray) -> Series:
    """All steps there were; padded in front to whole blocks."""
    steps = values.shape[1]
    whole = -(-max(steps, 2 * BLOCK) // BLOCK) * BLOCK
    padded = np.pad(values, ((0, 0), (whole - steps, 0)), constant_values=np.nan)
    return Series.of(*_tensors(padded), torch.from_numpy(periods))


def _rest(values: FloatArray, periods: FloatArray, carried: Carried) -> tuple[Series, Carried]:
    """The last whole blocks after states, and the states after the few steps before these."""
    number = torch.from_numpy(periods)
    few = values.shape[1] % BLOCK
    carried = carried.update(PhaseKeys(number), *_tensors(values[:, :few]))
    series = Series.of(*_tensors(values[:, few:]), number)
    begun = carried.trend.age > 0
    first = torch.where(begun, -carried.trend.age, series.first)
    # A series that begins within these steps: its first value is there.
    own = series.at(series.first[:, None])[:, 0]
    series = replace(
        series,
        filled=carried.filled(series.values, series.observed),
        first=first,
        first_value=torch.where(begun, carried.trend.first_value, own),
        origin=-carried.phases.time,
    )
    return series, carried.at_step(0)


def state_arrays(history: ReadingHistory) -> dict[str, FloatArray | npt.NDArray[np.int64]]:
    """All numbers of a history by name; those kept are not copied."""
    found: dict[str, FloatArray | npt.NDArray[np.int64]] = {"values": history.last}
    if history.periods is not None:
        found["periods"] = history.periods
    if history.absorbed is not None:
        for name in ("units", "totals"):
            part = getattr(history.absorbed, name)
            found |= {f"{name}.{field.name}": getattr(part, field.name) for field in fields(part)}
        for field in fields(Carried):
            part = getattr(history.absorbed.carried, field.name)
            for own in fields(part):
                if isinstance(state := getattr(part, own.name), Tensor):
                    found[f"{field.name}.{own.name}"] = state.numpy()
    return found
