"""How much of a forecast is the network's and how much the expert mixture's, by held-out windows.

Quantiles of the two are averaged level by level (Vincentization), with a share that minimises the quantile loss of
windows that neither has learned from: one share of the panel, and around it one of each series. Few windows stay near
equal shares.

Shapes: R windows, H horizon steps, Q levels, K candidate shares.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from titans_ts.forecasting.experts.windows import horizon_groups

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CANDIDATES = np.linspace(0.0, 1.0, 21)
WIDTHS = np.array([0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0])
# Penalty on leaving equal shares, on leaving the panel's share, and on another width, in units of the logarithm of the
# loss times independent windows.
PANEL_PULL, SERIES_PULL, WIDTH_PULL = 0.3, 3.0, 2.0
# Independent windows at which evidence for a network counts by half.
FEW_WINDOWS = 3.0
# One window in which the network fails counts as so many of the mixture's losses at most.
WORST = 20.0
# Shares nearer than this to 0 or 1 are 0 or 1: a forecast that hardly counts is not computed.
NEGLIGIBLE = 0.04


class HeldOutForecasts(NamedTuple):
    """Forecasts of held-out windows.

    Attributes:
        mixture, network: quantiles (R, H, Q).
        actual: (R, H), NaN for missing.
        unit: (R,) typical movement of each window's history.
        names: of the series of each window.
        moments: (R,) steps from the window to the end of its series.
    """

    mixture: FloatArray
    network: FloatArray
    actual: FloatArray
    unit: FloatArray
    names: Sequence[Hashable]
    moments: IntArray


@dataclass(frozen=True)
class Shares:
    """Shares of the network (H,), for the panel and by series, and the factor (H,) on widths of intervals."""

    panel: FloatArray
    series: dict[Hashable, FloatArray]
    width: FloatArray

    def of(self, names: Sequence[Hashable], horizon: int) -> FloatArray:
        """The network's shares (R, horizon); steps beyond those known have the last one's."""
        steps = np.minimum(np.arange(horizon), len(self.panel) - 1)
        return np.stack([self.series.get(name, self.panel) for name in names])[:, steps]

    def widths(self, horizon: int) -> FloatArray:
        """The factors (horizon,) on widths."""
        return self.width[np.minimum(np.arange(horizon), len(self.width) - 1)]

    @classmethod
    def only(cls, share: float) -> Shares:
        """The same share everywhere: 0 is the mixture alone, 1 the network alone."""
        return cls(np.array([share]), {}, np.ones(1))


def choose_shares(found: HeldOutForecasts, levels: Sequence[float]) -> Shares:
    """Shares and widths of least quantile loss; equal shares where no window has an observed value."""
    horizon = found.actual.shape[1]
    panel, width = np.full(horizon, 0.5), np.ones(horizon)
    names = list(dict.fromkeys(found.names))
    place = {name: i for i, name in enumerate(names)}
    rows = np.array([place[name] for name in found.names], dtype=np.int64)
    series = np.full((len(names), horizon), 0.5)
    span = int(np.ptp(found.moments)) if len(rows) else 0
    blocks = 1 + span / horizon
    for group in horizon_groups(horizon):
        mixture, network, actual = found.mixture[:, group], found.network[:, group], found.actual[:, group]
        losses = np.stack(
            [
                window_losses(share * network + (1 - share) * mixture, actual, found.unit, levels)
                for share in CANDIDATES
            ],
            axis=1,
        )
        losses = np.minimum(losses, WORST * (losses[:, :1] + losses[:, :1].mean() * 0.1 if len(losses) else 1.0))
        known = np.isfinite(losses).all(axis=1)
        if not known.any():
            continue
        # A handful of windows proves nothing: without evidence a network has no share.
        evidence = blocks * np.sqrt(len(np.unique(rows[known])))
        trust = evidence / (evidence + FEW_WINDOWS)
        best = _least(losses[known].mean(axis=0), evidence * trust, 0.5 * trust, PANEL_PULL)
        panel[group] = best
        for i in range(len(names)) if len(names) > 1 else ():
            mine = known & (rows == i)
            own = _least(losses[mine].mean(axis=0), blocks, best, SERIES_PULL) if mine.any() else best
            series[i, group] = own
        share = (series[rows, group.start] if len(names) > 1 else np.full(len(rows), best))[:, None, None]
        combined = share * network + (1 - share) * mixture
        width[group] = _width(combined, actual, found.unit, levels, evidence * trust)
    if len(names) == 1:
        return Shares(_snapped(panel), {}, width)
    return Shares(_snapped(panel), {name: _snapped(series[i]) for name, i in place.items()}, width)


def _least(losses: FloatArray, windows: float, prior: float, pull: float) -> float:
    """The share with the least penalised loss (K,)."""
    score = windows * np.log(losses / losses.min() if losses.min() > 0 else losses + 1.0)
    return float(CANDIDATES[int(np.argmin(score + pull * (CANDIDATES - prior) ** 2))])


def _width(
    quantiles: FloatArray, actual: FloatArray, unit: FloatArray, levels: Sequence[float], windows: float
) -> float:
    """The factor on distances from the median with the least penalised loss."""
    middle = median(quantiles, levels)[..., None]
    means = []
    for factor in WIDTHS:
        losses = window_losses(middle + factor * (quantiles - middle), actual, unit, levels)
        means.append(losses[np.isfinite(losses)].mean())
    loss = np.array(means)
    score = windows * np.log(loss / loss.min() if loss.min() > 0 else loss + 1.0)
    return float(WIDTHS[int(np.argmin(score + WIDTH_PULL * np.log(WIDTHS) ** 2))])


def median(quantiles: FloatArray, levels: Sequence[float]) -> FloatArray:
    """The median (…) of quantiles (…, Q), interpolated between levels."""
    above = int(np.clip(np.searchsorted(levels, 0.5), 1, max(len(levels) - 1, 1)))
    if len(levels) == 1:
        return quantiles[..., 0]
    low, high = levels[above - 1], levels[above]
    share = (0.5 - low) / (high - low)
    return np.asarray((1 - share) * quantiles[..., above - 1] + share * quantiles[..., above])


def window_losses(quantiles: FloatArray, actual: FloatArray, unit: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Mean quantile loss (R,) of each window in units of its series; NaN where nothing was observed."""
    q = np.asarray(levels, dtype=float)
    error = actual[..., None] - quantiles
    loss = np.maximum(q * error, (q - 1) * error).mean(axis=2)
    there = np.isfinite(loss)
    count = there.sum(axis=1)
    total = np.where(there, loss, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan) / unit


def _snapped(share: FloatArray) -> FloatArray:
    share = np.where(share < NEGLIGIBLE, 0.0, share)
    return np.where(share > 1 - NEGLIGIBLE, 1.0, share)
