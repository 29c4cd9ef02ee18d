"""What the held-out windows decide after training: how much of the network to keep, and how wide its intervals are.

Shapes: W windows, P horizon steps, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from titans_ts.forecasting.network import Batch, ForecastNetwork

STRETCHES = tuple(0.7 + 0.05 * i for i in range(19))
FEWEST_BLOCKS = 4


class Losses(NamedTuple):
    """Loss and number of observed steps of each held-out window, both (W,)."""

    total: Tensor
    observed: Tensor

    @property
    def mean(self) -> float:
        """Mean loss a step, NaN without any window."""
        return float(self.total.sum() / self.observed.sum()) if len(self.total) else float("nan")


@torch.no_grad()
def held_out_losses(network: ForecastNetwork, batches: Iterable[Batch]) -> Losses:
    """Losses of the windows in evaluation mode; the rows of a multi-channel window are added up."""
    mode = network.training
    network.eval()
    parts = []
    for batch in batches:
        rows = len(batch["past_time_feat"])
        parts.append(tuple(x.reshape(rows, -1).sum(-1).double().cpu() for x in network.row_losses(batch)))
    network.train(mode)
    if not parts:
        return Losses(torch.zeros(0), torch.zeros(0))
    return Losses(torch.cat([total for total, _ in parts]), torch.cat([observed for _, observed in parts]))


def kept_share(before: Losses, after: Losses, blocks: Tensor) -> float:
    """How much of the network's correction to keep: 1 − (standard error / mean)² of its gain, at least 0.

    Windows overlap and neighbours err together: the error is that of the means over blocks of one horizon. This is
    positive-part James–Stein shrinkage towards the linear map. With fewer than four blocks nothing can be said,
    and half is kept.

    Args:
        before, after: losses of the linear map and of the network on the same windows.
        blocks: (W,) number of the block of each window.
    """
    gain = float((before.total - after.total).sum())
    if len(blocks) == 0 or gain <= 0:
        return 0.0 if len(blocks) else 1.0
    numbers, place = blocks.unique(return_inverse=True)
    if len(numbers) < FEWEST_BLOCKS:
        return 0.5
    sums = torch.zeros(len(numbers), dtype=torch.float64).index_add_(0, place, before.total - after.total)
    error = float(sums.std()) * len(numbers) ** 0.5
    return max(0.0, 1.0 - (error / gain) ** 2)


@torch.no_grad()
def interval_stretch(network: ForecastNetwork, batches: Iterable[Batch]) -> tuple[float, float]:
    """Factors for the quantiles below and above the median that minimise the pinball loss on held-out windows.

    Residuals of training windows are smaller than those to come: without this the 90 % interval of the built-in weather
    covers 83 % (last 14 days).
    """
    levels = torch.tensor(sorted({*network.config.quantiles, 0.5}), dtype=torch.float64)
    middle = int((levels == 0.5).nonzero()[0, 0])
    totals = torch.zeros(2, len(STRETCHES), dtype=torch.float64)
    for batch in batches:
        found = network(batch, [round(float(level), 6) for level in levels]).quantiles.double().cpu()
        target, observed = (batch[name].double().cpu() for name in ("future_target", "future_observed_values"))
        # (B,) or (B, M) → (B, 1) or (B, 1, M), beside (B, P[, M]).
        scale = batch["item_scale"].double().cpu().unsqueeze(1)
        median = found[..., middle]
        for side, part in enumerate((slice(0, middle), slice(middle + 1, None))):
            for place, factor in enumerate(STRETCHES):
                error = (target - median)[..., None] - factor * (found[..., part] - median[..., None])
                loss = torch.maximum(levels[part] * error, (levels[part] - 1) * error).sum(-1)
                totals[side, place] += (loss * observed / scale).sum()
    lower, upper = totals.argmin(dim=1).tolist()
    return STRETCHES[lower], STRETCHES[upper]
