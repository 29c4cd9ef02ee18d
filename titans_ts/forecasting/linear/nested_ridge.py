"""NestedRidge: the closed-form regression of the linear part, a mean of ridge models of nested lookbacks.

The models read the last L, ≈ L/2, ≈ L/4 … steps (whole seasons, at least two), each once with and once without the
window's level as a feature, and once more with coefficients that vary with the hour of the day (or the day of the week:
`cyclic` features). A short model is stable, a long one sees more; a model with the level pulls a mean-reverting series
back, one without follows a wandering series. The mean of linear models is a linear model, so this costs nothing at
forecast time. On ETTh1, horizon 96, it gives MSE/MAE .364/.385 at 672 steps where a single ridge model at 512 steps
gives .363/.391 with its penalty chosen on test, .368/.392 with the one chosen on validation.

One model serves all series. Series that the caller named and that are long enough may get models of their own beside it
(`SeriesRidge`), where held-out windows show that these are better; a series that was not trained on uses the shared
model.

Shapes: G rows (batch × channels), I series with a model of their own, L past steps, P horizon steps, E covariate
features, Z cyclic features, F = L + E + Z.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from titans_ts.forecasting.linear.ridge import (
    Basis,
    Moments,
    RegressionRows,
    Tally,
    choose_penalty,
    distinct,
    ridge,
    squared_error,
)

# Numbers (float64) that the sums of single series may take, 8 bytes each, three times while folds are cross-fitted.
SERIES_BUDGET = 25_000_000
# Training windows that a series needs for each feature of a model of its own, and those that are used for it. On
# Weather, 21 series, 512 steps, horizon 96, the MSE on test is .169 with models for none, .142 with eight.
WINDOWS_PER_FEATURE = 2
WANTED_PER_FEATURE = 8
# The fit costs windows · features · (features + horizon) operations; this many take about 3 s on one core.
FIT_OPERATIONS = 2e10
FEWEST_WINDOWS = 20_000
# Training windows for each feature beyond which a shared model gains nothing that one could measure.
ENOUGH_PER_FEATURE = 60
# Windows that models of single series may cost in all; a panel that wants more has one model for all.
MOST_FOR_SERIES = 150_000
# Sets of models that held-out windows choose among: with a level or without, and the damping of the plain forecast.
KINDS: dict[str, tuple[tuple[bool, float | None], ...]] = {
    "both": ((True, None), (False, None)),
    "line": ((False, 1.0),),
    "damped": ((False, 0.9),),
}
# Squared error of another set relative to that of the first one from which it is taken. Straight lines with a little
# noise give 0.01 to 0.8, seventeen public data sets 0.985 to 1.15.
CLEARLY_BETTER = 0.9
# The units of a series move as it goes on; sets are compared with constants that have moved by so much. What continues
# a line by a constant rise in units of the series would look as good as what reads the rise in the window.
UNITS_MOVE = 1.1
# Where that changes no more than this, large models are not compared with those of lines, which cost seconds.
CONSTANT_MATTERS, MANY_FEATURES = 1.01, 200
# Where nothing was held out: the training windows themselves would choose the least penalty.
UNCHECKED_PENALTY = 1.0
# Held-out windows, by their weights, from which they choose penalties; fewer choose the set of models only.
FEWEST_CHECKS = 4


def nested_lookbacks(context_length: int, season: int) -> list[int]:
    """L, then halves of it rounded to whole seasons, down to two seasons (at least four steps)."""
    found, length = [context_length], context_length / 2
    while (steps := max(1, round(length / season)) * season) >= max(2 * season, 4):
        if steps < found[-1]:
            found.append(steps)
        length /= 2
    return found


class SeriesRidge(nn.Module):
    """Linear models of single series: weight (I, F, P), bias (I, P), found by the codes (I,) of the series, ascending.

    Buffers; their number I follows the data, also when a state is loaded.
    """

    codes: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, prediction_length: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("weight", torch.zeros(0, features, prediction_length))
        self.register_buffer("bias", torch.zeros(0, prediction_length))

    def set(self, models: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """Replace all models; (weight (F, P), bias (P,)) by code."""
        codes = sorted(models)
        like = self.weight
        self.codes = torch.tensor(codes, dtype=torch.int64, device=like.device)
        self.weight = torch.stack([models[c][0].to(like) for c in codes]) if codes else like[:0]
        self.bias = torch.stack([models[c][1].to(like) for c in codes]) if codes else self.bias[:0]

    def forward(self, x: Tensor, codes: Tensor, shared: Tensor) -> Tensor:
        """x (G, F), codes (G,), shared (G, P) → forecasts (G, P), of the series' own model where there is one."""
        if len(self.codes) == 0:
            return shared
        place = torch.searchsorted(self.codes, codes).clamp_max(len(self.codes) - 1)
        place = torch.where(self.codes[place] == codes, place, -1)
        out = shared.clone()
        for own in distinct(place):
            if own >= 0:
                rows = place == own
                out[rows] = torch.addmm(self.bias[own], x[rows], self.weight[own])
        return out

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("codes", "weight", "bias"):
            if prefix + name in state_dict:
                own: Tensor = getattr(self, name)
                setattr(self, name, own.new_zeros(state_dict[prefix + name].shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class NestedRidge(nn.Module):
    """``y = x W + b`` on filled windows in item units and covariates; buffers, not trained by gradients.

    Args:
        context_length: L.
        covariates: E features after the window.
        prediction_length: P.
        season: steps of a season.
        cyclic: Z features after those, which half of the models read.
        nested: False fits one ridge model of the whole window, shifted by its mean, and nothing else.
        per_series: True gives series models of their own, False none, None lets held-out windows decide.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        context_length: int,
        covariates: int,
        prediction_length: int,
        season: int,
        cyclic: int = 0,
        *,
        nested: bool = True,
        per_series: bool | None = None,
    ) -> None:
        super().__init__()
        self.context_length, self.season, self.cyclic, self.nested = context_length, season, cyclic, nested
        self.per_series = per_series
        self.penalties: list[float] | None = None
        self.kinds = "both"
        self.series_penalties: dict[int, list[float]] = {}
        features = context_length + covariates + cyclic
        self.register_buffer("weight", torch.zeros(features, prediction_length))
        self.register_buffer("bias", torch.zeros(prediction_length))
        self.series = SeriesRidge(features, prediction_length)

    def take_choices(self, other: NestedRidge) -> None:
        """Take over what held-out windows chose for another model: kinds, penalties, models of single series."""
        self.kinds, self.penalties = other.kinds, other.penalties
        self.series_penalties, self.per_series = other.series_penalties, other.per_series

    def sufficient_windows(self, windows: int, series: int) -> int:
        """How many training windows the fit needs at most, of `windows` that there are of `series` series."""
        features, horizon = self.weight.shape
        affordable = int(FIT_OPERATIONS / (features * (features + horizon)))
        shared = max(FEWEST_WINDOWS, min(affordable, ENOUGH_PER_FEATURE * features))
        return max(shared, self.windows_for_series(windows, series))

    def windows_for_series(self, windows: int, series: int) -> int:
        """How many of these windows models of single series need; 0 where there will be none."""
        features, horizon = self.weight.shape
        fits = 1 < series <= SERIES_BUDGET // (features * (features + horizon))
        enough = windows >= WINDOWS_PER_FEATURE * features * series
        wanted = WANTED_PER_FEATURE * features * series
        return wanted if fits and enough and wanted <= MOST_FOR_SERIES and self._may_split else 0

    @property
    def _may_split(self) -> bool:
        return self.nested and self.per_series is not False

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """(G, F) → (G, P); `codes` (G,) name the series, None where they have no names."""
        shared = x @ self.weight + self.bias
        return shared if codes is None else self.series(x, codes, shared)

    def fit(
        self, folds: Sequence[Iterable[RegressionRows]], held_out: Iterable[RegressionRows] | None = None
    ) -> list[NestedRidge]:
        """Solve every nested model on the training windows.

        Args:
            folds: training windows in parts (of time), each of which yields batches of rows.
            held_out: windows on which the penalties are chosen, for the longest lookback, and whether series get models
                of their own. Where None, the choices of the fit before stand (a refit on more windows), or all series
                share one model, whose penalties the training windows choose where they are many; otherwise they are 1.

        Returns:
            For each fold the model fitted on the other folds (itself when there is only one): its residuals on the fold
            are as large as those of windows to come.

        Raises:
            ValueError: no training window at all.
        """
        budget = SERIES_BUDGET if self._may_split else 0
        parts = [Tally.of(rows, budget) for rows in folds]
        total = Tally.sum(parts)
        check = None if held_out is None else Tally.of(held_out, budget)
        if check is not None:
            self.penalties = self._choose_set(total.total, check.total)
        elif self.penalties is None:
            plenty = float(total.total.weight) >= WINDOWS_PER_FEATURE * len(self.weight)
            self.penalties = self._choose(total.total, total.total) if plenty else [UNCHECKED_PENALTY]
        self._fit_shared(total.total)
        self._choose_series(total, check)
        if len(parts) == 1:
            return [self]
        others = [copy.deepcopy(self) for _ in parts]
        for place, other in enumerate(others):
            rest = Tally.sum([part for i, part in enumerate(parts) if i != place])
            other._fit_shared(rest.total)
            other._fit_series(rest.series)
        return others

    def _choose(self, moments: Moments, check: Moments) -> list[float]:
        """The penalty of each kind of model."""
        return [choose_penalty(moments, check, basis) for basis in self._bases()[: self._kinds()]]

    def _choose_set(self, moments: Moments, check: Moments) -> list[float]:
        """The penalties of the set of models that is best on the check, which becomes this model's."""
        found: dict[str, tuple[float, list[float]]] = {}
        for name in KINDS if self.nested else ("both",):
            self.kinds = name
            few = float(check.weight) < FEWEST_CHECKS
            penalties = [UNCHECKED_PENALTY] if few else self._choose(moments, check)
            weight, bias = self._solve(moments, penalties)
            found[name] = squared_error(check, weight, UNITS_MOVE * bias), penalties
            keeps_level = found[name][0] < CONSTANT_MATTERS * squared_error(check, weight, bias)
            if name == "both" and keeps_level and len(self.weight) > MANY_FEATURES:
                break
        best = min(found, key=lambda name: found[name][0])
        self.kinds = best if found[best][0] < CLEARLY_BETTER * found["both"][0] else "both"
        return found[self.kinds][1]

    def _choose_series(self, total: Tally, check: Tally | None) -> None:
        """Choose (where there are held-out windows) and fit the models of single series."""
        if check is not None and total.series is not None and self.per_series is not False:
            least = WINDOWS_PER_FEATURE * len(self.weight)
            enough = {code: m for code, m in total.series.items() if float(m.weight) >= least and len(total.series) > 1}
            checks = check.series or {}
            self.series_penalties = {c: self._choose(m, checks.get(c, check.total)) for c, m in enough.items()}
            self._fit_series(total.series)
            if self.per_series is None:
                self.per_series = self._series_are_better(checks)
        if not self.per_series:
            self.series_penalties = {}
        self._fit_series(total.series)

    def _series_are_better(self, checks: Mapping[int, Moments]) -> bool:
        """Whether the series' own models have clearly smaller squared errors on their held-out windows.

        The mean over series of the logarithm of own over shared error must lie three standard errors below zero: a few
        series with large errors must not decide for all.
        """
        ratios = []
        for place, code in enumerate(self.series.codes.tolist()):
            if code in checks:
                own = squared_error(checks[code], self.series.weight[place].double(), self.series.bias[place].double())
                shared = squared_error(checks[code], self.weight.double(), self.bias.double())
                ratios.append(math.log((max(own, 0.0) + 1e-12) / (max(shared, 0.0) + 1e-12)))
        if len(ratios) < 2:
            return False
        found = torch.tensor(ratios, dtype=torch.float64)
        return float(found.mean()) < -3 * float(found.std()) / len(found) ** 0.5

    def _fit_series(self, series: Mapping[int, Moments] | None) -> None:
        penalties = self.series_penalties.items()
        self.series.set({c: self._solve(series[c], p) for c, p in penalties if series and c in series})

    def _fit_shared(self, moments: Moments) -> None:
        assert self.penalties is not None
        weight, bias = self._solve(moments, self.penalties)
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def _solve(self, moments: Moments, penalties: Sequence[float]) -> tuple[Tensor, Tensor]:
        """The mean (weight (F, P), bias (P,)) of all models' solutions."""
        cycle = itertools.cycle(penalties)
        models = [ridge(moments, basis, penalty) for basis, penalty in zip(self._bases(), cycle, strict=False)]
        return torch.stack([weight for weight, _ in models]).mean(0), torch.stack([bias for _, bias in models]).mean(0)

    def _kinds(self) -> int:
        """Models of one lookback: with and without level, with and without cyclic features."""
        return len(KINDS[self.kinds]) * (2 if self.cyclic else 1) if self.nested else 1

    def _bases(self) -> list[Basis]:
        """Regressors of every model to be averaged, the longest lookback first."""
        length, features = self.context_length, len(self.weight)
        if not self.nested:
            return [Basis(length, length, features, False)]
        return [
            Basis(length, lookback, features - drop, level, damping)
            for lookback in nested_lookbacks(length, self.season)
            for level, damping in KINDS[self.kinds]
            for drop in dict.fromkeys((self.cyclic, 0))
        ]
