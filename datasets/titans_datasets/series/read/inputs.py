"""From any kind of data to records: `to_records`, and `read_series` for files.

Shapes: T steps, N series of an array.
"""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Literal

from titans_datasets import builtin
from titans_datasets.series.read.covariates import CovariateEncoder
from titans_datasets.series.read.files import existing_file, read_table_with_notes, suffix_of
from titans_datasets.series.read.panel import SeriesPanel, build_panel
from titans_datasets.series.read.tables import read_table_data
from titans_datasets.series.read.tsf import read_tsf
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.series.time.timestamps import TimeKind
from titans_datasets.text import some


def to_records(
    data: object,
    schema: SeriesSchema | None = None,
    *,
    encoder: CovariateEncoder | None = None,
    all_missing: Literal["error", "skip"] = "skip",
    like: TimeKind | None = None,
) -> SeriesPanel:
    """Read data of any accepted kind; the caller's objects are not changed.

    Args:
        data: a long DataFrame (one row per item and time step); a wide one (a time index, or the timestamp column, and
            one column per series, none of them the target or id column); such a table of polars, Arrow or another
            library with their interfaces; a Series; a list or dict of Series or 1-D arrays; an array (T,) or (N, T); a
            path to a file that `read_table` reads or to a tsf file; or "builtin:<name>".
        schema: names and roles of the columns, and the frequency; by default item_id, timestamp, target, inferred.
        encoder: the encoder of an earlier fit; by default one is fitted when the schema names covariates.
        all_missing: whether a series without any value is an error or is skipped with a note (an error where no series
            has any).
        like: the kind of time of earlier data, whose time zones are treated alike.

    Arrays and integer timestamps have no dates: step 0 becomes 2000-01-01 and the step a day
    (an hour or a minute for very long series), or `schema.freq`. Dates may be written in many ways, also as numbers;
    see `titans_datasets.series.time.timestamps.read_stamps`. What was decided is in the notes.
    Missing values before a series' first value are cut off; those inside and after it stay. With known covariates the
    rows after the last value are the known future: they become the extra part of `feat_dynamic_real`.

    Raises:
        TypeError: the data are of no accepted kind, or the target is not numeric.
        ValueError: a column is missing, stamps are duplicated or off the grid, values are infinite, a series is empty.

    Example:
        >>> import pandas as pd
        >>> days = pd.date_range("2024-01-01", periods=4)
        >>> frame = pd.DataFrame({"item_id": "a", "timestamp": days, "target": [1.0, 2.0, None, 4.0]})
        >>> panel = to_records(frame.drop(index=1))
        >>> panel.records[0].target.tolist(), str(panel.frequency), panel.notes
        ([1.0, nan, nan, 4.0], 'D', ['1 item had 1 missing step, now marked missing'])
        >>> to_records("builtin:air_passengers").records[0].length
        144
    """
    schema = schema or SeriesSchema()
    if isinstance(data, (str, PathLike)):
        return read_series(data, schema, encoder=encoder, all_missing=all_missing, like=like)
    table = read_table_data(data, schema, like)
    if schema.covariates and table.frame is None:
        raise ValueError(
            f"covariates {some(schema.covariates)} need a long DataFrame with one row per item and time step"
        )
    return build_panel(table, schema, encoder, all_missing)


def read_series(
    path: str | PathLike[str],
    schema: SeriesSchema | None = None,
    *,
    encoder: CovariateEncoder | None = None,
    all_missing: Literal["error", "skip"] = "skip",
    like: TimeKind | None = None,
) -> SeriesPanel:
    """Records of a file, or of a built-in set with its own default schema; see `to_records`.

    Raises:
        FileNotFoundError, ValueError: see `read_table`; and what `to_records` raises.

    Example:
        >>> panel = read_series("builtin:weather")
        >>> panel.item_ids, str(panel.frequency)
        (['EWR', 'JFK', 'LGA'], 'h')
    """
    text = os.fspath(path)
    if text.startswith(builtin.PREFIX):
        schema = builtin.schema(text) if schema is None or schema == SeriesSchema() else schema
        return to_records(builtin.load(text), schema, encoder=encoder, all_missing=all_missing, like=like)
    schema = schema or SeriesSchema()
    if not Path(path).expanduser().is_dir() and suffix_of(path) == ".tsf":
        series, freq, notes = read_tsf(existing_file(path))
        schema = SeriesSchema(freq=schema.freq or freq)
        panel = to_records(series, schema, all_missing=all_missing, like=like)
    else:
        frame, notes = read_table_with_notes(path)
        panel = to_records(frame, schema, encoder=encoder, all_missing=all_missing, like=like)
    panel.notes[:0] = notes
    return panel
