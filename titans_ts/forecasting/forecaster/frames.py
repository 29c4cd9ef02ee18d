"""Forecasts and histories as long frames, with the caller's names, order and kind of timestamps; and their picture.

Shapes: I items, H horizon, M channels, Q quantile levels, n rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series import SeriesPanel, SeriesSchema
from titans_datasets.series.read.tables import with_dates
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.inputs import CHANNEL_COLUMN, check_keys, forecast_columns, table_of
from titans_ts.forecasting.model.network import Forecast

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def level_name(level: float) -> str:
    """Column name of a quantile level: "0.05", "0.5"."""
    return f"{level:g}"


def forecast_frame(
    panel: SeriesPanel,
    forecast: Forecast,
    levels: Sequence[float],
    schema: SeriesSchema,
    channels: Sequence[Hashable] | None = None,
) -> pd.DataFrame:
    """One row an item and step: id, timestamp, mean and the levels.

    Args:
        panel: records of the past.
        forecast: mean (I, H[, M]), quantiles (I, H[, M], Q).
        levels: Q.
        schema: names of the columns. Several targets add a column "target" (the channel's name) after the id.
        channels: items that are the channels of a mixed panel: they become the ids.

    Raises:
        ValueError: a key column has the name of a result.
    """
    check_keys(schema, forecast_columns(levels))
    mean = forecast.mean.numpy()
    items, horizon = mean.shape[:2]
    stamps = _stamps_after(panel, horizon)
    ids = pd.Index(panel.item_ids).repeat(horizon)
    columns: dict[str, object] = {}
    quantiles = forecast.quantiles.numpy()
    if mean.ndim == 3:
        count = mean.shape[2]
        names = pd.Index(list(schema.targets if channels is None else channels), dtype=object)
        stamps = np.repeat(stamps.reshape(items, 1, horizon), count, axis=1).reshape(-1)
        mean, quantiles = mean.swapaxes(1, 2), quantiles.swapaxes(1, 2)
        channel = names.repeat(horizon)
        channel = channel.append([channel] * (items - 1)) if items > 1 else channel
        ids = pd.Index(panel.item_ids).repeat(horizon * count) if channels is None else channel
        if channels is None:
            columns = {CHANNEL_COLUMN: channel}
    columns = {schema.id_column: ids, **columns}
    columns[schema.timestamp_column] = panel.time.restore(pd.DatetimeIndex(stamps), panel.frequency)
    columns["mean"] = mean.reshape(-1)
    for place, level in enumerate(levels):
        columns[level_name(level)] = quantiles[..., place].reshape(-1)
    return pd.DataFrame(columns)


def _stamps_after(panel: SeriesPanel, horizon: int) -> npt.NDArray[Any]:
    """The H stamps after each series (I · H,). Most series end together, and making a range takes 0.4 ms."""
    step = panel.frequency
    firsts = [step.shift(record.start, record.length) for record in panel.records]
    ranges = {first: step.range(first, horizon).to_numpy() for first in set(firsts)}
    return np.concatenate([ranges[first] for first in firsts])


def history_frame(panel: SeriesPanel, schema: SeriesSchema, channels: Sequence[Hashable] | None = None) -> pd.DataFrame:
    """The records as a long frame: id, timestamp, target column(s); gaps as missing values."""
    stamps = np.concatenate([record.index.to_numpy() for record in panel.records])
    lengths = [record.length for record in panel.records]
    index = panel.time.restore(pd.DatetimeIndex(stamps), panel.frequency)
    values = np.concatenate([np.atleast_2d(record.target).T for record in panel.records])
    if channels is not None:
        count, steps = len(channels), len(index)
        return pd.DataFrame(
            {
                schema.id_column: pd.Index(list(channels), dtype=object).repeat(steps),
                schema.timestamp_column: index.append([index] * (count - 1)),
                schema.targets[0]: values.T.reshape(-1),
            }
        )
    columns: dict[str, object] = {
        schema.id_column: pd.Index(panel.item_ids).repeat(lengths),
        schema.timestamp_column: index,
    }
    columns.update({name: values[:, place] for place, name in enumerate(schema.targets)})
    return pd.DataFrame(columns)


def long_table(panel: SeriesPanel, table: object, schema: SeriesSchema) -> pd.DataFrame:
    """A long frame of a panel: the table it was read from, with dates, where the schema has covariates."""
    if schema.covariates:
        return with_dates(table_of(table, schema), schema.timestamp_column, panel.time, panel.frequency)
    return history_frame(panel, schema)


def draw_forecast(
    fitted: FittedForecaster,
    panel: SeriesPanel,
    forecast: pd.DataFrame,
    *,
    items: Sequence[Hashable] | None,
    actual: pd.DataFrame | None,
    path: str | PathLike[str] | None,
) -> Figure:
    """Draw a model's forecast frame after the panel it continues; see `plot_forecast` for the other arguments."""
    # Imported here: a forecast needs no matplotlib.
    from titans_ts.forecasting.plot import plot_forecast

    schema, history = fitted.schema, history_frame(panel, fitted.schema, fitted.channels)
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


def one_series_a_channel(
    history: pd.DataFrame, forecast: pd.DataFrame, schema: SeriesSchema
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames with ids such as "item · channel" and one target column, for plots of several targets."""
    name = schema.id_column
    parts = [
        history[[name, schema.timestamp_column]].assign(
            **{name: _joined(history[name], channel), CHANNEL_COLUMN: history[channel]}
        )
        for channel in schema.targets
    ]
    ids = _joined(forecast[name], forecast[CHANNEL_COLUMN])
    return pd.concat(parts, ignore_index=True), forecast.drop(columns=CHANNEL_COLUMN).assign(**{name: ids})


def _joined(items: pd.Series[Any], channels: pd.Series[Any] | str) -> pd.Series[Any]:
    return items.astype(str) + " · " + channels
