"""LinearPart: the closed-form part of a forecast, from the window and covariates to the horizon.

It is fitted before training, and the network learns what it leaves over. Alone it is the "linear part alone" of tables.

Shapes: G rows (batch × channels), W windows, P horizon steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_ts.forecasting.linear.features import LinearFeatures
from titans_ts.forecasting.linear.nested_ridge import NestedRidge
from titans_ts.forecasting.linear.ridge import RegressionRows
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.heads import Units
from titans_ts.forecasting.model.scaling import SMALLEST_SPREAD, fill_forward
from titans_ts.forecasting.model.window import LabelledWindow, Window

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
SOME = 4

LabelledWindows = Callable[[], Iterable[LabelledWindow]]


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
        return self._forecast(w, self.ridge)

    def fit(self, folds: Sequence[LabelledWindows], held_out: LabelledWindows | None = None) -> Residuals:
        """Solve the regression.

        Args:
            folds: parts (of time) of the training windows, each called for its batches as often as they are needed.
            held_out: windows that choose the ridge penalties; see `NestedRidge.fit` for None.

        Returns:
            Residuals of all training windows, each part's by the regression on the other parts: in-sample residuals
            are too small.
        """
        folds = _blocks(folds[0]) if len(folds) == 1 else folds
        models = [self.ridge] * len(folds)
        if self.config.linear != "none":
            most = self._read_sizes(folds)
            check = self._rows(held_out, most) if held_out else None
            models = self.ridge.fit([self._rows(part, most) for part in folds], check)
            usual = self._usual_error(folds, most) if self.config.irls_steps else 0.0
            for _ in range(self.config.irls_steps):
                models = self.ridge.fit([self._rows(part, most, usual) for part in folds])
        parts = [self._residuals(part, model) for part, model in zip(folds, models, strict=True)]
        values, phase, share = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        complete = share >= COMPLETE
        if bool(complete.any()) and 2 * int(complete.sum()) >= len(complete):
            values[~complete] = torch.nan
        # A handful of residuals, or one of a model fitted on its own window, has no width.
        missing = max(0, LEAST_RESIDUALS - len(values))
        levels = (torch.arange(missing, dtype=torch.float64) + 0.5) / max(1, missing)
        values = torch.cat([values, torch.special.ndtri(levels).to(values)[:, None].expand(-1, values.shape[1])])
        return Residuals(values, torch.cat([phase, phase.new_zeros(missing, 2)]))

    def _forecast(self, w: Window, ridge: NestedRidge) -> Tensor:
        if self.config.linear == "none":
            return w.loc.expand(-1, self.config.prediction_length)
        forecast: Tensor = ridge(self.features(w), w.codes)
        low, high = w.values.aminmax(dim=1, keepdim=True)
        room = self.reach * w.spread
        return torch.clamp(forecast, low - room, high + room)

    def fit_quickly(self, folds: Sequence[LabelledWindows], held_out: LabelledWindows) -> None:
        """`fit` on some of the windows, without reweighting and without residuals: to compare ways of reading them."""
        windows = partial(_some, folds)
        most = self._read_sizes([windows])
        self.ridge.fit([self._rows(windows, most)], self._rows(held_out, most))

    def _read_sizes(self, folds: Sequence[LabelledWindows]) -> float:
        """Set `reach` (P,), which never shrinks with the steps ahead, by the training windows.

        Returns:
            Size of windows beyond which their squares count no more: MOST_SIZE where several series share coefficients.
            A single series may grow: its newest windows, which are the largest, are those that matter. There it is
            MOST_SIZES times the median.
        """
        found, sizes, codes = [], [], []
        for w, target, observed in itertools.chain.from_iterable(part() for part in folds):
            low, high = w.values.aminmax(dim=1, keepdim=True)
            outside = torch.maximum(target - high, low - target).clamp_min(0) / w.spread
            found.append(torch.where(observed > 0, outside, torch.nan))
            sizes.append(_size(w, torch.where(observed > 0, target, w.loc)))
            scale = torch.where(w.codes < 0, w.units.scale[:, 0], 0.0)
            codes.append(torch.stack([w.codes.double(), scale.double()], dim=1))
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

    def _residuals(self, windows: LabelledWindows, ridge: NestedRidge) -> tuple[Tensor, Tensor, Tensor]:
        """Residuals (W, P), phase (W, 2), observed share (W,) of the windows."""
        values, phases, shares = [], [], []
        for w, target, observed in windows():
            values.append(torch.where(observed > 0, (target - self._forecast(w, ridge)) / w.spread, torch.nan))
            phases.append(self.features.phase(w))
            shares.append(w.observed.mean(1))
        return torch.cat(values), torch.cat(phases), torch.cat(shares)

    def _rows(self, windows: LabelledWindows, most: float, usual: float = 0.0) -> Iterator[RegressionRows]:
        """Rows of the regression; gaps in the horizon are filled forward, windows mostly gap have weight 0.

        Args:
            windows: the windows.
            most: size of a window, see `_size`, beyond which its squares count no more than those of this size.
            usual: 0 weighs all windows alike. Otherwise a window weighs as the inverse of its error by the present
                coefficients (iteratively reweighted least squares: the sum of the windows' errors becomes least, not of
                their squares, so that a few wild windows do not decide), bounded at a tenth of this error.
        """
        for w, target, observed in windows():
            filled = fill_forward(
                torch.cat([w.values, target], dim=1), torch.cat([torch.ones_like(w.values), observed], 1)
            )
            weight = ((observed.mean(1) >= 0.5) & (w.observed.mean(1) >= 0.5)).to(target.dtype)
            x, y = self.features(w), filled[:, w.values.shape[1] :]
            weight = weight * (most / _size(w, y).clamp_min(most)).square()
            if usual > 0:
                weight = weight * usual / (self._error(x, y, w.codes) + 0.1 * usual)
            yield RegressionRows(x, y, weight, w.codes)

    def _usual_error(self, folds: Sequence[LabelledWindows], most: float) -> float:
        """Median over windows of the root mean square error, in item units."""
        rows = itertools.chain.from_iterable(self._rows(part, most) for part in folds)
        found = [self._error(x, y, codes)[weight > 0] for x, y, weight, codes in rows]
        return float(torch.cat(found).nan_to_num(0.0).median()) if any(len(part) for part in found) else 0.0

    def _error(self, x: Tensor, y: Tensor, codes: Tensor) -> Tensor:
        """Root mean square error (G,) over the horizon."""
        error: Tensor = (self.ridge(x, codes) - y).square().mean(1).sqrt()
        return error


def _blocks(windows: LabelledWindows) -> list[LabelledWindows]:
    """Few windows as BLOCKS folds of neighbours; many, whose residuals by a model of their own do, as one."""
    batches, count = [], 0
    for part in windows():
        batches.append(part)
        count += len(part.target)
        if count > FEW_WINDOWS:
            return [windows]
    places = torch.arange(count).tensor_split(min(BLOCKS, max(1, count)))
    every = _joined(batches)
    return [partial(iter, [_taken(every, place)]) for place in places]


def _joined(batches: Sequence[LabelledWindow]) -> LabelledWindow:
    windows = [part.window for part in batches]
    units = Units(*(torch.cat(tensors) for tensors in zip(*(w.units for w in windows), strict=True)))
    fields = {name: torch.cat([getattr(w, name) for w in windows]) for name in Window._fields if name != "units"}
    target, observed = (torch.cat(tensors) for tensors in zip(*(part[1:] for part in batches), strict=True))
    return LabelledWindow(Window(units=units, **fields), target, observed)


def _taken(part: LabelledWindow, rows: Tensor) -> LabelledWindow:
    w = part.window
    fields = {name: getattr(w, name)[rows] for name in Window._fields if name != "units"}
    window = Window(units=Units(*(x[rows] for x in w.units)), **fields)
    return LabelledWindow(window, part.target[rows], part.observed[rows])


def _size(w: Window, target: Tensor) -> Tensor:
    """Root mean square distance (G,) of window or target, the larger one, from the window's mean, in item units."""
    return torch.maximum((target - w.loc).square().mean(1), (w.values - w.loc).square().mean(1)).sqrt()


def _some(folds: Sequence[LabelledWindows]) -> Iterator[LabelledWindow]:
    """Every SOME-th batch of each fold, the first one among them."""
    for part in folds:
        yield from itertools.islice(part(), 0, None, SOME)
