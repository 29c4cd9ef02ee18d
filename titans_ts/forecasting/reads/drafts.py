"""Drafts: simple forecasts of the steps after a boundary, each from the steps before it alone.

A group makes one draft or a few that share their work. The list is open: a group is a class with `names` and `of`, and
forecasts made elsewhere come in through `Boundaries.given` and `Given`.

Shapes: B series, J boundaries, H steps after a boundary, E drafts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from titans_ts.forecasting.reads.boundaries import SLOW, Boundaries
from titans_ts.forecasting.reads.folds import Fold
from titans_ts.forecasting.reads.memories import lag_memory
from titans_ts.forecasting.reads.memories.phase_memory import PhaseKeys

# Of a trend, a step.
DAMPING = 0.9
# Of a growth rate a step, and of the whole exponent.
FASTEST, MOST_GROWTH = 0.2, 2.0
MIDDLE = 1


@dataclass(frozen=True)
class Group:
    """Drafts that share their work.

    Attributes:
        names: of its drafts.
        of: from boundaries, the steps (H,) after each and the phase memories' reads (B, J, R, H) of them, a list of
            drafts (B, J, H) in the units of the series.
    """

    names: tuple[str, ...]
    of: Callable[[Boundaries, Tensor, Tensor], list[Tensor]]


def naive(at: Boundaries, steps: Tensor, phases: Tensor) -> list[Tensor]:
    """The last value, and the value of the last season and the one before at the same phase, of both periods."""
    one = torch.ones_like(at.series.season)
    first, second = at.series.season, at.series.long_season
    seasons = ((one, 0), (first, 0), (first, 1), (second, 0), (second, 1))
    return [_seasonal(at, steps, period, back) for period, back in seasons]


def phase_reads(at: Boundaries, steps: Tensor, phases: Tensor) -> list[Tensor]:
    """What the phase memories say."""
    return list(phases.unbind(2))


def corrected(at: Boundaries, steps: Tensor, phases: Tensor) -> list[Tensor]:
    """Phase memories at the level, slope and size of swings of the last steps."""
    slow, middle = phases[:, :, SLOW], phases[:, :, MIDDLE]
    line = at.rest_level[..., None] + at.rest_slope[..., None] * _damped(steps)
    return [
        slow + at.levels[:, :, SLOW, 1:2],
        slow + at.levels[:, :, SLOW, 2:3],
        middle + at.levels[:, :, MIDDLE, 1:2],
        slow + line,
        at.centre[..., None] + at.gain[..., None] * (slow - at.fitted_centre[..., None]),
    ]


def folds(at: Boundaries, steps: Tensor, phases: Tensor) -> list[Tensor]:
    """Folds by both periods, added, and by the first one, multiplied."""
    series = at.series
    first, second = (Fold.of(at, steps, period) for period in (series.season, series.long_season))
    return [*first.added(), *second.added(), *first.multiplied(series.zero, series.has_zero)]


def trends(at: Boundaries, steps: Tensor, phases: Tensor) -> list[Tensor]:
    """Drift, half of the least-squares trend on a level (as Theta), damped local trend, and a mean of the two kinds."""
    local = at.local_slope[..., None] * _damped(steps)
    return [
        at.last[..., None] + at.drift[..., None] * steps,
        at.slow_level[..., None] + 0.5 * at.slope[..., None] * steps,
        at.fast_level[..., None] + local,
        at.fast_level[..., None] + 0.5 * at.drift[..., None] * steps + 0.5 * local,
    ]


def growth(at: Boundaries, steps: Tensor, phases: Tensor) -> list[Tensor]:
    """Constant growth above the zero since the first step, whole and half; drift where there is no zero."""
    series = at.series
    zero = torch.where(series.has_zero, series.zero, 0.0)[:, None]
    first = (series.beginning - zero).clamp_min(1e-3)
    now = (at.last - zero).clamp_min(1e-3)
    since = (at.end - 1 - series.first[:, None]).clamp_min(4)
    rate = ((now / first).clamp(1e-3, 1e3).log() / since).clamp(-FASTEST, FASTEST)[..., None]
    grown = [
        start[..., None] * torch.exp((share * rate * steps).clamp(-MOST_GROWTH, MOST_GROWTH)) + zero[..., None]
        for start, share in ((now, 1.0), (at.fast_level - zero, 0.5))
    ]
    drifted = [
        level[..., None] + share * at.drift[..., None] * steps
        for level, share in ((at.last, 1.0), (at.fast_level, 0.5))
    ]
    there = series.has_zero[:, None, None]
    return [torch.where(there, one, other) for one, other in zip(grown, drifted, strict=True)]


def lagged(at: Boundaries, steps: Tensor, phases: Tensor) -> list[Tensor]:
    """The lag memory, and a phase memory beyond its 48 steps."""
    place = (steps - 1).clamp_max(lag_memory.SPAN - 1)
    near = at.lagged[..., place]
    return [torch.where(steps <= lag_memory.SPAN, one, phases[:, :, MIDDLE]) for one in near.unbind(2)]


GROUPS = (
    Group(("last value", "season", "season before", "long season", "long season before"), naive),
    Group(
        (
            *(f"phases {name}" for name in ("fast", "middle", "slow", "all")),
            *(f"phases of the first period {name}" for name in ("middle", "slow", "all")),
        ),
        phase_reads,
    ),
    Group(
        (
            "slow at the level of 4",
            "slow at the level of 12",
            "middle at the level of 4",
            "slow and a line",
            "slow with a gain",
        ),
        corrected,
    ),
    Group(
        (
            *(f"fold {name}" for name in ("last", "damped", "flat")),
            *(f"long fold {name}" for name in ("last", "damped", "flat")),
            "fold multiplied",
            "fold growing",
        ),
        folds,
    ),
    Group(("drift", "half trend", "local trend", "drift and local trend"), trends),
    Group(("growth", "half growth"), growth),
    Group(("lags", "lags shrunk"), lagged),
)
NAMES = tuple(name for group in GROUPS for name in group.names)


def drafts(at: Boundaries, steps: Tensor, groups: Sequence[Group] = GROUPS) -> Tensor:
    """All drafts (B, J, E, H) of the steps (H,) after each boundary; those given come last.

    Raises:
        ValueError: a step lies beyond the drafts given.
    """
    count, boundaries = at.end.shape
    key = PhaseKeys.of(at.series).at(at.times(steps).flatten(1))
    phases = at.memories @ key.view(count, boundaries, len(steps), -1).transpose(2, 3)
    found = [draft for group in groups for draft in group.of(at, steps, phases)]
    return torch.cat([torch.stack(found, 2), _given(at, steps)], 2)


def _given(at: Boundaries, steps: Tensor) -> Tensor:
    """Drafts from elsewhere (B, J, G, H)."""
    if not at.given.shape[2]:
        return at.given.new_zeros(*at.given.shape[:3], len(steps))
    if int(steps.max()) > at.given.shape[3]:
        raise ValueError(f"the drafts given have {at.given.shape[3]} steps, {int(steps.max())} are asked for")
    return at.given[..., steps - 1]


def _seasonal(at: Boundaries, steps: Tensor, period: Tensor, back: int) -> Tensor:
    """The value of a whole period ago (B, J, H), or of `back` more; the last one where history does not reach back."""
    season = period.round().clamp_min(1).long()[:, None, None]
    column = at.times(steps) - (-(-steps // season) + back) * season
    early = column < at.series.first[:, None, None]
    return at.series.at(torch.where(early, (at.end - 1)[..., None], column))


def _damped(steps: Tensor) -> Tensor:
    """φ + φ² + … over so many steps."""
    return (1 - DAMPING**steps) / (1 - DAMPING) * DAMPING
