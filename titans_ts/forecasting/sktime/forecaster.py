"""TitansSktimeForecaster: the forecaster with sktime's interface. Needs `titans-ts[sktime]`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import clone

try:
    from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
except ImportError as error:
    raise ImportError(
        f"TitansSktimeForecaster needs sktime ({error}): install it with pip install 'titans-ts[sktime]'"
    ) from error

from titans_datasets.series.time.timestamps import to_nanoseconds
from titans_ts.forecasting import TitansForecaster

SERIES = ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"]
ID, TIME, TARGET = "item_id", "timestamp", "target"
# Rows from which a time step is inferred from the stamps.
FEWEST = 3


class TitansSktimeForecaster(BaseForecaster):  # type: ignore[misc, unused-ignore]
    """One network for all series of a panel, or one for a single series; columns of y are forecast one by one.

    X are covariates known ahead. Series of a panel learn from each other and are forecast alone; those of a hierarchy
    too, with nothing that makes their forecasts add up. `update` gives observations to forecast from and trains
    nothing, whatever update_params says.

    Args:
        forecaster: settings, such as max_steps, quantiles or options; None takes the defaults. It is copied, never
            fitted itself. prediction_length becomes the horizon of `fit`, where that is given; columns and freq are
            those of sktime's data.
        pretrained: name of pretrained weights, such as "zero", in place of settings: nothing is trained, see
            `TitansForecaster.from_pretrained`.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from titans_ts import TitansForecaster
        >>> from titans_ts.forecasting.sktime import TitansSktimeForecaster  # doctest: +SKIP
        >>> y = pd.Series(np.arange(70.0) % 7, pd.period_range("2024-01-01", periods=70, freq="D"))
        >>> model = TitansSktimeForecaster(pretrained="zero").fit(y, fh=[1, 2, 7])  # doctest: +SKIP
        >>> model.predict().round().tolist()  # doctest: +SKIP
        [0.0, 1.0, 6.0]

    Attributes:
        forecaster_: the fitted `TitansForecaster`; its series are numbered.
        items_: their numbers by their names in y.
    """

    _tags: ClassVar[dict[str, Any]] = {
        "python_dependencies": ["titans-ts"],
        "y_inner_mtype": SERIES,
        "X_inner_mtype": SERIES,
        "capability:multivariate": False,
        "capability:exogenous": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:missing_values": True,
        "capability:categorical_in_X": False,
        "capability:non_contiguous_X": False,
        "capability:unequal_length": True,
        "capability:update": True,
        "requires-fh-in-fit": False,
        "X-y-must-have-same-index": True,
    }

    def __init__(self, forecaster: TitansForecaster | None = None, pretrained: str | None = None) -> None:
        self.forecaster = forecaster
        self.pretrained = pretrained
        super().__init__()

    def _fit(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, fh: ForecastingHorizon | None = None
    ) -> TitansSktimeForecaster:
        self.items_: dict[Hashable, int] = {}
        self.index_names_ = list(y.index.names)
        own: dict[str, Any] = {"id_column": ID, "timestamp_column": TIME, "target_column": TARGET}
        own["known_covariates"] = () if X is None else tuple(_column(name) for name in X.columns)
        if fh is not None:
            own["prediction_length"] = max(1, int(max(fh.to_relative(self.cutoff))))
        model = self._settings()
        if model.freq is None and len(y) < FEWEST:
            own["freq"] = getattr(self.cutoff, "freqstr", None)
        self.forecaster_ = model.set_params(**own).fit(self._table(y, X))
        return self

    def _settings(self) -> TitansForecaster:
        """A forecaster of our own that is not fitted."""
        if self.pretrained is None:
            return TitansForecaster() if self.forecaster is None else clone(self.forecaster)
        if self.forecaster is not None:
            raise ValueError("pretrained takes the place of a forecaster: pass one of them")
        return TitansForecaster.from_pretrained(self.pretrained)

    def _update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True
    ) -> TitansSktimeForecaster:
        self.forecaster_.update(self._table(y, X))
        return self

    def _predict(self, fh: ForecastingHorizon, X: pd.DataFrame | None = None) -> pd.DataFrame:
        return self._quantiles(fh, X, [0.5]).set_axis(self._get_varnames(), axis=1)

    def _predict_quantiles(
        self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: Sequence[float]
    ) -> pd.DataFrame:
        names = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        return self._quantiles(fh, X, alpha).set_axis(names, axis=1)

    def _quantiles(self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: Sequence[float]) -> pd.DataFrame:
        """Quantiles at the stamps of the horizon, a column a level, with sktime's index."""
        # The stamps of a panel have no step of their own for sktime to count by; the forecaster found one.
        counted = len(self.index_names_) > 1 and fh.is_relative
        steps = np.asarray(fh.to_pandas() if counted else fh.to_relative(self.cutoff), dtype=np.int64)
        horizon = int(steps.max()) + self._lag()
        future = None if X is None else self._table(None, X)
        # 0.5 − 0.9 / 2 is meant to be 0.05.
        alpha = [round(float(level), 9) for level in alpha]
        levels = list(dict.fromkeys(alpha))
        found = self.forecaster_.predict_quantiles(None, levels, future=future, prediction_length=horizon)
        assert isinstance(found, pd.DataFrame), "series are forecast as frames"
        last = pd.Index(sorted(found[TIME].unique())[-horizon:])
        stamps = last[steps - 1] if counted else fh.to_absolute_index(self.cutoff)
        wanted = pd.MultiIndex.from_product([range(len(self.items_)), stamps])
        found = found.set_index([ID, TIME])[[f"{level:g}" for level in alpha]].reindex(wanted)
        if len(self.index_names_) == 1:
            return found.droplevel(0).set_axis(stamps)
        parts = [(*item, stamp) for item in self.items_ for stamp in stamps]  # type: ignore[misc]
        return found.set_axis(pd.MultiIndex.from_tuples(parts, names=self.index_names_))

    def _lag(self) -> int:
        """Steps by which the series that ends first ends before the one that ends last."""
        panel = self.forecaster_.panel_
        assert panel is not None, "it was fitted here"
        starts = to_nanoseconds(pd.DatetimeIndex([record.start for record in panel.records]))
        steps, _ = panel.frequency.positions(starts, np.full(len(starts), starts.min()))
        ends = steps + [record.length for record in panel.records]
        return int(ends.max() - ends.min())

    def _table(self, y: pd.DataFrame | None, X: pd.DataFrame | None) -> pd.DataFrame:
        """Rows of both as a long table; series are named by numbers in the order in which they came."""
        rows = pd.DataFrame(index=(X if y is None else y).index)  # type: ignore[union-attr]
        keys = [stamp[:-1] if isinstance(stamp, tuple) else () for stamp in rows.index]
        rows[ID] = [self.items_.setdefault(key, len(self.items_)) for key in keys]
        rows[TIME] = rows.index.get_level_values(-1)
        if y is not None:
            rows[TARGET] = y.iloc[:, 0]
        if X is not None:
            rows[[_column(name) for name in X.columns]] = X.reindex(rows.index)
        return rows.reset_index(drop=True)

    def _get_fitted_params(self) -> dict[str, Any]:
        return {"network": self.forecaster_.network_, "items": self.items_}

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings of sktime's tests: experts alone, a tiny network, pretrained reads."""
        tiny = {"width": 8, "heads": 1, "layers": 1, "progress": False, "experts": False, "pretrained": None}
        experts = TitansForecaster(3, options={"network": False, "pretrained": None})
        network = TitansForecaster(3, context_length=8, max_steps=1, device="cpu", options=tiny)
        return [{"forecaster": experts}, {"forecaster": network}, {"pretrained": "zero"}]


def _column(name: object) -> str:
    """Name of a covariate beside the columns of the table."""
    return f"X {name}"
