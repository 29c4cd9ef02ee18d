"""What the held-out windows decide after training: how much of the network's correction to keep.

Shapes: W windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.model.window import Batch

# Also the least for which the formula of `network_weight` holds.
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


def network_weight(before: Losses, after: Losses, blocks: Tensor) -> float:
    """How much of the network's correction to keep, 0 … 1: 1 − F₀ (standard error / mean)² of its gain, at least 0.

    Windows overlap and neighbours err together: the error is that of the means over blocks of one horizon. This is
    positive-part James–Stein shrinkage towards the linear part. F₀ = (n − 1) / (n − 3) is the mean of
    (mean / standard error)² over n blocks where there is no gain: few blocks must show it more clearly. With fewer than
    four nothing can be concluded, and half is kept. Without held-out windows all is kept.

    Args:
        before: losses of the linear part.
        after: losses of the network on the same windows.
        blocks: (W,) number of the block of each window, see `time_blocks`.
    """
    gain = float((before.total - after.total).sum())
    if len(blocks) == 0 or gain <= 0:
        return 0.0 if len(blocks) else 1.0
    numbers, place = blocks.unique(return_inverse=True)
    if len(numbers) < FEWEST_BLOCKS:
        return 0.5
    sums = torch.zeros(len(numbers), dtype=torch.float64).index_add_(0, place, before.total - after.total)
    error, chance = float(sums.std()) * len(numbers) ** 0.5, (len(numbers) - 1) / (len(numbers) - 3)
    return max(0.0, 1.0 - chance * (error / gain) ** 2)


def time_blocks(positions: Tensor, horizon: int) -> Tensor:
    """Number (W,) of the time block of at least one horizon that each window forecasts; a shorter rest joins the last.

    All series share the blocks, for they err together.

    Args:
        positions: (W,) first forecast step of each window.
        horizon: steps.
    """
    if len(positions) == 0:
        return positions
    past = positions - positions.min()
    return (past // horizon).clamp_max(max(0, (int(past.max()) + 1) // horizon - 1))
