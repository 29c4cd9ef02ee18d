"""From the rows of a table to a `SeriesPanel`: records of many series on regular grids.

Shapes: T steps, M channels, I items, G grid cells (all items' steps one after the other).
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from titans_datasets.series.calendar.weekmask import open_rows
from titans_datasets.series.read.covariates import CovariateEncoder
from titans_datasets.series.read.records import FloatArray, SeriesRecord, SeriesWarning
from titans_datasets.series.read.stepping import at_step
from titans_datasets.series.read.tables import LongTable
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.series.time.frequency import Frequency
from titans_datasets.series.time.grid import Grid, build_grid, sort_rows
from titans_datasets.series.time.period_days import find_periods
from titans_datasets.series.time.timestamps import TimeKind
from titans_datasets.text import counted, some


@dataclass(frozen=True)
class SeriesPanel:
    """Records, with their common frequency and how they were read.

    Args:
        records: one per series, in the caller's item order.
        frequency: the step common to all series.
        notes: short sentences about what was corrected; see `warn`.
        time: the kind of the caller's timestamps; `time.restore(index, frequency)` gives stamps of that kind.
        encoder: covariate encoder, fitted here unless one was given; None without covariates.

    Example:
        >>> from titans_datasets.series import to_records
        >>> panel = to_records({"a": pd.Series([1.0, 2.0], index=pd.to_datetime(["2024-03-01", "2024-03-02"]))})
        >>> panel.item_ids, str(panel.frequency), panel.time.kind
        (['a'], 'D', 'datetime')
    """

    records: list[SeriesRecord]
    frequency: Frequency
    notes: list[str]
    time: TimeKind
    encoder: CovariateEncoder | None = None

    @property
    def item_ids(self) -> list[Hashable]:
        """Names in the caller's order."""
        return [record.item_id for record in self.records]

    def summary(self) -> list[str]:
        """Lines about the series: their number and names, span and time step, missing values.

        Example:
            >>> from titans_datasets.series import to_records
            >>> days = pd.to_datetime(["2024-03-01", "2024-03-02", "2024-03-03"])
            >>> print("\\n".join(to_records({"a": pd.Series([1.0, None, 3.0], index=days)}).summary()))
            series   1 (a)
            span     2024-03-01 – 2024-03-03, 3 steps of 1 D each
            missing  1 of 3 values (33 %)
        """
        lengths = [record.length for record in self.records]
        missing = sum(int(np.isnan(record.target).sum()) for record in self.records)
        total = sum(record.target.size for record in self.records)
        items = [str(item) for item in self.item_ids]
        listed = ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
        first = min(record.start for record in self.records)
        last = max(record.index[-1] for record in self.records)
        shortest, longest = min(lengths), max(lengths)
        steps = counted(longest, "step") if shortest == longest else f"{shortest:,} to {longest:,} steps"
        alias = self.frequency.offset_alias
        step = alias if alias[:1].isdigit() else f"1 {alias}"
        return [
            f"series   {len(items):,} ({listed})",
            f"span     {_moment(first)} – {_moment(last)}, {steps} of {step} each",
            f"missing  {missing:,} of {total:,} values ({100 * missing / total:.2g} %)" if missing else "missing  none",
        ]


def _moment(stamp: pd.Timestamp) -> str:
    return f"{stamp:%Y-%m-%d}" if stamp == stamp.normalize() else f"{stamp:%Y-%m-%d %H:%M}"


def warn(notes: list[str], stacklevel: int = 3) -> None:
    """Issue one `SeriesWarning` for all notes, none when there are none."""
    if notes:
        warnings.warn("; ".join(notes), SeriesWarning, stacklevel=stacklevel)


def build_panel(
    table: LongTable, schema: SeriesSchema, encoder: CovariateEncoder | None, all_missing: Literal["error", "skip"]
) -> SeriesPanel:
    """Rows on their regular grid, cut into records; see `to_records`.

    Raises:
        ValueError: see `to_records`.
    """
    table, frequency = at_step(table, schema)
    table, closed = _open_table(table, frequency)
    grid, time = _lay_on_grid(table, frequency)
    encoder, features, notes = _encode(table, grid, schema, encoder)
    target = grid.place(table.values)
    records, cut = _cut_records(table.item_ids, grid, target, features, schema.multichannel)
    # Wall time needs no zone: its days and hours are local already.
    zone = None if time.wall else time.timezone
    records = [record if record is None or zone is None else replace(record, timezone=zone) for record in records]
    empty = [item for item, record in zip(table.item_ids, records, strict=True) if record is None]
    if empty and (all_missing == "error" or len(empty) == len(records)):
        raise ValueError(f"item {some(empty)} has no observed value at all: drop it or correct the target column")
    skipped = [f"{counted(len(empty), 'item')} without any value skipped: {some(empty)}"] if empty else []
    kept = [record for record in records if record is not None]
    return SeriesPanel(
        kept, grid.frequency, [*table.stamps.notes, *closed, *grid.notes, *notes, *cut, *skipped], time, encoder
    )


