"""LinearPart: the closed-form part of a forecast, from the window and covariates to the horizon.

It is fitted before training, and the network learns what it leaves over. Alone it is the "linear part alone" of tables.

Shapes: G rows (batch × channels), W windows, P horizon steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from titans_ts.forecasting.linear.features import LinearFeatures
from titans_ts.forecasting.linear.nested_ridge import NestedRidge
from titans_ts.forecasting.linear.ridge import RegressionRows
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.scaling import fill_forward
from titans_ts.forecasting.model.window import LabelledWindow, Window

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

    def forward(self, w: Window) -> Tensor:
        """The forecast (G, P) in item units."""
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
        models = [self.ridge] * len(folds)
        if self.config.linear != "none":
            models = self.ridge.fit([self._rows(part) for part in folds], self._rows(held_out) if held_out else None)
            usual = self._usual_error(folds) if self.config.irls_steps else 0.0
            for _ in range(self.config.irls_steps):
                models = self.ridge.fit([self._rows(part, usual) for part in folds])
        parts = [self._residuals(part, model) for part, model in zip(folds, models, strict=True)]
        return Residuals(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def _forecast(self, w: Window, ridge: NestedRidge) -> Tensor:
        if self.config.linear == "none":
            return w.loc.expand(-1, self.config.prediction_length)
        forecast: Tensor = ridge(self.features(w), w.codes)
        return forecast

    def _residuals(self, windows: LabelledWindows, ridge: NestedRidge) -> Residuals:
        values, phases = [], []
        for w, target, observed in windows():
            values.append(torch.where(observed > 0, (target - self._forecast(w, ridge)) / w.spread, torch.nan))
            phases.append(self.features.phase(w))
        return Residuals(torch.cat(values), torch.cat(phases))

    def _rows(self, windows: LabelledWindows, usual: float = 0.0) -> Iterator[RegressionRows]:
        """Rows of the regression; gaps in the horizon are filled forward, windows mostly gap have weight 0.

        Args:
            windows: the windows.
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
            if usual > 0:
                weight = weight * usual / (self._error(x, y, w.codes) + 0.1 * usual)
            yield RegressionRows(x, y, weight, w.codes)

    def _usual_error(self, folds: Sequence[LabelledWindows]) -> float:
        """Median over windows of the root mean square error, in item units."""
        rows = itertools.chain.from_iterable(self._rows(part) for part in folds)
        found = [self._error(x, y, codes)[weight > 0] for x, y, weight, codes in rows]
        return float(torch.cat(found).nan_to_num(0.0).median()) if any(len(part) for part in found) else 0.0

    def _error(self, x: Tensor, y: Tensor, codes: Tensor) -> Tensor:
        """Root mean square error (G,) over the horizon."""
        error: Tensor = (self.ridge(x, codes) - y).square().mean(1).sqrt()
        return error
