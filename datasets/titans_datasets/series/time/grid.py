"""From rows in any order to a regular grid with NaN in its gaps.

Shapes: n rows, I items, G grid cells (all items' steps one after the other), C columns.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.series.calendar.weekmask import closed_weekdays, show_weekmask
from titans_datasets.series.time.frequency import DAY_NS, Frequency, Int64Array
from titans_datasets.series.time.inference import align_frequency, infer_frequency
from titans_datasets.series.time.steps import jitter_hint, refuse_different_steps
from titans_datasets.text import counted, some

# Steps that a table may always have, and steps a row beyond that.
MOST_CELLS, MOST_CELLS_A_ROW = 2_000_000, 100


@dataclass(frozen=True)
class Grid:
    """Where each row lies on the regular grid.

    Args:
        frequency: the common step.
        starts: (I,) nanoseconds of the items' first steps.
        lengths: (I,) steps per item.
        order: (n,) rows sorted by item and time.
        cells: (n,) grid cell of each sorted row.
        notes: what was corrected.
    """

    frequency: Frequency
    starts: Int64Array
    lengths: Int64Array
    order: Int64Array
    cells: Int64Array
    notes: tuple[str, ...]

    @property
    def offsets(self) -> Int64Array:
        """First cell of each item, and the end: (I + 1,)."""
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self.lengths)])

    @property
    def has_gaps(self) -> bool:
        """Whether some cell has no row."""
        return int(self.lengths.sum()) > len(self.cells)

    def place(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Row values (n, C) on the grid (G, C), NaN where there is no row."""
        placed = np.full((int(self.lengths.sum()), values.shape[1]), np.nan)
        placed[self.cells] = values[self.order]
        return placed


def sort_rows(
    codes: Int64Array, stamps: Int64Array, item_ids: Sequence[Hashable]
) -> tuple[Int64Array, tuple[str, ...]]:
    """Order (n,) of the rows by item and time, with a note when it was needed.

    Raises:
        ValueError: an item has two rows for one timestamp.
    """
    order = np.lexsort((stamps, codes)).astype(np.int64)
    codes, moved = codes[order], bool((np.diff(stamps)[np.diff(codes) == 0] < 0).any())
    stamps = stamps[order]
    double = np.flatnonzero((codes[1:] == codes[:-1]) & (stamps[1:] == stamps[:-1])) + 1
    if double.size:
        item = item_ids[int(codes[double[0]])]
        own = np.unique(stamps[double[codes[double] == codes[double[0]]]])
        raise ValueError(
            f"item {item!r} has several rows for the same timestamp: {some(show_stamps(own))}; "
            f"{counted(int(double.size), 'duplicate row')} in {counted(len(np.unique(codes[double])), 'item')}. "
            "Keep one row per item and timestamp, add them up with freq= and aggregate='sum' (or 'mean'), or name the "
            "right id_column=; clock time also repeats an hour in autumn, UTC does not"
        )
    return order, ("rows were not in time order and were sorted",) if moved else ()


def build_grid(
    codes: Int64Array, stamps: Int64Array, item_ids: Sequence[Hashable], frequency: Frequency | None, order: Int64Array
) -> Grid:
    """Lay sorted rows on the grid of `frequency`, which is inferred when None.

    Raises:
        ValueError: the frequency cannot be inferred, or stamps lie off the grid.
    """
    codes, stamps = codes[order], stamps[order]
    heads = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(heads) != len(item_ids):
        raise ValueError("every item needs at least one row")
    if frequency is None:
        refuse_different_steps(stamps, codes, item_ids)
    stated = frequency or infer_frequency(stamps, codes)
    if stated is None:
        raise ValueError(
            "each series has a single timestamp, so the frequency cannot be inferred: pass freq= ('D', 'h' …)"
        )
    first = stamps[heads][codes]
    used = align_frequency(stated, stamps, first)
    notes = [] if used == stated else [f"freq {stated} was read as {used}, where the timestamps lie"]
    positions, on_grid = used.positions(stamps, first)
    if not on_grid.all():
        raise ValueError(_off_grid_message(item_ids, codes, stamps, on_grid, used, inferred=frequency is None))
    tails = np.append(heads[1:], len(codes)) - 1
    lengths = positions[tails] + 1
    _check_size(lengths, stamps, heads, item_ids, used)
    offsets = np.cumsum(lengths) - lengths
    gaps = lengths - np.diff(np.append(heads, len(codes)))
    if gaps.any():
        missing = f"{counted(int((gaps > 0).sum()), 'item')} had {counted(int(gaps.sum()), 'missing step')}"
        notes.append(f"{missing}, now marked missing{_closed_hint(stamps, used)}")
    return Grid(used, stamps[heads], lengths, order, offsets[codes] + positions, tuple(notes))


