"""Files of a partitioned Parquet data set: checked, read a few series at a time, forecast files written whole.

Shapes: n rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from titans_datasets.series import SeriesSchema
from titans_datasets.series.read.files import parquet_files
from titans_datasets.writing import in_place_of

FINGERPRINT = b"titans_ts.forecast_of"
Fingerprint = dict[str, Any]


class Part(NamedTuple):
    """One file of the data set.

    name: its path inside the folder, with forward slashes.
    source: where it lies; target: where its forecast goes.
    """

    name: str
    source: Path
    target: Path


def list_parts(source: Path, output: Path) -> list[Part]:
    """All files of a data set and where their forecasts go.

    Raises:
        NotADirectoryError, FileNotFoundError: source is no folder, or holds no parquet file.
        ValueError: one folder lies in the other.
    """
    if not source.is_dir():
        raise NotADirectoryError(f"{source.absolute()} is no folder of parquet files: pass one, or forecast one file")
    here, there = source.resolve(), output.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ValueError(f"the output folder must lie outside the data set and not hold it, got {there} and {here}")
    names = [file.relative_to(source).as_posix() for file in parquet_files(source)]
    return [Part(name, source / name, output / name) for name in names]


def check_columns(parts: Iterable[Part], schema: SeriesSchema) -> None:
    """See that every file has the columns that the model reads.

    Raises:
        ValueError: one is missing.
    """
    for part in parts:
        names = pq.read_schema(part.source).names
        absent = [name for name in columns_of(schema) if name not in names]
        if absent:
            keyed = [name for name in absent if f"/{name}=" in f"/{part.name}"]
            hint = f"; {keyed[0]!r} is in the folder's name only: write it into the files" if keyed else ""
            raise ValueError(f"{part.source} lacks the columns {absent}, it has {names}{hint}")


def columns_of(schema: SeriesSchema) -> list[str]:
    """The columns that the model reads."""
    return [schema.id_column, schema.timestamp_column, *schema.targets, *schema.covariates]


def check_whole_series(parts: list[Part], id_column: str) -> None:
    """See that no series is split across files: each part would be forecast as if the other did not exist.

    Holds about 12 bytes for each series of the data set.

    Raises:
        ValueError: an item lies in two files; the message names both.
    """
    hashes = [_hashed(_ids(part.source, id_column)) for part in parts]
    every = np.concatenate(hashes)
    owner = np.repeat(np.arange(len(parts), dtype=np.int32), [len(own) for own in hashes])
    order = np.argsort(every, kind="stable")
    twice = np.flatnonzero(every[order[1:]] == every[order[:-1]])
    for place in twice:
        first, second = parts[owner[order[place]]], parts[owner[order[place + 1]]]
        # Two names with one hash are possible; equal names are not.
        both = _ids(first.source, id_column).intersection(_ids(second.source, id_column))
        if len(both):
            raise ValueError(
                f"item {both[0]!r} lies in two files, {first.name} and {second.name} ({len(both)} such items in these "
                "two): write each series into one file, for example partition the data by item"
            )


def _ids(file: Path, id_column: str) -> pd.Index[Any]:
    """Item ids of a file, each once."""
    found: list[pd.Index[Any]] = []
    with pq.ParquetFile(file) as handle:
        for batch in handle.iter_batches(columns=[id_column]):
            column = batch.column(0)
            plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            found.append(pd.Index(pc.unique(plain).to_pandas()))
    return found[0].append(found[1:]).unique() if found else pd.Index([])


def _hashed(ids: pd.Index[Any]) -> npt.NDArray[np.uint64]:
    return pd.util.hash_array(ids.to_numpy(), categorize=False)


def series_batches(file: Path, schema: SeriesSchema, rows: int) -> Iterator[pd.DataFrame]:
    """The file's series, whole, in tables of about `rows` rows; a small file in one.

    Raises:
        ValueError: the file has no rows, or more than `rows` and its series are not one after the other.
    """
    with pq.ParquetFile(file) as handle:
        total = handle.metadata.num_rows
        if total == 0:
            raise ValueError("the file holds no rows: check that it was written completely, or remove it")
        columns = columns_of(schema)
        if total <= rows:
            yield handle.read(columns=columns).to_pandas(ignore_metadata=True)
            return
        yield from _whole_series(
            (batch.to_pandas(ignore_metadata=True) for batch in handle.iter_batches(rows, columns=columns)),
            schema.id_column,
            rows,
        )


def _whole_series(tables: Iterable[pd.DataFrame], name: str, rows: int) -> Iterator[pd.DataFrame]:
    """Tables cut anew so that each series is in one of them: the last series of a table waits for the next one."""
    done: set[Any] = set()
    waiting: list[pd.DataFrame] = []
    for table in tables:
        last = table[name].iloc[-1]
        if len(waiting) and (waiting[0][name].iloc[0] == table[name]).all():
            waiting.append(table)
            continue
        table = pd.concat([*waiting, table], ignore_index=True)
        is_last = table[name] == last
        whole = table[~is_last]
        waiting = [table[is_last]]
        if len(whole):
            _require_new(whole[name], done, rows)
            yield whole.reset_index(drop=True)
    if waiting:
        table = pd.concat(waiting, ignore_index=True)
        _require_new(table[name], done, rows)
        yield table


def _require_new(ids: pd.Series[Any], done: set[Any], rows: int) -> None:
    names = ids.unique()
    again = [item for item in names if item in done]
    if again:
        raise ValueError(
            f"item {again[0]!r} goes on after other items, and the file has more than rows_per_batch = {rows:,} rows: "
            "sort the file by item, or raise rows_per_batch"
        )
    done.update(names)


def source_mark(file: Path) -> list[int]:
    """Size in bytes and time of the last change in ns: a changed file has others."""
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


def is_done(target: Path, fingerprint: Fingerprint) -> bool:
    """Whether the forecast of this model and this source is there.

    Raises:
        ValueError: something lies at the target that is no forecast of this library.
    """
    if not target.exists():
        return False
    try:
        marks = (pq.read_schema(target).metadata or {}).get(FINGERPRINT)
    except (pa.ArrowInvalid, OSError):
        marks = None
    if marks is None:
        raise ValueError(
            f"{target} exists and was not written by a batch forecast: choose another output folder or remove the file"
        )
    return bool(json.loads(marks) == fingerprint)


def write_frames(frames: Iterable[pd.DataFrame], target: Path, fingerprint: Fingerprint) -> int:
    """Write one parquet file, table by table, beside its place, and move it there; returns the number of rows."""
    writer, rows = None, 0
    with in_place_of(target) as beside:
        try:
            for frame in frames:
                if writer is None:
                    table = pa.Table.from_pandas(frame, preserve_index=False)
                    marks = {**(table.schema.metadata or {}), FINGERPRINT: json.dumps(fingerprint).encode()}
                    writer = pq.ParquetWriter(beside, table.schema.with_metadata(marks))
                writer.write_table(pa.Table.from_pandas(frame, schema=writer.schema, preserve_index=False))
                rows += len(frame)
            assert writer is not None, "a file with rows has at least one table"
        finally:
            if writer is not None:
                writer.close()
    return rows
