"""CovariateRows: rows of a table with the series and the step that each belongs to, found once.

Shapes: n rows, F columns, M channels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.foreign import as_pandas
from titans_datasets.series import SeriesPanel, SeriesSchema
from titans_datasets.series.read.tables import item_codes, with_time_column
from titans_datasets.series.time.frequency import on_calendar_rule
from titans_datasets.series.time.timestamps import read_stamps, to_nanoseconds
from titans_datasets.text import some
from titans_ts.forecasting.fitted import RowColumns

Int64Array = npt.NDArray[np.int64]
COLLECTIONS = (Mapping, list, tuple, set, np.ndarray)


@dataclass(frozen=True)
class CovariateRows:
    """Rows of covariates, or of a long table.

    Attributes:
        frame: the rows (n), with a timestamp column.
        codes: (n,) place in `names` of the series of each row; −1 for a series that is not among them.
        names: the series.
        steps: (n,) of each row, counted from the start of its series.
    """

    frame: pd.DataFrame
    codes: Int64Array
    names: list[Hashable]
    steps: Int64Array

    @property
    def counts(self) -> dict[Hashable, int]:
        """Number of rows of each series."""
        return dict(zip(self.names, np.bincount(self.codes).tolist(), strict=True))

    def on(self, panel: SeriesPanel, schema: SeriesSchema) -> CovariateRows:
        """The rows by the series of a panel, their steps counted from the start of its records.

        Raises:
            ValueError: timestamps of another kind than the panel's, or off its grid.
        """
        return _place(self.frame, self.codes, self.names, panel, schema)

    def with_target(self, target: object, schema: SeriesSchema) -> pd.DataFrame:
        """The rows (n) with the target (n,) or (n, M) in the target column(s).

        Raises:
            ValueError: rows and target differ in length, or the target in channels.
        """
        values = np.asarray(target)
        if len(values) != len(self.frame):
            raise ValueError(f"X and y must have a row a time step each, got {len(self.frame)} and {len(values)} rows")
        values = values.reshape(len(values), -1)
        if values.shape[1] != len(schema.targets):
            raise ValueError(
                f"y must have {len(schema.targets)} column(s), got {values.shape[1]}: name several with "
                "target_column=(…)"
            )
        return self.frame.assign(**{name: values[:, place] for place, name in enumerate(schema.targets)})


def row_columns(data: object) -> RowColumns:
    """Columns of rows; see `read_rows`."""
    data = as_pandas(data)
    if isinstance(data, pd.DataFrame):
        return RowColumns(tuple(map(str, data.columns)), True)
    shape = getattr(data, "shape", None) or np.shape(np.asarray(data))
    return RowColumns(tuple(f"x{place}" for place in range(shape[1] if len(shape) > 1 else 1)), False)


def check_columns(data: object, schema: SeriesSchema, fitted: RowColumns | None) -> None:
    """Refuse rows with columns that the rows of the fit did not have, and arrays with fewer columns.

    Raises:
        ValueError: with scikit-learn's first words.
    """
    if fitted is None:
        return
    columns = row_columns(data)
    found = columns.names
    keys = {schema.id_column, schema.timestamp_column}
    words = f"X has {len(found)} features, but TitansForecaster is expecting {len(fitted.names)} features as input"
    if extra := [name for name in found if name not in {*fitted.names, *keys}]:
        raise ValueError(f"{words}: leave out {some(extra)}, which fit(X, y) has not seen")
    if not columns.named and len(found) < len(fitted.names):
        raise ValueError(
            f"{words}: pass the columns of fit(X, y), in their order. Reshape your data where they have one dimension"
        )


def read_rows(data: object, schema: SeriesSchema, before: Mapping[Hashable, int] | None = None) -> CovariateRows:
    """Rows of covariates: a DataFrame, an array (n,) or (n, F), or a sparse matrix.

    Args:
        data: the rows.
        schema: names of the columns.
        before: rows of each series that came before these; step numbers go on from there, and are the timestamps of
            rows without any.

    Raises:
        TypeError: the data are of another type, or a cell holds a collection.
        ValueError: they have no rows or more than two dimensions, complex numbers, or rows do not name their series.
    """
    frame = _row_frame(data, schema)
    codes, names = item_codes(frame, schema)
    first = np.array([(before or {}).get(name, 0) for name in names], dtype=np.int64)
    steps = first[codes] + pd.Series(codes).groupby(codes).cumcount().to_numpy(np.int64)
    if schema.timestamp_column not in frame.columns:
        frame = frame.assign(**{schema.timestamp_column: steps})
    return CovariateRows(frame, codes, names, steps)


def table_rows(frame: pd.DataFrame, panel: SeriesPanel, schema: SeriesSchema) -> CovariateRows:
    """Rows of a long table, by the series and steps of a panel.

    Raises:
        ValueError: there are no timestamps, or a stamp does not lie on the grid.
    """
    if schema.timestamp_column not in frame.columns:
        raise ValueError(
            f"the table lacks the timestamps {schema.timestamp_column!r}, it has {some(frame.columns, 20)}: add the "
            "column, or a time index"
        )
    frame = _open_rows(frame, panel, schema)
    codes, names = item_codes(frame, schema)
    return _place(frame, codes, names, panel, schema)


def _open_rows(frame: pd.DataFrame, panel: SeriesPanel, schema: SeriesSchema) -> pd.DataFrame:
    """The table without rows that have no value on closed days, as `to_records` reads it."""
    targets = [name for name in schema.targets if name in frame.columns]
    if panel.frequency.unit != "business" or panel.time.kind == "ordinal" or not targets:
        return frame
    stamps = _moments(frame[schema.timestamp_column], panel)
    open_day = on_calendar_rule(stamps, panel.frequency.rule, panel.frequency.anchor)
    return frame[open_day | frame[targets].notna().any(axis=1).to_numpy()]


def row_schema(frame: pd.DataFrame, schema: SeriesSchema) -> SeriesSchema:
    """The schema with every column that has no role as a known covariate, when none is declared."""
    if schema.known_covariates:
        return schema
    taken = {schema.id_column, schema.timestamp_column, *schema.targets, *schema.covariates}
    return replace(schema, known_covariates=tuple(name for name in frame.columns if name not in taken))


def _row_frame(data: object, schema: SeriesSchema) -> pd.DataFrame:
    data = data.toarray() if hasattr(data, "toarray") else as_pandas(data)
    if not isinstance(data, pd.DataFrame):
        if not isinstance(data, (list, tuple)) and not hasattr(data, "__array__"):
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
    _check_cells(data)
    return with_time_column(data.set_axis(data.columns.map(str), axis=1), schema)


def _check_cells(frame: pd.DataFrame) -> None:
    """Refuse complex numbers and cells that hold several values, with scikit-learn's first words.

    Raises:
        ValueError: complex numbers.
        TypeError: a collection.
    """
    if imaginary := [name for name, kind in frame.dtypes.items() if kind.kind == "c"]:
        raise ValueError(
            f"Complex data not supported: X holds complex numbers in {some(imaginary)}: pass real ones, such as their "
            "absolute values"
        )
    for name in frame.select_dtypes("object").columns:
        strange = next((cell for cell in frame[name] if isinstance(cell, COLLECTIONS)), None)
        if strange is not None:
            raise TypeError(
                f"argument must be a string or a number in each cell, got {type(strange).__name__} in {name!r} of X: "
                "give each of its values a column"
            )


def _place(
    frame: pd.DataFrame, codes: Int64Array, names: list[Hashable], panel: SeriesPanel, schema: SeriesSchema
) -> CovariateRows:
    codes = pd.Index(panel.item_ids).get_indexer(pd.Index(names))[codes].astype(np.int64)
    starts = to_nanoseconds(pd.DatetimeIndex([record.start for record in panel.records]))
    column = frame[schema.timestamp_column]
    steps, on_grid = panel.frequency.positions(_moments(column, panel), starts[codes])
    if not on_grid[codes >= 0].all():
        bad = column.iloc[int(np.flatnonzero(~on_grid & (codes >= 0))[0])]
        raise ValueError(f"timestamp {bad} does not lie on the grid of the training data, steps of {panel.frequency}")
    return CovariateRows(frame, codes, panel.item_ids, steps)


def _moments(column: pd.Series, panel: SeriesPanel) -> Int64Array:
    """Timestamps (n,) as the panel counts time, in nanoseconds."""
    stamps = read_stamps(column, str(column.name), like=panel.time)
    if stamps.time.kind != panel.time.kind:
        raise ValueError(
            f"{column.name!r} holds {stamps.time.kind} stamps, the training data {panel.time.kind} stamps: pass stamps "
            "of the same kind"
        )
    zone = panel.time.timezone
    if zone is not None and not panel.time.wall and stamps.time.timezone is None:
        raise ValueError(
            f"{column.name!r} holds stamps without a time zone, those before are in {zone}: set the zone with "
            f"tz_localize, for example frame[{column.name!r}].dt.tz_localize({str(zone)!r})"
        )
    return panel.time.on_grid(stamps.values, panel.frequency)
