"""Time features of many series, stored once for series that share a grid.

Shapes: I items, R calendar rows, Ft time features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from titans_datasets.series.read.records import Float32Array, SeriesRecord
from titans_datasets.series.time.calendar_features import local_index, time_feature_names, time_features
from titans_datasets.series.time.frequency import Frequency, Int64Array
from titans_datasets.series.time.timestamps import to_nanoseconds


def calendar_table(
    records: Sequence[SeriesRecord], frequency: Frequency, ahead: int, cycles: tuple[str, ...] | None = None
) -> tuple[Float32Array, Int64Array]:
    """Time features (R, Ft) of all series' stamps and the row (I,) of each series' first step.

    Args:
        records: series of one time zone; days and hours are its local ones.
        frequency: their step.
        ahead: steps after every series that are covered as well. Series on the same grid share rows.
        cycles: names of features, see `time_features`; `time_feature_names` where None.
    """
    starts = to_nanoseconds(pd.DatetimeIndex([record.start for record in records]))
    lengths = np.array([record.length for record in records], dtype=np.int64)
    cycles = time_feature_names(frequency) if cycles is None else cycles
    tables: list[Float32Array] = []
    rows, filled = np.empty(len(records), dtype=np.int64), 0
    for members, offsets in _groups(starts, lengths, frequency):
        first = records[members[int(offsets.argmin())]].start
        span = int((offsets + lengths[members]).max()) + ahead
        # Yearly data have no cycles, and may reach steps that pandas has no stamps for.
        index = frequency.range(first, span if cycles else 0)
        local = local_index(index, records[0].timezone)
        tables.append(time_features(local, frequency, cycles) if cycles else np.empty((span, 0), dtype=np.float32))
        rows[members] = filled + offsets
        filled += span
    return np.concatenate(tables), rows


def _groups(starts: Int64Array, lengths: Int64Array, frequency: Frequency) -> list[tuple[Int64Array, Int64Array]]:
    """Items that share a grid, each with its steps after the group's earliest start."""
    waiting, groups = np.argsort(starts, kind="stable"), []
    while waiting.size:
        offsets, shared = frequency.positions(starts[waiting], np.full(waiting.size, starts[waiting[0]]))
        members, offsets = waiting[shared], offsets[shared]
        span = int((offsets + lengths[members]).max())
        # Far-apart series would make a table of mostly unused rows.
        if span > 4 * int(lengths[members].sum()) + 1000:
            near = offsets <= 4 * int(lengths[members[0]]) + 1000
            shared[np.flatnonzero(shared)[~near]] = False
            members, offsets = members[near], offsets[near]
        groups.append((members, offsets))
        waiting = waiting[~shared]
        if len(groups) > 1000:
            groups += _alone(waiting)
            break
    return groups


def _alone(items: Int64Array) -> list[tuple[Int64Array, Int64Array]]:
    """A table each: cheaper than searching for partners among thousands of different grids."""
    return [(items[place : place + 1], np.zeros(1, dtype=np.int64)) for place in range(len(items))]
