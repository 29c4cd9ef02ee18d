"""Each accepted form of data becomes one `LongTable`: rows of (item, timestamp, values).

Shapes: n rows, M channels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from titans_datasets.series.read.records import FloatArray, PositionalId
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.series.time.frequency import Int64Array
from titans_datasets.series.time.timestamps import Stamps, TimeKind, read_stamps
from titans_datasets.text import counted, some

DEFAULT_ITEM = "series"
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class LongTable:
    """Rows of all series.

    Args:
        item_ids: names in the caller's order.
        codes: (n,) position in `item_ids` of each row.
        stamps: parsed timestamps of the rows.
        values: (n, M) target, NaN = missing.
        frame: covariate columns (n rows), or None when the data can have none.
    """

    item_ids: list[Hashable]
    codes: Int64Array
    stamps: Stamps
    values: FloatArray
    frame: pd.DataFrame | None = None


def read_table_data(data: object, schema: SeriesSchema, like: TimeKind | None = None) -> LongTable:
    """Rows of a long or wide frame, a Series, an array, or a list or dict of Series or arrays.

    Raises:
        TypeError: the data are of no accepted kind, or the target is not numeric.
        ValueError: the data are empty or lack a column.
    """
    if isinstance(data, pd.DataFrame):
        table = _from_wide(data, like) if is_wide(data, schema) else _from_long(data, schema, like)
    elif isinstance(data, np.ndarray):
        table = _from_array(data)
    else:
        table = _from_series(*_named_series(data), like)
    if len(table.codes) == 0:
        raise ValueError("the data hold no rows: pass at least one series with a timestamp and a value")
    _check_finite(table)
    return table


def is_wide(frame: pd.DataFrame, schema: SeriesSchema) -> bool:
    """Whether a frame has a time index, one column per series, and no column that the schema names."""
    plain = schema == SeriesSchema(freq=schema.freq)
    return plain and _has_time_index(frame) and not {*schema.targets, schema.id_column} & {*frame.columns}


def with_time_column(frame: pd.DataFrame, schema: SeriesSchema) -> pd.DataFrame:
    """The frame with its time index, if it has one, as the timestamp column."""
    time = schema.timestamp_column
    if time in frame.columns or not (_has_time_index(frame) or time in frame.index.names):
        return frame
    return frame.reset_index(names=None if time in frame.index.names else [time])


def _has_time_index(frame: pd.DataFrame) -> bool:
    return isinstance(frame.index, (pd.DatetimeIndex, pd.PeriodIndex))


def _from_long(frame: pd.DataFrame, schema: SeriesSchema, like: TimeKind | None) -> LongTable:
    time = schema.timestamp_column
    frame = with_time_column(frame, schema)
    _require(frame, (time, *schema.targets, *schema.covariates), schema)
    if frame.empty:
        raise ValueError("the data hold no rows: pass at least one series with a timestamp and a value")
    codes, item_ids = item_codes(frame, schema)
    values = np.column_stack([numeric_column(frame[name], name) for name in schema.targets])
    covariates = frame[list(schema.covariates)].reset_index(drop=True)
    return LongTable(item_ids, codes, read_stamps(frame[time], time, like), values, covariates)


def _require(frame: pd.DataFrame, names: Sequence[str], schema: SeriesSchema) -> None:
    own_id = schema.id_column != SeriesSchema.id_column
    absent = [name for name in (*((schema.id_column,) if own_id else ()), *names) if name not in frame.columns]
    if absent:
        raise ValueError(
            f"column {some(absent)} not found, the data have {some(frame.columns, 20)}: name yours with id_column=, "
            "timestamp_column=, target_column= (a table with one column per series needs a DatetimeIndex)"
        )


def item_codes(frame: pd.DataFrame, schema: SeriesSchema) -> tuple[Int64Array, list[Hashable]]:
    """Position (n,) of each row's series in the list of names, which keeps the order of first appearance."""
    if schema.id_column not in frame.columns:
        return np.zeros(len(frame), dtype=np.int64), [DEFAULT_ITEM]
    codes, levels = pd.factorize(frame[schema.id_column])
    if (codes < 0).any():
        raise ValueError(f"{int((codes < 0).sum())} rows have no {schema.id_column!r}: name their series or drop them")
    return codes.astype(np.int64), list(pd.Index(levels).tolist())


def _from_wide(frame: pd.DataFrame, like: TimeKind | None) -> LongTable:
    count, length = frame.shape[1], len(frame)
    if not frame.columns.is_unique:
        raise ValueError(
            f"columns {some(frame.columns[frame.columns.duplicated()])} appear twice: each must name one series"
        )
    stamps = read_stamps(frame.index, "index", like)
    every = Stamps(np.tile(stamps.values, count), stamps.time, stamps.frequency, stamps.notes)
    columns = [numeric_column(frame[name], str(name)) for name in frame.columns]
    values = np.concatenate(columns) if columns else np.empty(0)
    return LongTable(list(frame.columns), np.repeat(np.arange(count), length), every, values[:, None])


