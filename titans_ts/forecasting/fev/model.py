"""TitansModel: the forecaster as a model of fev, the evaluation package of AutoGluon. Needs `titans-ts[fev]`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    import fev
except ImportError as error:
    raise ImportError(f"TitansModel needs fev ({error}): install it with pip install 'titans-ts[fev]'") from error

from titans_ts.forecasting import TitansForecaster
from titans_ts.forecasting.fev.frames import fev_columns, forecast_window, point_forecast, task_schema, window_frames

if TYPE_CHECKING:
    import pandas as pd

    from titans_datasets.series import SeriesSchema

# Hugging Face's package, which fev brings; by this name a type checker sees the folder `datasets` of the repository.
hf_datasets: Any = import_module("datasets")


class TitansModel(fev.ForecastingModel):  # type: ignore[misc, unused-ignore]
    """Trains on a task's past and forecasts its windows: ``TitansModel().fit_predict(task)``.

    The task gives horizon, quantile levels, columns, time step and the roles of covariates. By default the forecaster
    is fitted once, on what lies before the first cutoff, and forecasts each later window from the history up to that
    window's cutoff. Tasks of several targets are forecast as channels of one series.

    Args:
        forecaster: everything else, such as max_steps, context_length, block, options; None takes the defaults. It is
            copied, never fitted itself.
        pretrained: name of pretrained weights, such as "zero": nothing is trained, see
            `TitansForecaster.from_pretrained`. None trains the forecaster.
        refit: fit again at every window. Default: False.
        point: "predictions" are the "median" or the "mean"; "auto" takes the mean when the task's metric is MSE, RMSE
            or RMSSE, the median for all others. Default: "auto".

    Attributes:
        training_time, inference_time: seconds of the last `fit_predict`.
        forecaster_: the forecaster fitted last.

    Example:
        >>> import fev  # doctest: +SKIP
        >>> task = fev.Task("series.parquet", horizon=12)  # doctest: +SKIP
        >>> predictions = TitansModel(pretrained="zero").fit_predict(task)  # doctest: +SKIP
    """

    model_name = "titans"
    forecaster_: TitansForecaster

    def __init__(
        self,
        forecaster: TitansForecaster | None = None,
        *,
        pretrained: str | None = None,
        refit: bool = False,
        point: str = "auto",
    ) -> None:
        super().__init__()
        if pretrained is not None and forecaster is not None:
            raise ValueError("pretrained takes the place of a forecaster: pass one of them")
        if pretrained is not None:
            forecaster = TitansForecaster.from_pretrained(pretrained)
        self.forecaster = forecaster
        self.refit = refit
        self.point = point

    def _fit_predict(self, task: fev.Task) -> list[Any]:
        """Predictions of all windows, a `datasets.DatasetDict` each, as `fev.Task.evaluation_summary` takes them.

        Raises:
            ValueError: an item has no value before a cutoff, series are too short to train on, known covariates are
                missing, or point is out of range.
        """
        point = point_forecast(self.point, task.eval_metric)
        results: list[Any] = []
        fitted: TitansForecaster | None = None
        for window in task.iter_windows():
            schema = task_schema(task, task.freq)
            past, future, static = fev.convert_input_data(window, adapter="pandas")
            frames = window_frames(past, future, static, schema)
            if fitted is None or self.refit:
                with self._record_training_time():
                    fitted = self._fresh(task, schema).fit(frames.past)
            with self._record_inference_time():
                found = forecast_window(frames, schema, task.horizon, fitted.levels_, _predictor(fitted))
            columns = fev_columns(found, schema.targets, task.quantile_levels, point)
            results.append(
                hf_datasets.DatasetDict({name: hf_datasets.Dataset.from_dict(parts) for name, parts in columns.items()})
            )
        assert fitted is not None, "a task has at least one window"
        self.forecaster_ = fitted
        return results

    def _fresh(self, task: fev.Task, schema: SeriesSchema) -> TitansForecaster:
        """An unfitted forecaster with the settings of ours and the columns of the task."""
        given = {} if self.forecaster is None else self.forecaster.get_params(deep=False)
        levels = {"quantiles": tuple(task.quantile_levels)} if task.quantile_levels else {}
        return TitansForecaster(
            **{
                **given,
                **levels,
                "prediction_length": task.horizon,
                "id_column": schema.id_column,
                "timestamp_column": schema.timestamp_column,
                "target_column": schema.target_column,
                "freq": schema.freq,
                "static_covariates": schema.static_covariates,
                "past_covariates": schema.past_covariates,
                "known_covariates": schema.known_covariates,
            }
        )


def _predictor(forecaster: TitansForecaster) -> Any:
    def predict(history: pd.DataFrame, future: pd.DataFrame | None, steps: int) -> pd.DataFrame | Any:
        return forecaster.predict(history, future=future, prediction_length=steps)

    return predict
