"""Boundaries: what the memories and the last steps say at places of a series, `BLOCK` steps apart.

Shapes: B series, L steps, J boundaries, R = MEMORIES phase memories, K numbers of a key, H steps after a boundary.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from titans_ts.forecasting.reads.memories import lag_memory, phase_memory
from titans_ts.forecasting.reads.memories.carried import TREND_UNIT, Carried, TrendState
from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys
from titans_ts.forecasting.reads.series import BLOCK, Series, take

# Last steps that are read at a boundary.
WINDOW = 128
# Of the exponential means of what the phase memories leave, in steps.
LEVEL_SPANS = (1.5, 4.0, 12.0, 40.0)
# The phase memory whose rest is followed: of both periods, slow.
SLOW = 2


@dataclass(frozen=True)
class Boundaries:
    """Reads at J boundaries; every tensor begins with (B, J), in the units of the series.

    Attributes:
        series: of the batch.
        end: (B, J) steps before the boundary.
        window, window_observed: (B, J, WINDOW) the last steps, 0 before the first observed one.
        memories: (B, J, R, K) phase memories.
        fitted: (B, J, R, WINDOW) what they say of the last steps.
        levels: (B, J, R, 4) exponential means of what they leave of the last steps.
        rest_level, rest_slope: (B, J) a line through what the slow memory leaves.
        centre, fitted_centre: (B, J) means of the last steps, and of what the slow memory says of them.
        gain: (B, J) how much larger the last steps' swings are than those of the slow memory.
        slope: (B, J) of the least-squares line through all steps.
        drift: (B, J) mean change a step since the first observed one.
        fast_level, slow_level, local_slope: (B, J) exponential means and line of the last steps.
        last: (B, J).
        lagged: (B, J, 2, 48) forecasts of the lag memory.
        given: (B, J, G, H') drafts from elsewhere.
    """

    series: Series
    end: Tensor
    window: Tensor
    window_observed: Tensor
    memories: Tensor
    fitted: Tensor
    levels: Tensor
    rest_level: Tensor
    rest_slope: Tensor
    centre: Tensor
    fitted_centre: Tensor
    gain: Tensor
    slope: Tensor
    drift: Tensor
    fast_level: Tensor
    slow_level: Tensor
    local_slope: Tensor
    last: Tensor
    lagged: Tensor
    given: Tensor

    @classmethod
    def of(
        cls, series: Series, boundaries: int, given: Tensor | None = None, carried: Carried | None = None
    ) -> Boundaries:
        """Read the last J boundaries; the last one is the end of the series.

        Args:
            series: of at least J · `BLOCK` steps.
            boundaries: J.
            given: (B, J, G, H') drafts from elsewhere, in the units of the series; H' is at least 48.
            carried: states before the first step of the series, in its units; none by default.
        """
        length, count = series.length, len(series.values)
        end = (length - BLOCK * torch.arange(boundaries - 1, -1, -1)).expand(count, -1)
        window, seen = _windows(series, boundaries)
        keys = PhaseKeys.of(series)
        phases, lags, before = (None,) * 3 if carried is None else (carried.phases, carried.lags, carried.trend)
        states = phase_memory.states_at(keys, series.values, series.observed, boundaries, phases)
        memories = phase_memory.solved(keys, *states)
        time = torch.arange(length - (boundaries - 1) * BLOCK - WINDOW, length).expand(count, -1)
        key = keys.at(time).unfold(1, WINDOW, BLOCK)
        fitted = memories @ key
        rest = (window[:, :, None] - fitted) * seen[:, :, None]
        trend = _trend(series, end, before)
        fast, slow = (_level(window, seen, span) for span in (2.0, 6.0))
        rest_level, rest_slope = _line(rest[:, :, SLOW], seen, 16.0, 1e-3, 20.0)
        return cls(
            series=series,
            end=end,
            window=window,
            window_observed=seen,
            memories=memories,
            fitted=fitted,
            levels=_levels(rest, seen),
            rest_level=rest_level,
            rest_slope=rest_slope,
            **_gain(window, fitted[:, :, SLOW], seen),
            **trend,
            fast_level=fast,
            slow_level=slow,
            local_slope=_line(window, seen, 12.0, 1e-3, 4.0)[1],
            lagged=lag_memory.reads_at(series.values, series.observed, boundaries, lags),
            given=window.new_zeros(count, boundaries, 0, 0) if given is None else given,
        )

    def chosen(self, places: Tensor) -> Boundaries:
        """Those at places (B, M) of the J."""
        rows = torch.arange(len(places))[:, None]
        names = [field.name for field in fields(self) if field.name != "series"]
        return replace(self, **{name: getattr(self, name)[rows, places] for name in names})

    def times(self, steps: Tensor) -> Tensor:
        """Columns (B, J, H) of the steps (H,) after each boundary; step 1 is the first."""
        return self.end[..., None] + steps - 1


def _windows(series: Series, boundaries: int) -> tuple[Tensor, Tensor]:
    """The last steps before each boundary, and which were observed: (B, J, WINDOW) twice."""
    begin = series.length - (boundaries - 1) * BLOCK - WINDOW
    columns = torch.arange(begin, series.length).expand(len(series.values), -1)
    inside = (columns >= series.first[:, None]) & (columns >= 0)
    seen = take(series.observed, columns) * inside
    return series.at(columns).unfold(1, WINDOW, BLOCK), seen.unfold(1, WINDOW, BLOCK)


def _age(like: Tensor) -> Tensor:
    return torch.arange(WINDOW - 1, -1, -1, dtype=like.dtype)


def _levels(rest: Tensor, seen: Tensor) -> Tensor:
    """Exponential means (B, J, R, 4) of what is left (B, J, R, WINDOW)."""
    weight = torch.exp(-_age(rest) / torch.tensor(LEVEL_SPANS, dtype=rest.dtype)[:, None]).T
    return (rest @ weight) / ((seen @ weight)[:, :, None] + 0.05)


def _level(window: Tensor, seen: Tensor, span: float) -> Tensor:
    weight = torch.exp(-_age(window) / span) * seen
    return (window * weight).sum(-1) / (weight.sum(-1) + 1e-3)


def _line(values: Tensor, seen: Tensor, span: float, least: float, penalty: float) -> tuple[Tensor, Tensor]:
    """Weighted mean and shrunk slope a step (B, J) of values (B, J, WINDOW)."""
    age = _age(values)
    weight = torch.exp(-age / span) * seen
    total = weight.sum(-1) + least
    place = -age - (-(age * weight).sum(-1) / total)[..., None]
    mean = (values * weight).sum(-1) / total
    slope = (place * (values - mean[..., None]) * weight).sum(-1) / ((place.square() * weight).sum(-1) + penalty)
    return mean, slope


def _gain(window: Tensor, fitted: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """Regression of the last steps on what the slow memory says of them."""
    count = seen.sum(-1) + 1e-3
    fitted_centre, centre = (fitted * seen).sum(-1) / count, (window * seen).sum(-1) / count
    swing, actual = fitted - fitted_centre[..., None], window - centre[..., None]
    spread = (swing.square() * seen).sum(-1) + 0.05 * (actual.square() * seen).sum(-1) + 1e-3
    gain = ((swing * actual * seen).sum(-1) / spread).clamp(0, 3)
    return {"gain": gain, "centre": centre, "fitted_centre": fitted_centre}


def _trend(series: Series, end: Tensor, before: TrendState | None) -> dict[str, Tensor]:
    """Least-squares slope of all steps up to each boundary, drift since the first one, last value."""
    # Steps from the first one on: sums of squares of larger numbers would leave few digits in float32.
    place = (torch.arange(series.length) - series.first[:, None]).to(series.values) / TREND_UNIT
    inside = (torch.arange(series.length) >= series.first[:, None]).to(series.values)

    def total(values: Tensor) -> Tensor:
        return (values * inside).cumsum(1).gather(1, end - 1)

    count, first, second = total(torch.ones_like(inside)), total(place * inside), total(place.square() * inside)
    level, product = total(series.filled), total(series.filled * place)
    if before is not None:
        carried = (part[:, None] for part in before.sums)
        sums = (count, first, second, level, product)
        count, first, second, level, product = (new + old for new, old in zip(sums, carried, strict=True))
    spread = (count * second - first.square()).clamp_min(1e-6) + 0.02 * count
    last = series.at(end - 1)
    since = (end - 1 - series.first[:, None]).clamp_min(4)
    drift = (last - series.beginning) / since
    return {"slope": (count * product - first * level) / spread / TREND_UNIT, "drift": drift, "last": last}