def _from_array(array: np.ndarray[Any, Any]) -> LongTable:
    if array.ndim not in (1, 2):
        raise ValueError(f"an array must be (T,) or (N, T), N series of T steps, got shape {array.shape}")
    rows = np.atleast_2d(array)
    count, length = rows.shape
    values = numeric_column(pd.Series(rows.reshape(-1)), "array")
    stamps = Stamps(np.tile(np.arange(length), count), TimeKind("ordinal"))
    names: list[Hashable] = [DEFAULT_ITEM] if array.ndim == 1 else [PositionalId(place) for place in range(count)]
    return LongTable(names, np.repeat(np.arange(count), length), stamps, values[:, None])


def _named_series(data: object) -> tuple[list[Hashable], list[pd.Series[Any]]]:
    if isinstance(data, pd.Series):
        return [DEFAULT_ITEM if data.name is None else data.name], [data]
    if isinstance(data, Mapping):
        names, members = list(data.keys()), list(data.values())
    elif isinstance(data, (list, tuple)):
        names, members = [getattr(member, "name", None) for member in data], list(data)
        # Unnamed or equally named series are distinguished by their position.
        if None in names or len(set(names)) < len(names):
            names = [PositionalId(place) for place in range(len(data))]
    else:
        raise TypeError(
            f"expected a DataFrame, a Series, an array, a list or dict of these, or a path, got {type(data).__name__}"
        )
    for name, member in zip(names, members, strict=True):
        if np.ndim(np.asarray(member)) != 1 or not isinstance(member, (pd.Series, np.ndarray)):
            raise TypeError(f"item {name!r} must be a pandas Series or a 1-D array, got {type(member).__name__}")
    return names, [pd.Series(member) for member in members]


def _from_series(names: list[Hashable], members: list[pd.Series[Any]], like: TimeKind | None) -> LongTable:
    if not members or not any(len(member) for member in members):
        raise ValueError("the data hold no rows: pass at least one series with a timestamp and a value")
    empty = [name for name, member in zip(names, members, strict=True) if len(member) == 0]
    if empty:
        raise ValueError(f"item {some(empty)} has no values: leave it out")
    parsed = [
        read_stamps(member.index, f"index of {name!r}", like) for name, member in zip(names, members, strict=True)
    ]
    kinds = {stamps.time.kind for stamps in parsed}
    if len(kinds) > 1 or len({str(stamps.time.timezone) for stamps in parsed}) > 1:
        raise ValueError(
            f"all series need the same kind of index and time zone, got {sorted(kinds)}: convert them to one"
        )
    notes = tuple(dict.fromkeys(note for stamps in parsed for note in stamps.notes))
    values = np.concatenate([numeric_column(m, str(name)) for name, m in zip(names, members, strict=True)])
    stamps = Stamps(np.concatenate([p.values for p in parsed]), parsed[0].time, parsed[0].frequency, notes)
    codes = np.repeat(np.arange(len(members)), [len(member) for member in members])
    return LongTable(names, codes, stamps, values[:, None])


def numeric_column(column: pd.Series[Any], name: str) -> FloatArray:
    """A target column (n,) as float64, NaN where missing.

    Raises:
        TypeError: it holds something other than numbers.
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    plain = not isinstance(column.dtype, pd.CategoricalDtype) and not pd.api.types.is_datetime64_any_dtype(column.dtype)
    numbers = pd.to_numeric(column, errors="coerce") if plain and column.dtype.kind not in "mMc" else None
    text = column.map(lambda value: isinstance(value, str)) if numbers is not None else None
    if numbers is None or text is None or (column.notna() & (numbers.isna() | text.astype(bool))).any():
        bad = (
            column if numbers is None or text is None else column[column.notna() & (numbers.isna() | text.astype(bool))]
        )
        raise TypeError(
            f"target {name!r} must be numeric, got {column.dtype} with values such as {some(bad.unique())}: "
            f"convert it, for example with pandas.to_numeric(frame[{name!r}], errors='coerce')"
        )
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _check_finite(table: LongTable) -> None:
    """Refuse infinite values and those that float32, which networks compute in, cannot hold."""
    rows = np.flatnonzero((np.abs(table.values) > LARGEST).any(axis=1))
    if rows.size:
        row = int(rows[0])
        stamp = table.stamps.values[row]
        moment = stamp if table.stamps.time.kind == "ordinal" else pd.Timestamp(int(stamp))
        raise ValueError(
            f"item {table.item_ids[int(table.codes[row])]!r} has an infinite or too large value at {moment} "
            f"({counted(int(rows.size), 'row')} in all; the limit is {LARGEST:.2g}): replace it by NaN if it is missing"
        )
