"""TitansForecaster: from a table to forecasts in the manner of scikit-learn; RowRegressor: what scikit-learn asks of an
estimator that takes rows beside a target.

Shapes: T steps of a series, n rows, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from titans_datasets.series import CovariateEncoder, Frequency, SeriesPanel, SeriesSchema
from titans_ts.core.config import require
from titans_ts.forecasting import metrics, report
from titans_ts.forecasting.backtest.result import BacktestResult, residual_frame
from titans_ts.forecasting.backtest.run import backtest_fitted, loss_unfitted, run_backtest, score_series
from titans_ts.forecasting.fitted import FittedForecaster, RowColumns
from titans_ts.forecasting.forecaster import inputs
from titans_ts.forecasting.forecaster.continuation import forecast_rows, forecast_table, updated
from titans_ts.forecasting.forecaster.fit_panel import fit_data
from titans_ts.forecasting.forecaster.frames import draw_forecast
from titans_ts.forecasting.forecaster.model_folder import load_forecaster, save_forecaster
from titans_ts.forecasting.forecaster.params import Steps, check_params, untrained_params
from titans_ts.forecasting.model.config import DEFAULT_QUANTILES
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.pretrained.reads import PretrainedReads
from titans_ts.forecasting.pretrained.weights import load_pretrained
from titans_ts.forecasting.streaming import alarms
from titans_ts.forecasting.streaming.pretrained import PretrainedStream, pretrained_session
from titans_ts.forecasting.streaming.session import TitansStream, start_stream
from titans_ts.forecasting.streaming.state import LateUse, MemoryUse
from titans_ts.support.model_folder import rebuilding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from titans_ts.forecasting.training.config import TrainingResult
    from titans_ts.report.page import HTMLReport

FloatArray = npt.NDArray[np.float64]


class RowRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor of rows, as scikit-learn's tools see it; it holds a `FittedForecaster`."""

    device: str
    _fitted: FittedForecaster

    @property
    def fitted_(self) -> FittedForecaster:
        """What was learned, as a plain object, on the device that the parameter names now."""
        check_is_fitted(self)
        return replace(self._fitted, device=self.device)

    @property
    def n_features_in_(self) -> int:
        """Columns of X in ``fit(X, y)``.

        Raises:
            AttributeError: it was fitted on series.
        """
        return len(self._row_columns().names)

    @property
    def feature_names_in_(self) -> npt.NDArray[np.object_]:
        """Names of the columns of X in ``fit(X, y)``.

        Raises:
            AttributeError: it was fitted on series, or X was an array.
        """
        columns = self._row_columns()
        if not columns.named:
            raise AttributeError("X of the fit was an array, whose columns have no names")
        return np.array(columns.names, dtype=object)

    def _row_columns(self) -> RowColumns:
        columns = self.fitted_.row_columns
        if columns is None:
            raise AttributeError("the model was fitted on series, fit(X), not on rows, fit(X, y)")
        return columns

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Any:
        """Missing values and categories are read, series need no y, targets that have names are forecast together.

        The score is a loss, not R².
        """
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.sparse = True
        tags.target_tags.required, tags.target_tags.multi_output = False, True
        tags.regressor_tags.poor_score = True
        return tags


