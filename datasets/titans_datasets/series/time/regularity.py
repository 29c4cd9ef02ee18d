"""How regular a grid a reading of timestamps gives: the measure by which one of several readings is chosen.

Shapes: N stamps of all series together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from titans_datasets.series.time.frequency import DAY_NS, Frequency, Int64Array
from titans_datasets.series.time.inference import align_frequency, infer_frequency
from titans_datasets.series.time.period_days import find_periods


class Regularity(NamedTuple):
    """Smaller is better, the first field first.

    Attributes:
        disorder: 1 where the rows of a series neither ascend nor descend.
        off_grid: share of the rows that lie off the grid or double.
        missing: share of the grid's steps without a row.
        unusual: 1 where a monthly or coarser grid lies on no first or last day, a fixed one on no whole calendar unit.
        frequency: of the grid, as text; "" where there is no step.
    """

    disorder: int
    off_grid: float
    missing: float
    unusual: int
    frequency: str

    @property
    def fit(self) -> tuple[int, float, float]:
        """What tells whether a reading is as good as another."""
        return self.disorder, round(self.off_grid, 3), round(self.missing, 3)

    @property
    def rank(self) -> tuple[int, float, float, int]:
        """What readings are compared by."""
        return *self.fit, self.unusual


def disorder(values: Int64Array, codes: Int64Array) -> int:
    """0 where the values (N,) of every series ascend, or of every series descend, in the order of the rows; else 1."""
    order = np.argsort(codes, kind="stable")
    steps = np.diff(values[order])[np.diff(codes[order]) == 0]
    return int(bool((steps < 0).any() and (steps > 0).any()))


def regularity(stamps: Int64Array, codes: Int64Array | None, freq: Frequency | None) -> Regularity:
    """Measure a reading.

    Args:
        stamps: (N,) nanoseconds, in any order.
        codes: (N,) the series of each stamp; None for a single one.
        freq: the frequency that the caller gives; None infers it.
    """
    codes = np.zeros(len(stamps), dtype=np.int64) if codes is None else codes
    mixed = disorder(stamps, codes)
    order = np.lexsort((stamps, codes))
    stamps, codes = stamps[order], codes[order]
    kept = np.append(True, (np.diff(stamps) != 0) | (np.diff(codes) != 0))
    doubled, stamps, codes = 1 - kept.mean(), stamps[kept], codes[kept]
    periods = find_periods(stamps, codes, freq)
    stamps = stamps if periods is None else periods.stamps
    used = freq or infer_frequency(stamps, codes)
    if used is None:
        return Regularity(mixed, float(doubled), 0.0, 0, "")
    heads = np.flatnonzero(np.diff(codes, prepend=-1))
    first = np.repeat(stamps[heads], np.diff(np.append(heads, len(codes))))
    used = align_frequency(used, stamps, first)
    positions, on_grid = used.positions(stamps, first)
    cells = positions[np.append(heads[1:], len(codes)) - 1] + 1
    # A fixed step of months' length is no calendar unit, nor are dates of one day of all years.
    odd = used.unit == "ns" and used.multiple >= 8 * DAY_NS and used.multiple % (7 * DAY_NS) != 0
    unusual = int(odd or (periods is not None and bool(periods.days or periods.note)))
    missing = 1 - len(stamps) / max(int(cells.sum()), len(stamps))
    return Regularity(mixed, float(doubled + (~on_grid).mean()), float(missing), unusual, used.offset_alias)
