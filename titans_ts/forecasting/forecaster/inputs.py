"""What the forecaster is given, as panels of records: tables of series, or rows of covariates beside a target.

Shapes: n rows, F columns, I items, M channels, T steps.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets import builtin
from titans_datasets.series import (
    CovariateEncoder,
    Frequency,
    SeriesPanel,
    SeriesRecord,
    SeriesSchema,
    read_table,
    to_records,
)
from titans_datasets.series.read.tables import is_wide, item_codes, with_time_column
from titans_datasets.series.time.timestamps import TimeKind, read_stamps, to_nanoseconds
from titans_datasets.text import some

Int64Array = npt.NDArray[np.int64]
MIXED_ITEM = "panel"


def make_schema(params: Mapping[str, Any], data: object) -> SeriesSchema:
    """Columns and roles as the parameters say; those of a built-in set where they say nothing."""
    target = params["target_column"]
    freq = params["freq"]
    schema = SeriesSchema(
        id_column=params["id_column"],
        timestamp_column=params["timestamp_column"],
        target_column=target if isinstance(target, str) else tuple(target),
        freq=freq if freq is None or isinstance(freq, str) else freq.freqstr,
        static_covariates=tuple(params["static_covariates"]),
        past_covariates=tuple(params["past_covariates"]),
        known_covariates=tuple(params["known_covariates"]),
    )
    if isinstance(data, str) and data.startswith(builtin.PREFIX) and replace(schema, freq=None) == SeriesSchema():
        own = builtin.schema(data)
        return replace(own, freq=schema.freq or own.freq)
    return schema


def read_history(
    data: object,
    schema: SeriesSchema,
    frequency: Frequency,
    encoder: CovariateEncoder | None,
    like: TimeKind | None = None,
) -> SeriesPanel:
    """Fresh data for a fitted model: the columns, codes and time step of the fit.

    Args:
        data, schema, encoder, like: as in `to_records`.
        frequency: of the fit.

    Raises:
        ValueError: the data are coarser than the fit's, or what `to_records` raises.
    """
    panel = to_records(data, replace(schema, freq=frequency.offset_alias), encoder=encoder, like=like)
    for record in panel.records:
        seen = np.flatnonzero(np.isfinite(np.atleast_2d(record.target)).sum(axis=0))
        # Data of a coarser step would lie on this grid with nothing in between.
        if len(seen) >= 3 and np.diff(seen).min() > 1:
            raise ValueError(
                f"item {record.item_id!r} has a value at most every {np.diff(seen).min()} steps of {frequency}, which "
                "is the step of the fit: pass data of that step, or fit a model on these data"
            )
    return panel


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
    return replace(panel, records=[SeriesRecord(MIXED_ITEM, begin, first.freq, target)])


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


def rows_before(data: object, panel: SeriesPanel, schema: SeriesSchema, lengths: list[int]) -> pd.DataFrame:
    """The rows of a long table that lie within the first `lengths` steps of their series.

    Args:
        data: what `panel` was read from: a long frame or the path of one.
        panel: its records.
        schema: its columns.
        lengths: steps to keep of each record.
    """
    frame = table_of(data, schema)
    codes, steps = positions(frame, panel, schema)
    return frame[(codes >= 0) & (steps < np.asarray(lengths)[codes])]


def positions(frame: pd.DataFrame, panel: SeriesPanel, schema: SeriesSchema) -> tuple[Int64Array, Int64Array]:
    """Item (n,) in the panel (−1 for others) and step (n,) from the start of its record of each row.

    Raises:
        ValueError: a stamp does not lie on the grid.
    """
    if schema.timestamp_column not in frame.columns:
        raise ValueError(
            f"the table lacks the timestamps {schema.timestamp_column!r}, it has {some(frame.columns, 20)}: add the "
            "column, or a time index"
        )
    own, names = item_codes(frame, schema)
    codes = pd.Index(panel.item_ids).get_indexer(pd.Index(names))[own].astype(np.int64)
    stamps = read_stamps(frame[schema.timestamp_column], schema.timestamp_column, like=panel.time)
    if stamps.time.kind != panel.time.kind:
        raise ValueError(
            f"{schema.timestamp_column!r} holds {stamps.time.kind} stamps, the training data {panel.time.kind} stamps: "
            "pass stamps of the same kind"
        )
    zone = panel.time.timezone
    if zone is not None and not panel.time.wall and stamps.time.timezone is None:
        raise ValueError(
            f"{schema.timestamp_column!r} holds stamps without a time zone, those before are in {zone}: say the zone "
            f"with tz_localize, for example frame[{schema.timestamp_column!r}].dt.tz_localize({str(zone)!r})"
        )
    moments = stamps.values
    if stamps.time.kind == "ordinal":
        moments = panel.time.resolve_ordinals(moments, panel.frequency)
    starts = to_nanoseconds(pd.DatetimeIndex([record.start for record in panel.records]))
    steps, on_grid = panel.frequency.positions(moments, starts[codes])
    if not on_grid[codes >= 0].all():
        bad = frame[schema.timestamp_column].iloc[int(np.flatnonzero(~on_grid & (codes >= 0))[0])]
        raise ValueError(f"timestamp {bad} does not lie on the grid of the training data, steps of {panel.frequency}")
    return codes, steps


def table_of(data: object, schema: SeriesSchema) -> pd.DataFrame:
    """A long frame, or the one that lies at a path, with its time index as a column.

    A wide frame (time index, a column a series) becomes a long one, as in `to_records`.

    Raises:
        TypeError: the data are neither a frame nor a path.
    """
    if not isinstance(data, (pd.DataFrame, str, PathLike)):
        raise TypeError(f"expected a DataFrame of rows with timestamps or the path of one, got {type(data).__name__}")
    frame = data if isinstance(data, pd.DataFrame) else read_table(data)
    if is_wide(frame, schema):
        frame = frame.melt(var_name=schema.id_column, value_name=str(schema.target_column), ignore_index=False)
    return with_time_column(frame, schema)


def covariate_rows(data: object, schema: SeriesSchema) -> pd.DataFrame:
    """Rows of covariates (n, F) as a frame: a DataFrame, an array (n,) or (n, F), or a sparse matrix.

    Raises:
        TypeError: the data are something else.
        ValueError: they have no rows or more than two dimensions.
    """
    if hasattr(data, "toarray"):
        data = data.toarray()
    if not isinstance(data, pd.DataFrame):
        if not isinstance(data, (np.ndarray, list, tuple, pd.Series)):
            raise TypeError(
                f"with y given, X must be a DataFrame or an array with a row a time step, got {type(data).__name__}"
            )
        table = np.asarray(data)
        if table.ndim not in (1, 2):
            raise ValueError(f"with y given, X must be (n,) or (n, F), got shape {table.shape}")
        table = table.reshape(len(table), -1)
        data = pd.DataFrame(table, columns=[f"x{i}" for i in range(table.shape[1])]).infer_objects()
    if len(data) == 0:
        raise ValueError("X holds no rows: pass at least one time step")
    return with_time_column(data.set_axis(data.columns.map(str), axis=1), schema)


def row_schema(frame: pd.DataFrame, schema: SeriesSchema) -> SeriesSchema:
    """The schema with every column that has no role as a known covariate, when none is declared."""
    if schema.known_covariates:
        return schema
    taken = {schema.id_column, schema.timestamp_column, *schema.targets, *schema.covariates}
    return replace(schema, known_covariates=tuple(name for name in frame.columns if name not in taken))


def with_target(frame: pd.DataFrame, target: object, schema: SeriesSchema) -> pd.DataFrame:
    """The rows (n) with the target (n,) or (n, M) in the target column(s).

    Raises:
        ValueError: X and y differ in length, or y in channels.
    """
    values = np.asarray(target)
    if len(values) != len(frame):
        raise ValueError(f"X and y must have a row a time step each, got {len(frame)} and {len(values)} rows")
    values = values.reshape(len(values), -1)
    if values.shape[1] != len(schema.targets):
        raise ValueError(
            f"y must have {len(schema.targets)} column(s), got {values.shape[1]}: name several with target_column=(…)"
        )
    columns = {name: values[:, place] for place, name in enumerate(schema.targets)}
    return frame.assign(**columns)


def number_rows(frame: pd.DataFrame, schema: SeriesSchema, seen: Mapping[Hashable, int]) -> pd.DataFrame:
    """Rows without timestamps get step numbers: those of each item follow the `seen` ones."""
    if schema.timestamp_column in frame.columns:
        return frame
    codes, names = item_codes(frame, schema)
    first = np.array([seen.get(name, 0) for name in names])
    count = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    return frame.assign(**{schema.timestamp_column: first[codes] + count})


def count_rows(frame: pd.DataFrame, schema: SeriesSchema) -> dict[Hashable, int]:
    """Number of rows of each item."""
    codes, names = item_codes(frame, schema)
    return dict(zip(names, np.bincount(codes).tolist(), strict=True))


def by_horizon(codes: Int64Array, steps: Int64Array) -> Iterator[tuple[int, Int64Array]]:
    """Horizon and items of the rows asked for, grouped so that each item is forecast no further than its last row."""
    furthest = pd.Series(steps).groupby(codes).max()
    for horizon, items in furthest.groupby(furthest).groups.items():
        yield int(horizon) + 1, np.asarray(items, dtype=np.int64)  # type: ignore[call-overload]
