"""Observations as blocks of steps: arrays, or rows of a long table on the session's clock.

Shapes: n steps, I items, M channels, C = I·M columns, Fk known and Fp past covariates, H horizon.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from titans_datasets.series import CovariateEncoder, SeriesPanel, SeriesRecord, SeriesSchema, attach_future
from titans_datasets.series.read.records import item_code
from titans_datasets.series.read.tables import LARGEST, numeric_column
from titans_datasets.series.time.timestamps import TimeKind, to_nanoseconds
from titans_datasets.text import some
from titans_ts.core.config import require
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.inputs import table_of
from titans_ts.forecasting.forecaster.rows import Int64Array, table_rows
from titans_ts.forecasting.streaming.state import Block, Clock, FloatArray

# Missing steps in a row that are taken without asking, however little was seen.
LEAST_AHEAD = 1_000


class Late(NamedTuple):
    """Values for steps that have passed: columns, steps and values, (m,) each."""

    columns: Int64Array
    steps: Int64Array
    values: FloatArray


@dataclass(frozen=True)
class Columns:
    """A session's series: their names, their columns and their clock.

    Attributes:
        ids: the caller's names of the series.
        schema, encoder, time: of the fit and of the history's timestamps.
        clock: of the session.
        channels: M, of each of the clock's items.
        mixed: whether the series are the channels of one item of the clock.
    """

    ids: list[Hashable]
    schema: SeriesSchema
    encoder: CovariateEncoder | None
    time: TimeKind
    clock: Clock
    channels: int
    mixed: bool

    @property
    def count(self) -> int:
        """C."""
        return len(self.clock.first) * self.channels

    @property
    def names(self) -> list[tuple[Hashable, str]]:
        """Series and target column of every column, in order."""
        return [(item, target) for item in self.ids for target in self.schema.targets]

    def panel(self, step: int, *, visible: bool, known: npt.NDArray[np.float32] | None = None) -> SeriesPanel:
        """Records of the single step `step`: of the series as the caller knows them, or as the network does.

        Args:
            step: of the clock.
            visible: True for the caller's series.
            known: (I, Fk), known covariates of the step.
        """
        clock = self.clock
        start = clock.frequency.shift(clock.start, step)
        ids: list[Hashable] = list(self.ids) if visible or not self.mixed else [0]
        target = np.zeros((self.channels, 1)) if self.channels > 1 or self.schema.multichannel else np.zeros(1)
        records = [
            SeriesRecord(
                item,
                start,
                clock.frequency.offset_alias,
                target,
                feat_dynamic_real=None if known is None else known[place][:, None],
            )
            for place, item in enumerate(ids)
        ]
        return SeriesPanel(records, clock.frequency, [], self.time, self.encoder)

    def rows(self, values: object, covariates: Mapping[str, object] | None) -> pd.DataFrame | None:
        """Observations with timestamps: a table, or a Series with a time index as one; None for numbers without.

        Raises:
            ValueError: a Series with a time index where the session has several columns, or covariates beside a table.
        """
        if isinstance(values, pd.Series) and isinstance(values.index, (pd.DatetimeIndex, pd.PeriodIndex)):
            if self.count > 1:
                raise ValueError(
                    f"this session has {self.count} columns, {some(self.names)}, and a Series with a time index is one "
                    "of them: pass a table with all"
                )
            columns = {self.schema.id_column: self.ids[0], self.schema.targets[0]: values}
            values = pd.DataFrame(columns, index=values.index).reset_index(names=[self.schema.timestamp_column])
            if covariates is not None:
                values = values.assign(**{name: np.asarray(given) for name, given in covariates.items()})
            return values
        if not isinstance(values, pd.DataFrame):
            return None
        if covariates is not None:
            raise ValueError("covariates= goes with an array; a table has them as columns: add them there")
        return values

    def array_block(self, values: object, covariates: Mapping[str, object] | None) -> Block:
        """Values: a number (C = 1), (n,) for C = 1, (C,) one step, or (n, C); covariates by name, (n,) or (n, I).

        Raises:
            TypeError, ValueError: no numbers, another number of columns, infinite values, or covariates are missing.
        """
        block = self._values(values)
        return Block(block, *self._covariates(covariates, len(block)))

    def _values(self, values: object) -> FloatArray:
        if isinstance(values, pd.Series):
            values = self._in_order(values)
        array = numeric_array(values)
        count = self.count
        if array.ndim < 2:
            array = array.reshape(-1, 1) if count == 1 else array.reshape(1, -1)
        if array.ndim != 2 or array.shape[1] != count:
            raise ValueError(
                f"this session has {count} columns, {some(self.names)}: observe takes (n, {count}), steps by columns"
                f"{', or (' + str(count) + ',) for one step' if count > 1 else ', or (n,)'}, got shape "
                f"{np.shape(cast(Any, values))}"
            )
        if (large := np.abs(array) > LARGEST).any():
            step, column = (int(found[0]) for found in np.nonzero(large))
            raise ValueError(
                f"step {step} of these observations is infinite or too large for {self.names[column]} (the limit is "
                f"{LARGEST:.2g}): pass NaN for a missing value"
            )
        return array

    def _in_order(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """One step as a Series that names the session's series: in the session's order."""
        named = self.count > 1 and self.count == len(values) == len(self.ids) and values.index.is_unique
        if not named or {*values.index} != {*self.ids}:
            return values
        return values.iloc[[list(values.index).index(item) for item in self.ids]]

    def _covariates(self, given: Mapping[str, object] | None, steps: int) -> tuple[Any, Any]:
        items, schema = len(self.clock.first), self.schema
        wanted = (*schema.known_covariates, *schema.past_covariates)
        if not wanted or self.encoder is None:
            if given:
                raise ValueError(f"the model was fitted without covariates, got {some(given)}: leave them out")
            return (np.zeros((steps, items, 0), dtype=np.float32),) * 2
        absent = [name for name in wanted if given is None or name not in given]
        if given is None or absent:
            raise ValueError(
                f"covariates {some(absent)} of these {steps} steps are missing: pass covariates={{name: values}} with "
                f"{list(wanted)}, or the observations as a long table"
            )
        columns = {name: _spread(given[name], name, steps, items) for name in wanted}
        return self._encoded(pd.DataFrame(columns), steps, items)

    def _encoded(self, frame: pd.DataFrame, steps: int, items: int) -> tuple[Any, Any]:
        """Features (n, I, Fk) and (n, I, Fp) of rows ordered by step, then item."""
        assert self.encoder is not None
        found = []
        for names in (self.schema.known_covariates, self.schema.past_covariates):
            values, _ = self.encoder.values(frame, names)
            found.append(self.encoder.expand(values, names).reshape(steps, items, self.encoder.width(names)))
        return found[0], found[1]

    def frame_block(self, data: pd.DataFrame, now: int, ahead: int | None = None) -> tuple[Block, Late]:
        """Rows of a long table as the steps from `now` on, those in between NaN; and the rows that come late.

        Args:
            data: the table.
            now: steps seen.
            ahead: steps in a row that may be missing; None for as many as were seen, at least `LEAST_AHEAD`.

        Raises:
            ValueError: unknown series, doubled rows, stamps off the grid or far ahead, no numbers, or infinite values.
        """
        rows = table_rows(table_of(data, self.schema), self.panel(0, visible=True), self.schema)
        frame, codes, steps = rows.frame, rows.codes, rows.steps
        if (codes < 0).any():
            if self.schema.id_column not in frame.columns:
                raise ValueError(
                    f"the table lacks {self.schema.id_column!r}, which names the series {some(self.ids)}; it has "
                    f"{some(frame.columns, 20)}: add the column"
                )
            strangers = frame[self.schema.id_column][codes < 0].unique()
            raise ValueError(
                f"item {some(strangers)} is not in this session, which has {some(self.ids)}: start a session with its "
                "history, stream(history)"
            )
        if pd.DataFrame({"item": codes, "step": steps}).duplicated().any():
            raise ValueError("the table has several rows for one item and timestamp: keep one each")
        values = self._row_values(frame)
        late, targets = steps < now, len(self.schema.targets)
        _check_ahead(frame[self.schema.timestamp_column], steps, now, ahead)
        count = 0 if late.all() else int(steps.max()) - now + 1
        block = np.full((count, len(self.ids), targets), np.nan)
        block[steps[~late] - now, codes[~late]] = values[~late]
        known, past = self._frame_covariates(frame[~late], codes[~late], steps[~late] - now, count)
        columns = (codes[late, None] * targets + np.arange(targets)).reshape(-1)
        passed, numbers = np.repeat(steps[late], targets), values[late].reshape(-1)
        there = ~np.isnan(numbers)
        return Block(block.reshape(count, self.count), known, past), Late(columns[there], passed[there], numbers[there])

    def _row_values(self, frame: pd.DataFrame) -> FloatArray:
        absent = [name for name in self.schema.targets if name not in frame.columns]
        if absent:
            raise ValueError(f"the table lacks the target {some(absent)}, it has {some(frame.columns, 20)}")
        values = np.column_stack([numeric_column(frame[name], name) for name in self.schema.targets])
        if (np.abs(values) > LARGEST).any():
            raise ValueError(
                f"the target holds infinite or too large values (the limit is {LARGEST:.2g}): pass NaN for missing ones"
            )
        return values

    def _frame_covariates(
        self, frame: pd.DataFrame, codes: Int64Array, steps: Int64Array, count: int
    ) -> tuple[Any, Any]:
        items = len(self.clock.first)
        names = (*self.schema.known_covariates, *self.schema.past_covariates)
        if self.encoder is None or not names:
            return (np.zeros((count, items, 0), dtype=np.float32),) * 2
        found = []
        for names in (self.schema.known_covariates, self.schema.past_covariates):
            placed = np.full((count, items, len(names)), np.nan)
            placed[steps, codes] = self.encoder.values(frame, names)[0]
            features = self.encoder.expand(placed.reshape(count * items, len(names)), names)
            found.append(features.reshape(count, items, self.encoder.width(names)))
        return found[0], found[1]

    def future(self, data: pd.DataFrame | None, now: int, horizon: int) -> npt.NDArray[np.float32]:
        """Known covariates (I, H, Fk) of the steps from `now` on.

        Raises:
            ValueError: some are missing; the message names items and stamps.
        """
        items = len(self.clock.first)
        if self.encoder is None or not self.schema.known_covariates:
            return np.zeros((items, horizon, 0), dtype=np.float32)
        width = self.encoder.width(self.schema.known_covariates)
        panel = self.panel(now - 1, visible=False, known=np.zeros((items, width), dtype=np.float32))
        frame = None if data is None else table_of(data, self.schema)
        ahead = attach_future(panel, frame, self.schema, horizon)
        return np.stack([cast(Any, record.feat_dynamic_real)[:, 1:].T for record in ahead.records])


def numeric_array(values: object) -> FloatArray:
    """Values without timestamps as float64 of the same shape; masked and missing ones are NaN.

    Raises:
        TypeError: they are complex, dates, text or objects.
    """
    try:
        if isinstance(values, np.ma.MaskedArray):
            values = np.ma.filled(values.astype(np.float64), np.nan)
        elif isinstance(values, pd.Series) and pd.api.types.is_extension_array_dtype(values.dtype):
            values = values.to_numpy(np.float64, na_value=np.nan)
        # None among numbers of a list is a missing one; an array of objects may hold anything.
        array = np.asarray(values)
        if array.dtype.kind in "cmMSUV" or (array.dtype == object and isinstance(values, (np.ndarray, pd.Series))):
            raise TypeError(f"values of type {array.dtype}; convert them with astype(float)")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"observe takes real numbers (NaN for a missing one) or a long table, got {type(values).__name__}: {error}"
        ) from error


def _check_ahead(stamps: pd.Series[Any], steps: Int64Array, now: int, ahead: int | None) -> None:
    """Refuse a row (of n) that leaves more missing steps before it than `frame_block` allows."""
    require(ahead is None or (isinstance(ahead, int) and ahead >= 0), "ahead", "an integer ≥ 0 or None", ahead)
    most = max(now, LEAST_AHEAD) if ahead is None else ahead
    order = np.argsort(steps, kind="stable")
    missing = np.diff(np.maximum(steps[order], now - 1), prepend=now - 1) - 1
    if (far := np.flatnonzero(missing > most)).size:
        place = int(far[0])
        why = f"as many as were seen, at least {LEAST_AHEAD:,}" if ahead is None else "ahead="
        raise ValueError(
            f"the row at {stamps.iloc[int(order[place])]} comes {int(missing[place]):,} missing steps after what is "
            f"known, a session takes up to {most:,} ({why}): correct the stamp, or observe the table with "
            f"ahead={int(missing[place])}"
        )


def _spread(values: object, name: str, steps: int, items: int) -> npt.NDArray[Any]:
    """One covariate of all steps and items, (n·I,): of each item, or the same for all."""
    array = np.asarray(values)
    array = array.reshape(1) if array.ndim == 0 else array
    if array.ndim == 1 and len(array) == steps:
        array = array[:, None]
    if array.ndim != 2 or array.shape[0] != steps or array.shape[1] not in (1, items):
        raise ValueError(
            f"covariate {name!r} must be ({steps},) or ({steps}, {items}), steps by series, got {np.shape(array)}"
        )
    return np.broadcast_to(array, (steps, items)).reshape(-1)


def open_panel(panel: SeriesPanel, fitted: FittedForecaster) -> tuple[Columns, Block]:
    """The columns and clock of a session of a forecaster that begins with a panel, and the panel as one block."""
    return open_columns(panel, fitted.schema, fitted.network.config.channels, fitted.channels)


def open_columns(
    panel: SeriesPanel, schema: SeriesSchema, channels: int = 1, mixed: Sequence[Hashable] | None = None
) -> tuple[Columns, Block]:
    """The columns and clock of a session that begins with a panel, and the panel as one block (T, C).

    Args:
        panel: the series.
        schema: their columns.
        channels: M, of each record.
        mixed: names of the series that are the channels of one record; None where they are not.
    """
    records, frequency = panel.records, panel.frequency
    starts = to_nanoseconds(pd.DatetimeIndex([record.start for record in records]))
    begin = records[int(starts.argmin())].start
    first, on_grid = frequency.positions(starts, np.full(len(starts), starts.min()))
    if not on_grid.all():
        stranger = panel.item_ids[int(np.flatnonzero(~on_grid)[0])]
        raise ValueError(
            f"item {stranger!r} does not lie on the grid of {frequency} that begins at {begin}: the series of a "
            "session share one clock; start a session for each grid"
        )
    cat, real = (_stacked(records, name) for name in ("feat_static_cat", "feat_static_real"))
    codes = torch.tensor([item_code(record.item_id) for record in records], dtype=torch.int64)
    clock = Clock(begin, frequency, torch.from_numpy(first), codes, cat.long(), real.float(), records[0].timezone)
    ids = panel.item_ids if mixed is None else list(mixed)
    columns = Columns(ids, schema, panel.encoder, panel.time, clock, channels, mixed is not None)
    return columns, _history_block(panel, columns, first)


def _history_block(panel: SeriesPanel, columns: Columns, first: Int64Array) -> Block:
    items, encoder, schema = len(panel.records), columns.encoder, columns.schema
    steps = max(int(begin) + record.length for begin, record in zip(first, panel.records, strict=True))
    values = np.full((steps, items, columns.channels), np.nan)
    blank = []
    for names in (schema.known_covariates, schema.past_covariates):
        width = 0 if encoder is None else encoder.width(names)
        empty = np.full((1, len(names)), np.nan)
        fill = encoder.expand(empty, names) if encoder is not None and names else np.zeros((1, width))
        blank.append(np.tile(fill.astype(np.float32), (steps, items, 1)))
    known, past = blank
    for place, (begin, record) in enumerate(zip(first, panel.records, strict=True)):
        part = slice(int(begin), int(begin) + record.length)
        values[part, place] = np.atleast_2d(record.target).T
        if record.feat_dynamic_real is not None:
            known[part, place] = record.feat_dynamic_real[:, : record.length].T
        if record.past_feat_dynamic_real is not None:
            past[part, place] = record.past_feat_dynamic_real.T
    return Block(values.reshape(steps, -1), known, past)


def _stacked(records: list[SeriesRecord], name: str) -> Tensor:
    given = [getattr(record, name) for record in records]
    return torch.zeros(len(records), 0) if given[0] is None else torch.from_numpy(np.stack(given))
