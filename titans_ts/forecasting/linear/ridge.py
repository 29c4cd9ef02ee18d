"""Ridge regression in closed form, from sums over windows that are gathered once.

Shapes: G rows, F features, P horizon steps, K regressors of one model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
FEW_WINDOWS, PRIOR_WINDOWS = 30, 5.0
# Columns of a block of xᵀ x (512 rows of 640 features: 4.2 ms in these blocks, 6.6 at once).
COLUMNS = 128


class RegressionRows(NamedTuple):
    """One batch of windows as rows of a regression.

    Attributes:
        x: features (G, F).
        y: targets (G, P).
        weight: (G,).
        codes: of the series (G,), −1 for a series without a name.
    """

    x: Tensor
    y: Tensor
    weight: Tensor
    codes: Tensor


class Moments(NamedTuple):
    """Sums over windows, float64: x (F, F), x·y (F, P), Σx (F,), Σy (P,), Σy² (), Σ weight ()."""

    xx: Tensor
    xy: Tensor
    x: Tensor
    y: Tensor
    yy: Tensor
    weight: Tensor

    @classmethod
    def sum(cls, parts: Sequence[Moments]) -> Moments:
        """Moments of all parts together."""
        return cls(*(torch.stack(values).sum(0) for values in zip(*parts, strict=True)))

    @classmethod
    def of(cls, rows: Iterable[RegressionRows]) -> Moments:
        """Accumulate batches of rows; see `Tally.of`."""
        return Tally.of(rows, 0).total

    @classmethod
    def of_batch(cls, x: Tensor, y: Tensor, weight: Tensor) -> Moments:
        """Of rows x (G, F), y (G, P) with weights (G,)."""
        w = weight.double().sqrt()[:, None]
        x, y = x.double() * w, y.double() * w
        return cls(_gram(x), x.T @ y, (x * w).sum(0), (y * w).sum(0), y.square().sum(), w.square().sum())

    def add_(self, other: Moments) -> None:
        """Add the sums of more rows in place."""
        for mine, theirs in zip(self, other, strict=True):
            mine.add_(theirs)


def _gram(x: Tensor) -> Tensor:
    """xᵀ x (F, F) of x (G, F), each number on one side of the diagonal worked out once."""
    found = x.new_empty(x.shape[1], x.shape[1])
    for start in range(0, x.shape[1], COLUMNS):
        block = slice(start, start + COLUMNS)
        found[block, : start + COLUMNS] = x[:, block].T @ x[:, : start + COLUMNS]
        found[:start, block] = found[block, :start].T
    return found


class Tally(NamedTuple):
    """Sums over all rows, and over those of each named series; the latter are None where they would not fit."""

    total: Moments
    series: dict[int, Moments] | None

    @classmethod
    def of(cls, rows: Iterable[RegressionRows], budget: int) -> Tally:
        """Accumulate batches.

        Args:
            rows: batches.
            budget: numbers that the sums of single series may take; 0 gathers none.

        Raises:
            ValueError: there is no window.
        """
        total: Moments | None = None
        series: dict[int, Moments] | None = {} if budget else None
        for x, y, weight, codes in rows:
            if series is None:
                part = Moments.of_batch(x, y, weight)
            else:
                found = {
                    code: Moments.of_batch(*(t[codes == code] for t in (x, y, weight))) for code in distinct(codes)
                }
                part = Moments.sum(list(found.values()))
                series = _added(series, found, budget)
            if total is None:
                total = part
            else:
                total.add_(part)
        if total is None:
            raise ValueError("the linear part needs at least one training window, got none: pass longer series")
        return cls(total, series)

    @classmethod
    def sum(cls, parts: Sequence[Tally]) -> Tally:
        """The tally of all parts together."""
        total = Moments.sum([part.total for part in parts])
        if any(part.series is None for part in parts):
            return cls(total, None)
        listed = [part.series or {} for part in parts]
        codes = dict.fromkeys(code for items in listed for code in items)
        return cls(total, {code: Moments.sum([items[code] for items in listed if code in items]) for code in codes})


def distinct(codes: Tensor) -> list[int]:
    """The different codes of a batch."""
    return [int(code) for code in codes.unique()]


def _added(series: dict[int, Moments], found: dict[int, Moments], budget: int) -> dict[int, Moments] | None:
    """The sums with those of more windows; None beyond the budget."""
    for code, moments in found.items():
        if code in series:
            series[code].add_(moments)
        elif code >= 0:
            series[code] = moments
    size = sum(value.numel() for value in next(iter(series.values()))) if series else 0
    return series if size * len(series) <= budget else None


class Basis(NamedTuple):
    """Regressors of one nested model, and the plain forecast that it corrects.

    Attributes:
        context: steps of the window.
        lookback: the regressors are the last steps, so many, less their mean,
        stop: the features after the window up to this number,
        level: and that mean where true.
        damping: None corrects the mean of these steps; a number φ the least-squares line through them, which goes on
            with its slope times φ, φ², … a step.
    """

    context: int
    lookback: int
    stop: int
    level: bool
    damping: float | None = None

    def plain(self, features: int, horizon: int) -> Tensor:
        """Weights (F, P) of the plain forecast, float64."""
        found = torch.zeros(features, horizon, dtype=torch.float64)
        found[self.start : self.context] = 1.0 / self.lookback
        if self.damping is not None and self.lookback > 1:
            place = torch.arange(self.lookback, dtype=torch.float64) - (self.lookback - 1) / 2
            ahead = torch.full((horizon,), self.damping, dtype=torch.float64).cumprod(0).cumsum(0)
            slope = place / place.square().sum()
            found[self.start : self.context] += torch.outer(slope, (self.lookback - 1) / 2 + ahead)
        return found

    @property
    def start(self) -> int:
        """First feature that is used."""
        return self.context - self.lookback

    def project(self, matrix: Tensor) -> Tensor:
        """(F, …) → (K, …): Aᵀ · matrix, where x A are the regressors; A is an identity matrix less a rank-one part."""
        mean = matrix[self.start : self.context].mean(0, keepdim=True)
        window = matrix[self.start : self.context] - mean
        parts = [window, matrix[self.context : self.stop]]
        return torch.cat([mean, *parts] if self.level else parts)

    def expand(self, weight: Tensor, features: int) -> Tensor:
        """(K, P) → (F, P): A · weight."""
        level, rest = (weight[:1], weight[1:]) if self.level else (torch.zeros_like(weight[:1]), weight)
        window = rest[: self.lookback]
        full = weight.new_zeros(features, weight.shape[1])
        full[self.start : self.context] = window - window.mean(0) + level / self.lookback
        full[self.context : self.stop] = rest[self.lookback :]
        return full


def prior_windows(m: Moments) -> float:
    """Windows on which the plain forecast is right, added to a handful of windows; their constant would be noise."""
    return PRIOR_WINDOWS if float(m.weight) < FEW_WINDOWS else 0.0


class Centred(NamedTuple):
    """Centred normal equations of one model: gram (K, K), cross (K, P); shift (F, P) gives the plain forecast."""

    gram: Tensor
    cross: Tensor
    shift: Tensor

    @property
    def unit(self) -> Tensor:
        """Mean variance of the regressors: what penalties are relative to."""
        return self.gram.diagonal().mean().clamp_min(1e-12)

    @classmethod
    def of(cls, m: Moments, basis: Basis) -> Centred:
        """From the moments of all features; the model forecasts what its plain forecast leaves of y."""
        count = m.weight.clamp_min(1)
        xx = m.xx - torch.outer(m.x, m.x) / count
        xy = m.xy - torch.outer(m.x, m.y) / count
        shift = basis.plain(len(m.x), len(m.y)).to(xx)
        half = basis.project(xx)
        return cls(basis.project(half.T), basis.project(xy) - half @ shift, shift)

    def finish(self, m: Moments, basis: Basis, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Regressor weights (K, P) → weight (F, P) on the features, bias (P,)."""
        full = basis.expand(weight, len(m.x)) + self.shift
        return full, (m.y - m.x @ full) / (m.weight + prior_windows(m)).clamp_min(1)


