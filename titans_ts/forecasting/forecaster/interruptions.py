"""Records without readings that say nothing about their series, see `titans_ts.forecasting.experts.interruptions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from titans_datasets.series import SeriesRecord
from titans_datasets.text import counted, some
from titans_ts.forecasting.experts.interruptions import interrupted


def without_interruptions(
    records: Sequence[SeriesRecord], known: Sequence[int] | None = None, before: bool = True
) -> tuple[list[SeriesRecord], list[str]]:
    """The records with interruptions and sentinels as missing values, and a note where there are any.

    Args:
        records: series.
        known: steps of each by which interruptions are found; all where None.
        before: whether steps from before a series began are missing values too.
    """
    found, named, steps = [], [], 0
    for place, record in enumerate(records):
        rows = np.atleast_2d(record.target)
        until = record.length if known is None else known[place]
        masks = np.zeros(rows.shape, dtype=bool)
        for row, mask in zip(rows, masks, strict=True):
            mask[:until] = interrupted(np.asarray(row[:until], dtype=np.float64), before)
        if masks.any():
            target = np.where(masks, np.nan, rows)
            record = replace(record, target=target if record.target.ndim == 2 else target[0])
            named.append(record.item_id)
            steps += int(masks.sum())
        found.append(record)
    if not named:
        return found, []
    what = "without information (before the series began, a closure, a stuck sensor or a sentinel)"
    return found, [f"{counted(len(named), 'item')} had {counted(steps, 'step')} {what}, read as missing: {some(named)}"]
