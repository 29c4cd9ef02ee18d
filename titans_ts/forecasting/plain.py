"""PlainForecaster: a forecaster's parameters and what it has learned, for programs that fit, load, and forecast once.

`TitansForecaster` is the same as an estimator of scikit-learn, whose import alone takes longer than a small forecast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from titans_ts.forecasting.backtest.result import BacktestResult
from titans_ts.forecasting.backtest.run import run_backtest
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.fit_panel import fit_data
from titans_ts.forecasting.forecaster.model_folder import load_forecaster, save_forecaster
from titans_ts.forecasting.forecaster.params import DEFAULTS, check_params, untrained_params
from titans_ts.support.model_folder import rebuilding


@dataclass(frozen=True)
class PlainForecaster:
    """Parameters, and what a fit has left.

    Attributes:
        params: those of `TitansForecaster`, all of them; random_state is a number.
        learned: None before a fit.
    """

    params: Mapping[str, Any]
    learned: FittedForecaster | None = None

    @classmethod
    def of(cls, pretrained: str | None = None, **params: Any) -> PlainForecaster:
        """With the defaults of `TitansForecaster` for the parameters that are not given.

        Args:
            pretrained: name of the weights, as in `TitansForecaster.from_pretrained`; None for a network.
            params: parameters of `TitansForecaster`.

        Raises:
            TypeError: an unknown parameter.
            ValueError: see `TitansForecaster.from_pretrained`.
        """
        if unknown := [name for name in params if name not in DEFAULTS]:
            raise TypeError(f"parameters must be among {', '.join(DEFAULTS)}, got {', '.join(unknown)}")
        return cls({**DEFAULTS, **(params if pretrained is None else untrained_params(pretrained, params))})

    @property
    def fitted(self) -> FittedForecaster:
        """What was learned, on the device that the parameter names.

        Raises:
            ValueError: nothing was.
        """
        if self.learned is None:
            raise ValueError("the forecaster has learned nothing yet: call fit first")
        return replace(self.learned, device=self.params["device"])

    def on(self, device: str | None) -> PlainForecaster:
        """The same on another device; None leaves it where it is."""
        return self if device is None else replace(self, params={**self.params, "device": device})

    def fit(self, X: object) -> PlainForecaster:
        """One that has learned from series; see `TitansForecaster.fit`."""
        return replace(self, learned=fit_data(self.params, X, None, self._seed()))

    def backtest(self, X: object, windows: int | None = None, *, ablation: bool = False) -> BacktestResult[Any]:
        """Scores of windows, with the `PlainForecaster` that made their forecasts; see `TitansForecaster.backtest`."""
        check_params(self.params)
        result = run_backtest(self.params, self._seed(), X, windows, None, ablation)
        return result.held_by(replace(self, learned=result.forecaster))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a model folder; see `TitansForecaster.save`."""
        return save_forecaster(path, self.fitted, self.params)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> PlainForecaster:
        """The forecaster of a model folder; see `TitansForecaster.load`."""
        fitted, params = load_forecaster(path)
        with rebuilding(path):
            return replace(cls.of(**params), learned=fitted)

    def _seed(self) -> int:
        """Of a fit, as scikit-learn draws it from the parameter."""
        return int(np.random.RandomState(self.params["random_state"]).randint(2**31 - 1))