class TitansForecaster(RowRegressor):
    """Forecasts time series with a Titans network: neural memory, a linear part, quantiles.

    There are two ways to use it.

    *Tables of series* (``fit(X)``): X is a long DataFrame (one row a series and time step), a wide one (time index, one
    column a series), such a table of polars or Arrow, a Series, a list or dict of Series, an array (T,) or (N, T), the
    path of a file (docs/data.md), or ``"builtin:weather"``. ``predict()`` returns a frame: id, timestamp, mean, and a
    column a quantile level.

    *Rows beside a target* (``fit(X, y)``, for Pipeline, GridSearchCV and cross_val_score): y is the target (n,), X the
    covariates of the same time steps, as a DataFrame or an array, in time order. ``predict(X)`` returns an array with
    the median of each row: the rows continue the training data, their covariates are known. X may have the id and
    timestamp columns; without timestamps its first row is the step after the last row of training (so splitters need
    gap=0) and ``freq`` is the time step (a day where None). Columns without a role are known covariates.

    *What a forecast is made of*: quantiles of the network (its linear part and what gradient steps add), of a
    mixture of experts (last value, seasonal naive, exponential smoothing, Theta, Holt-Winters, fold, regression on
    phases, intermittent demand) and of pretrained memory reads are averaged. The shares of network and reads, of the
    panel and of each series, are chosen by held-out windows; series too short for a network are the experts' and the
    reads' alone, very short ones the experts'. `experts_` tells the shares. What covariates known ahead (columns,
    holidays, the calendar's) add to a series is taken off before experts and reads forecast, as far as that lessens
    errors of its past. ``options={"experts": False}`` leaves the network alone, ``{"pretrained": None}`` leaves the
    reads out, and `from_pretrained` leaves the network out.

    *What is guarded*: where the network's part leaves the range of a series' history by more than 3 times (mean and
    median) or 10 times (levels 0.05 to 0.95, beyond them 20) its robust spread, is not finite, or has no width although
    the history varies, the series is forecast by the experts alone; one `SeriesWarning` names such series and the
    reason. Closures that are over and sentinel values (-999) are read as missing, which a warning says. Streams
    forecast with the network alone.

    Args:
        prediction_length: steps to forecast, P. `predict` takes other lengths too. Default: 24.
        context_length: steps the network reads. None chooses: 28 seasons of data finer than a day (four weeks of
            hours), 8 of daily data, 3 of coarser data, at least 2·P, at most 720 steps and half of the median series.
        quantiles: levels to be trained; 0.5 is always among them. Default: 0.05, 0.1, 0.2 … 0.9, 0.95.
        block: "lmm", "mac", "mag", "mal" or "attention"; see `titans_ts.core.TitansConfig`. Default: "mag".
        id_column, timestamp_column, target_column: names in a long table. Several target columns, as a tuple, are the
            channels of one multi-channel series; forecasts then have a column "target" with the channel's name.
            Defaults: "item_id", "timestamp", "target".
        freq: time step as a pandas alias; None infers it.
        lower, upper: what no value lies beyond; None for no bound. "auto": forecasts of series that never were below 0
            stay at or above it, unless they fall so steadily that all of an interval is below (sales need 0 then), and
            there is no upper bound. Default: "auto".
        holidays: countries, such as "DE", "DE-BY" (with a subdivision) or ("DE", "FR"), whose public holidays are known
            covariates, computed from the timestamps: for steps of a day and less whether the day is one, the day before
            or after one, or a bridge day; for longer steps how many there are. Default: none.
        calendar: names of calendar covariates, such as ("weekend", "payday"), computed likewise; see
            `titans_datasets.series.calendar.covariates.CALENDAR`. Default: none.
        weekmask: open days of daily series, such as "Mon Tue Wed Thu Fri Sat" or "1111110"; closed days are neither
            missing nor forecast. Default: None.
        static_covariates: columns that are constant within a series (numbers or categories). Default: none.
        past_covariates: columns known up to the forecast's start. Default: none.
        known_covariates: columns known ahead, such as holidays or published forecasts. Default: none.
        max_steps: gradient steps; training stops earlier when the held-out windows stop improving. 0 gives the
            closed-form linear part alone. Default: 300.
        time_budget: seconds after which training stops with the best model so far. Default: None.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps". Default: "auto".
        random_state: seed, RandomState or None (a random seed). Default: 0.
        options: less common options (dict): "head" ("quantile", "student_t", "normal", "negative_binomial",
            "point"), "channel_mixing" (attention between the series of a table or the channels of a series),
            "patch_length" and the other fields of NetworkConfig; "width", "layers", "heads", "memory"
            ({"kind": "linear"}) and the other fields of TitansConfig; "learning_rate", "batch_size", "progress" (False
            hides the bar) and the other fields of TrainingConfig; "short_series" ("skip", "pad" or "error"),
            "validation_windows" (held out at the end of each series; None holds out about a tenth) and "min_history"
            (steps before a training forecast); "aggregate" ("sum", "mean" …: rows of a shorter step become rows of
            ``freq``) and "snap" (timestamps are moved to the nearest step), as in `SeriesSchema`.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from titans_ts import TitansForecaster
        >>> hours = pd.date_range("2024-01-01", periods=240, freq="h")
        >>> table = pd.DataFrame({"timestamp": hours, "target": 10 + np.sin(np.arange(240) * np.pi / 12)})
        >>> forecaster = TitansForecaster(prediction_length=3, max_steps=0).fit(table)
        >>> forecaster.predict()[["timestamp", "0.5"]].round(2)
                    timestamp    0.5
        0 2024-01-11 00:00:00  10.00
        1 2024-01-11 01:00:00  10.26
        2 2024-01-11 02:00:00  10.50

    Attributes:
        fitted_: all that was learned, as a `FittedForecaster`; the attributes that follow are parts of it.
        n_features_in_, feature_names_in_: columns of X, after ``fit(X, y)``.
        network_: the trained `ForecastNetwork`, on the CPU.
        training_: a `TrainingResult`: steps, best step, losses, why it stopped, seconds; a dict of it after `load`.
        schema_: columns and their roles; frequency_: the time step; encoder_: covariate codes.
        panel_: the training series, from which ``predict()`` forecasts; None after `load`.
        levels_: trained quantile levels.
        channels_: items that channel_mixing made channels, else None.
        experts_: weights of the experts in the forecast of each training series.
    """

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
        lower: float | Literal["auto"] | None = "auto",
        upper: float | Literal["auto"] | None = "auto",
        holidays: str | Sequence[str] = (),
        calendar: str | Sequence[str] = (),
        weekmask: str | None = None,
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
        self.quantiles, self.block = quantiles, block
        self.id_column, self.timestamp_column, self.target_column = id_column, timestamp_column, target_column
        self.freq, self.lower, self.upper = freq, lower, upper
        self.holidays, self.calendar, self.weekmask = holidays, calendar, weekmask
        self.static_covariates, self.past_covariates = static_covariates, past_covariates
        self.known_covariates = known_covariates
        self.max_steps, self.time_budget = max_steps, time_budget
        self.device, self.random_state, self.options = device, random_state, options

    def fit(self, X: object, y: object = None) -> TitansForecaster:
        """Learn from series (y None) or from rows of covariates and their target.

        Ctrl-C ends training and keeps the best model so far. A fit that fails leaves the model of an earlier one.

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
        self._fitted = fit_data(self.get_params(deep=False), X, y, _seed(self.random_state))
        return self

    @classmethod
    def from_pretrained(cls, name: str = "zero", prediction_length: int = 24, **params: Any) -> TitansForecaster:
        """A forecaster without training: pretrained memory reads and the mixture of experts.

        By default `fit` learns nothing but statistics of the panel, in seconds: the weights of the experts, and the
        share of the reads. Before a fit ``predict(X)`` and ``predict_quantiles(X)`` learn them from X, ``score(X)``
        from what lies before the steps that it scores, and keep nothing. `stream` needs no fit either; after one it
        reads with what the fit kept. Covariates known ahead, holidays and the calendar's are read; past and static ones
        are a network's and change nothing.

        Args:
            name: of the weights; "zero" come with the package.
            prediction_length: steps to forecast.
            params: those of the constructor that say nothing of a network. With ``max_steps=200`` a fit takes so many
                gradient steps of the reads' own network on the panel, at most time_budget seconds long, and keeps them
                only where held-out windows are forecast better by them, which `training_` tells; see
                `titans_ts.forecasting.pretrained.tuned`.

        Raises:
            ValueError: there are no weights of that name, a parameter belongs to a network, max_steps is below 0, or
                there is a time_budget without steps.

        Example:
            >>> import numpy as np
            >>> from titans_ts import TitansForecaster
            >>> forecaster = TitansForecaster.from_pretrained("zero", prediction_length=7, quantiles=(0.1, 0.5, 0.9))
            >>> forecaster.predict(np.arange(70.0) % 7)["0.5"].round().tolist()
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        """
        return cls(prediction_length, **untrained_params(name, params))

    def predict(
        self, X: object = None, *, future: pd.DataFrame | None = None, prediction_length: Steps = None
    ) -> pd.DataFrame | FloatArray:
        """Forecast what follows.

        Args:
            X: after ``fit(X)``: the history to forecast from, None for the training data. Item statistics are those of
                this history; the model is not refitted. After ``fit(X, y)``: the rows (n) to be forecast.
            future: long frame with the known covariates of the steps to be forecast.
            prediction_length: steps, those of the constructor where None; or which steps ahead, such as (1, 7, 28):
                their rows alone are returned. More than trained are rolled block by block: every quantile is fed back
                as a path and the paths' forecasts are mixed, so that intervals widen with the horizon; past covariates
                repeat their last season. Such intervals were not trained and are rougher.

        Returns:
            After ``fit(X)`` a frame in the order of the items: id, timestamp, mean, one column a trained level. After
            ``fit(X, y)`` an array (n,) of medians, (n, M) for several targets.

        Raises:
            ValueError: known covariates are missing, or X breaks a rule.
        """
        fitted = self.fitted_ if X is None or not _fits_itself(self) else clone(self).fit(X).fitted_
        if _by_rows(fitted, X, future, prediction_length):
            return forecast_rows(fitted, X, [0.5])[..., 0]
        return forecast_table(fitted, X, fitted.levels, future, prediction_length)

    def predict_quantiles(
        self,
        X: object = None,
        quantiles: Sequence[float] | None = None,
        *,
        future: pd.DataFrame | None = None,
        prediction_length: Steps = None,
    ) -> pd.DataFrame | FloatArray:
        """Quantile forecasts; see `predict` for the arguments.

        Args:
            quantiles: levels, the trained ones where None. Those between trained ones are interpolated, linearly; a
                distribution head, or a forecaster without a network, gives any level itself.

        Returns:
            After ``fit(X)`` a frame: id, timestamp, one column a level. After ``fit(X, y)`` an array (n, Q).

        Raises:
            ValueError: a level lies beyond the outermost trained ones, or as in `predict`.
        """
        fitted = self.fitted_ if X is None or not _fits_itself(self) else clone(self).fit(X).fitted_
        levels = fitted.levels if quantiles is None else [float(level) for level in quantiles]
        if _by_rows(fitted, X, future, prediction_length):
            return forecast_rows(fitted, X, levels)
        return forecast_table(fitted, X, levels, future, prediction_length).drop(columns="mean")

    def score(self, X: object, y: object = None) -> float:
        """Minus the weighted quantile loss (higher is better, 0 is perfect), the mean over all trained levels.

        With y (after ``fit(X, y)``) the rows X are forecast as in `predict`. Without y, X holds series: those that
        begin after the training data are forecast from the training data; otherwise the last prediction_length steps of
        each series of X are forecast from what lies before them in X.

        Args:
            X: rows or series.
            y: the target of the rows, None for series.
        """
        if y is None and _fits_itself(self):
            return -loss_unfitted(self.get_params(deep=False), _seed(self.random_state), X)
        fitted = self.fitted_
        rows = score_series(fitted, X) if y is None else (np.asarray(y, float), forecast_rows(fitted, X, fitted.levels))
        return -metrics.weighted_quantile_loss(rows[0], rows[1], fitted.levels)

    def backtest(
        self,
        X: object,
        windows: int | None = None,
        step: int | None = None,
        *,
        refit: bool = True,
        ablation: bool = False,
    ) -> BacktestResult[TitansForecaster]:
        """Score rolling forecasts beside the linear part alone, a ridge regression and the seasonal naive forecast.

        A clone is fitted once, on everything before the first cutoff; each window is then forecast from the history up
        to its own cutoff. This forecaster stays as it is.

        Two rows tell what the network adds. "linear part alone" leaves out everything that gradient steps have learned:
        encoder, attention, memory and head. "attention instead of memory" (with ``ablation=True``) leaves out the
        memory only: the same forecaster fitted with ``block="attention"``, with the same parameters, limits of training
        and windows.

        Args:
            X: series of any accepted kind.
            windows: number of windows a series; None takes what fits into the last fifth of the series, 20 at most.
            step: steps between cutoffs, prediction_length where None.
            refit: False scores this fitted (or loaded) forecaster instead of a clone; see that it was fitted on other
                data than these windows.
            ablation: whether to fit a second time, with attention instead of memory; it takes about as long again.

        Raises:
            ValueError: windows or step is below 1, or no series is long enough; or ablation with ``refit=False`` or
                with the block "attention".
        """
        check_params(self.get_params(deep=False))
        if refit:
            copy = clone(self)
            result = run_backtest(copy.get_params(deep=False), _seed(copy.random_state), X, windows, step, ablation)
            copy._fitted = result.forecaster
            return result.held_by(copy)
        if ablation:
            raise ValueError("ablation=True needs a second fit, got refit=False: leave refit out, or ablation=False")
        return backtest_fitted(self.fitted_, X, windows, step).held_by(self)

    def residuals(self, X: object = None, windows: int | None = None) -> pd.DataFrame:
        """What came minus its forecast, in the last windows of series; those of the fit were seen in training.

        Args:
            X: as in `predict` after ``fit(X)``.
            windows: of prediction_length steps, side by side; None takes the last fifth of the series, 20 at most.

        Returns:
            Long frame: id, cutoff (what the forecast has read), timestamp, actual, "0.5", residual (actual − median).

        Raises:
            ValueError: as in `backtest`.
        """
        return residual_frame(backtest_fitted(self.fitted_, X, windows, None))

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
            actual: long frame of the values that came, to be drawn over the forecast.
            path: where to write the picture as well.
        """
        fitted = self.fitted_
        forecast = forecast_table(fitted, X, fitted.levels, future, prediction_length)
        return draw_forecast(fitted, inputs.read_history(fitted, X), forecast, items=items, actual=actual, path=path)

    def report(self, X: object = None, backtest: BacktestResult[Any] | None = None, **options: Any) -> HTMLReport:
        """The forecast, how good its backtest was and what it was made of, as a page; docs/report.md shows one.

        ``forecaster.report(backtest=forecaster.backtest(table)).to_html("report.html")`` writes it as one file with
        pictures that can be moved and tables that can be sorted; a notebook shows it in a cell.

        Args:
            X: as in `predict` after ``fit(X)``.
            backtest: of this forecaster; None leaves the scores out, and the report says so.
            options: future and prediction_length as in `predict`; items: series that have a picture ("item · channel"
                with several targets), up to 50 are chosen by default.

        Raises:
            ValueError: as in `predict`, or an item that is not in the forecast.
        """
        return report.report_of(self.fitted_, self.get_params(deep=False), X, backtest, **options)

    def stream(
        self, history: object = None, *, memory: MemoryUse = "window", late: LateUse = "error"
    ) -> TitansStream | PretrainedStream:
        """A session that has read the history and takes in what follows, at the same cost however much it has seen.

        Args:
            history: series of any kind that `predict` accepts, None for the training data.
            memory: what forecasts come from. "window", the default, reads the last context_length steps at each
                forecast, as `predict` does; "carried" goes on from a memory that has read everything. See
                `titans_ts.forecasting.streaming.session` for the definitions and how they compare.
            late: values for steps that have passed are an error ("error", the default), fill a missing step of the
                window ("fill"), or are left out ("ignore").

        Returns:
            After `from_pretrained` a `PretrainedStream`: the reads alone, with memories that have read everything. It
            begins empty where there is neither a history nor a fit, and has no choice of memory and late.

        Raises:
            ValueError: unknown memory or late, or the history breaks a rule.
        """
        if _untrained(self):
            return _untrained_stream(self, history, memory, late)
        return start_stream(self.fitted_, inputs.read_history(self.fitted_, history), memory, late)[0]

    def update(self, X: object) -> TitansForecaster:
        """Add observations to the data that `predict()` forecasts from; the fitted weights stay as they are.

        Args:
            X: series of any accepted kind. They continue those known (steps in between are missing) or are new. Rows
                of steps that are known must agree with them, and fill in what is missing there. After `load` they
                become the data to forecast from.

        Returns:
            The forecaster itself.

        Raises:
            ValueError: X contradicts the known data, begins before them or does not lie on their grid, the model was
                fitted with ``fit(X, y)``, or it mixes other series.
        """
        self._fitted = updated(self.fitted_, X)
        return self

    def surprise(self, X: object = None) -> pd.DataFrame:
        """How much each token surprised the memories while they read series from their beginning.

        Args:
            X: series of any accepted kind, None for the training data.

        Returns:
            One row a series and token, at the token's last step: id, timestamp, "surprise", its parts "patch", "step",
            "dynamics" and "season" in standard deviations (see `titans_ts.forecasting.streaming.detection`), and
            "loss.n.h", "gradient.n.h" for every memory n and head h. NaN where nothing was observed; surprise and parts
            also in the first context_length steps, which are read in units of their own future, and in the ten tokens
            after them.

        Raises:
            ValueError: the model has no memory, or no series is as long as the context.
        """
        return alarms.surprise_table(self.fitted_, X)

    def detect(self, X: object, false_alarm_rate: float = 0.01, *, history: object = None) -> pd.DataFrame:
        """Alarms: tokens that surprise the memories more than the history did.

        Args:
            X: long table of what follows the history.
            false_alarm_rate: share of the tokens that may be alarms where nothing has changed. The threshold is the
                conformal quantile of the history's surprise; a rate r needs about 1.5 / r tokens of history.
            history: what came before X, None for the training data.

        Returns:
            One row a series and token: id, timestamp, "surprise", "threshold", "alarm", and the parts of the surprise
            as in `surprise`.

        Raises:
            ValueError: the history is too short for the rate, X does not follow it, or the model has no memory.
        """
        return alarms.alarm_table(self.fitted_, X, false_alarm_rate, history)

    def plot_surprise(
        self,
        X: object,
        false_alarm_rate: float = 0.01,
        *,
        history: object = None,
        items: Sequence[Hashable] | None = None,
        path: str | PathLike[str] | None = None,
    ) -> Figure:
        """Series, surprise, threshold and alarms as a matplotlib figure.

        Args:
            X, false_alarm_rate, history: as in `detect`.
            items: series to show ("item · channel" with several targets); None shows the four with most alarms.
            path: where to write the picture as well.

        Raises:
            ValueError: as `detect`, an unknown item, or an unknown suffix of the path.
        """
        found = alarms.alarm_table(self.fitted_, X, false_alarm_rate, history)
        return alarms.draw_alarms(self.fitted_, X, found, items=items, path=path)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted model as a folder: config.json and model.safetensors, replaced as a whole or not at all.

        The training data are not stored.

        Raises:
            FileExistsError: something that is no model lies at the path.
        """
        return save_forecaster(path, self.fitted_, self.get_params(deep=False))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TitansForecaster:
        """The forecaster of a folder; pass the history to `predict`, it is not stored.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the folder is foreign, damaged, from a newer version or from titans-ts 0.1.
        """
        fitted, params = load_forecaster(path)
        with rebuilding(path):
            forecaster = cls(**params)
        forecaster._fitted = fitted
        return forecaster

    @property
    def network_(self) -> ForecastNetwork:
        """The trained network."""
        return self.fitted_.network

    @property
    def training_(self) -> TrainingResult | dict[str, Any]:
        """What training did."""
        return self.fitted_.training

    @property
    def schema_(self) -> SeriesSchema:
        """Columns and their roles."""
        return self.fitted_.schema

    @property
    def frequency_(self) -> Frequency:
        """The time step."""
        return self.fitted_.frequency

    @property
    def encoder_(self) -> CovariateEncoder | None:
        """Covariate codes."""
        return self.fitted_.encoder

    @property
    def panel_(self) -> SeriesPanel | None:
        """The series that `predict()` forecasts from."""
        return self.fitted_.panel

    @property
    def levels_(self) -> list[float]:
        """Trained quantile levels."""
        return self.fitted_.levels

    @property
    def experts_(self) -> pd.DataFrame:
        """Weights of the experts in the forecast of each training series, averaged over the horizon.

        One row a series ("item · channel" with several targets); one column an expert, the network (or the linear part,
        where nothing else of it was kept) first. Rows sum to 1.

        Raises:
            ValueError: the model was loaded, so that there are no training series.
        """
        fitted = self.fitted_
        panel = inputs.read_history(fitted, None)
        return fitted.expert_weights(panel.records, fitted.network.config.prediction_length)

    @property
    def channels_(self) -> list[Hashable] | None:
        """Items that channel_mixing made channels."""
        return self.fitted_.channels


def _seed(random_state: int | np.random.RandomState | None) -> int:
    return int(check_random_state(random_state).randint(2**31 - 1))


def _fits_itself(forecaster: TitansForecaster) -> bool:
    """Whether it is not fitted, and needs no training to be."""
    return not forecaster.__sklearn_is_fitted__() and _untrained(forecaster)


def _untrained(forecaster: TitansForecaster) -> bool:
    """Whether it comes from `from_pretrained`."""
    return dict(forecaster.options or {}).get("network") is False


def _by_rows(fitted: FittedForecaster, X: object, *others: object) -> bool:
    """Whether X are rows to be forecast.

    Raises:
        ValueError: they are not given, or other arguments are.
    """
    if fitted.row_counts is not None and (X is None or any(other is not None for other in others)):
        raise ValueError(
            "the model was fitted with fit(X, y): pass the rows to be forecast, and nothing else, to predict(X); or "
            "fit(X) on a table with the target"
        )
    return fitted.row_counts is not None


def _untrained_stream(forecaster: TitansForecaster, history: object, memory: str, late: str) -> PretrainedStream:
    """A session of pretrained weights: of a history, of the data of a fit, or empty."""
    require((memory, late) == ("window", "error"), "memory and late", "left out", (memory, late))
    named = [name for name in ("holidays", "calendar") if getattr(forecaster, name)]
    require(not named, "holidays and calendar", "left out: a pretrained stream reads no covariates", named)
    there = forecaster.__sklearn_is_fitted__()
    panel = forecaster.panel_ if history is None and there else None
    params = forecaster.get_params(deep=False)
    beside = forecaster.fitted_.mixture.companion if there else None
    if beside is not None and isinstance(beside.source, PretrainedReads):
        weights = beside.source.pretrained
    else:
        weights = load_pretrained(dict(params["options"]).get("pretrained", "zero"))
    return pretrained_session(weights, forecaster, inputs.make_schema(params, history), history, panel)
