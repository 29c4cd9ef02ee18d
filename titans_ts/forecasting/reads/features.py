"""What the network reads at a boundary: the last steps, the drafts, their running errors, all in units of the boundary.

Shapes: B series, M boundaries, E drafts, H future steps, D features.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from titans_ts.forecasting.reads.boundaries import WINDOW, Boundaries
from titans_ts.forecasting.reads.drafts import drafts
from titans_ts.forecasting.reads.held_out import KINDS, HeldOut, held_out
from titans_ts.forecasting.reads.memories.phase_memory import MEMORIES

NEAR = torch.tensor([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48])
# Last values, steps of which the memories' misfit is shown, steps of one share of observed ones.
RECENT, MISFIT, SHARED = 48, 16, 3
CENTRE_SPAN = 24.0
# Of a draft, in units of the boundary.
LARGEST = 12.0
SUMMARY = 18


class ReadingInputs(NamedTuple):
    """What the network reads of M boundaries, and what its forecasts are relative to.

    Attributes:
        features: (B, M, D).
        drafts: (B, M, E, H) less the centre, over the scale.
        errors: (B, M, E, 6) logarithms of running errors over the scale.
        spans: (B, M, 3) the two periods and the steps of history.
        centre, scale: (B, M, 1) in the units of the series.

    Example:
        >>> import torch
        >>> parts = [torch.zeros(1, 2, 5, dtype=torch.float64)] * len(ReadingInputs._fields)
        >>> ReadingInputs(*parts).single().features.dtype
        torch.float32
    """

    features: Tensor
    drafts: Tensor
    errors: Tensor
    spans: Tensor
    centre: Tensor
    scale: Tensor

    def single(self) -> ReadingInputs:
        """The same in float32, for a network."""
        return ReadingInputs(*(part.float() for part in self))


class _Unit(NamedTuple):
    """Centre and scale of boundaries: (B, M, 1)."""

    centre: Tensor
    scale: Tensor

    def of(self, values: Tensor, largest: float) -> Tensor:
        """Values (B, M, …) in these units, clipped."""
        shape = (*self.centre.shape, *[1] * (values.ndim - 3))
        return ((values - self.centre.view(shape)) / self.scale.view(shape)).clamp(-largest, largest)


def feature_count(draft_count: int) -> int:
    """Features D for so many drafts E."""
    memories = MEMORIES * (MISFIT + 4)
    return RECENT + RECENT // SHARED + draft_count * (len(NEAR) + KINDS) + memories + KINDS + SUMMARY


def boundary_inputs(at: Boundaries, places: Tensor, steps: Tensor) -> ReadingInputs:
    """Inputs of the boundaries at places (B, M) of the J that were read, for the steps (H,) after each.

    The running errors of a boundary come from the boundaries before it: read `NEEDED` of them at least, where there are
    so many.
    """
    tested = held_out(at)
    rows = torch.arange(len(places))[:, None]
    at = at.chosen(places)
    tested = HeldOut(*(part[rows, places] for part in tested))
    unit = _unit(at)
    errors = ((tested.errors / unit.scale[..., None]).clamp(0, 20) + 0.02).log() * (tested.known > 0)[:, :, None]
    features = [
        *_recent(at, unit),
        unit.of(tested.drafts[..., NEAR - 1], LARGEST).flatten(2),
        *_misfit(at, unit),
        errors.flatten(2),
        tested.known,
        _summary(at, unit),
    ]
    series = at.series
    spans = [x[:, None].expand_as(at.end) for x in (series.season, series.long_season)]
    history = (at.end - series.first[:, None]).to(unit.scale)
    return ReadingInputs(
        torch.cat(features, -1),
        draft_inputs(at, unit.centre, unit.scale, steps),
        errors,
        torch.stack([*spans, history], -1),
        *unit,
    )


def draft_inputs(at: Boundaries, centre: Tensor, scale: Tensor, steps: Tensor) -> Tensor:
    """Drafts (B, M, E, H) of the steps (H,) after boundaries, less their centres (B, M, 1), over their scales."""
    return _Unit(centre, scale).of(drafts(at, steps), LARGEST)


def _unit(at: Boundaries) -> _Unit:
    """An exponential mean of the last steps, and their deviation from it."""
    age = torch.arange(WINDOW - 1, -1, -1, dtype=at.window.dtype)
    weight = torch.exp(-age / CENTRE_SPAN) * at.window_observed
    centre = ((at.window * weight).sum(-1) / (weight.sum(-1) + 1e-6))[..., None]
    count = at.window_observed.sum(-1) + 1e-6
    variance = ((at.window - centre).square() * at.window_observed).sum(-1) / count
    return _Unit(centre, (variance + 1e-6).sqrt()[..., None] + 0.02)


def _recent(at: Boundaries, unit: _Unit) -> tuple[Tensor, Tensor]:
    """The last values, and the shares observed of every few of them."""
    seen = at.window_observed[..., -RECENT:]
    shares = seen.unflatten(-1, (-1, SHARED)).mean(-1)
    return unit.of(at.window[..., -RECENT:], 10.0) * seen, shares


def _misfit(at: Boundaries, unit: _Unit) -> tuple[Tensor, Tensor]:
    """What the phase memories leave of the last steps, and its exponential means."""
    left = at.window[:, :, None, -MISFIT:] - at.fitted[..., -MISFIT:]
    left = left / unit.scale[..., None] * at.window_observed[:, :, None, -MISFIT:]
    return left.clamp(-8, 8).flatten(2), (at.levels / unit.scale[..., None]).flatten(2).clamp(-8, 8)


def _summary(at: Boundaries, unit: _Unit) -> Tensor:
    """Lengths, periods, scale, roughness, distance to zero: (B, M, SUMMARY)."""
    series, scale, centre = at.series, unit.scale[..., 0], unit.centre[..., 0]
    history = (at.end - series.first[:, None]).to(scale)
    observed = at.window_observed
    change = ((at.window[..., 1:] - at.window[..., :-1]).abs() * observed[..., 1:]).sum(-1)
    change = change / (observed[..., 1:].sum(-1) + 0.1)
    height = torch.where(series.has_zero[:, None], (centre - series.zero[:, None]) / scale, 20.0)
    of_series = [
        (series.periods[:, 0] > 0).to(scale),
        series.season.log() / 4,
        series.long_season.log() / 4,
        (series.periods[:, 1] > 0).to(scale),
        series.has_zero.to(scale),
    ]
    parts = [
        history.clamp_min(1).log() / 5,
        (history / series.season[:, None]).clamp_min(0.01).log() / 4,
        *(part[:, None].expand_as(scale) for part in of_series),
        observed.mean(-1),
        scale.log(),
        centre,
        (change / scale + 0.01).log(),
        at.gain,
        (at.rest_slope / scale * 10).clamp(-5, 5),
        height.clamp(0.02, 20).log(),
    ]
    for last in (8, 32):
        values, seen = at.window[..., -last:], observed[..., -last:]
        mean = (values * seen).sum(-1) / (seen.sum(-1) + 1e-3)
        spread = (((values - mean[..., None]).square() * seen).sum(-1) / (seen.sum(-1) + 0.1)).sqrt()
        parts += [(spread / scale + 0.01).log(), (mean - centre) / scale]
    return torch.stack(parts, -1).clamp(-8, 8)