def _open_table(table: LongTable, frequency: Frequency | None) -> tuple[LongTable, tuple[str, ...]]:
    """The table without rows that have no value on closed days, where the frequency has such days; and a note."""
    if frequency is None or frequency.unit != "business" or table.stamps.time.kind == "ordinal":
        return table, ()
    missing = np.asarray(np.isnan(table.values).all(axis=1))
    kept, notes = open_rows(table.stamps.values, table.codes, missing, table.item_ids, frequency)
    if kept.all():
        return table, ()
    if empty := [name for code, name in enumerate(table.item_ids) if not (table.codes[kept] == code).any()]:
        raise ValueError(f"item {some(empty)} has rows on closed days only: leave it out, or open these days")
    frame = None if table.frame is None else table.frame[kept].reset_index(drop=True)
    stamps = replace(table.stamps, values=table.stamps.values[kept])
    return replace(table, codes=table.codes[kept], stamps=stamps, values=table.values[kept], frame=frame), notes


def _lay_on_grid(table: LongTable, frequency: Frequency | None) -> tuple[Grid, TimeKind]:
    stamps, time = table.stamps.values, table.stamps.time
    order, notes = sort_rows(table.codes, stamps, table.item_ids)
    if time.kind == "datetime":
        periods = find_periods(stamps[order], table.codes[order], frequency)
        if periods is not None:
            stamps = stamps.copy()
            stamps[order] = periods.stamps
            time = replace(time, days=periods.days)
            notes = (*notes, *([periods.note] if periods.note else []))
    grid = build_grid(table.codes, stamps, table.item_ids, frequency, order)
    return replace(grid, notes=(*notes, *grid.notes)), time


@dataclass(frozen=True)
class _Features:
    """Encoded covariates, None where none are declared.

    past (G, Fp), known (G, Fk), unknown (G,) True where a known value is missing, cat (I, S),
    real (I, R).
    """

    past: np.ndarray | None = None
    known: np.ndarray | None = None
    unknown: np.ndarray | None = None
    cat: np.ndarray | None = None
    real: np.ndarray | None = None


def _encode(
    table: LongTable, grid: Grid, schema: SeriesSchema, encoder: CovariateEncoder | None
) -> tuple[CovariateEncoder | None, _Features, list[str]]:
    if encoder is not None:
        encoder.check_schema(schema)
    if not schema.covariates or table.frame is None:
        return encoder, _Features(), []
    items = _static_rows(table, schema)
    encoder = encoder or CovariateEncoder.fit(table.frame, items, schema, gaps=grid.has_gaps)
    notes: list[str] = []
    dynamic: list[np.ndarray | None] = []
    for names in (schema.past_covariates, schema.known_covariates):
        values, found = encoder.values(table.frame, names)
        dynamic.append(encoder.expand(grid.place(values), names) if names else None)
        notes += found
    cat, real, found = encoder.statics(items)
    statics = (cat, real) if schema.static_covariates else (None, None)
    # 1 where a known value is missing, 0 where all are there, NaN where there is no row.
    lacks = table.frame[list(schema.known_covariates)].isna().any(axis=1).to_numpy().astype(np.float64)
    unknown = grid.place(lacks[:, None])[:, 0] != 0
    return encoder, _Features(dynamic[0], dynamic[1], unknown, *statics), notes + found


def _static_rows(table: LongTable, schema: SeriesSchema) -> pd.DataFrame:
    """Static covariates, one row per item, in item order."""
    assert table.frame is not None
    frame = table.frame[list(schema.static_covariates)]
    first = np.unique(table.codes, return_index=True)[1]
    items = frame.iloc[first].reset_index(drop=True)
    for name in schema.static_covariates:
        levels = pd.factorize(frame[name], use_na_sentinel=False)[0]
        varying = np.flatnonzero(levels != levels[first][table.codes])
        if varying.size:
            item = table.item_ids[int(table.codes[varying[0]])]
            raise ValueError(
                f"static covariate {name!r} changes within item {item!r}: declare it under past_covariates or "
                "known_covariates, or give each item one value"
            )
    return items


def _cut_records(
    item_ids: list[Hashable], grid: Grid, target: FloatArray, features: _Features, multichannel: bool
) -> tuple[list[SeriesRecord | None], list[str]]:
    """Cut the grid into records, from the first observed step; None for an item without any."""
    offsets, observed = grid.offsets, ~np.isnan(target).all(axis=1)
    cells = np.flatnonzero(observed)
    first = np.searchsorted(cells, offsets[:-1])
    last = np.searchsorted(cells, offsets[1:]) - 1
    records: list[SeriesRecord | None] = []
    ahead = 0
    for item, name in enumerate(item_ids):
        if last[item] < first[item]:
            records.append(None)
            continue
        begin, end = int(cells[first[item]]), int(offsets[item + 1])
        known_end = end
        if features.known is not None:
            assert features.unknown is not None
            end = int(cells[last[item]]) + 1
            # The known future ends where the first value is missing.
            stop = np.flatnonzero(features.unknown[end:known_end])
            known_end = end + int(stop[0]) if stop.size else known_end
            ahead += known_end > end
        start = grid.frequency.shift(pd.Timestamp(int(grid.starts[item])), begin - int(offsets[item]))
        records.append(
            SeriesRecord(
                item_id=name,
                start=start,
                freq=grid.frequency.offset_alias,
                target=np.ascontiguousarray(target[begin:end].T) if multichannel else target[begin:end, 0],
                past_feat_dynamic_real=None if features.past is None else features.past[begin:end].T,
                feat_dynamic_real=None if features.known is None else features.known[begin:known_end].T,
                feat_static_cat=None if features.cat is None else features.cat[item],
                feat_static_real=None if features.real is None else features.real[item],
            )
        )
    notes = [f"{counted(ahead, 'item')} had rows after the last value, read as known future"] if ahead else []
    return records, notes
