"""What the HTML reports of forecasts and alarms tell, gathered from a fitted forecaster and what it found.

Shapes: R rows (series × channels), E experts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from titans_datasets.series import SeriesPanel
from titans_ts.forecasting.backtest.result import BacktestResult
from titans_ts.forecasting.explanation import explained
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.continuation import forecast_and_weights
from titans_ts.forecasting.forecaster.frames import history_frame, one_series_a_channel
from titans_ts.forecasting.forecaster.inputs import CHANNEL_COLUMN, FORECAST_BY, read_history
from titans_ts.report.alarms import AlarmRecord, alarm_report
from titans_ts.report.forecast import ForecastRecord, forecast_report
from titans_ts.report.page import HTMLReport
from titans_ts.report.series import Columns


def report_of(
    fitted: FittedForecaster,
    settings: Mapping[str, Any],
    data: object,
    backtest: BacktestResult[Any] | None = None,
    *,
    items: Sequence[Hashable] | None = None,
    future: pd.DataFrame | None = None,
    prediction_length: int | None = None,
) -> HTMLReport:
    """The report of what follows the data; see `TitansForecaster.report`."""
    found = forecast_and_weights(fitted, data, fitted.levels, future, prediction_length)
    return report_forecast(fitted, settings, read_history(fitted, data), found, backtest, items=items)


def report_forecast(
    fitted: FittedForecaster,
    settings: Mapping[str, Any],
    panel: SeriesPanel,
    found: tuple[pd.DataFrame, pd.DataFrame],
    backtest: BacktestResult[Any] | None = None,
    *,
    items: Sequence[Hashable] | None = None,
    name: str | None = None,
) -> HTMLReport:
    """The report of a forecast that was made.

    Args:
        fitted: what forecast it.
        settings: of the forecaster.
        panel: the series that it continues.
        found: the forecast and the weights (R, E), as `forecast_and_weights` returns them.
        backtest: of the forecaster.
        items: series that have a picture ("item · channel" with several targets); None has them chosen.
        name: of the data.
    """
    schema, history = fitted.schema, history_frame(panel, fitted.schema, fitted.channels)
    forecast = found[0].drop(columns=FORECAST_BY, errors="ignore")
    earlier = None if backtest is None else backtest.forecasts
    if schema.multichannel:
        if earlier is not None:
            earlier = one_series_a_channel(history, earlier, schema)[1]
        history, forecast = one_series_a_channel(history, forecast, schema)
    target = CHANNEL_COLUMN if schema.multichannel else schema.targets[0]
    step = panel.frequency.offset_alias
    record = ForecastRecord(
        name=name or "",
        columns=Columns(schema.id_column, schema.timestamp_column, target),
        step=step if step[:1].isdigit() else f"1 {step}",
        history=history,
        forecast=forecast,
        backtest=backtest,
        earlier=earlier,
        weights=found[1],
        told=explained(fitted, found[1], settings.get("options")),
        data=[*panel.summary(), *panel.notes],
        settings=settings,
        items=items,
    )
    return forecast_report(record)


def report_alarms(
    fitted: FittedForecaster,
    settings: Mapping[str, Any],
    panel: SeriesPanel,
    later: pd.DataFrame,
    found: pd.DataFrame,
    rate: float,
    *,
    items: Sequence[Hashable] | None = None,
    name: str | None = None,
) -> HTMLReport:
    """The report of a detection.

    Args:
        fitted: what detected.
        settings: of the forecaster.
        panel: all series, history included.
        later: long table of what was watched.
        found: alarms in it, as `TitansForecaster.detect` returns them.
        rate: the false-alarm rate.
        items: series that have a picture ("item · channel" with several targets); None has them chosen.
        name: of the data.
    """
    schema = fitted.schema
    if schema.multichannel:
        later, found = one_series_a_channel(later, found, schema)
    target = CHANNEL_COLUMN if schema.multichannel else schema.targets[0]
    return alarm_report(
        AlarmRecord(
            name=name or "",
            columns=Columns(schema.id_column, schema.timestamp_column, target),
            series=later,
            found=found,
            rate=rate,
            data=[*panel.summary(), *panel.notes],
            settings=settings,
            items=items,
        )
    )