def _check_size(
    lengths: Int64Array, stamps: Int64Array, heads: Int64Array, item_ids: Sequence[Hashable], frequency: Frequency
) -> None:
    """Refuse a grid that is almost empty and very long: one stamp far from the others makes it so."""
    rows, cells = len(stamps), float(lengths.astype(np.float64).sum())
    if cells <= MOST_CELLS or cells <= MOST_CELLS_A_ROW * rows:
        return
    item = int(lengths.argmax())
    own = stamps[heads[item] : (np.append(heads, rows))[item + 1]]
    far = int(np.diff(own).argmax()) if len(own) > 1 else 0
    gap = " to ".join(show_stamps(own[far : far + 2]))
    raise ValueError(
        f"item {item_ids[item]!r} would have {int(lengths[item]):,} steps of freq={str(frequency)!r} for its "
        f"{counted(len(own), 'row')}, the longest gap is from {gap}: correct a timestamp that is far from the others, "
        "or pass a longer freq="
    )


def _closed_hint(stamps: Int64Array, frequency: Frequency) -> str:
    """How to leave out days of the week that never occur."""
    weekmask = closed_weekdays(stamps, frequency)
    if weekmask is None:
        return ""
    closed = show_weekmask("".join("0" if day == "1" else "1" for day in weekmask)).replace(" ", ", ")
    return f" ({closed} never occur: the weekmask {show_weekmask(weekmask)!r} makes series of the open days only)"


def show_stamps(stamps: Int64Array) -> list[str]:
    """Stamps as short text: a date alone at midnight."""
    return [str(moment).removesuffix(" 00:00:00") for moment in pd.DatetimeIndex(stamps)]


def _off_grid_message(
    item_ids: Sequence[Hashable],
    codes: Int64Array,
    stamps: Int64Array,
    on_grid: npt.NDArray[np.bool_],
    frequency: Frequency,
    inferred: bool,
) -> str:
    worst = int(codes[np.flatnonzero(~on_grid)[0]])
    off = stamps[~on_grid & (codes == worst)]
    start = show_stamps(stamps[codes == worst][:1])[0]
    source = "inferred from the timestamps" if inferred else "given"
    advice = "pass freq= with the real step" if inferred else "pass another freq="
    advice += ", resample to a longer one with aggregate='mean' (or 'sum'), or move each to the nearest step: snap=True"
    if inferred and frequency.unit == "ns" and frequency.multiple >= 28 * DAY_NS:
        advice = "stamp monthly data once a month, or " + advice
    hint = jitter_hint(stamps, codes, None if inferred else frequency)
    if hint:
        shown = some(show_stamps(stamps[codes == worst][:3]))
        return f"item {item_ids[worst]!r} has timestamps that are not equally far apart, {shown} …: {hint}"
    return (
        f"item {item_ids[worst]!r} has timestamps off the regular grid of freq={str(frequency)!r} ({source}) that "
        f"starts at {start}: {some(show_stamps(off))}; {counted(len(np.unique(codes[~on_grid])), 'item')} concerned: "
        f"{advice}"
    )
