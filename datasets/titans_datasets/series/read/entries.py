"""gluonts data sets (iterables of dicts) to records and back; gluonts itself is not needed.

Shapes: those of `SeriesRecord`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from titans_datasets.series.read.panel import SeriesPanel
from titans_datasets.series.read.records import PositionalId, SeriesRecord
from titans_datasets.series.time.frequency import WEEKDAYS, Frequency
from titans_datasets.series.time.timestamps import Stamps, read_stamps
from titans_datasets.text import some

_FIELDS = {
    "past_feat_dynamic_real": np.float32,
    "feat_dynamic_real": np.float32,
    "feat_static_cat": np.int64,
    "feat_static_real": np.float32,
}


def from_gluonts(entries: Iterable[Mapping[str, Any]]) -> SeriesPanel:
    """Records of gluonts entries: dicts with `start` (a Period) and `target`, and perhaps item_id and feature arrays.

    Features are not changed; an entry without item_id is named by its position.

    Raises:
        ValueError: there is no entry, one lacks start or target, or the frequencies differ.

    Example:
        >>> panel = from_gluonts([{"start": pd.Period("2024-01-01", freq="D"), "target": [1.0, 2.0]}])
        >>> panel.records[0].target.tolist(), str(panel.frequency)
        ([1.0, 2.0], 'D')
    """
    records: list[SeriesRecord] = []
    stamps = None
    for place, entry in enumerate(entries):
        if "start" not in entry or "target" not in entry:
            raise ValueError(f"entry {place} must have 'start' and 'target', it has {some(entry, 9)}")
        if not isinstance(entry["start"], pd.Period):
            raise ValueError(f"start of entry {place} must be a pandas Period, got {type(entry['start']).__name__}")
        stamps = _read_start(entry["start"])
        records.append(_record(entry, pd.Timestamp(int(stamps.values[0])), str(stamps.frequency), place))
        if records[-1].freq != records[0].freq:
            raise ValueError(f"all entries need one frequency, got {records[0].freq} and {records[-1].freq}")
    if stamps is None:
        raise ValueError("the data set holds no entries: pass at least one series")
    return SeriesPanel(records, records[0].frequency, [], stamps.time)


def to_gluonts(record: SeriesRecord) -> dict[str, Any]:
    """A record as a gluonts entry, its target and numbers as float32; absent features are left out.

    Stamps at the end of a month, quarter or year come back as its first day, as gluonts knows only the period.

    Example:
        >>> from titans_datasets.series import to_records
        >>> entry = to_gluonts(to_records("builtin:air_passengers").records[0])
        >>> entry["start"], entry["target"].shape
        (Period('1949-01', 'M'), (144,))
    """
    entry: dict[str, Any] = {
        "item_id": str(record.item_id),
        "start": pd.Period(record.start, freq=_period_alias(record.frequency)),
        "target": record.target.astype(np.float32),
    }
    given = {name: getattr(record, name) for name in _FIELDS}
    return {**entry, **{name: array for name, array in given.items() if array is not None}}


def _read_start(start: pd.Period) -> Stamps:
    with warnings.catch_warnings():
        # Periods of business days are deprecated in pandas, and gluonts has no others.
        warnings.filterwarnings("ignore", "Period", FutureWarning)
        return read_stamps(pd.PeriodIndex([start]), "start")


def _period_alias(frequency: Frequency) -> str:
    """Periods that begin on the stamps: a week from Monday on is pandas' W-SUN, named by its last day."""
    if frequency.unit == "half":
        raise ValueError("gluonts and pandas have no half-monthly periods: resample the series, for example to months")
    if frequency.rule == "C":
        raise ValueError(
            f"gluonts has no periods of a weekmask ({frequency}): use freq 'D' or 'B', or TitansForecaster"
        )
    if frequency.rule != "W":
        return frequency.period_alias
    last = WEEKDAYS[WEEKDAYS.index(str(frequency.anchor)) - 1]
    return frequency.period_alias.replace(str(frequency.anchor), last)


def _record(entry: Mapping[str, Any], start: pd.Timestamp, freq: str, place: int) -> SeriesRecord:
    features: dict[str, Any] = {
        name: np.asarray(entry[name], dtype=kind) for name, kind in _FIELDS.items() if name in entry
    }
    target = np.asarray(entry["target"], dtype=np.float64)
    name = PositionalId(place) if entry.get("item_id") is None else entry["item_id"]
    return SeriesRecord(name, start, freq, target, **features)
