"""What follows the data of a fitted model: forecasts of series and of rows, scores of later data, updates.

Shapes: n rows, M channels, Q quantile levels, H horizon.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series import SeriesPanel, SeriesRecord, attach_future
from titans_datasets.series.read.future import unused_future
from titans_datasets.series.read.panel import warn
from titans_datasets.series.read.tables import with_time_column
from titans_datasets.series.time.timestamps import to_nanoseconds
from titans_datasets.text import counted, some
from titans_ts.forecasting.combination import described, from_rows
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.frames import forecast_frame
from titans_ts.forecasting.forecaster.inputs import FORECAST_BY, read_history
from titans_ts.forecasting.forecaster.interruptions import without_interruptions
from titans_ts.forecasting.forecaster.params import Steps, steps_ahead
from titans_ts.forecasting.forecaster.rows import Int64Array, check_columns, read_rows
from titans_ts.forecasting.guard import warn_replaced
from titans_ts.forecasting.model.network import Forecast
from titans_ts.support.guards.limits import check_values

FloatArray = npt.NDArray[np.float64]


class Later(NamedTuple):
    """Series that continue the training data: the training records, steps between them, and the later records."""

    before: list[SeriesRecord]
    gaps: list[int]
    after: list[SeriesRecord]

    @property
    def horizons(self) -> list[int]:
        """Steps from the end of each training record to the end of the later one."""
        return [gap + record.length for gap, record in zip(self.gaps, self.after, strict=True)]


def forecast_table(
    fitted: FittedForecaster,
    data: object,
    levels: Sequence[float],
    future: pd.DataFrame | None = None,
    prediction_length: Steps = None,
    *,
    by: bool = False,
) -> pd.DataFrame:
    """What follows the data, as a frame: id, timestamp, mean and the levels; see `forecast_frame`.

    Args:
        fitted: the model.
        data: the history, None for the series of the fit.
        levels: quantile levels.
        future: long frame with the known covariates of the steps to be forecast.
        prediction_length: steps, those of the fit where None, or which steps ahead.
        by: whether a column `FORECAST_BY` tells what each series was forecast by.

    Raises:
        ValueError: a wrong length, known covariates are missing, or the data break a rule.
    """
    frame, _ = forecast_and_weights(fitted, data, levels, future, prediction_length)
    return frame if by else frame.drop(columns=FORECAST_BY)


def forecast_and_weights(
    fitted: FittedForecaster,
    data: object,
    levels: Sequence[float],
    future: pd.DataFrame | None = None,
    prediction_length: Steps = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`forecast_table` with its column `FORECAST_BY`, and the weights (series × channels, experts) that this column
    tells; NaN where nothing was observed.

    Raises:
        ValueError: as `forecast_table`, or a forecast of something that was observed is not finite.
    """
    panel = read_history(fitted, data)
    horizon, steps = steps_ahead(prediction_length, fitted.network.config.prediction_length)
    check_values(len(panel.records) * (fitted.channel_count or 1), horizon, len(levels))
    schema = fitted.schema
    unused_future(future, schema)
    panel = attach_future(panel, None if future is None else with_time_column(future, schema), schema, horizon)
    if data is not None:
        warn(without_interruptions(panel.records)[1], stacklevel=5)
    found = fitted.combined(panel.records, horizon, levels)
    warn_replaced(fitted.row_names(panel.records), found.replaced, stacklevel=5)
    forecast = from_rows(found.rows, fitted.channel_count)
    _require_finite(panel, forecast)
    frame = forecast_frame(panel, forecast, levels, schema, fitted.channels)
    weights = fitted.weights_frame(found, fitted.row_names(panel.records))
    texts = described(found.weights, [str(name) for name in weights.columns])
    frame[FORECAST_BY] = np.repeat(np.array(texts, dtype=object), horizon)
    if len(steps) < horizon:
        frame = frame[np.isin(np.arange(len(frame)) % horizon + 1, steps)].reset_index(drop=True)
    return frame, weights


def _require_finite(panel: SeriesPanel, forecast: Forecast) -> None:
    count = len(panel.records)
    values = np.concatenate([part.numpy().reshape(count, -1) for part in (forecast.mean, forecast.quantiles)], axis=1)
    bad = [
        record.item_id
        for record, finite in zip(panel.records, np.isfinite(values).all(axis=1), strict=True)
        if not finite and np.isfinite(np.atleast_2d(record.target)).any(axis=1).all()
    ]
    if bad:
        raise ValueError(
            f"the forecast of {counted(len(bad), 'item')} is not finite: {some(bad)}; values of the data near the "
            "largest numbers a computer has overflow, give them in larger units"
        )


