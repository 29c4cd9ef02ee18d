"""Heads: each owns its projection, its loss and its forecast; `HEADS` has them by name.

A new head is a class here, listed in `HEADS`: configurations, options, recipes and the gluonts estimator find it there.

A head turns raw outputs per horizon step into a forecast around a center (the linear part's forecast), in units of
the window's spread; untrained it forecasts the center. Values are in item units (mean 0, spread 1 over the series).

Shapes: G rows (batch × channels), P horizon steps, O outputs a step, Q quantile levels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titans_ts.core.initialization import softplus_inverse

SMALLEST_GAP = 1e-4


class Units(NamedTuple):
    """From item units to the caller's: ``value = item_value · scale + loc``; both (G, 1)."""

    loc: Tensor
    scale: Tensor


class Head(nn.Module):
    """What the network needs of a head; ``center`` (G, P) and ``spread`` (G, 1) are in item units.

    Attributes:
        outputs: O, raw outputs a step.
        distr_output: class of `gluonts.torch.distributions` that selects the head in `TitansEstimator`; None for none.
        counts: whether it needs the true level of the values, not one relative to an origin.
        is_distribution: whether it forecasts a `distribution`, with the parameters of that class.

    Args:
        prediction_length: P.
        quantiles: levels to be trained; distribution heads give any level without.
    """

    outputs: ClassVar[int]
    distr_output: ClassVar[str | None] = None
    is_distribution: ClassVar[bool] = False
    counts: ClassVar[bool] = False

    def __init__(self, prediction_length: int, quantiles: tuple[float, ...]) -> None:
        super().__init__()

    def check_levels(self, levels: list[float]) -> None:
        """Refuse levels that `quantiles` cannot give.

        Raises:
            ValueError: the first such level, and those it can give.
        """
        _inside(levels)

    def neighbours(self, level: float) -> list[float]:
        """The level where `quantiles` can give it, else the two between which it is interpolated.

        Raises:
            ValueError: it lies beyond the outermost level.
        """
        return [level]

    def fit_residuals(self, residuals: Tensor) -> None:
        """Start from residuals (W, P) of the center on training windows, in units of the spread."""
        raise NotImplementedError

    def loss(self, raw: Tensor, center: Tensor, spread: Tensor, target: Tensor, units: Units) -> Tensor:
        """Loss (G, P) of every step; raw (G, P, O), target (G, P)."""
        raise NotImplementedError

    def mean(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> Tensor:
        """Mean forecast (G, P)."""
        raise NotImplementedError

    def quantiles(self, raw: Tensor, center: Tensor, spread: Tensor, levels: list[float], units: Units) -> Tensor:
        """Quantiles (G, P, len(levels)), never crossing.

        Raises:
            ValueError: the head cannot give one of the levels.
        """
        raise NotImplementedError

    def distribution(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Parameters of the forecast distribution by torch's names, in the caller's units, each (G, P).

        Raises:
            ValueError: the head forecasts no distribution.
        """
        raise ValueError(f"{type(self).__name__} forecasts quantiles, no distribution: use a distribution head")


class PointHead(Head):
    """One number a step, Huber loss; its "quantiles" are the center's residual quantiles around it."""

    outputs = 1
    residual_quantiles: Tensor
    levels: Tensor

    def __init__(self, prediction_length: int, quantiles: tuple[float, ...], delta: float = 1.0) -> None:
        super().__init__(prediction_length, quantiles)
        self.delta = delta
        self.names = _check_levels(quantiles)
        self.register_buffer("levels", torch.tensor(self.names))
        self.register_buffer("residual_quantiles", torch.zeros(prediction_length, len(self.names)))

    def check_levels(self, levels: list[float]) -> None:
        """Refuse levels that were not trained."""
        _positions(levels, self.names)

    def neighbours(self, level: float) -> list[float]:
        """The level, or the two trained ones around it."""
        return _neighbours(level, self.names)

    def fit_residuals(self, residuals: Tensor) -> None:
        """Keep the empirical residual quantiles of each step."""
        self.residual_quantiles.copy_(_empirical(residuals, self.levels))

    def loss(self, raw: Tensor, center: Tensor, spread: Tensor, target: Tensor, units: Units) -> Tensor:
        """Huber loss (G, P) in item units."""
        return F.huber_loss(self.mean(raw, center, spread, units), target, reduction="none", delta=self.delta)

    def mean(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> Tensor:
        """Center plus correction (G, P)."""
        return center + spread * raw[..., 0]

    def quantiles(self, raw: Tensor, center: Tensor, spread: Tensor, levels: list[float], units: Units) -> Tensor:
        """Point plus residual quantiles (G, P, Q)."""
        width = spread[..., None] * self.residual_quantiles[: raw.shape[1]]
        return self.mean(raw, center, spread, units)[..., None] + width[..., _positions(levels, self.names)]


class QuantileHead(Head):
    """Median and positive gaps on both sides: quantiles cannot cross. Pinball loss over all levels.

    The gaps of every step start at the empirical residual quantiles of the center and are learned, one shape for all
    windows; the network shifts the median and stretches the lower and the upper half. Three outputs a step, not one a
    level: no worse on a year of hourly weather, and smaller (docs/lab_notes.md).
    """

    outputs = 3
    distr_output = "QuantileOutput"

    def __init__(self, prediction_length: int, quantiles: tuple[float, ...]) -> None:
        super().__init__(prediction_length, quantiles)
        self.names = _check_levels(quantiles)
        self.middle = self.names.index(0.5)
        self.levels: Tensor
        self.register_buffer("levels", torch.tensor(self.names))
        start = torch.tensor(
            [math.sqrt(2) * torch.erfinv(torch.tensor(2 * q - 1, device="cpu")).item() for q in self.names]
        )
        self.residual_quantiles = nn.Parameter(self._pack(start.expand(prediction_length, -1)))

    def _pack(self, quantiles: Tensor) -> Tensor:
        """Quantiles (P, Q) → (P, Q) of [median, inverse softplus of the Q − 1 gaps]."""
        gaps = (quantiles[:, 1:] - quantiles[:, :-1]).clamp_min(10 * SMALLEST_GAP) - SMALLEST_GAP
        return torch.cat([quantiles[:, self.middle : self.middle + 1], softplus_inverse(gaps)], dim=-1)

    def check_levels(self, levels: list[float]) -> None:
        """Refuse levels that were not trained."""
        _positions(levels, self.names)

    def neighbours(self, level: float) -> list[float]:
        """The level, or the two trained ones around it."""
        return _neighbours(level, self.names)

    def fit_residuals(self, residuals: Tensor) -> None:
        """Start the gaps at the empirical residual quantiles; the median stays on the center."""
        quantiles = _empirical(residuals, self.levels)
        with torch.no_grad():
            self.residual_quantiles.copy_(self._pack(quantiles))
            self.residual_quantiles[:, 0] = 0.0

    def _all(self, raw: Tensor, center: Tensor, spread: Tensor) -> Tensor:
        packed = self.residual_quantiles[: raw.shape[1]]
        gaps = F.softplus(packed[..., 1:]) + SMALLEST_GAP
        middle = packed[..., :1] + raw[..., :1]
        # exp would run away on the first steps: beyond a factor of e it grows linearly.
        left, right = (F.elu(raw[..., i : i + 1]) + 1 for i in (1, 2))
        below = middle - left * gaps[..., : self.middle].flip(-1).cumsum(-1).flip(-1)
        above = middle + right * gaps[..., self.middle :].cumsum(-1)
        return center[..., None] + spread[..., None] * torch.cat([below, middle, above], dim=-1)

    def loss(self, raw: Tensor, center: Tensor, spread: Tensor, target: Tensor, units: Units) -> Tensor:
        """Twice the mean pinball loss over levels (G, P): the absolute error at the median."""
        error = target[..., None] - self._all(raw, center, spread)
        return 2 * torch.maximum(self.levels * error, (self.levels - 1) * error).mean(-1)

    def mean(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> Tensor:
        """Mean of the piecewise-linear quantile function, flat beyond the outermost levels (G, P)."""
        weights = torch.cat([self.levels[:1], self.levels.diff() / 2]) + torch.cat(
            [self.levels.diff() / 2, 1 - self.levels[-1:]]
        )
        return (self._all(raw, center, spread) * weights).sum(-1)

    def quantiles(self, raw: Tensor, center: Tensor, spread: Tensor, levels: list[float], units: Units) -> Tensor:
        """The trained quantiles at ``levels`` (G, P, Q)."""
        return self._all(raw, center, spread)[..., _positions(levels, self.names)]


class StudentTHead(Head):
    """Location, scale and degrees of freedom of a Student t; negative log-likelihood."""

    outputs = 3
    distr_output = "StudentTOutput"
    is_distribution = True
    start = 2.0

    def __init__(self, prediction_length: int, quantiles: tuple[float, ...]) -> None:
        super().__init__(prediction_length, quantiles)
        self.residual_scale = nn.Parameter(torch.zeros(prediction_length))

    def fit_residuals(self, residuals: Tensor) -> None:
        """Start with the residual deviation of each step, which is scale·√(df / (df − 2))."""
        df = 2.0 + F.softplus(torch.tensor(self.start))
        with torch.no_grad():
            self.residual_scale.copy_(softplus_inverse(_deviation(residuals) * torch.sqrt((df - 2) / df)))

    def _distribution(self, raw: Tensor, center: Tensor, spread: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scale = F.softplus(self.residual_scale[: raw.shape[1]] + raw[..., 1]) + SMALLEST_GAP
        return 2.0 + F.softplus(raw[..., 2] + self.start), center + spread * raw[..., 0], spread * scale

    def loss(self, raw: Tensor, center: Tensor, spread: Tensor, target: Tensor, units: Units) -> Tensor:
        """Negative log-likelihood (G, P) in item units."""
        df, loc, scale = self._distribution(raw, center, spread)
        return -torch.distributions.StudentT(df, loc, scale, validate_args=False).log_prob(target)

    def mean(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> Tensor:
        """Location (G, P)."""
        return self._distribution(raw, center, spread)[1]

    def quantiles(self, raw: Tensor, center: Tensor, spread: Tensor, levels: list[float], units: Units) -> Tensor:
        """Any levels in (0, 1), one vectorised call (G, P, Q)."""
        from scipy.stats import t

        df, loc, scale = (p.detach().double().cpu().numpy()[..., None] for p in self._distribution(raw, center, spread))
        values = t.ppf(np.asarray(_inside(levels)), df, loc, scale)
        return torch.as_tensor(values, dtype=raw.dtype, device=raw.device)

    def distribution(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Degrees of freedom, location and scale."""
        df, loc, scale = self._distribution(raw, center, spread)
        return {"df": df, "loc": loc * units.scale + units.loc, "scale": scale * units.scale}


class NormalHead(Head):
    """Mean and standard deviation of a normal distribution; negative log-likelihood."""

    outputs = 2
    distr_output = "NormalOutput"
    is_distribution = True

    def __init__(self, prediction_length: int, quantiles: tuple[float, ...]) -> None:
        super().__init__(prediction_length, quantiles)
        self.residual_scale = nn.Parameter(torch.zeros(prediction_length))

    def fit_residuals(self, residuals: Tensor) -> None:
        """Start the standard deviation at the residual spread of each step."""
        with torch.no_grad():
            self.residual_scale.copy_(softplus_inverse(_deviation(residuals)))

    def _distribution(self, raw: Tensor, center: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        deviation = F.softplus(self.residual_scale[: raw.shape[1]] + raw[..., 1]) + SMALLEST_GAP
        return center + spread * raw[..., 0], spread * deviation

    def loss(self, raw: Tensor, center: Tensor, spread: Tensor, target: Tensor, units: Units) -> Tensor:
        """Negative log-likelihood (G, P) in item units."""
        mean, deviation = self._distribution(raw, center, spread)
        return -torch.distributions.Normal(mean, deviation, validate_args=False).log_prob(target)

    def mean(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> Tensor:
        """Mean (G, P)."""
        return self._distribution(raw, center, spread)[0]

    def quantiles(self, raw: Tensor, center: Tensor, spread: Tensor, levels: list[float], units: Units) -> Tensor:
        """Any levels in (0, 1) (G, P, Q)."""
        mean, deviation = self._distribution(raw, center, spread)
        normal = torch.special.ndtri(torch.tensor(_inside(levels), dtype=torch.float64)).to(raw)
        return mean[..., None] + deviation[..., None] * normal

    def distribution(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Mean and standard deviation."""
        mean, deviation = self._distribution(raw, center, spread)
        return {"loc": mean * units.scale + units.loc, "scale": deviation * units.scale}


class NegativeBinomialHead(Head):
    """Mean and spread of a negative binomial on the caller's counts; negative log-likelihood.

    The variance is the mean (what a Poisson count has) plus the square of a width in units of the spread, which starts
    at the center's residuals as in the other heads.
    """

    outputs = 2
    distr_output = "NegativeBinomialOutput"
    is_distribution = True
    counts = True

    def __init__(self, prediction_length: int, quantiles: tuple[float, ...]) -> None:
        super().__init__(prediction_length, quantiles)
        self.residual_scale = nn.Parameter(torch.zeros(prediction_length))

    def fit_residuals(self, residuals: Tensor) -> None:
        """Start the width at the residual spread of each step."""
        with torch.no_grad():
            self.residual_scale.copy_(softplus_inverse(_deviation(residuals)))

    def _distribution(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """Mean (G, P) in the caller's units and dispersion a, variance = mean + a·mean²."""
        centre = (center + spread * raw[..., 0]) + units.loc / units.scale
        mean = units.scale * F.softplus(centre, beta=4.0) + 1e-6
        width = spread * units.scale * F.softplus(self.residual_scale[: raw.shape[1]] + raw[..., 1])
        return mean, (width / mean).square().clamp(1e-6, 1e4)

    def loss(self, raw: Tensor, center: Tensor, spread: Tensor, target: Tensor, units: Units) -> Tensor:
        """Negative log-likelihood (G, P) of the counts."""
        mean, dispersion = self._distribution(raw, center, spread, units)
        counts = (target * units.scale + units.loc).round().clamp_min(0)
        return -_negative_binomial(mean, dispersion).log_prob(counts)

    def mean(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> Tensor:
        """Mean (G, P), in item units."""
        return (self._distribution(raw, center, spread, units)[0] - units.loc) / units.scale

    def quantiles(self, raw: Tensor, center: Tensor, spread: Tensor, levels: list[float], units: Units) -> Tensor:
        """Any levels in (0, 1), one vectorised call (G, P, Q), in item units."""
        from scipy.stats import nbinom

        mean, dispersion = self._distribution(raw, center, spread, units)
        count = (1 / dispersion).detach().double().cpu().numpy()[..., None]
        success = count / (count + mean.detach().double().cpu().numpy()[..., None])
        values = torch.as_tensor(nbinom.ppf(np.asarray(_inside(levels)), count, success), device=raw.device)
        return ((values - units.loc[..., None]) / units.scale[..., None]).to(raw.dtype)

    def distribution(self, raw: Tensor, center: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Count of successes 1/a and log odds."""
        mean, dispersion = self._distribution(raw, center, spread, units)
        return {"total_count": 1 / dispersion, "logits": torch.log(mean * dispersion)}


HEADS: dict[str, type[Head]] = {
    "quantile": QuantileHead,
    "student_t": StudentTHead,
    "normal": NormalHead,
    "negative_binomial": NegativeBinomialHead,
    "point": PointHead,
}
if TYPE_CHECKING:
    HeadName = str
else:
    # Known at run time: the command line offers and checks the names.
    HeadName = Literal[tuple(HEADS)]


def make_head(name: HeadName, prediction_length: int, quantiles: tuple[float, ...]) -> Head:
    """The head of that name.

    Raises:
        ValueError: unknown name, or quantile levels out of (0, 1).
    """
    if name not in HEADS:
        raise ValueError(f"head must be one of {tuple(HEADS)}, got {name!r}")
    return HEADS[name](prediction_length, quantiles)


def _deviation(residuals: Tensor) -> Tensor:
    """Root mean square (P,) of residuals (W, P); 1 where a step has none."""
    return residuals.square().nanmean(0).sqrt().nan_to_num(1.0).clamp_min(1e-3)


def _negative_binomial(mean: Tensor, dispersion: Tensor) -> torch.distributions.NegativeBinomial:
    logits = torch.log(mean * dispersion)
    return torch.distributions.NegativeBinomial(1 / dispersion, logits=logits, validate_args=False)


def _inside(levels: list[float]) -> list[float]:
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"quantile levels must lie in (0, 1), got {levels}")
    return levels


def _check_levels(levels: tuple[float, ...]) -> list[float]:
    """Sorted, without doubles, the median among them."""
    return sorted({*_inside([float(level) for level in levels]), 0.5})


def _positions(levels: list[float], names: list[float]) -> list[int]:
    unknown = [level for level in levels if level not in names]
    if unknown:
        raise ValueError(
            f"quantile level {unknown[0]} was not trained: choose among {names}, fit with quantiles=… that contain it, "
            "or use a distribution head (any level)"
        )
    return [names.index(level) for level in levels]


def _neighbours(level: float, names: list[float]) -> list[float]:
    """A trained level itself, otherwise the trained ones below and above it."""
    # 0.5 − 0.9 / 2 is meant to be 0.05.
    if same := [name for name in names if math.isclose(name, level, abs_tol=1e-9)]:
        return same
    if not names[0] < level < names[-1]:
        raise ValueError(
            f"quantile level {level:g} lies beyond the trained ones, {names[0]:g} to {names[-1]:g}: fit with "
            "quantiles=… that reach as far, or use a distribution head (any level)"
        )
    return [max(name for name in names if name < level), min(name for name in names if name > level)]


def _empirical(residuals: Tensor, levels: Tensor) -> Tensor:
    """Quantiles (P, Q) of residuals (W, P), NaN left out; standard normal where a step has none."""
    found = torch.nanquantile(residuals, levels.to(residuals.dtype), dim=0).T
    normal = math.sqrt(2) * torch.erfinv(2 * levels - 1)
    return torch.where(found.isnan(), normal.to(found), found).to(levels)
