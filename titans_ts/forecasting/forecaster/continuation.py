"""Forecasts that continue the training data: for given rows, and for scoring later data.

Shapes: n rows, M channels, Q quantile levels, H horizon.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from titans_datasets.series import SeriesPanel, SeriesRecord, SeriesSchema, attach_future
from titans_datasets.series.time.timestamps import to_nanoseconds
from titans_ts.forecasting.forecaster.inputs import by_horizon, positions
from titans_ts.forecasting.forecaster.predict import forecast_records
from titans_ts.forecasting.model.network import ForecastNetwork

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


def predict_rows(
    network: ForecastNetwork,
    panel: SeriesPanel,
    frame: pd.DataFrame,
    schema: SeriesSchema,
    levels: list[float],
    device: torch.device,
) -> FloatArray:
    """Quantiles (n, Q) or (n, M, Q) of rows that lie after the panel's series.

    Args:
        network: the trained network.
        panel: the training series.
        frame: rows (n) with timestamp and known covariates, in any order.
        schema: names of the columns.
        levels: quantile levels.
        device: where it is computed.

    Raises:
        ValueError: a row belongs to no series or lies within the training data, or known covariates are missing.
    """
    codes, steps = positions(frame, panel, schema)
    steps = steps - np.array([record.length for record in panel.records])[codes]
    if (codes < 0).any() or (steps < 0).any():
        raise ValueError(
            f"{int((codes < 0).sum())} rows of X belong to no series of the fit and {int((steps < 0).sum())} lie "
            "before the end of the training data: pass rows that follow it"
        )
    channels = () if panel.records[0].target.ndim == 1 else (panel.records[0].channels,)
    found = np.empty((len(frame), *channels, len(levels)))
    for horizon, items in by_horizon(codes, steps):
        part = replace(panel, records=[panel.records[item] for item in items])
        ahead = attach_future(part, frame, schema, horizon)
        quantiles = forecast_records(network, ahead.records, horizon, levels, device).quantiles.numpy()
        rows = np.flatnonzero(np.isin(codes, items))
        found[rows] = quantiles[np.searchsorted(items, codes[rows]), steps[rows]]
    return found


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
    network: ForecastNetwork,
    training: SeriesPanel,
    later: Later,
    future: pd.DataFrame | None,
    schema: SeriesSchema,
    levels: list[float],
    device: torch.device,
) -> tuple[FloatArray, FloatArray]:
    """Actual values (n,) and their forecast quantiles (n, Q), from the training data.

    Args:
        future: the later data as a long frame, for known covariates; None without any.
    """
    base = replace(training, records=later.before)
    # Known covariates have to be there for every step of every series.
    horizon = max(later.horizons) if future is None else min(later.horizons)
    base = attach_future(base, future, schema, horizon)
    found = forecast_records(network, base.records, horizon, levels, device).quantiles.numpy()
    actual, quantiles = [], []
    for gap, record, item in zip(later.gaps, later.after, found, strict=True):
        target = np.atleast_2d(record.target).T[: max(0, horizon - gap)]
        actual.append(target.reshape(-1))
        quantiles.append(item[gap : gap + len(target)].reshape(-1, len(levels)))
    return np.concatenate(actual), np.concatenate(quantiles)


def continued(panel: SeriesPanel, later: SeriesPanel) -> SeriesPanel:
    """The panel with the later series behind its own, steps in between missing; series it does not have are added.

    Raises:
        ValueError: a series begins before the end of what is known of it, or off its grid; or one counts steps and the
            other has dates.
    """
    if "ordinal" in (kinds := {panel.time.kind, later.time.kind}) and len(kinds) > 1:
        raise ValueError(
            f"the later data have {later.time.kind} stamps, what is known has {panel.time.kind} stamps: pass stamps of "
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
        raise ValueError(
            f"item {old.item_id!r} is known up to {old.index[-1]}, the later data begin at {new.start}: pass what "
            "comes after"
        )
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
