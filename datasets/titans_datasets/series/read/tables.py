"""Each accepted form of data becomes one `LongTable`: rows of (item, timestamp, values).

Shapes: n rows, M channels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from titans_datasets.foreign import as_pandas
from titans_datasets.series.read.dialect import TWICE
from titans_datasets.series.read.records import FloatArray, PositionalId
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.series.time.frequency import Frequency, Int64Array, parse_frequency
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
    data = as_pandas(data)
    if isinstance(data, pd.DataFrame):
        table = _from_wide(data, schema, like) if is_wide(data, schema) else _from_long(data, schema, like)
    elif isinstance(data, np.ndarray):
        table = _from_array(data)
    else:
        table = _from_series(*_named_series(data), schema, like)
    if len(table.codes) == 0:
        raise ValueError("the data hold no rows: pass at least one series with a timestamp and a value")
    _check_finite(table)
    return table


def is_wide(frame: pd.DataFrame, schema: SeriesSchema) -> bool:
    """Whether a frame has one column per series, and no column that the schema names but the timestamps.

    The timestamps are a time index, or a column beside numbers only.
    """
    plain = replace(schema, freq=None, timestamp_column="timestamp", aggregate=None, snap=False) == SeriesSchema()
    if not plain or {*schema.targets, schema.id_column} & {*frame.columns}:
        return False
    if schema.timestamp_column not in frame.columns:
        return schema.timestamp_column == SeriesSchema.timestamp_column and _has_time_index(frame)
    others = _series_columns(frame, schema)
    return bool(others) and all(_is_number(frame[name]) for name in others)


def long_of_wide(frame: pd.DataFrame, schema: SeriesSchema) -> pd.DataFrame:
    """A wide frame (see `is_wide`) as a long one with the columns of the schema."""
    target = str(schema.target_column)
    if schema.timestamp_column in frame.columns:
        others = _series_columns(frame, schema)
        return frame.melt(schema.timestamp_column, others, var_name=schema.id_column, value_name=target)
    melted = frame.melt(var_name=schema.id_column, value_name=target, ignore_index=False)
    return with_time_column(melted, schema)


def _series_columns(frame: pd.DataFrame, schema: SeriesSchema) -> list[Hashable]:
    """The columns beside the timestamps, without the row numbers that pandas writes unless told otherwise."""
    others: list[Hashable] = [name for name in frame.columns if name != schema.timestamp_column]
    if others and others[0] == "Unnamed: 0" and (frame[others[0]] == np.arange(len(frame))).all():
        return others[1:]
    return others


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def with_time_column(frame: pd.DataFrame, schema: SeriesSchema) -> pd.DataFrame:
    """The frame (of pandas, polars, Arrow …) with its time index, if it has one, as the timestamp column."""
    frame, time = as_pandas(frame), schema.timestamp_column
    if time in frame.columns or not (_has_time_index(frame) or time in frame.index.names):
        return frame
    return frame.reset_index(names=None if time in frame.index.names else [time])


def with_dates(frame: pd.DataFrame, column: str, time: TimeKind, frequency: Frequency | None = None) -> pd.DataFrame:
    """The frame with dates that are texts or numbers as datetimes, read as those of a panel were; step numbers stay.

    Args:
        frame: any rows.
        column: of the timestamps.
        time, frequency: of the panel.
    """
    if time.kind != "datetime" or pd.api.types.is_datetime64_any_dtype(frame[column].dtype):
        return frame
    stamps = read_stamps(frame[column], column, time, freq=frequency)
    moments = pd.DatetimeIndex(stamps.values)
    if stamps.time.timezone is not None:
        moments = moments.tz_localize(stamps.time.timezone if stamps.time.wall else "UTC", ambiguous=True)
        moments = moments.tz_convert(stamps.time.timezone)
    return frame.assign(**{column: moments})


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
    return LongTable(item_ids, codes, _read(frame[time], time, schema, like, codes), values, covariates)


def _read(
    column: pd.Series[Any] | pd.Index[Any],
    name: str,
    schema: SeriesSchema,
    like: TimeKind | None,
    codes: Int64Array | None = None,
) -> Stamps:
    """The timestamps; the schema's step helps to read them, unless it is the one that rows are brought to."""
    at_once = schema.aggregate is None and not schema.snap
    freq = parse_frequency(schema.freq) if at_once and schema.freq is not None else None
    if not at_once and like is None and isinstance(column.dtype, pd.DatetimeTZDtype):
        # Days and hours of the clock.
        like = TimeKind(wall=True)
    return read_stamps(column, name, like, codes=codes, freq=freq)


