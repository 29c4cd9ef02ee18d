"""Records without readings that say nothing about their series, see `titans_ts.forecasting.experts.interruptions`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from titans_datasets.series import SeriesRecord
from titans_datasets.text import counted, some
from titans_ts.forecasting.experts.interruptions import interrupted, last_capped


def without_interruptions(
    records: Sequence[SeriesRecord], known: Sequence[int] | None = None, before: bool = True
) -> tuple[list[SeriesRecord], list[str]]:
    """The records with interruptions and sentinels as missing values and wild last readings capped, and notes on them.

    Args:
        records: series.
        known: steps of each by which interruptions are found; where None all, and last readings are capped.
        before: whether steps from before a series began are missing values too.
    """
    found, missing, capped = [], Counter[Hashable](), Counter[Hashable]()
    for place, record in enumerate(records):
        rows = np.array(np.atleast_2d(record.target), dtype=np.float64)
        until = record.length if known is None else known[place]
        for row in rows:
            mask = interrupted(row[:until], before)
            row[:until][mask] = np.nan
            missing[record.item_id] += int(mask.sum())
            last = last_capped(row) if known is None else None
            if last is not None:
                row[last[0]] = last[1]
                capped[record.item_id] += 1
        if missing[record.item_id] or capped[record.item_id]:
            record = replace(record, target=rows if record.target.ndim == 2 else rows[0])
        found.append(record)
    return found, [*_missing_note(+missing), *_capped_note(+capped)]


def _missing_note(steps: Counter[Hashable]) -> list[str]:
    if not steps:
        return []
    what = "without information (before the series began, a closure, a stuck sensor or a sentinel), read as missing"
    return [f"{counted(len(steps), 'item')} had {counted(steps.total(), 'step')} {what}: {some(list(steps))}"]


def _capped_note(readings: Counter[Hashable]) -> list[str]:
    if not readings:
        return []
    what = "far outside everything before: until a second one confirms it, it is read as less far"
    return [f"{counted(len(readings), 'item')} had a last reading {what}: {some(list(readings))}"]
