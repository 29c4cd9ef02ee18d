"""Folded histories: the last seasons of a series, their means and their shapes, added or multiplied.

Shapes: B series, J boundaries, H steps after a boundary, S = SEASONS last seasons.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from titans_ts.forecasting.reads.boundaries import Boundaries

# Weights of the shapes of the last seasons, the last one first.
WEIGHTS = (1.0, 0.8, 0.6, 0.4)
SEASONS = len(WEIGHTS)
# Of the growth from one season to the next, a season.
DAMPING_LAST, DAMPING, DAMPING_GROWTH = 0.8, 0.85, 0.9


class Fold(NamedTuple):
    """Seasons of one period.

    Attributes:
        means: (B, J, S) of the last seasons, the last one first.
        known: (B, J, S) 1 where a season lies after the first observed step.
        values: S times (B, J, H): the step of each season with the phase of a future one.
        levels: S times (B, J, H): the mean of the season it lies in.
        ahead: (B, 1, H) from the middle of the last season, in seasons.
        periodic: (B, 1, 1) whether there is a period at all.
    """

    means: Tensor
    known: Tensor
    values: list[Tensor]
    levels: list[Tensor]
    ahead: Tensor
    periodic: Tensor

    @classmethod
    def of(cls, at: Boundaries, steps: Tensor, period: Tensor) -> Fold:
        """Fold by whole periods (B,) for the steps (H,) after each boundary."""
        season = period.round().clamp_min(1).long()[:, None, None]
        series = at.series
        total = torch.cat([torch.zeros_like(series.filled[:, :1]), series.filled.cumsum(1)], 1)
        back = torch.arange(SEASONS + 1)
        edges = at.end[..., None] - back * season
        # Before the first step its value counts, as it does in `filled`.
        sums = total[:, None].expand(-1, edges.shape[1], -1).gather(2, edges.clamp_min(0))
        sums = sums + edges.clamp_max(0) * series.filled[:, :1, None]
        means = (sums[..., :-1] - sums[..., 1:]) / season
        since = (at.end - series.first[:, None])[..., None]
        known = (since >= back[1:] * season).to(means.dtype)
        time = at.times(steps)
        values, levels = [], []
        for number in range(SEASONS):
            column = time - (-(-steps // season) + number) * season
            place = torch.div(at.end[..., None] - 1 - column, season, rounding_mode="floor").clamp(0, SEASONS - 1)
            values.append(series.at(column))
            levels.append(means.gather(2, place))
        ahead = (steps + season / 2 - 0.5) / season
        return cls(means, known, values, levels, ahead, (period > 1.5)[:, None, None])

    def added(self) -> list[Tensor]:
        """Drafts (B, J, H): the last season with its damped growth, mean and shape with damped growth, without."""
        shape = self._averaged([value - level for value, level in zip(self.values, self.levels, strict=True)])
        last = (self.means[..., 0] - self.means[..., 1]) * self.known[..., 1]
        third = self.known[..., 3]
        mean = (self.means[..., 0] - self.means[..., 3]) / 3 * third + (1 - third) * last * 0.7
        level = self.means[..., :1] + shape
        seasonal = self.values[0] + last[..., None] * self.periodic * _damped(self.ahead, DAMPING_LAST)
        return [seasonal, level + mean[..., None] * _damped(self.ahead, DAMPING), level]

    def multiplied(self, zero: Tensor, has_zero: Tensor) -> list[Tensor]:
        """Drafts (B, J, H): mean times shape above a zero (B,), without and with growth; the flat fold without zero."""
        base = torch.where(has_zero, zero, 0.0)[:, None, None]
        ratios = [
            ((value - base) / (level - base).clamp_min(1e-3)).clamp(0, 8)
            for value, level in zip(self.values, self.levels, strict=True)
        ]
        above = (self.means - base).clamp_min(1e-3)
        last = ((self.means[..., 0] - base[..., 0]) / above[..., 1]).clamp(0.5, 2.0)
        three = ((self.means[..., 0] - base[..., 0]) / above[..., 3]).clamp(0.2, 5.0) ** (1 / 3)
        growth = torch.where(self.known[..., 1] > 0, last**0.7, 1.0)
        growth = torch.where(self.known[..., 3] > 0, three, growth)
        level = (self.means[..., :1] - base) * self._averaged(ratios)
        grown = level * growth[..., None] ** _damped(self.ahead, DAMPING_GROWTH).clamp_max(8)
        plain = self.added()[2]
        return [torch.where(has_zero[:, None, None], base + draft, plain) for draft in (level, grown)]

    def _averaged(self, shapes: list[Tensor]) -> Tensor:
        """Weighted mean (B, J, H) of the shapes of the known seasons."""
        weights = self.known * torch.tensor(WEIGHTS, dtype=self.known.dtype)
        total = sum(weights[..., place, None] * shape for place, shape in enumerate(shapes))
        return torch.as_tensor(total) / (weights.sum(-1, keepdim=True) + 1e-3)


def _damped(ahead: Tensor, factor: float) -> Tensor:
    """1 + φ + φ² + … over so many seasons."""
    return (1 - factor**ahead) / (1 - factor)