def _require(frame: pd.DataFrame, names: Sequence[str], schema: SeriesSchema) -> None:
    own_id = schema.id_column != SeriesSchema.id_column
    absent = [name for name in (*((schema.id_column,) if own_id else ()), *names) if name not in frame.columns]
    if absent:
        columns = "column" if len(absent) == 1 else "columns"
        raise ValueError(
            f"{columns} {some(absent)} not found, the data have {some(frame.columns, 20)}: name yours with id_column=, "
            "timestamp_column=, target_column= (a wide table, with a column for each series, has "
            "nothing but numbers beside the timestamps)"
        )
    there = [*frame.columns[frame.columns.duplicated()].tolist(), *frame.attrs.get(TWICE, ())]
    twice = [name for name in dict.fromkeys((schema.id_column, *names)) if name in there]
    if twice:
        raise ValueError(f"column {some(twice)} is there more than once: keep one of them, or rename the others")


def item_codes(frame: pd.DataFrame, schema: SeriesSchema) -> tuple[Int64Array, list[Hashable]]:
    """Position (n,) of each row's series in the list of names, which keeps the order of first appearance."""
    if schema.id_column not in frame.columns:
        return np.zeros(len(frame), dtype=np.int64), [DEFAULT_ITEM]
    codes, levels = pd.factorize(frame[schema.id_column])
    if (codes < 0).any():
        raise ValueError(f"{int((codes < 0).sum())} rows have no {schema.id_column!r}: name their series or drop them")
    return codes.astype(np.int64), list(pd.Index(levels).tolist())


def _from_wide(frame: pd.DataFrame, schema: SeriesSchema, like: TimeKind | None) -> LongTable:
    notes: tuple[str, ...] = ()
    if schema.timestamp_column in frame.columns:
        others = _series_columns(frame, schema)
        each = f"{counted(len(others), 'column')} of numbers read as a series each: {some(others)}"
        alone = f"{some(others)}, the only column of numbers, is the series"
        said = alone if len(others) == 1 else f"{each}; for one of them alone pass target_column="
        notes = (f"no column {str(schema.target_column)!r}: {said}",)
        frame = frame.set_index(schema.timestamp_column)[others]
    if not frame.columns.is_unique:
        raise ValueError(
            f"columns {some(frame.columns[frame.columns.duplicated()])} appear twice: each must name one series"
        )
    count, length = frame.shape[1], len(frame)
    stamps = _read(frame.index, str(frame.index.name or "index"), schema, like)
    every = replace(stamps, values=np.tile(stamps.values, count), notes=(*notes, *stamps.notes))
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


def _from_series(
    names: list[Hashable], members: list[pd.Series[Any]], schema: SeriesSchema, like: TimeKind | None
) -> LongTable:
    if not members or not any(len(member) for member in members):
        raise ValueError("the data hold no rows: pass at least one series with a timestamp and a value")
    pairs = [pair for pair in zip(names, members, strict=True) if len(pair[1])]
    empty = [name for name, member in zip(names, members, strict=True) if not len(member)]
    codes = np.repeat(np.arange(len(pairs)), [len(member) for _, member in pairs])
    stamps = _indexes(pairs, codes, schema, like)
    skipped = [f"{counted(len(empty), 'item')} without any value skipped: {some(empty)}"] if empty else []
    stamps = replace(stamps, notes=(*stamps.notes, *skipped))
    values = np.concatenate([numeric_column(member, str(name)) for name, member in pairs])
    return LongTable([name for name, _ in pairs], codes, stamps, values[:, None])


def _indexes(
    pairs: list[tuple[Hashable, pd.Series[Any]]], codes: Int64Array, schema: SeriesSchema, like: TimeKind | None
) -> Stamps:
    """The timestamps of all series; texts and numbers, which can mean several things, are read together."""
    indexes = [member.index for _, member in pairs]
    kind = indexes[0].dtype
    ambiguous = pd.api.types.is_integer_dtype(kind) or pd.api.types.is_string_dtype(kind)
    if ambiguous and all(index.dtype == kind for index in indexes):
        return _read(indexes[0].append(indexes[1:]), "index", schema, like, codes)
    parsed = [_read(member.index, f"index of {name!r}", schema, like) for name, member in pairs]
    kinds = {stamps.time.kind for stamps in parsed}
    if len(kinds) > 1 or len({str(stamps.time.timezone) for stamps in parsed}) > 1:
        raise ValueError(
            f"all series need the same kind of index and time zone, got {sorted(kinds)}: convert them to one"
        )
    notes = tuple(dict.fromkeys(note for stamps in parsed for note in stamps.notes))
    return Stamps(np.concatenate([p.values for p in parsed]), parsed[0].time, parsed[0].frequency, notes)


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
    if numbers is None or text is None:
        raise _no_numbers(column, column, name)
    words = column.notna() & numbers.isna()
    wrong = words | (column.notna() & text.astype(bool))
    if wrong.any():
        # A few words make a whole column of a file text: they are to be corrected, not the numbers.
        few = 0 < 2 * column[words].nunique() < column[wrong].nunique()
        raise _no_numbers(column[words if few else wrong], column, name)
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _no_numbers(values: pd.Series[Any], column: pd.Series[Any], name: str) -> TypeError:
    return TypeError(
        f"target {name!r} must be numeric, got {column.dtype} with values such as {some(values.unique())}: "
        "correct these values, leave them empty where they are missing, or name another target_column"
    )


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
