"""Known covariates of the steps to be forecast.

Shapes: I items, P prediction_length, C known columns, Fk known features, n rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.read.panel import SeriesPanel, warn
from titans_datasets.series.read.records import SeriesRecord
from titans_datasets.series.read.tables import DEFAULT_ITEM, item_codes, with_time_column
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.series.time.frequency import Int64Array
from titans_datasets.series.time.timestamps import read_stamps, to_nanoseconds
from titans_datasets.text import counted, some


def attach_future(
    panel: SeriesPanel, future: pd.DataFrame | None, schema: SeriesSchema, prediction_length: int
) -> SeriesPanel:
    """The panel with `feat_dynamic_real` (Fk, T + P) reaching `prediction_length` steps past every target.

    Args:
        panel: records of the past, with the encoder of the fit.
        future: long frame (of pandas, polars, Arrow …) with the id, timestamp and known columns; other rows and columns
            are ignored. A single series needs no id. None when the rows were appended to the past data with a missing
            target.
        schema: the roles of the columns.
        prediction_length: steps P to be forecast.

    Raises:
        ValueError: known covariates are declared and a row or value is missing; the message names items and stamps.

    A category that the fit has not seen is a `SeriesWarning`, and so are rows of items that the data do not have, rows
    between two steps, and rows of the past with other values than the data: those of the data are taken.

    Example:
        >>> from titans_datasets.series import to_records
        >>> days = pd.date_range("2024-01-01", periods=5)
        >>> frame = pd.DataFrame({"item_id": "a", "timestamp": days, "target": range(5), "price": [2.0, 3, 2, 3, 2]})
        >>> schema = SeriesSchema(known_covariates=("price",))
        >>> past = to_records(frame[:3], schema)
        >>> attach_future(past, frame[3:], schema, prediction_length=2).records[0].feat_dynamic_real.shape
        (1, 5)
    """
    if not schema.known_covariates or panel.encoder is None:
        return panel
    if future is None:
        _require_appended(panel, schema, prediction_length)
        return panel
    rows, codes, steps, said = _future_rows(panel, future, schema, prediction_length)
    present = np.zeros((len(panel.records), prediction_length), dtype=bool)
    complete = rows[list(schema.known_covariates)].notna().all(axis=1).to_numpy()
    present[codes[complete], steps[complete]] = True
    _require_all(panel, present, schema)
    values, notes = panel.encoder.values(rows, schema.known_covariates)
    features = panel.encoder.expand(values, schema.known_covariates)
    block = np.empty((len(panel.records), prediction_length, features.shape[1]), dtype=np.float32)
    block[codes, steps] = features
    records = [_extend(record, block[item].T) for item, record in enumerate(panel.records)]
    # Nobody else sees what is said about these rows: the panel's own notes were shown when it was read.
    said += [f"{note} (in the future frame)" for note in notes]
    warn(said)
    return replace(panel, records=records, notes=[*panel.notes, *said])


def unused_future(future: object, schema: SeriesSchema) -> None:
    """Warn of a future frame where no covariate is known ahead: nothing of it is read."""
    if future is not None and not schema.known_covariates:
        warn(["the future frame is not used, no column is known ahead: name its columns by known_covariates="])


def _extend(record: SeriesRecord, ahead: npt.NDArray[np.float32]) -> SeriesRecord:
    assert record.feat_dynamic_real is not None
    return replace(
        record, feat_dynamic_real=np.concatenate([record.feat_dynamic_real[:, : record.length], ahead], axis=1)
    )


def _future_rows(
    panel: SeriesPanel, future: pd.DataFrame, schema: SeriesSchema, prediction_length: int
) -> tuple[pd.DataFrame, Int64Array, Int64Array, list[str]]:
    """Rows (n) that lie in the forecast, their items (n,), steps (n,) 0 … P - 1, and notes on the other rows."""
    time, future = schema.timestamp_column, with_time_column(future, schema)
    absent = [name for name in (time, *schema.known_covariates) if name not in future.columns]
    if absent:
        raise ValueError(
            f"the future frame lacks {some(absent)}, its columns are {some(future.columns, 20)}: add the columns"
        )
    codes = _future_items(panel, future, schema)
    stamps = read_stamps(future[time], time, like=panel.time, codes=codes, freq=panel.frequency)
    if stamps.time.kind != panel.time.kind:
        raise ValueError(
            f"{time!r} holds {stamps.time.kind} stamps in the future frame, {panel.time.kind} in the past data"
        )
    moments = panel.time.on_grid(stamps.values, panel.frequency)
    starts = to_nanoseconds(pd.DatetimeIndex([record.start for record in panel.records]))
    lengths = np.array([record.length for record in panel.records])
    positions, on_grid = panel.frequency.positions(moments, starts[codes])
    steps = positions - lengths[codes]
    wanted = (codes >= 0) & on_grid & (steps >= 0) & (steps < prediction_length)
    places = pd.Series(codes[wanted] * prediction_length + steps[wanted])
    if places.duplicated().any():
        item = panel.item_ids[int(places[places.duplicated()].iloc[0]) // prediction_length]
        raise ValueError(f"the future frame has several rows for one timestamp of item {item!r}: keep one of them")
    past = (codes >= 0) & on_grid & (steps < 0) & (positions >= 0)
    notes = [*_unknown_items(panel, future, codes, schema), *_between_steps(panel, codes, on_grid)]
    notes += _contradictions(panel, future[past], codes[past], positions[past], schema)
    return future[wanted], codes[wanted], steps[wanted], notes


def _unknown_items(panel: SeriesPanel, future: pd.DataFrame, codes: Int64Array, schema: SeriesSchema) -> list[str]:
    if not (codes < 0).any():
        return []
    names = future.loc[codes < 0, schema.id_column].unique().tolist()
    what = f"{counted(int((codes < 0).sum()), 'row')} of {counted(len(names), 'item')} that the data do not have"
    return [f"the future frame has {what}, not used: {some(names)} (the data have {some(panel.item_ids)})"]


def _between_steps(panel: SeriesPanel, codes: Int64Array, on_grid: npt.NDArray[np.bool_]) -> list[str]:
    off = (codes >= 0) & ~on_grid
    if not off.any():
        return []
    names = [panel.item_ids[int(item)] for item in np.unique(codes[off])]
    return [f"the future frame has {counted(int(off.sum()), 'row')} between two steps, not used: {some(names)}"]


def _contradictions(
    panel: SeriesPanel, rows: pd.DataFrame, codes: Int64Array, positions: Int64Array, schema: SeriesSchema
) -> list[str]:
    """A note on rows (n) of the past, at positions (n,) of their items (n,), that say something else than the data."""
    assert panel.encoder is not None
    complete = rows[list(schema.known_covariates)].notna().all(axis=1).to_numpy()
    rows, codes, positions = rows[complete], codes[complete], positions[complete]
    if rows.empty:
        return []
    values, _ = panel.encoder.values(rows, schema.known_covariates)
    features = panel.encoder.expand(values, schema.known_covariates)
    other = set()
    count = 0
    for row, (item, position) in enumerate(zip(codes.tolist(), positions.tolist(), strict=True)):
        dynamic = panel.records[item].feat_dynamic_real
        if dynamic is not None and not np.allclose(dynamic[:, position], features[row], rtol=1e-4, atol=1e-4):
            other.add(item)
            count += 1
    if not count:
        return []
    names = [panel.item_ids[item] for item in sorted(other)]
    what = f"{counted(count, 'row')} of the past with other values of {some(schema.known_covariates)} than the data"
    return [f"the future frame has {what}, those of the data are taken: {some(names)}"]


def _future_items(panel: SeriesPanel, future: pd.DataFrame, schema: SeriesSchema) -> Int64Array:
    """Place (n,) among the panel's items of each row, −1 for other items.

    A frame without ids, or with the ids of one series, is that of a single series, whose name it need not know.
    """
    own, names = item_codes(future, schema)
    alone = len(panel.item_ids) == 1 and len(names) == 1
    if alone and (schema.id_column not in future.columns or panel.item_ids == [DEFAULT_ITEM]):
        return np.zeros(len(future), dtype=np.int64)
    if schema.id_column not in future.columns:
        raise ValueError(
            f"the future frame lacks the column {schema.id_column!r} that names the series, its columns are "
            f"{some(future.columns, 20)}, and the data have {counted(len(panel.item_ids), 'item')}: "
            f"{some(panel.item_ids)}: add the column"
        )
    places = pd.Index(panel.item_ids).get_indexer(pd.Index(names))
    if (places < 0).all():
        raise ValueError(
            f"the future frame has no series of the data: {schema.id_column!r} is {some(names)} there and "
            f"{some(panel.item_ids)} in the data: use the same names"
        )
    return places[own].astype(np.int64)


def _require_appended(panel: SeriesPanel, schema: SeriesSchema, prediction_length: int) -> None:
    widths = [0 if r.feat_dynamic_real is None else r.feat_dynamic_real.shape[1] - r.length for r in panel.records]
    if not any(widths):
        raise ValueError(
            f"known covariates {some(schema.known_covariates)} need values for the next {prediction_length} steps: "
            f"pass a frame with the columns {schema.id_column!r}, {schema.timestamp_column!r} and these as the "
            "future, or append such rows with a missing target to the data"
        )
    _require_all(panel, np.arange(prediction_length)[None, :] < np.array(widths)[:, None], schema)


def _require_all(panel: SeriesPanel, present: npt.NDArray[np.bool_], schema: SeriesSchema) -> None:
    if present.all():
        return
    lacking = np.flatnonzero(~present.all(axis=1))
    first = panel.records[int(lacking[0])]
    index = panel.time.restore(first.future_index(present.shape[1]), panel.frequency)
    stamps = index[~present[lacking[0]]]
    raise ValueError(
        f"known covariates {some(schema.known_covariates)} are missing for item {first.item_id!r} at "
        f"{some([str(stamp) for stamp in stamps])}; {counted(int((~present).sum()), 'row')} in "
        f"{counted(len(lacking), 'item')}: {some([panel.item_ids[int(item)] for item in lacking], 5)}. Give a row "
        f"with a value for each of the next {present.shape[1]} steps of each item"
    )
