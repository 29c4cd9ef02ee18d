"""Running held-out errors of every draft: at boundaries before, on steps that have since been observed.

Shapes: B series, J boundaries, E drafts, 6 = buckets of steps × numbers of boundaries looked back.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.drafts import drafts
from titans_ts.forecasting.reads.series import BLOCK

# Steps after a boundary, from and to.
BUCKETS = ((0, 8), (8, 24), (24, 48))
SPAN = BUCKETS[-1][1]
BACK = (3, 24)
KINDS = len(BUCKETS) * len(BACK)
# Boundaries that the errors of the last one need.
NEEDED = max(BACK) + SPAN // BLOCK + 1


class HeldOut(NamedTuple):
    """Of each draft.

    Attributes:
        errors: (B, J, E, 6) mean absolute errors in the units of the series, 0 where nothing was held out.
        known: (B, J, 6) share of the bucket that was.
        drafts: (B, J, E, SPAN) of the next steps.
    """

    errors: Tensor
    known: Tensor
    drafts: Tensor


def held_out(at: Boundaries) -> HeldOut:
    """Errors at each boundary; targets at or after it are never read."""
    steps = torch.arange(1, SPAN + 1)
    found = drafts(at, steps)
    columns = at.times(steps)
    series = at.series
    observed = series.observed[torch.arange(len(columns))[:, None, None], columns.clamp_max(series.length - 1)]
    # A boundary within the first steps has no drafts worth the name.
    begun = (at.end > series.first[:, None] + 2)[..., None]
    weight = observed * (columns < series.length) * begun
    error = (found - series.at(columns)[:, :, None]).abs_().mul_(weight[:, :, None])
    errors, known = [], []
    for low, high in BUCKETS:
        total, count = _sums(error[..., low:high].sum(-1)), _sums(weight[..., low:high].sum(-1))
        # The last boundary whose bucket is all observed.
        top = (torch.arange(at.end.shape[1]) - high // BLOCK + 1).clamp_min(0)
        for back in BACK:
            bottom = (top - back).clamp_min(0)
            seen = count[:, top] - count[:, bottom]
            errors.append((total[:, top] - total[:, bottom]) / (seen[..., None] + 1e-3))
            known.append(seen / (back * (high - low)))
    return HeldOut(torch.stack(errors, -1), torch.stack(known, -1), found)


def _sums(values: Tensor) -> Tensor:
    """Sums over all boundaries before each, and over all: (B, J, …) → (B, J + 1, …)."""
    return torch.cat([torch.zeros_like(values[:, :1]), values.cumsum(1)], 1)
