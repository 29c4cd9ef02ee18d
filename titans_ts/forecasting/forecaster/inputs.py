"""Series that the forecaster is given, as panels of records; rows beside a target are in `rows`.

Shapes: n rows, I items, M channels, T steps.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from titans_datasets import builtin
from titans_datasets.foreign import as_pandas
from titans_datasets.series import (
    Frequency,
    SeriesPanel,
    SeriesRecord,
    SeriesSchema,
    read_table,
    to_records,
)
from titans_datasets.series.calendar.weekmask import masked_frequency
from titans_datasets.series.read.panel import warn
from titans_datasets.series.read.tables import is_wide, long_of_wide, with_time_column
from titans_datasets.series.time.calendar_features import covariate_columns
from titans_datasets.series.time.timestamps import TimeKind, to_nanoseconds
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.sizes import READING

MIXED_ITEM = "panel"
# Columns of a forecast beside its keys and levels: what it was forecast by, and the channel of several targets.
MEAN, FORECAST_BY, CHANNEL_COLUMN = "mean", "forecast_by", "target"


def make_schema(params: Mapping[str, Any], data: object) -> SeriesSchema:
    """Columns and roles by the parameters; of a built-in data set its own, where the parameters are the defaults.

    Raises:
        ValueError: a column has two roles, or the name of a column of results.
    """
    target, freq = params["target_column"], params["freq"]
    reading = {name: value for name, value in dict(params["options"] or {}).items() if name in READING}
    schema = SeriesSchema(
        id_column=params["id_column"],
        timestamp_column=params["timestamp_column"],
        target_column=target if isinstance(target, str) else tuple(target),
        freq=masked_frequency(params["weekmask"], freq if freq is None or isinstance(freq, str) else freq.freqstr),
        static_covariates=tuple(params["static_covariates"]),
        past_covariates=tuple(params["past_covariates"]),
        known_covariates=tuple(params["known_covariates"]),
        **reading,
    )
    check_keys(schema, forecast_columns(params["quantiles"]))
    if isinstance(data, str) and data.startswith(builtin.PREFIX) and replace(schema, freq=None) == SeriesSchema():
        own = builtin.schema(data)
        return replace(own, freq=schema.freq or own.freq)
    return schema


def check_keys(schema: SeriesSchema, results: Sequence[str]) -> None:
    """Refuse key columns that have the name of a column of results: one of the two would be lost.

    Args:
        schema: names of the columns.
        results: columns of the results beside the keys.

    Raises:
        ValueError: a key column is called like a result.

    Example:
        >>> check_keys(SeriesSchema(id_column="mean"), forecast_columns([0.5]))
        Traceback (most recent call last):
        ...
        ValueError: id_column='mean' is also the name of a column of results: rename the column
    """
    taken = {*results, *((CHANNEL_COLUMN,) if schema.multichannel else ())}
    for role in ("id_column", "timestamp_column"):
        if getattr(schema, role) in taken:
            name = getattr(schema, role)
            raise ValueError(f"{role}={name!r} is also the name of a column of results: rename the column")


def forecast_columns(levels: Sequence[float]) -> list[str]:
    """Columns of a forecast beside its keys."""
    return [MEAN, FORECAST_BY, *(f"{level:g}" for level in levels)]


def read_history(fitted: FittedForecaster, data: object, like: TimeKind | None = None) -> SeriesPanel:
    """Records to forecast from: of the data, by the columns, codes and time step of the fit; its own where None.

    Args:
        fitted: the model.
        data: series of any kind that `to_records` accepts, or None.
        like: as in `to_records`.

    Raises:
        ValueError: a loaded model is given no data, the data are coarser than the fit's or lack one of the series that
            the model mixes; or what `to_records` raises.
    """
    if data is None:
        if fitted.panel is None:
            raise ValueError("a loaded model has no training data: pass the history, such as predict(X)")
        return fitted.panel
    schema = replace(fitted.schema, freq=fitted.frequency.offset_alias)
    panel = to_records(data, schema, encoder=fitted.encoder, like=like)
    _check_step(panel, fitted.frequency)
    check_dates(panel, covariate_columns(fitted.frequency, fitted.network.config.calendar) > 0)
    warn(panel.notes, stacklevel=5)
    if fitted.channels is None:
        return panel
    if set(panel.item_ids) != set(fitted.channels):
        raise ValueError(
            f"the model mixes the series {list(map(str, fitted.channels))}, got {list(map(str, panel.item_ids))}: pass "
            "the same series"
        )
    order = [panel.item_ids.index(item) for item in fitted.channels]
    return item_panel(replace(panel, records=[panel.records[place] for place in order]))


def check_dates(panel: SeriesPanel, needed: bool) -> None:
    """Refuse series that count steps where holidays or calendar covariates need dates.

    Raises:
        ValueError: dates are needed, and there are none.
    """
    if needed and panel.time.kind == "ordinal":
        raise ValueError(
            "holidays and calendar covariates need dates, but the timestamps are step numbers: pass dates, or leave "
            "out holidays and calendar"
        )


def _check_step(panel: SeriesPanel, frequency: Frequency) -> None:
    """Refuse data of a coarser step: they would lie on the grid of the fit with nothing in between."""
    for record in panel.records:
        every = _closest(record)
        if every > 1:
            raise ValueError(
                f"item {record.item_id!r} has a value at most every {every} steps of {frequency}, which is the step of "
                "the fit: pass data of that step, or fit a model on these data with a freq= of theirs"
            )


def check_declared_step(panel: SeriesPanel) -> None:
    """Refuse a declared step that is finer than that of all series.

    Raises:
        ValueError: no series has values on neighbouring steps.
    """
    closest = [_closest(record) for record in panel.records]
    if closest and min(closest) > 1:
        record = panel.records[0]
        raise ValueError(
            f"no series has values on two steps of {panel.frequency} in a row, item {record.item_id!r} has one at most "
            f"every {closest[0]} steps: pass freq= of the data, or leave it out"
        )


def _closest(record: SeriesRecord) -> int:
    """Steps between the two nearest observed ones of a record; 1 where it has fewer than three."""
    seen = np.flatnonzero(np.isfinite(np.atleast_2d(record.target)).any(axis=0))
    return int(np.diff(seen).min()) if len(seen) >= 3 else 1


def item_panel(panel: SeriesPanel) -> SeriesPanel:
    """All series as the channels of one record, on the union of their steps; for mixing between series.

    Raises:
        ValueError: the records carry covariates or have several channels.
    """
    first = panel.records[0]
    if panel.encoder is not None or first.target.ndim == 2:
        raise ValueError(
            "channel_mixing over the items of a long table works without covariates: drop them, or pass a table with "
            "one column a channel and target_column=(…)"
        )
    starts = to_nanoseconds(pd.DatetimeIndex([record.start for record in panel.records]))
    begin = panel.records[int(starts.argmin())].start
    origin = np.full(len(starts), to_nanoseconds(pd.DatetimeIndex([begin]))[0])
    shifts, _ = panel.frequency.positions(starts, origin)
    ends = shifts + np.array([record.length for record in panel.records])
    target = np.full((len(starts), int(ends.max())), np.nan)
    for row, (record, shift) in enumerate(zip(panel.records, shifts, strict=True)):
        target[row, shift : shift + record.length] = record.target
    return replace(panel, records=[SeriesRecord(MIXED_ITEM, begin, first.freq, target, timezone=first.timezone)])


def mixed(
    panel: SeriesPanel, schema: SeriesSchema, options: Mapping[str, Any] | None
) -> tuple[SeriesPanel, list[Hashable] | None]:
    """The panel, with its series as channels of one record where the options ask for mixing; and these series."""
    if schema.multichannel or not dict(options or {}).get("channel_mixing"):
        return panel, None
    return item_panel(panel), panel.item_ids


def cut(record: SeriesRecord, length: int) -> SeriesRecord:
    """The first `length` steps of a record, without anything later."""
    past, known = record.past_feat_dynamic_real, record.feat_dynamic_real
    return replace(
        record,
        target=record.target[..., :length],
        past_feat_dynamic_real=None if past is None else past[:, :length],
        feat_dynamic_real=None if known is None else known[:, :length],
    )


def table_of(data: object, schema: SeriesSchema) -> pd.DataFrame:
    """A long frame, or the one that lies at a path, with its time index as a column.

    A wide frame (time index, a column a series) becomes a long one, as in `to_records`.

    Raises:
        TypeError: the data are neither a frame nor a path.
    """
    data = as_pandas(data)
    if not isinstance(data, (pd.DataFrame, str, PathLike)):
        raise TypeError(f"expected a DataFrame of rows with timestamps or the path of one, got {type(data).__name__}")
    frame = data if isinstance(data, pd.DataFrame) else read_table(data)
    return long_of_wide(frame, schema) if is_wide(frame, schema) else with_time_column(frame, schema)
