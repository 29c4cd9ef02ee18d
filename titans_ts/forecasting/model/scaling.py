"""Scaling of series windows: ``(scaled, loc, scale)`` with missing values left out of every statistic.

Shapes: G rows (batch × channels), L steps of the past.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

SMALLEST_SCALE = 1e-5
# Of the series' own spread: a window quieter than this tells little about what comes after it.
SMALLEST_SPREAD = 0.02
# Of the series' spread times the root of the steps observed: a few steps that lie close together tell nothing.
FEW_STEPS_SPREAD = 0.5
FEWEST_OBSERVED = 8
# Widths at one phase are at most exp(2 · MOST_SLOPE · √2) = 285 times those at another: with calm nights.
MOST_SLOPE, PRIOR_WINDOWS = 2.0, 10.0


class Scaled(NamedTuple):
    """A scaled window: ``value = scaled · scale + loc``; loc and scale are (G, 1)."""

    scaled: Tensor
    loc: Tensor
    scale: Tensor


def fill_forward(values: Tensor, observed: Tensor) -> Tensor:
    """Carry the last observed value over gaps, and the first one back over the start; 0 where nothing is observed.

    values, observed (G, L) → (G, L).
    """
    steps = torch.arange(values.shape[-1], device=values.device)
    seen = torch.where(observed > 0, steps, -1).cummax(-1).values
    first = torch.where(observed > 0, steps, values.shape[-1] - 1).amin(-1, keepdim=True)
    filled = values.gather(-1, torch.where(seen < 0, first, seen))
    return torch.where(observed.amax(-1, keepdim=True) > 0, filled, torch.zeros_like(filled))


def quartiles(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper quartile (G, 1) of the observed values (G, L); equal where fewer than FEWEST_OBSERVED are."""
    # An odd stride over long windows: it shares no factor with the seasons of hours.
    step = (values.shape[-1] // 128) | 1
    values, observed = values[:, ::step], observed[:, ::step]
    ordered = torch.where(observed > 0, values, torch.inf).sort(dim=-1).values
    count = observed.sum(-1, keepdim=True)
    places = [((count - 1) * share).round().clamp_min(0).long() for share in (0.25, 0.75)]
    low, high = (ordered.gather(-1, place) for place in places)
    enough = count >= FEWEST_OBSERVED
    return torch.where(enough, low, 0.0), torch.where(enough, high, 0.0)


class InstanceScaler(nn.Module):
    """Window mean and a robust spread: RMS deviation with each deviation clipped at ``clip`` mean absolute deviations.

    One outlier (a price spike, a sensor fault) moves an ordinary standard deviation as much as all other steps
    together; clipped, it counts as ``clip``. A window without variation has scale 1: its scaled values are 0.
    """

    def __init__(self, clip: float = 6.0) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, values: Tensor, observed: Tensor) -> Scaled:
        """values, observed (G, L) → scaled (G, L), 0 where missing; loc, scale (G, 1)."""
        count = observed.sum(-1, keepdim=True).clamp_min(1)
        loc = (values * observed).sum(-1, keepdim=True) / count
        deviation = (values - loc) * observed
        limit = self.clip * deviation.abs().sum(-1, keepdim=True) / count
        spread = (deviation.clamp(-limit, limit).square().sum(-1, keepdim=True) / count).sqrt()
        scale = torch.where(spread > SMALLEST_SCALE, spread, torch.ones_like(spread))
        return Scaled(deviation / scale, loc, scale)


def log_width_slopes(residuals: Tensor, phase: Tensor) -> Tensor:
    """Slopes (2, P) of log |residual| over the phase (G, 2), by ridge regression on observed residuals (G, P).

    They are 0 where the windows have not seen most of the circle, which tell nothing about the rest of it, and at most
    `MOST_SLOPE`.
    """
    if not covers_circle(phase):
        return residuals.new_zeros(2, residuals.shape[1])
    design = torch.cat([torch.ones_like(phase[:, :1]), phase], dim=1).double()
    observed = ~residuals.isnan()
    # Least squares on the logarithm: a residual of nearly 0 must not count like a hundred large ones.
    height = torch.log(residuals.abs().nan_to_num(1.0).double().clamp_min(0.05))
    # The penalty of so many windows with slopes of 0, spread evenly over the circle.
    penalty = torch.diag(design.new_tensor([1e-6, PRIOR_WINDOWS / 2, PRIOR_WINDOWS / 2]))
    slopes = []
    for step in range(residuals.shape[1]):
        seen, y = design[observed[:, step]], height[observed[:, step], step]
        slopes.append(torch.linalg.solve(seen.T @ seen + penalty, seen.T @ y)[1:])
    return torch.stack(slopes, dim=1).clamp(-MOST_SLOPE, MOST_SLOPE).to(residuals.dtype)


def covers_circle(phase: Tensor) -> bool:
    """Whether angles, given as sine and cosine (G, 2), lie in at least three quarters of eight equal sectors."""
    sectors = ((torch.atan2(phase[:, 0], phase[:, 1]) / (2 * torch.pi) * 8).floor().long() % 8).unique()
    return len(sectors) >= 6
