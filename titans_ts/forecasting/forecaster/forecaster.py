"""TitansForecaster: from a table to forecasts in the manner of scikit-learn.

Shapes: T steps of a series, n rows, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from titans_datasets.series import SeriesPanel, SeriesSchema, attach_future, to_records
from titans_datasets.series.read.frames import warn
from titans_datasets.series.read.tables import with_time_column
from titans_datasets.series.time.timestamps import TimeKind
from titans_ts.forecasting import metrics
from titans_ts.forecasting.forecaster import inputs
from titans_ts.forecasting.forecaster import params as settings
from titans_ts.forecasting.forecaster.backtest import BacktestResult, backtest_fitted, run_backtest, score_last
from titans_ts.forecasting.forecaster.continuation import find_later, forecast_later, predict_rows
from titans_ts.forecasting.forecaster.fit_panel import fit_panel
from titans_ts.forecasting.forecaster.frames import CHANNEL_COLUMN, forecast_frame, history_frame, one_series_a_channel
from titans_ts.forecasting.forecaster.model_folder import load_forecaster, save_forecaster
from titans_ts.forecasting.forecaster.predict import forecast_records
from titans_ts.forecasting.model.config import DEFAULT_QUANTILES
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.streaming.methods import StreamingMethods
from titans_ts.support.device import resolve_device

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from titans_ts.forecasting.training.config import TrainingResult

FloatArray = npt.NDArray[np.float64]


class TitansForecaster(StreamingMethods, BaseEstimator):  # type: ignore[misc]
    """Forecasts time series with a Titans network: neural memory, a linear part, quantiles.

    There are two ways to use it.

    *Tables of series* (``fit(X)``): X is a long DataFrame (one row a series and time step), a wide one (time index, one
    column a series), a Series, a list or dict of Series, an array (T,) or (N, T), the path of a csv, parquet or tsf
    file, or ``"builtin:weather"``. ``predict()`` returns a frame: id, timestamp, mean, and a column a quantile level.

    *Rows beside a target* (``fit(X, y)``, for Pipeline, GridSearchCV and cross_val_score): y is the target (n,), X the
    covariates of the same time steps, as a DataFrame or an array, in time order. ``predict(X)`` returns an array with
    the median of each row: the rows continue the training data, their covariates are known. X may have the id and
    timestamp columns; without timestamps its first row is the step after the last row of training (so splitters need
    gap=0) and ``freq`` says what a step is (a day where it says nothing). Columns without a role are known covariates.

    Args:
        prediction_length: steps to forecast, P. Other lengths can be asked for at ``predict``.
        context_length: steps the network reads. None chooses: 28 seasons of data finer than a day (four weeks of
            hours), 8 of daily data, 3 of coarser data, at least 2·P, at most 720 steps and half of the median series.
        quantiles: levels to be trained; 0.5 is always among them.
        block: "lmm", "mac", "mag", "mal" or "attention"; see `titans_ts.core.TitansConfig`.
        id_column, timestamp_column, target_column: names in a long table. Several target columns, as a tuple, are the
            channels of one multi-channel series; forecasts then have a column "target" with the channel's name.
        freq: time step as a pandas alias; None infers it.
        static_covariates: columns that are constant within a series (numbers or categories).
        past_covariates: columns known up to the forecast's start.
        known_covariates: columns known ahead, such as holidays or published forecasts.
        max_steps: gradient steps; training stops earlier when the held-out windows stop improving. 0 gives the
            closed-form linear map.
        time_budget: seconds after which training stops with the best model so far.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        random_state: seed, RandomState or None (a random seed).
        options: everything set less often, by name: "head" ("quantile", "student_t", "normal", "negative_binomial",
            "point"), "channel_mixing" (attention between the series of a table or the channels of a series),
            "patch_length" and the other fields of NetworkConfig; "width", "layers", "heads", "memory"
            ({"kind": "linear"}) and the other fields of TitansConfig; "learning_rate", "batch_size", "progress" (False
            hides the bar) and the other fields of TrainingConfig; "short_series" ("skip", "pad" or "error"),
            "validation_windows" (held out at the end of each series; None holds out about a tenth) and "min_history"
            (steps before a training forecast).

    Attributes:
        network_: the trained `ForecastNetwork`, on the CPU.
        training_: a `TrainingResult`: steps, best step, losses, why it stopped, seconds; a dict of it after `load`.
        schema_: columns and their roles; frequency_: the time step; encoder_: covariate codes.
        panel_: the training series, from which ``predict()`` forecasts; None after `load`.
        levels_: trained quantile levels.
        channels_: items that channel_mixing made channels, else None.
    """

    network_: ForecastNetwork
    training_: TrainingResult | dict[str, Any]
    panel_: SeriesPanel | None
    rows_: dict[Hashable, int] | None

    def __init__(
        self,
        prediction_length: int = 24,
        *,
        context_length: int | None = None,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
        block: str = "mag",
        id_column: str = "item_id",
        timestamp_column: str = "timestamp",
        target_column: str | tuple[str, ...] = "target",
        freq: str | None = None,
        static_covariates: Sequence[str] = (),
        past_covariates: Sequence[str] = (),
        known_covariates: Sequence[str] = (),
        max_steps: int = 300,
        time_budget: float | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.prediction_length = prediction_length
        self.context_length = context_length
        self.quantiles = quantiles
        self.block = block
        self.id_column = id_column
        self.timestamp_column = timestamp_column
        self.target_column = target_column
        self.freq = freq
        self.static_covariates = static_covariates
        self.past_covariates = past_covariates
        self.known_covariates = known_covariates
        self.max_steps = max_steps
        self.time_budget = time_budget
        self.device = device
        self.random_state = random_state
        self.options = options

    def fit(self, X: object, y: object = None) -> TitansForecaster:
        """Learn from series (y None) or from rows of covariates and their target.

        Ctrl-C ends training and keeps the best model so far.

        Args:
            X: series of any accepted kind, or with y the covariates (n rows).
            y: None, or the target (n,), (n, M) with a tuple as target_column.

        Returns:
            The forecaster itself.

        Raises:
            ValueError: a parameter is out of range, the data break a rule, series are too short, or the loss became
                infinite or NaN.
            TypeError: the target is not numeric or X of no accepted kind.
        """
        settings.check_params(self.get_params(deep=False))
        schema = inputs.make_schema(self.get_params(deep=False), X)
        rows = None
        if y is not None:
            frame = inputs.covariate_rows(X, schema)
            schema = inputs.row_schema(frame, schema)
            rows = inputs.count_rows(frame, schema)
            X = inputs.with_target(inputs.number_rows(frame, schema, {}), y, schema)
        panel, channels = inputs.mixed(to_records(X, schema), schema, self.options)
        if rows is not None and channels is not None:
            raise ValueError("channel_mixing between series needs a table of series: call fit(X) without y")
        warn(panel.notes)
        self._fit_panel(panel, schema, channels)
        self.rows_ = rows
        return self

    def _fit_panel(self, panel: SeriesPanel, schema: SeriesSchema, channels: list[Hashable] | None) -> None:
        """Train on records; learned attributes are set at the end, so that a failed fit leaves the old ones."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.network_, self.training_ = fit_panel(self.get_params(deep=False), seed, panel)
        self.panel_ = panel
        self.schema_, self.frequency_, self.encoder_, self.channels_ = schema, panel.frequency, panel.encoder, channels
        self.levels_ = sorted({*self.network_.config.quantiles, 0.5})
        self.rows_ = None

    def predict(
        self, X: object = None, *, future: pd.DataFrame | None = None, prediction_length: int | None = None
    ) -> pd.DataFrame | FloatArray:
        """Forecast what follows.

        Args:
            X: after ``fit(X)``: the history to forecast from, None for the training data. Item statistics are those of
                this history; the model is not refitted. After ``fit(X, y)``: the rows (n) to be forecast.
            future: long frame with the known covariates of the steps to be forecast.
            prediction_length: steps, those of the constructor where None. More are rolled block by block: every
                quantile is fed back as a path and the paths' forecasts are mixed, so that intervals widen with the
                horizon; past covariates repeat their last season. Such intervals were not trained and are rougher.

        Returns:
            After ``fit(X)`` a frame in the order of the items: id, timestamp, mean, one column a trained level. After
            ``fit(X, y)`` an array (n,) of medians, (n, M) for several targets.

        Raises:
            ValueError: known covariates are missing, or X breaks a rule.
        """
        if self._by_rows(X, future, prediction_length):
            return self._predict_rows(X, [0.5])[..., 0]
        return self._frame(X, future, prediction_length, list(self.levels_))

    def predict_quantiles(
        self,
        X: object = None,
        quantiles: Sequence[float] | None = None,
        *,
        future: pd.DataFrame | None = None,
        prediction_length: int | None = None,
    ) -> pd.DataFrame | FloatArray:
        """Quantile forecasts; see `predict` for the arguments.

        Args:
            quantiles: levels, the trained ones where None; a distribution head gives any level.

        Returns:
            After ``fit(X)`` a frame: id, timestamp, one column a level. After ``fit(X, y)`` an array (n, Q).

        Raises:
            ValueError: a level was not trained (the message names those that were), or as in `predict`.
        """
        check_is_fitted(self, "network_")
        levels = list(self.levels_) if quantiles is None else [float(level) for level in quantiles]
        if self._by_rows(X, future, prediction_length):
            return self._predict_rows(X, levels)
        return self._frame(X, future, prediction_length, levels).drop(columns="mean")

    def score(self, X: object, y: object = None) -> float:
        """Minus the weighted quantile loss (higher is better, 0 is perfect), the mean over all trained levels.

        With y (after ``fit(X, y)``) the rows X are forecast as in `predict`. Without y, X holds series: those that
        begin after the training data are forecast from the training data; otherwise the last prediction_length steps of
        each series of X are forecast from what lies before them in X.

        Args:
            X: rows or series.
            y: the target of the rows, None for series.
        """
        check_is_fitted(self, "network_")
        levels = list(self.levels_)
        if y is not None:
            return -metrics.weighted_quantile_loss(
                np.asarray(y, dtype=np.float64), self._predict_rows(X, levels), levels
            )
        panel = self._history(X, None if self.panel_ is None else self.panel_.time)
        later = find_later(self.panel_, panel)
        if later is not None and self.panel_ is not None:
            future = inputs.table_of(X, self.schema_) if self.schema_.known_covariates else None
            actual, quantiles = forecast_later(
                self.network_, self.panel_, later, future, self.schema_, levels, self._device()
            )
            return -metrics.weighted_quantile_loss(actual, quantiles, levels)
        scored = score_last(self.network_, panel.records, levels, self._device())
        return -metrics.weighted_quantile_loss(scored.actual, scored.quantiles, levels)

    def backtest(
        self, X: object, windows: int | None = None, step: int | None = None, *, refit: bool = True
    ) -> BacktestResult:
        """Score rolling forecasts beside a closed-form linear map and the seasonal naive forecast.

        A clone is fitted once, on everything before the first cutoff; each window is then forecast from the history up
        to its own cutoff. This forecaster stays as it is.

        Args:
            X: series of any accepted kind.
            windows: number of windows a series; None takes what fits into the last fifth of the series, 20 at most.
            step: steps between cutoffs, prediction_length where None.
            refit: False scores this fitted (or loaded) forecaster instead of a clone; see that it was fitted on other
                data than these windows.

        Raises:
            ValueError: windows or step is below 1, or no series is long enough.
        """
        settings.check_params(self.get_params(deep=False))
        if refit:
            return run_backtest(clone(self), X, windows, step)
        return backtest_fitted(self, self._history(X), windows, step)

    def plot(
        self,
        X: object = None,
        *,
        items: Sequence[Hashable] | None = None,
        future: pd.DataFrame | None = None,
        prediction_length: int | None = None,
        actual: pd.DataFrame | None = None,
        path: str | PathLike[str] | None = None,
    ) -> Figure:
        """History, median and interval bands as a matplotlib figure.

        Args:
            X, future, prediction_length: as in `predict` after ``fit(X)``.
            items: series to show ("item · channel" with several targets); None shows the first few.
            actual: long frame of what came, to be drawn over the forecast.
            path: where to write the picture as well.
        """
        from titans_ts.forecasting.plot import plot_forecast

        check_is_fitted(self, "network_")
        schema = self.schema_
        history = history_frame(self._history(X), schema, self.channels_)
        forecast = self._frame(X, future, prediction_length, list(self.levels_))
        if schema.multichannel:
            history, forecast = one_series_a_channel(history, forecast, schema)
        return plot_forecast(
            history,
            forecast,
            id_column=schema.id_column,
            timestamp_column=schema.timestamp_column,
            target_column=CHANNEL_COLUMN if schema.multichannel else schema.targets[0],
            items=items,
            actual=actual,
            path=path,
        )

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted model as a folder: config.json and model.safetensors, replaced as a whole or not at all.

        The training data are not stored.

        Raises:
            FileExistsError: something that is no model lies at the path.
        """
        check_is_fitted(self, "network_")
        return save_forecaster(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TitansForecaster:
        """The forecaster of a folder; pass the history to `predict`, it is not stored.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the folder is foreign, damaged or from a newer version.
        """
        return load_forecaster(cls, path)

    def _device(self) -> torch.device:
        return resolve_device(self.device)

    def _by_rows(self, X: object, *others: object) -> bool:
        check_is_fitted(self, "network_")
        if self.rows_ is not None and (X is None or any(other is not None for other in others)):
            raise ValueError(
                "the model was fitted with fit(X, y): pass the rows to be forecast, and nothing else, to predict(X); "
                "or fit(X) on a table with the target"
            )
        return self.rows_ is not None

    def _history(self, X: object, like: TimeKind | None = None) -> SeriesPanel:
        """Records to forecast from: those of X, or of the fit; time zones of X are treated as those of `like`."""
        check_is_fitted(self, "network_")
        if X is None:
            if self.panel_ is None:
                raise ValueError("a loaded model has no training data: pass the history, such as predict(X)")
            return self.panel_
        panel = inputs.read_history(X, self.schema_, self.frequency_, self.encoder_, like)
        warn(panel.notes, stacklevel=5)
        if self.channels_ is None:
            return panel
        if set(panel.item_ids) != set(self.channels_):
            raise ValueError(
                f"the model mixes the series {list(map(str, self.channels_))}, got {list(map(str, panel.item_ids))}: "
                "pass the same series"
            )
        order = [panel.item_ids.index(item) for item in self.channels_]
        return inputs.item_panel(replace(panel, records=[panel.records[place] for place in order]))

    def _horizon(self, prediction_length: int | None) -> int:
        horizon = self.network_.config.prediction_length if prediction_length is None else prediction_length
        expected, check = settings.RULES["prediction_length"]
        if not check(horizon):
            raise ValueError(f"prediction_length must be {expected}, got {horizon!r}")
        return int(horizon)

    def _frame(
        self, X: object, future: pd.DataFrame | None, prediction_length: int | None, levels: list[float]
    ) -> pd.DataFrame:
        panel = self._history(X)
        horizon = self._horizon(prediction_length)
        if future is not None:
            future = with_time_column(future, self.schema_)
        panel = attach_future(panel, future, self.schema_, horizon)
        forecast = forecast_records(self.network_, panel.records, horizon, levels, self._device())
        return forecast_frame(panel, forecast, levels, self.schema_, self.channels_)

    def _predict_rows(self, X: object, levels: list[float]) -> FloatArray:
        """Quantiles (n, Q) or (n, M, Q) of the rows of X, which continue the training data."""
        if self.rows_ is None or self.panel_ is None:
            raise ValueError(
                "rows are forecast after fit(X, y) in this process only: fit with y, or pass series without y"
            )
        frame = inputs.number_rows(inputs.covariate_rows(X, self.schema_), self.schema_, self.rows_)
        return predict_rows(self.network_, self.panel_, frame, self.schema_, levels, self._device())
