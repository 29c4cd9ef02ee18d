"""Records on local clocks, so that seasons keep their lag across clock changes.

Shapes: those of `SeriesRecord` and `WallClock`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from titans_datasets.series.read.records import Float32Array, SeriesRecord
from titans_datasets.series.time.wall_clock import FloatArray, WallClock


def wall_record(record: SeriesRecord, horizon: int) -> tuple[SeriesRecord, WallClock]:
    """A record as local clocks show it, and the clock that maps a forecast of `clock.horizon` steps back to `horizon`.

    Covariates of the hour that is missing in spring are those of the hour before.

    Args:
        record: of any time zone; one without is returned as it is.
        horizon: steps H to be forecast in the record's own time.

    Example:
        >>> import pandas as pd
        >>> from zoneinfo import ZoneInfo
        >>> start, zone = pd.Timestamp("2024-03-30 23:00"), ZoneInfo("Europe/Berlin")
        >>> wall, clock = wall_record(SeriesRecord("a", start, "h", np.arange(4.0), timezone=zone), 2)
        >>> wall.start, wall.target.tolist()
        (Timestamp('2024-03-31 00:00:00'), [0.0, 1.0, nan, 2.0, 3.0])
    """
    clock = WallClock(record.start, record.frequency, record.length, horizon, record.timezone)
    if record.timezone is None:
        return record, clock
    past, known = record.past_feat_dynamic_real, record.feat_dynamic_real
    if known is not None and known.shape[1] >= record.length + horizon:
        known = _filled(clock.covariates_to_wall(known[:, : record.length + horizon].astype(np.float64)))
    elif known is not None:
        known = _filled(clock.to_wall(known[:, : record.length].astype(np.float64)))
    wall = replace(
        record,
        start=clock.wall_start,
        target=clock.to_wall(record.target),
        past_feat_dynamic_real=None if past is None else _filled(clock.to_wall(past.astype(np.float64))),
        feat_dynamic_real=known,
        timezone=None,
    )
    return wall, clock


def _filled(values: FloatArray) -> Float32Array:
    """Features (F, n) with those of the step before where there are none."""
    seen = ~np.isnan(values).any(axis=0) if len(values) else np.ones(values.shape[1], dtype=np.bool_)
    return values[:, np.maximum.accumulate(np.where(seen, np.arange(values.shape[1]), 0))].astype(np.float32)