def ridge(m: Moments, basis: Basis, penalty: float) -> tuple[Tensor, Tensor]:
    """The model (weight (F, P), bias (P,)) with that penalty."""
    equations = Centred.of(m, basis)
    gram = equations.gram + penalty * equations.unit * torch.eye(len(equations.gram), dtype=equations.gram.dtype)
    return equations.finish(m, basis, torch.linalg.solve(gram, equations.cross))


def choose_penalty(m: Moments, check: Moments, basis: Basis) -> float:
    """The penalty of least squared error on ``check``, from one eigendecomposition."""
    equations = Centred.of(m, basis)
    values, vectors = torch.linalg.eigh(equations.gram)
    rotated = vectors.T @ equations.cross

    def error(penalty: float) -> float:
        weight = vectors @ (rotated / (values.clamp_min(0) + penalty * equations.unit)[:, None])
        return squared_error(check, *equations.finish(m, basis, weight))

    return min(PENALTIES, key=error)


def squared_error(m: Moments, weight: Tensor, bias: Tensor) -> float:
    """Σ‖y − x W − b‖² over the windows that the moments sum up."""
    fit = (weight * (m.xx @ weight)).sum() + m.weight * bias.square().sum() + 2 * (m.x @ weight * bias).sum()
    return float(m.yy + fit - 2 * (weight * m.xy).sum() - 2 * (m.y * bias).sum())
