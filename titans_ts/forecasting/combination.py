"""One forecast out of a network's and the expert mixture's: quantiles averaged level by level, checked, held in bounds.

Shapes: R rows (series × channels, or windows × channels), T steps of a history, H horizon, Q levels, E experts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from titans_datasets.text import counted, some
from titans_ts.forecasting.experts.counts.lattice import whole
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.experts.shares import median
from titans_ts.forecasting.guard import check
from titans_ts.forecasting.model.network import Forecast

FloatArray = npt.NDArray[np.float64]
NETWORK = "network"


class Rows(NamedTuple):
    """Forecasts of rows: mean (R, H) and quantiles (R, H, Q)."""

    mean: FloatArray
    quantiles: FloatArray

    def at(self, levels: Sequence[float], wanted: Sequence[float]) -> Rows:
        """Quantiles at wanted levels, linear between the neighbouring ones of `levels` (Q, rising)."""
        last = len(levels) - 1
        above = np.clip(np.searchsorted(levels, wanted), min(1, last), last)
        below = np.maximum(above - 1, 0)
        known = np.asarray(levels, dtype=np.float64)
        gaps = np.where(above > below, known[above] - known[below], 1.0)
        share = np.where(above > below, np.clip((np.asarray(wanted) - known[below]) / gaps, 0.0, 1.0), 0.0)
        low, high = self.quantiles[..., below], self.quantiles[..., above]
        # Each of the two as it is where it is wanted itself.
        between = low + share * (high - low)
        return Rows(self.mean, np.where(share == 0, low, np.where(share == 1, high, between)))


@dataclass(frozen=True)
class Combined:
    """What rows were forecast as, and by what.

    Attributes:
        rows: mean and quantiles.
        replaced: rows of which the network's part failed a check, with the code of the reason.
        weights: (R, 1 + E) of the network and the experts, averaged over the horizon.
        names: of the weights' columns.
    """

    rows: Rows
    replaced: dict[int, int] = field(default_factory=dict)
    weights: FloatArray = field(default_factory=lambda: np.empty((0, 1)))
    names: tuple[str, ...] = (NETWORK,)


@dataclass(frozen=True)
class Bounds:
    """What values can be: a number, None for no bound, or "auto" (0 below histories that never are below 0)."""

    lower: float | Literal["auto"] | None = "auto"
    upper: float | Literal["auto"] | None = "auto"

    @property
    def nonnegative(self) -> bool | None:
        """For the experts: None is automatic."""
        return None if self.lower == "auto" else self.lower == 0

    def hold(self, rows: Rows, histories: Sequence[FloatArray]) -> Rows:
        """Mean and quantiles within the bounds."""
        low = np.array([-np.inf if self.lower in (None, "auto") else float(self.lower)] * len(histories))
        if self.lower == "auto":
            # A falling line has no floor only because it has not come to 0 yet.
            floor = np.array([_never_negative(history) for history in histories], dtype=bool)
            low = np.where(floor & (rows.quantiles.max(axis=2).min(axis=1) >= 0), 0.0, -np.inf)
        high = np.inf if self.upper in (None, "auto") else float(self.upper)
        mean = np.clip(rows.mean, low[:, None], high)
        return Rows(mean, np.clip(rows.quantiles, low[:, None, None], high))

    def check(self, histories: Sequence[FloatArray], names: Sequence[Hashable]) -> None:
        """Refuse histories that break a bound.

        Raises:
            ValueError: with the bound, the series and their values.
        """
        for word, bound, beyond in (("lower", self.lower, np.less), ("upper", self.upper, np.greater)):
            if bound in (None, "auto"):
                continue
            worst = np.nanmin if word == "lower" else np.nanmax
            broken = [i for i, history in enumerate(histories) if bool(beyond(history, bound).any())]
            if broken:
                value = worst(np.concatenate([histories[i] for i in broken]))
                series = some([names[i] for i in broken])
                raise ValueError(
                    f"{word}={bound:g}, but the series {series} have values beyond it (as far as {value:g}): change "
                    f"{word}=, or correct the data"
                )


def _never_negative(history: FloatArray) -> bool:
    there = history[np.isfinite(history)]
    return bool(len(there)) and bool(there.min() >= 0)


def combine(
    mixture: FittedMixture,
    network: Rows | None,
    horizon: int,
    histories: Sequence[FloatArray],
    codes: Sequence[Hashable],
    levels: Sequence[float],
    nonnegative: bool | None = None,
    covariates: Sequence[FloatArray] | None = None,
) -> Combined:
    """Average a network's rows with the experts' by the shares of their series.

    Rows of the network that fail a check, and series that it has no share of, are the experts' alone; series without
    an observed value the network's, where it has a share of the panel.

    Args:
        mixture: the experts and the shares.
        network: None where it has no share of any row.
        horizon: H.
        histories: (T,) of each row, NaN for missing.
        codes: of the series of each row, as the shares know them.
        levels: Q, rising.
        nonnegative: of the experts, see `ExpertMixture`.
        covariates: known ahead, for the pretrained reads; see `FittedMixture.forecast`.
    """
    share = mixture.shares.of(codes, horizon)
    replaced: dict[int, int] = {}
    if network is None:
        share = np.zeros_like(share)
    else:
        histories = [np.asarray(history, dtype=np.float64) for history in histories]
        reasons = check(network.mean, network.quantiles, histories, levels)
        replaced = {int(row): int(reasons[row]) for row in np.flatnonzero(reasons) if share[row].max() > 0}
        share = np.where(reasons[:, None] > 0, 0.0, share)
    empty = np.array([not np.isfinite(history).any() for history in histories])
    needed = np.flatnonzero((share < 1).any(axis=1) & ~empty)
    names = (NETWORK, *mixture.names)
    weights = np.zeros((len(histories), len(names)))
    weights[:, 0] = 1.0
    if network is None:
        weights[empty] = np.nan
    blank = Rows(np.full((len(histories), horizon), np.nan), np.full((len(histories), horizon, len(levels)), np.nan))
    mean, quantiles = blank if network is None else (network.mean.copy(), network.quantiles.copy())
    if len(needed):
        mine = [np.asarray(histories[i], dtype=np.float64) for i in needed.tolist()]
        names_of = [codes[i] for i in needed.tolist()]
        known = None if covariates is None else [covariates[i] for i in needed.tolist()]
        found = mixture.forecast(mine, horizon, levels, nonnegative, codes=names_of, covariates=known)
        part = share[needed]
        if network is not None:
            part = mixture.shares.within_reach(part, network.quantiles[needed], found.quantiles, levels)
        mean[needed] = _average(part, mean[needed], found.mean)
        quantiles[needed] = _average(part[..., None], quantiles[needed], found.quantiles)
        own = part.mean(axis=1, keepdims=True)
        weights[needed] = np.concatenate([own, (1 - own) * found.weights], axis=1)
    middle = median(quantiles, levels)[..., None]
    # The factors were found for what network and experts make together.
    widths = np.where(share > 0, mixture.shares.widths(horizon), 1.0)[..., None]
    quantiles = middle + widths * (quantiles - middle)
    if len(needed):
        quantiles[needed] = whole(quantiles[needed], mine)
    return Combined(Rows(mean, quantiles), replaced, weights, names)


def _average(share: FloatArray, network: FloatArray, experts: FloatArray) -> FloatArray:
    """share · network + (1 − share) · experts, where a share of 0 keeps what is not finite out."""
    return np.where(share > 0, share * np.where(share > 0, network, 0.0), 0.0) + (1 - share) * experts


# Experts of one kind: a word in their names, and the kind.
KINDS = {
    "theta": "Theta",
    "fold": "fold by period",
    "phases": "regression on phases",
    **dict.fromkeys(("smoothing", "trend", "Holt-Winters"), "exponential smoothing"),
    **dict.fromkeys(("last value", "drift", "mean of", "median of", "seasonal naive"), "naive forecasts"),
}


def kind_of(name: str) -> str:
    """The kind of an expert, by its name; the name itself where it is the only one of its kind.

    Example:
        >>> kind_of("log damped trend 12"), kind_of("linear part")
        ('exponential smoothing', 'linear part')
    """
    return next((kind for word, kind in KINDS.items() if word in name), name)


def by_kind(weights: FloatArray, names: Sequence[str]) -> tuple[FloatArray, list[str]]:
    """Weights (R, K) of the kinds of experts, and their names, from weights (R, E)."""
    kinds = list(dict.fromkeys(kind_of(name) for name in names))
    member = np.array([[kind_of(name) == kind for kind in kinds] for name in names], dtype=np.float64)
    return np.asarray(weights @ member), kinds


def described(weights: FloatArray, names: Sequence[str], least: float = 0.1) -> list[str]:
    """What each row was forecast by, as text: the heaviest kinds of experts, and the number of the others.

    Args:
        weights: (R, E), NaN where there is no forecast.
        names: of the columns.
        least: weight from which a kind after the first is named.

    Example:
        >>> weights = np.array([[0.7, 0.15, 0.05, 0.06, 0.04], [np.nan] * 5])
        >>> described(weights, ["linear part", "theta 12", "log theta 12", "fold 12", "drift"])
        ['70 % linear part, 20 % Theta, 10 % of 2 others', 'no observed value']
    """
    texts = []
    weights, names = by_kind(weights, names)
    for row in weights:
        if not np.isfinite(row).all():
            texts.append("no observed value")
            continue
        order = np.argsort(-row, kind="stable")
        named = [int(i) for place, i in enumerate(order) if place == 0 or row[i] >= least - 1e-9]
        text = ", ".join(f"{100 * row[i]:.0f} % {names[i]}" for i in named)
        rest = int((row > 0.005).sum()) - len(named)
        left = 100 * (1 - row[named].sum())
        texts.append(text + (f", {left:.0f} % of {counted(rest, 'other')}" if rest > 0 and left >= 0.5 else ""))
    return texts


def to_rows(forecast: Forecast) -> Rows:
    """Mean (I, H[, M]) and quantiles (I, H[, M], Q) as rows (item × channel)."""
    channels = forecast.mean.ndim == 3
    mean, quantiles = (x.movedim(2, 1).flatten(0, 1) if channels else x for x in forecast)
    return Rows(np.asarray(mean.numpy()), np.asarray(quantiles.numpy()))


def from_rows(rows: Rows, channels: int | None) -> Forecast:
    """The inverse of `to_rows`; `channels` M is None for plain series."""

    def folded(values: FloatArray) -> Tensor:
        found = torch.from_numpy(values)
        return found if channels is None else found.unflatten(0, (-1, channels)).movedim(1, 2)

    return Forecast(folded(rows.mean), folded(rows.quantiles))
