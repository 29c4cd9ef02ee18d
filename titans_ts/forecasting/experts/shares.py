"""How much of a forecast is the network's and how much the expert mixture's, by held-out windows.

Quantiles of the two are averaged level by level (Vincentization), with a share that minimises the quantile loss of
windows that neither has learned from: one share of the panel, and around it one of each series. Few windows stay near
a share of PRIOR.

Shapes: R windows or rows, H horizon steps, Q levels, K candidate shares.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from titans_ts.forecasting.experts.windows import horizon_groups

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CANDIDATES = np.linspace(0.0, 1.0, 21)
WIDTHS = np.array([0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0])
# The network's share where nothing speaks for or against it. On 105 panels of 1, 4 and 30 short business series (M1,
# M3, tourism, hospital; before their last horizon) equal shares were 6 % worse than the mixture alone in quantile loss
# on single series, this 1 %, with panels of 30 as good as before.
PRIOR = 0.25
# Penalty on leaving the prior, on leaving the panel's share, and on another width, in units of the logarithm of the
# loss times independent windows. Widths chosen freely on a few windows covered 77 instead of 81 % at 90 %.
PANEL_PULL, SERIES_PULL, WIDTH_PULL = 1.5, 3.0, 5.0
# Most that a window's loss counts, in medians of all windows: where everything fails (a step that nobody could foresee)
# it says little about shares and must not drown the others.
CAP = 4.0
# One window in which the network fails counts as so many of the mixture's losses at most.
WORST = 20.0
# How much further from the mixture than 19 of 20 held-out windows showed, and how many half widths of its interval at
# least, a network may be with its whole share: beyond it nothing was tested.
SLACK, LEAST_REACH = 1.5, 1.0
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


class Reach(NamedTuple):
    """How far the network's median may be from the mixture's, in half widths of its interval between two levels.

    With `widths` also how much wider its interval may be.
    """

    most: float
    low: float
    high: float
    widths: bool = False

    def distances(self, network: FloatArray, mixture: FloatArray, levels: Sequence[float]) -> FloatArray:
        """Mean distance (R,) over the horizon, of quantiles (R, H, Q), in those units."""
        low, high = (int(np.abs(np.asarray(levels) - level).argmin()) for level in (self.low, self.high))
        half = (mixture[..., high] - mixture[..., low]).mean(axis=1) / 2
        apart = np.abs(median(network, levels) - median(mixture, levels)).mean(axis=1)
        if self.widths:
            apart = np.maximum(apart, (network[..., high] - network[..., low]).mean(axis=1) / 2 - half)
        return np.asarray(np.divide(apart, half, out=np.full(len(half), np.inf), where=half > 0))


@dataclass(frozen=True)
class Shares:
    """Shares of the network (H,), for the panel and by series, and the factor (H,) on widths of intervals.

    Where the network is further from the mixture than `reach`, its share falls with the distance.
    """

    panel: FloatArray
    series: dict[Hashable, FloatArray]
    width: FloatArray
    reach: Reach | None = None

    def within_reach(
        self, share: FloatArray, network: FloatArray, mixture: FloatArray, levels: Sequence[float]
    ) -> FloatArray:
        """Shares (R, H) for quantiles (R, H, Q) of the two."""
        if self.reach is None:
            return share
        apart = self.reach.distances(network, mixture, levels)
        return np.asarray(share * np.minimum(1.0, self.reach.most / np.maximum(apart, 1e-12))[:, None])

    def of(self, names: Sequence[Hashable], horizon: int) -> FloatArray:
        """The network's shares (R, horizon); steps beyond those known have the last one's."""
        steps = np.minimum(np.arange(horizon), len(self.panel) - 1)
        return np.stack([self.series.get(name, self.panel) for name in names])[:, steps]

    def widths(self, horizon: int) -> FloatArray:
        """The factors (horizon,) on widths."""
        return self.width[np.minimum(np.arange(horizon), len(self.width) - 1)]

    @property
    def mean(self) -> float:
        """The mean share over series and steps."""
        return float(np.mean(list(self.series.values()) or [self.panel]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; names of series become text where they are neither text nor whole numbers."""
        return {
            "panel": self.panel,
            "names": list(self.series),
            "series": list(self.series.values()),
            "width": self.width,
            # Without widths as before there were any: models keep their fingerprints.
            "reach": self.reach if self.reach is None or self.reach.widths else self.reach[:3],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Shares:
        """Inverse of `to_dict`."""
        series = {name: np.asarray(own) for name, own in zip(values["names"], values["series"], strict=True)}
        reach = None if values["reach"] is None else Reach(*values["reach"])
        return cls(np.asarray(values["panel"]), series, np.asarray(values["width"]), reach)

    @classmethod
    def only(cls, share: float) -> Shares:
        """The same share everywhere: 0 is the mixture alone, 1 the network alone."""
        return cls(np.array([share]), {}, np.ones(1))


def choose_shares(
    found: HeldOutForecasts, levels: Sequence[float], prior: float = PRIOR, *, widths: bool = False
) -> Shares:
    """Shares and widths of least quantile loss; the prior where no window has an observed value.

    Args:
        found: of held-out windows.
        levels: Q.
        prior: share where nothing speaks for or against it.
        widths: whether the network's interval is held within reach as well.
    """
    horizon = found.actual.shape[1]
    panel, width = np.full(horizon, prior), np.ones(horizon)
    names = list(dict.fromkeys(found.names))
    place = {name: i for i, name in enumerate(names)}
    rows = np.array([place[name] for name in found.names], dtype=np.int64)
    series = np.full((len(names), horizon), prior)
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
        known = np.isfinite(losses).all(axis=1)
        if not known.any():
            continue
        losses = np.minimum(losses, WORST * (losses[:, :1] + losses[known, 0].mean() * 0.1))
        losses = losses * _tempered(losses[known].mean(axis=1), losses.mean(axis=1))[:, None]
        number = len(np.unique(rows[known]))
        best = _least(losses[known].mean(axis=0), blocks * np.sqrt(number), prior, PANEL_PULL)
        panel[group] = best
        for i in range(len(names)) if len(names) > 1 else ():
            mine = known & (rows == i)
            own = _least(losses[mine].mean(axis=0), blocks, best, SERIES_PULL) if mine.any() else best
            series[i, group] = own
        share = (series[rows, group.start] if len(names) > 1 else np.full(len(rows), best))[:, None, None]
        width[group] = _width(share * network + (1 - share) * mixture, actual, found.unit, levels, blocks, number)
    each = {name: _snapped(series[i]) for name, i in place.items()} if len(names) > 1 else {}
    return Shares(_snapped(panel), each, width, _reach(found, levels, widths))


def _reach(found: HeldOutForecasts, levels: Sequence[float], widths: bool) -> Reach | None:
    """What held-out windows showed, with slack; None where they say nothing (one level, no window)."""
    reach = Reach(LEAST_REACH, min(levels), max(levels), widths)
    apart = reach.distances(found.network, found.mixture, levels)
    apart = apart[np.isfinite(apart)]
    if len(levels) == 1 or not len(apart):
        return None
    return reach._replace(most=max(LEAST_REACH, SLACK * float(np.quantile(apart, 0.95))))


def _least(losses: FloatArray, windows: float, prior: float, pull: float) -> float:
    """The share with the least penalised loss (K,)."""
    score = windows * np.log(losses / losses.min() if losses.min() > 0 else losses + 1.0)
    return float(CANDIDATES[int(np.argmin(score + pull * (CANDIDATES - prior) ** 2))])


def _tempered(known: FloatArray, losses: FloatArray) -> FloatArray:
    """Factors (R,) that bring losses (R,) down to CAP medians of the known ones."""
    usual = float(np.median(known))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.minimum(1.0, CAP * usual / losses) if usual > 0 else np.ones(len(losses))


def _width(
    quantiles: FloatArray, actual: FloatArray, unit: FloatArray, levels: Sequence[float], blocks: float, series: int
) -> float:
    """The factor on distances from the median with the least penalised loss."""
    middle = median(quantiles, levels)[..., None]
    means = []
    for factor in WIDTHS:
        losses = window_losses(middle + factor * (quantiles - middle), actual, unit, levels)
        means.append(losses[np.isfinite(losses)].mean())
    loss = np.array(means)
    score = min(blocks, 4.0) * np.sqrt(series) * np.log(loss / loss.min() if loss.min() > 0 else loss + 1.0)
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
