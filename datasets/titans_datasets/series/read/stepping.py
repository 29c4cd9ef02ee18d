"""Rows at the step that the caller asks for: step numbers as dates, rows aggregated to a longer step, or snapped.

Shapes: n rows, M channels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from titans_datasets.series.read.tables import LongTable
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.series.time.frequency import Frequency, Int64Array, parse_frequency
from titans_datasets.series.time.resampling import resample
from titans_datasets.series.time.steps import duration, find_jitter, snapped
from titans_datasets.text import counted, some


def at_step(table: LongTable, schema: SeriesSchema) -> tuple[LongTable, Frequency | None]:
    """The rows as the schema wants them, notes among those of their stamps; and the frequency, where it is stated.

    Raises:
        ValueError: step numbers are to be aggregated or snapped, or no usual step lies near the timestamps.
    """
    stamps = table.stamps
    frequency = stamps.frequency if schema.freq is None else parse_frequency(schema.freq)
    if stamps.time.kind == "ordinal":
        if schema.aggregate is not None or schema.snap:
            raise ValueError(
                f"aggregate= and snap= are for dates, but the timestamps are step numbers such as {stamps.values[0]}: "
                "leave them out"
            )
        frequency = frequency or stamps.time.default_frequency(stamps.values)
        time = stamps.time.based(stamps.values, frequency)
        stamps = replace(stamps, values=time.resolve_ordinals(stamps.values, frequency), time=time)
        return replace(table, stamps=stamps), frequency
    if schema.aggregate is not None:
        assert frequency is not None, "checked by the schema"
        return _aggregated(table, frequency, schema.aggregate), frequency
    return _snapped(table, frequency) if schema.snap else (table, frequency)


def _aggregated(table: LongTable, frequency: Frequency, aggregate: str) -> LongTable:
    found = resample(table.codes, table.stamps.values, table.values, frequency, aggregate)
    if not len(found.codes):
        raise ValueError(
            f"no series covers a whole period of {frequency}, so nothing is left to aggregate: pass a shorter freq="
        )
    ends = f"; {'; '.join(found.notes)}" if found.notes else ""
    rows = f"{counted(len(table.codes), 'row')} became {counted(len(found.codes), 'row')}"
    note = f"{rows} of {frequency}: their {aggregate}"
    kept = np.unique(found.codes)
    lost = [name for place, name in enumerate(table.item_ids) if place not in set(kept.tolist())]
    ends += f"; {counted(len(lost), 'item')} without a whole period left out: {some(lost)}" if lost else ""
    stamps = replace(table.stamps, values=found.stamps, notes=(*table.stamps.notes, note + ends))
    frame = None if table.frame is None else table.frame.iloc[found.rows].reset_index(drop=True)
    names = [table.item_ids[int(place)] for place in kept]
    return LongTable(names, np.searchsorted(kept, found.codes).astype(np.int64), stamps, found.values, frame)


def _snapped(table: LongTable, frequency: Frequency | None) -> tuple[LongTable, Frequency]:
    order = np.lexsort((table.stamps.values, table.codes))
    codes, stamps = table.codes[order], table.stamps.values[order]
    if frequency is None:
        jitter = find_jitter(stamps, codes)
        if jitter is None:
            raise ValueError("snap=True: the timestamps lie near no usual step such as 1 min or 1 h: pass freq= too")
        frequency, nearest = jitter.frequency, jitter.stamps
    else:
        nearest = snapped(stamps, frequency)
    # Of rows for one step the latest, which is the last one here.
    last = np.append((codes[1:] != codes[:-1]) | (nearest[1:] != nearest[:-1]), True)
    rows: Int64Array = np.sort(order[last]).astype(np.int64)
    placed = np.empty_like(stamps)
    placed[order] = nearest
    parsed = replace(
        table.stamps, values=placed[rows], notes=(*table.stamps.notes, *_moves(stamps, nearest, last, frequency))
    )
    frame = None if table.frame is None else table.frame.iloc[rows].reset_index(drop=True)
    return LongTable(table.item_ids, table.codes[rows], parsed, table.values[rows], frame), frequency


def _moves(stamps: Int64Array, nearest: Int64Array, last: np.ndarray, frequency: Frequency) -> list[str]:
    away = np.abs(stamps - nearest)
    moved, doubled = int((away > 0).sum()), int((~last).sum())
    if not moved and not doubled:
        return []
    what = f"{moved:,} of {counted(len(stamps), 'timestamp')} moved by up to {duration(int(away.max()))}"
    return [
        f"{what} to the steps of {frequency}"
        + (f"; {counted(doubled, 'row')} dropped for a later one of the same step" if doubled else "")
    ]
