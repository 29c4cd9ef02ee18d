"""LinearPart: the closed-form part of a forecast, from the window and covariates to the horizon.

It is fitted before training, and the network learns what it leaves over. Alone it is the "linear part alone" of tables.

Shapes: G rows (batch × channels), W windows, P horizon steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_ts.forecasting.linear.features import LinearFeatures
from titans_ts.forecasting.linear.nested_ridge import NestedRidge
from titans_ts.forecasting.linear.ridge import RegressionRows
from titans_ts.forecasting.linear.window_rows import KEPT, KeptRows, LabelledWindows, WindowRows
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.scaling import SMALLEST_SPREAD
from titans_ts.forecasting.model.window import Window

# Item units from which rows weigh less, so that their squares count no more than those of this size.
MOST_SIZE, MOST_SIZES = 1.3, 1.5
# How far forecasts may leave the range of their window: this quantile over the training windows of how far, in spreads,
# their targets left theirs, times a margin; and at least so many spreads, more where windows are few.
REACH_QUANTILE, REACH_MARGIN, LEAST_REACH, LEAST_REACH_FEW, FEW = 0.995, 1.25, 0.5, 1.5, 30
# Observed share of a window from which it is like those that are forecast: padded ones at a series' start are not.
COMPLETE = 0.9
MOST_WINDOWS = 20_000
# So many windows that came in one fold are crossed in blocks; and so few are filled up with normal residuals.
FEW_WINDOWS, BLOCKS, LEAST_RESIDUALS = 2_000, 5, 10

Rows = Iterable[WindowRows]


class Residuals(NamedTuple):
    """Residuals of windows by models that have not seen them.

    Attributes:
        values: (W, P) in units of the windows' spread, NaN where nothing was observed.
        phase: (W, 2) sine and cosine of the season's phase at the windows' last step.
    """

    values: Tensor
    phase: Tensor


class LinearPart(nn.Module):
    """Features of a window, and the regression on them.

    Args:
        config: of the network. With ``linear="none"`` the forecast is the window's mean.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.features = LinearFeatures(config)
        self.ridge = NestedRidge(
            self.features.context,
            self.features.covariates,
            config.prediction_length,
            config.season,
            self.features.cyclic,
            nested=config.linear == "nested",
            per_series=config.per_series,
        )
        self.reach: Tensor
        self.register_buffer("reach", torch.full((config.prediction_length,), torch.inf))

    def forward(self, w: Window) -> Tensor:
        """The forecast (G, P) in item units, no further from the window's range than `reach` (P,) spreads."""
        if self.config.linear == "none":
            return w.loc.expand(-1, self.config.prediction_length)
        low, high = w.values.aminmax(dim=1, keepdim=True)
        return self._bounded(self.ridge(self.features(w), w.codes), low, high, w.spread)

    def fit(self, folds: Sequence[LabelledWindows], held_out: LabelledWindows | None = None) -> Residuals:
        """Solve the regression.

        Args:
            folds: parts (of time) of the training windows, each called for its batches as often as they are needed.
            held_out: windows that choose the ridge penalties; see `NestedRidge.fit` for None.

        Returns:
            Residuals of all training windows, each part's by the regression on the other parts: in-sample residuals
            are too small.
        """
        rows: Sequence[Rows] = [KeptRows(part, self.features, KEPT // len(folds)) for part in folds]
        rows = _blocks(rows[0]) if len(rows) == 1 else rows
        models = [self.ridge] * len(rows)
        if self.config.linear != "none":
            most = self._read_sizes(rows)
            check = self._weighed(KeptRows(held_out, self.features, 0), most) if held_out else None
            models = self.ridge.fit([self._weighed(part, most) for part in rows], check)
            usual = self._usual_error(rows, most) if self.config.irls_steps else 0.0
            for _ in range(self.config.irls_steps):
                models = self.ridge.fit([self._weighed(part, most, usual) for part in rows])
        parts = [self._residuals(part, model) for part, model in zip(rows, models, strict=True)]
        values, phase, share = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        complete = share >= COMPLETE
        if bool(complete.any()) and 2 * int(complete.sum()) >= len(complete):
            values[~complete] = torch.nan
        # A handful of residuals, or one of a model fitted on its own window, has no width.
        missing = max(0, LEAST_RESIDUALS - len(values))
        levels = (torch.arange(missing, dtype=torch.float64) + 0.5) / max(1, missing)
        values = torch.cat([values, torch.special.ndtri(levels).to(values)[:, None].expand(-1, values.shape[1])])
        return Residuals(values, torch.cat([phase, phase.new_zeros(missing, 2)]))

    def _forecast(self, rows: WindowRows, ridge: NestedRidge) -> Tensor:
        if self.config.linear == "none":
            return rows.loc.expand(-1, self.config.prediction_length)
        return self._bounded(ridge(rows.x, rows.codes), rows.low, rows.high, rows.spread)

    def _bounded(self, forecast: Tensor, low: Tensor, high: Tensor, spread: Tensor) -> Tensor:
        room = self.reach * spread
        return torch.clamp(forecast, low - room, high + room)

    def fit_quickly(self, windows: LabelledWindows, held_out: LabelledWindows) -> None:
        """`fit` without reweighting and without residuals: to compare ways of reading windows on some of them."""
        rows = KeptRows(windows, self.features)
        most = self._read_sizes([rows])
        self.ridge.fit([self._weighed(rows, most)], self._weighed(KeptRows(held_out, self.features, 0), most))

    def _read_sizes(self, folds: Sequence[Rows]) -> float:
        """Set `reach` (P,), which never shrinks with the steps ahead, by the training windows.

        Returns:
            Size of windows beyond which their squares count no more: MOST_SIZE where several series share coefficients.
            A single series may grow: its newest windows, which are the largest, are those that matter. There it is
            MOST_SIZES times the median.
        """
        found, sizes, codes = [], [], []
        for rows in itertools.chain.from_iterable(folds):
            target, seen = rows.target, rows.observed > 0
            outside = torch.maximum(target - rows.high, rows.low - target).clamp_min(0) / rows.spread
            found.append(torch.where(seen, outside, torch.nan))
            sizes.append(rows.size(torch.where(seen, target, rows.loc)))
            scale = torch.where(rows.codes < 0, rows.scale, 0.0)
            codes.append(torch.stack([rows.codes.double(), scale.double()], dim=1))
        self.reach.copy_(self._reach(torch.cat(found)))
        # Series without a name, and channels, are told from each other by their scale.
        several = len(torch.cat(codes).unique(dim=0)) > 1
        return MOST_SIZE if several else MOST_SIZES * max(float(torch.cat(sizes).median()), SMALLEST_SPREAD)

    @staticmethod
    def _reach(outside: Tensor) -> Tensor:
        """From how far targets (W, P) left their window's range, in spreads."""
        outside = outside[:: max(1, len(outside) // MOST_WINDOWS)]
        least = LEAST_REACH if len(outside) >= FEW else LEAST_REACH_FEW
        reach = outside.nanquantile(REACH_QUANTILE, dim=0).nan_to_num(0.0) * REACH_MARGIN
        return reach.cummax(0).values.clamp_min(least)

    def _residuals(self, part: Rows, ridge: NestedRidge) -> tuple[Tensor, Tensor, Tensor]:
        """Residuals (W, P), phase (W, 2), observed share (W,) of the windows."""
        values, phases, shares = [], [], []
        for rows in part:
            error = (rows.target - self._forecast(rows, ridge)) / rows.spread
            values.append(torch.where(rows.observed > 0, error, torch.nan))
            phases.append(rows.phase)
            shares.append(rows.share)
        return torch.cat(values), torch.cat(phases), torch.cat(shares)

    def _weighed(self, part: Rows, most: float, usual: float = 0.0) -> Iterator[RegressionRows]:
        """Rows of the regression; windows mostly gap have weight 0.

        Args:
            part: the windows.
            most: size of a window, see `WindowRows.size`, beyond which its squares count no more than those of this
                size.
            usual: 0 weighs all windows alike. Otherwise a window weighs as the inverse of its error by the present
                coefficients (iteratively reweighted least squares: the sum of the windows' errors becomes least, not of
                their squares, so that a few wild windows do not decide), bounded at a tenth of this error.
        """
        for rows in part:
            weight = ((rows.observed.mean(1) >= 0.5) & (rows.share >= 0.5)).to(rows.y.dtype)
            weight = weight * (most / rows.size(rows.y).clamp_min(most)).square()
            if usual > 0:
                weight = weight * usual / (self._error(rows.x, rows.y, rows.codes) + 0.1 * usual)
            yield RegressionRows(rows.x, rows.y, weight, rows.codes)

    def _usual_error(self, folds: Sequence[Rows], most: float) -> float:
        """Median over windows of the root mean square error, in item units."""
        rows = itertools.chain.from_iterable(self._weighed(part, most) for part in folds)
        found = [self._error(x, y, codes)[weight > 0] for x, y, weight, codes in rows]
        return float(torch.cat(found).nan_to_num(0.0).median()) if any(len(part) for part in found) else 0.0

    def _error(self, x: Tensor, y: Tensor, codes: Tensor) -> Tensor:
        """Root mean square error (G,) over the horizon."""
        error: Tensor = (self.ridge(x, codes) - y).square().mean(1).sqrt()
        return error


def _blocks(rows: Rows) -> list[Rows]:
    """Few windows as BLOCKS folds of neighbours; many, whose residuals by a model of their own do, as one."""
    batches, count = [], 0
    for part in rows:
        batches.append(part)
        count += len(part.y)
        if count > FEW_WINDOWS:
            return [rows]
    every = WindowRows.cat(batches)
    return [[every.take(place)] for place in torch.arange(count).tensor_split(min(BLOCKS, max(1, count)))]