def forecast_rows(fitted: FittedForecaster, data: object, levels: Sequence[float]) -> FloatArray:
    """Quantiles (n, Q) or (n, M, Q) of rows that follow those of the fit.

    Args:
        fitted: a model fitted on rows beside a target.
        data: rows (n) with known covariates, in any order; see `read_rows`.
        levels: quantile levels.

    Raises:
        ValueError: the model was fitted otherwise or loaded, rows have columns that it does not know, one belongs to no
            series or lies within the training data, or known covariates are missing.
    """
    panel, schema = fitted.panel, fitted.schema
    if fitted.row_counts is None or panel is None:
        raise ValueError("rows are forecast after fit(X, y) in this process only: fit with y, or pass series without y")
    check_columns(data, schema, fitted.row_columns)
    rows = read_rows(data, schema, fitted.row_counts).on(panel, schema)
    codes, steps = rows.codes, rows.steps - np.array([record.length for record in panel.records])[rows.codes]
    if (codes < 0).any() or (steps < 0).any():
        raise ValueError(
            f"{int((codes < 0).sum())} rows of X belong to no series of the fit and {int((steps < 0).sum())} lie "
            "before the end of the training data: pass rows that follow it"
        )
    channels = () if panel.records[0].target.ndim == 1 else (panel.records[0].channels,)
    found = np.empty((len(codes), *channels, len(levels)))
    replaced: dict[int, int] = {}
    for horizon, items in _by_horizon(codes, steps):
        part = replace(panel, records=[panel.records[item] for item in items])
        ahead = attach_future(part, rows.frame[np.isin(rows.codes, items)], schema, horizon)
        combined = fitted.combined(ahead.records, horizon, levels)
        width = panel.records[0].channels
        for row, reason in combined.replaced.items():
            replaced[int(items[row // width]) * width + row % width] = reason
        quantiles = from_rows(combined.rows, fitted.channel_count).quantiles.numpy()
        here = np.flatnonzero(np.isin(codes, items))
        found[here] = quantiles[np.searchsorted(items, codes[here]), steps[here]]
    warn_replaced(fitted.row_names(panel.records), replaced)
    return found


def _by_horizon(codes: Int64Array, steps: Int64Array) -> Iterator[tuple[int, Int64Array]]:
    """Horizon and items of the requested rows, grouped so that each item is forecast no further than its last row."""
    furthest = pd.Series(steps).groupby(codes).max()
    for horizon, items in furthest.groupby(furthest).groups.items():
        yield int(horizon) + 1, np.asarray(items, dtype=np.int64)  # type: ignore[call-overload]


def find_later(training: SeriesPanel | None, panel: SeriesPanel) -> Later | None:
    """The panel's series as continuations of the training data; None when one of them is not."""
    if training is None or not set(panel.item_ids) <= set(training.item_ids):
        return None
    places = {item: place for place, item in enumerate(training.item_ids)}
    before = [training.records[places[item]] for item in panel.item_ids]
    gaps = []
    for old, new in zip(before, panel.records, strict=True):
        gap = _steps_between(old, new)
        if gap is None or gap < 0:
            return None
        gaps.append(gap)
    return Later(before, gaps, panel.records)


def forecast_later(
    fitted: FittedForecaster, training: SeriesPanel, later: Later, future: pd.DataFrame | None
) -> tuple[FloatArray, FloatArray]:
    """Actual values (n,) and their forecast quantiles (n, Q) at the trained levels, from the training data.

    Args:
        fitted: the model.
        training: its series.
        later: what follows them.
        future: the later data as a long frame, for known covariates; None without any.
    """
    base = replace(training, records=later.before)
    # Known covariates have to be there for every step of every series.
    horizon = max(later.horizons) if future is None else min(later.horizons)
    base = attach_future(base, future, fitted.schema, horizon)
    levels = fitted.levels
    found = fitted.forecast(base.records, horizon, levels).quantiles.numpy()
    actual, quantiles = [], []
    for gap, record, item in zip(later.gaps, later.after, found, strict=True):
        target = np.atleast_2d(record.target).T[: max(0, horizon - gap)]
        actual.append(target.reshape(-1))
        quantiles.append(item[gap : gap + len(target)].reshape(-1, len(levels)))
    return np.concatenate(actual), np.concatenate(quantiles)


def updated(fitted: FittedForecaster, data: object) -> FittedForecaster:
    """The model with later observations added to the series it forecasts from; its weights stay as they are.

    Raises:
        ValueError: the model was fitted on rows beside a target, or the data do not continue its series.
    """
    if fitted.row_counts is not None:
        raise ValueError("update takes series, the model was fitted with fit(X, y): fit(X) on a table of series")
    panel = fitted.panel
    later = read_history(fitted, data, None if panel is None else panel.time)
    return replace(fitted, panel=later if panel is None else continued(panel, later))


def continued(panel: SeriesPanel, later: SeriesPanel) -> SeriesPanel:
    """The panel with the later series after its own, steps in between missing; series it does not have are added.

    Steps that both have must agree; a value that only one of them has is taken.

    Raises:
        ValueError: a series contradicts the earlier one, begins before it, or off its grid; or one counts steps and
            the other has dates.
    """
    if "ordinal" in (kinds := {panel.time.kind, later.time.kind}) and len(kinds) > 1:
        raise ValueError(
            f"the later data have {later.time.kind} stamps, the earlier data {panel.time.kind} stamps: pass stamps of "
            "the same kind"
        )
    known = {record.item_id: record for record in panel.records}
    for record in later.records:
        old = known.get(record.item_id)
        known[record.item_id] = record if old is None else _joined(old, record, panel)
    return replace(panel, records=list(known.values()))


def _joined(old: SeriesRecord, new: SeriesRecord, panel: SeriesPanel) -> SeriesRecord:
    gap = _steps_between(old, new)
    if gap is None:
        raise ValueError(
            f"item {old.item_id!r} has a step each {old.frequency} from {old.start} on, the later data begin between "
            f"two of them, at {new.start}: pass stamps of the same grid"
        )
    if gap < 0:
        old, count = _agreed(old, new, panel)
        if count == new.length:
            return old
        new, gap = _after(new, count), 0
    past, known = old.past_feat_dynamic_real, old.feat_dynamic_real
    if past is not None and new.past_feat_dynamic_real is not None:
        past = np.concatenate([past, _blank(panel, gap, "past"), new.past_feat_dynamic_real], axis=1)
    if known is not None and new.feat_dynamic_real is not None:
        ahead = known[:, old.length : old.length + gap]
        blank = _blank(panel, gap - ahead.shape[1], "known")
        known = np.concatenate([known[:, : old.length], ahead, blank, new.feat_dynamic_real], axis=1)
    empty = np.full((*old.target.shape[:-1], gap), np.nan)
    target = np.concatenate([old.target, empty, new.target], axis=-1)
    return replace(old, target=target, past_feat_dynamic_real=past, feat_dynamic_real=known)


def _agreed(old: SeriesRecord, new: SeriesRecord, panel: SeriesPanel) -> tuple[SeriesRecord, int]:
    """The earlier record with what the later one says of its steps, and how many of these there are.

    Raises:
        ValueError: the later one begins before the earlier one, or says something else of one of its steps.
    """
    first = old.length + (_steps_between(old, new) or 0)
    if first < 0:
        raise ValueError(
            f"item {old.item_id!r} is known from {old.start} on, the later data begin at {new.start}: pass what comes "
            "after"
        )
    count = min(old.length - first, new.length)
    same = slice(first, first + count)
    for name in ("target", "past_feat_dynamic_real", "feat_dynamic_real"):
        was, now = getattr(old, name), getattr(new, name)
        if was is None or now is None:
            continue
        was, now = np.atleast_2d(was)[:, same], np.atleast_2d(now)[:, :count]
        differ = np.flatnonzero(((was != now) & ~np.isnan(was) & ~np.isnan(now)).any(axis=0))
        if differ.size:
            place = int(differ[0])
            stamp = panel.time.restore(pd.DatetimeIndex([old.index[first + place]]), panel.frequency)[0]
            what = "values" if name == "target" else "covariates"
            last = panel.time.restore(pd.DatetimeIndex([old.index[-1]]), panel.frequency)[0]
            raise ValueError(
                f"item {old.item_id!r} has other {what} at {stamp} than the later data: "
                f"{some(was[:, place].tolist())}, not {some(now[:, place].tolist())}; pass rows that agree, or only "
                f"those that come after {last}"
            )
    target = old.target.copy()
    target[..., same] = np.where(np.isnan(target[..., same]), new.target[..., :count], target[..., same])
    return replace(old, target=target), count


def _after(record: SeriesRecord, count: int) -> SeriesRecord:
    """The record without its first steps."""
    past, known = record.past_feat_dynamic_real, record.feat_dynamic_real
    return replace(
        record,
        start=record.frequency.shift(record.start, count),
        target=record.target[..., count:],
        past_feat_dynamic_real=None if past is None else past[:, count:],
        feat_dynamic_real=None if known is None else known[:, count:],
    )


def _blank(panel: SeriesPanel, steps: int, role: str) -> npt.NDArray[np.float32]:
    """Features (F, steps) of steps without a row."""
    assert panel.encoder is not None
    names = getattr(panel.encoder, role)
    return panel.encoder.expand(np.full((steps, len(names)), np.nan), names).T


def _steps_between(old: SeriesRecord, new: SeriesRecord) -> int | None:
    """Steps between the end of one record and the start of another, negative when they overlap; None off the grid."""
    start, origin = (to_nanoseconds(pd.DatetimeIndex([record.start])) for record in (new, old))
    steps, on_grid = old.frequency.positions(start, origin)
    return int(steps[0]) - old.length if on_grid[0] else None
