"""The linear part: a closed-form map from the window (and covariates) to the horizon.

It is fitted before training and the network learns what it leaves over; alone it is the "linear map" baseline.

It is the mean of several ridge maps that read the last L, ≈ L/2, ≈ L/4 … steps (whole seasons, at least two), each once
with and once without the window's level as a feature, and once more with coefficients that vary with the hour of the
day (or the day of the week: `cyclic` features). A short map is stable, a long one sees more; a map with the level pulls
a mean-reverting series back, one without follows a wandering series. The mean of linear maps is a linear map, so
this costs nothing at forecast time. On ETTh1, horizon 96, it gives MSE/MAE .364/.385 at 672 steps where a single ridge
map at 512 steps gives .363/.391 with its penalty chosen on test, .368/.392 with the one chosen on validation.

One map serves all series. Series that the caller named and that are long enough may get maps of their own beside it
(`ItemMaps`), where held-out windows say that these are better; a series that was not trained on takes the shared map.

Shapes: G rows (batch × channels), I series with a map of their own, L past steps, P horizon steps, E covariate
features, Z cyclic features, F = L + E + Z.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from titans_ts.forecasting.linear.ridge import (
    Basis,
    Moments,
    Rows,
    Tally,
    choose_penalty,
    distinct,
    ridge,
    squared_error,
)

LinearName = Literal["nested", "single", "none"]

# Numbers (float64) that the sums of single series may take, 8 bytes each, three times while folds are cross-fitted.
ITEM_BUDGET = 25_000_000
# Training windows that a series needs for each feature of a map of its own, and those that such a map is worth. On
# Weather, 21 series, 512 steps, horizon 96, the map's MSE on test is .169 with maps for none, .142 with eight.
WINDOWS_PER_FEATURE = 2
WANTED_PER_FEATURE = 8


def nested_lookbacks(context_length: int, season: int) -> list[int]:
    """L, then halves of it rounded to whole seasons, down to two seasons (at least four steps)."""
    found, length = [context_length], context_length / 2
    while (steps := max(1, round(length / season)) * season) >= max(2 * season, 4):
        if steps < found[-1]:
            found.append(steps)
        length /= 2
    return found


class ItemMaps(nn.Module):
    """Linear maps of single series: weight (I, F, P), bias (I, P), found by the codes (I,) of the series, ascending.

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

    def set(self, maps: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """Replace all maps; (weight (F, P), bias (P,)) by code."""
        codes = sorted(maps)
        like = self.weight
        self.codes = torch.tensor(codes, dtype=torch.int64, device=like.device)
        self.weight = torch.stack([maps[c][0].to(like) for c in codes]) if codes else like[:0]
        self.bias = torch.stack([maps[c][1].to(like) for c in codes]) if codes else self.bias[:0]

    def forward(self, x: Tensor, codes: Tensor, shared: Tensor) -> Tensor:
        """x (G, F), codes (G,), shared (G, P) → forecasts (G, P): those of the series' own maps where there is one."""
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


class LinearPart(nn.Module):
    """``y = x W + b`` on filled windows in item units and covariates; buffers, not trained by gradients.

    Args:
        context_length: L.
        covariates: E features behind the window.
        cyclic: Z features behind those, which half of the maps read.
        nested: False fits one ridge map of the whole window, shifted by its mean, and nothing else.
        prediction_length: P.
        season: steps of a season.
        by_item: True gives series maps of their own, False none, None lets held-out windows decide.
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
        by_item: bool | None = None,
    ) -> None:
        super().__init__()
        self.context_length, self.season, self.cyclic, self.nested = context_length, season, cyclic, nested
        self.by_item = by_item
        self.penalties: list[float] | None = None
        self.item_penalties: dict[int, list[float]] = {}
        features = context_length + covariates + cyclic
        self.register_buffer("weight", torch.zeros(features, prediction_length))
        self.register_buffer("bias", torch.zeros(prediction_length))
        self.items = ItemMaps(features, prediction_length)

    def wanted(self, windows: int, series: int) -> int:
        """How many of so many training windows of so many series maps of their own need; 0 where there will be none."""
        features, horizon = self.weight.shape
        fits = 1 < series <= ITEM_BUDGET // (features * (features + horizon))
        enough = windows >= WINDOWS_PER_FEATURE * features * series
        return WANTED_PER_FEATURE * features * series if fits and enough and self._may_split else 0

    @property
    def _may_split(self) -> bool:
        return self.nested and self.by_item is not False

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """(G, F) → (G, P); `codes` (G,) name the series, none of them where None."""
        shared = x @ self.weight + self.bias
        return shared if codes is None else self.items(x, codes, shared)

    def fit(self, folds: Sequence[Iterable[Rows]], held_out: Iterable[Rows] | None = None) -> list[LinearPart]:
        """Solve every nested map on the training windows.

        Args:
            folds: training windows in parts (of time), each of which yields batches of rows.
            held_out: windows on which the penalties are chosen, for the longest lookback, and whether series get maps
                of their own. Where None, the choices of the fit before stand (a refit on more windows), or the training
                windows choose the penalties and all series share one map.

        Returns:
            For each fold the map fitted on the other folds (itself when there is only one): its residuals on the fold
            are as large as those of windows to come.
        """
        budget = ITEM_BUDGET if self._may_split else 0
        parts = [Tally.of(rows, budget) for rows in folds]
        total = Tally.sum(parts)
        check = None if held_out is None else Tally.of(held_out, budget)
        if check is not None or self.penalties is None:
            self.penalties = self._choose(total.total, (check or total).total)
        self._average(total.total)
        self._items(total, check)
        if len(parts) == 1:
            return [self]
        others = [copy.deepcopy(self) for _ in parts]
        for place, other in enumerate(others):
            rest = Tally.sum([part for i, part in enumerate(parts) if i != place])
            other._average(rest.total)
            other._set_items(rest.items)
        return others

    def _choose(self, moments: Moments, check: Moments) -> list[float]:
        """The penalty of each kind of map."""
        return [choose_penalty(moments, check, basis) for basis in self._bases()[: self._kinds()]]

    def _items(self, total: Tally, check: Tally | None) -> None:
        """Choose (where there are held-out windows) and set the maps of single series."""
        if check is not None and total.items is not None and self.by_item is not False:
            least = WINDOWS_PER_FEATURE * len(self.weight)
            enough = {code: m for code, m in total.items.items() if float(m.weight) >= least and len(total.items) > 1}
            checks = check.items or {}
            self.item_penalties = {c: self._choose(m, checks.get(c, check.total)) for c, m in enough.items()}
            self._set_items(total.items)
            if self.by_item is None:
                self.by_item = self._items_are_better(checks)
        if not self.by_item:
            self.item_penalties = {}
        self._set_items(total.items)

    def _items_are_better(self, checks: Mapping[int, Moments]) -> bool:
        """Whether the series' own maps have the smaller squared error on their held-out windows."""
        own = shared = 0.0
        for place, code in enumerate(self.items.codes.tolist()):
            if code in checks:
                own += squared_error(checks[code], self.items.weight[place].double(), self.items.bias[place].double())
                shared += squared_error(checks[code], self.weight.double(), self.bias.double())
        return own < shared

    def _set_items(self, items: Mapping[int, Moments] | None) -> None:
        found = {c: self._mean_map(items[c], p) for c, p in self.item_penalties.items() if items and c in items}
        self.items.set(found)

    def _average(self, moments: Moments) -> None:
        """Set the shared map."""
        assert self.penalties is not None
        weight, bias = self._mean_map(moments, self.penalties)
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def _mean_map(self, moments: Moments, penalties: Sequence[float]) -> tuple[Tensor, Tensor]:
        """The mean (weight (F, P), bias (P,)) of all maps' solutions."""
        cycle = itertools.cycle(penalties)
        maps = [ridge(moments, basis, penalty) for basis, penalty in zip(self._bases(), cycle, strict=False)]
        return torch.stack([weight for weight, _ in maps]).mean(0), torch.stack([bias for _, bias in maps]).mean(0)

    def _kinds(self) -> int:
        """Maps of one lookback: with and without level, with and without cyclic features."""
        return (4 if self.cyclic else 2) if self.nested else 1

    def _bases(self) -> list[Basis]:
        """Regressors of every map to be averaged, the longest lookback first."""
        length, features = self.context_length, len(self.weight)
        if not self.nested:
            return [Basis(length, length, features, False)]
        return [
            Basis(length, lookback, features - drop, level)
            for lookback in nested_lookbacks(length, self.season)
            for level in (True, False)
            for drop in dict.fromkeys((self.cyclic, 0))
        ]
