"""Sequences with measured numbers: of whole sequences or of all bases, from tables, BED scores or tracks.

Shapes: n sequences, T bases of one, K targets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.read.intervals import Places, bed_kind, check_places, read_intervals
from titans_datasets.dna.read.labelled import Columns, Labelled, by_chromosome, placed_sequences, read_labelled
from titans_datasets.dna.read.signal import UNCOVERED, signal_values, stem
from titans_datasets.dna.read.text import title

FloatArray = npt.NDArray[np.float64]


class Tracks(NamedTuple):
    """Tracks whose values are the targets of intervals.

    Attributes:
        files: K bedGraph or bigWig files; a target is named after its file.
        uncovered: see `signal_values`.
    """

    files: tuple[str, ...]
    uncovered: str = "error"


class Measured(NamedTuple):
    """Sequences with their numbers.

    Attributes:
        data: the n sequences.
        names: (K,) of the targets.
        numbers: (n, K), or n arrays (T, K) of bases.
    """

    data: Labelled
    names: list[str]
    numbers: Any

    @property
    def per_base(self) -> bool:
        """Whether bases have the numbers."""
        return isinstance(self.numbers, list)

    def targets(self) -> Any:
        """The numbers as a regressor takes them: a table of K columns, or a list of n such tables."""
        if not isinstance(self.numbers, list):
            return pd.DataFrame(self.numbers, columns=self.names)
        # The first one names the targets of all.
        return [pd.DataFrame(self.numbers[0], columns=self.names), *self.numbers[1:]] if self.numbers else []

    def take(self, rows: npt.NDArray[np.int64]) -> Measured:
        """The sequences at these places."""
        numbers = [self.numbers[i] for i in rows.tolist()] if isinstance(self.numbers, list) else self.numbers[rows]
        return self._replace(data=self.data.take(rows), numbers=numbers)

    def by_chromosome(self, test: str, seed: int) -> tuple[Measured, Measured]:
        """Training and test part; see `by_chromosome` of labelled sequences."""
        parts = by_chromosome(self.data._replace(labels=np.arange(len(self.data.sequences))), test, seed)
        train, held = (self.take(part.labels) for part in parts)
        return train, held._replace(data=held.data._replace(name=parts[1].name))


def read_measured(
    source: str,
    columns: Columns,
    places: Places | None = None,
    *,
    per_base: bool = False,
    tracks: Tracks | None = None,
) -> Measured:
    """Sequences and their targets.

    Args:
        source: a table; or intervals of a genome, whose number is the score.
        columns: of a table; `label` names the columns of the K targets, separated by commas.
        places: the genome that intervals lie on, and how they are read from it.
        per_base: whether every base has a number: a cell of a table then holds a list of them, as in 0.5,1,0.
        tracks: the targets of intervals: of each base, or the mean over the interval.

    Raises:
        FileNotFoundError, ValueError: see `read_labelled` and `signal_values`; a number that is none (its row is
            named), another count of them than bases, or tracks without intervals.
    """
    if tracks is not None:
        return _of_tracks(source, columns, places, per_base, tracks)
    names = [name.strip() for name in columns.label.split(",")]
    if places is not None and per_base:
        raise ValueError(
            f"{title(source)} has one score for an interval: numbers of its bases come from a track (--signal FILE)"
        )
    if places is not None and len(names) > 1:
        raise ValueError(
            f"intervals have one number, the score, got the columns {', '.join(names)}: leave --target out, or give "
            "tracks (--signal)"
        )
    each = [read_labelled(source, columns._replace(label=name), places) for name in names]
    if per_base:
        rows = [base_numbers(one, name) for one, name in zip(each, names, strict=True)]
        return Measured(each[0], names, [np.stack(parts, axis=1) for parts in zip(*rows, strict=True)])
    table = np.stack([as_numbers(one, name) for one, name in zip(each, names, strict=True)], axis=1)
    return Measured(each[0], names, table)


def _of_tracks(file: str, columns: Columns, places: Places | None, per_base: bool, tracks: Tracks) -> Measured:
    source, names = title(file), [stem(one) or one for one in tracks.files]
    check_places(file, [bed_kind(file, columns.format)], None if places is None else places.genome)
    if places is None:
        raise ValueError(f"a track (--signal) is for intervals of a genome (.bed with --fasta), got {source}")
    if tracks.uncovered not in UNCOVERED:
        raise ValueError(f"uncovered must be one of {', '.join(UNCOVERED)}, got {tracks.uncovered!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"targets are named after their tracks, but two are {', '.join(names)}: rename a file")
    placed = read_intervals(file, places, format=columns.format)
    found = [signal_values(one, source, placed, tracks.uncovered) for one in tracks.files]
    data = placed_sequences(source, placed, np.zeros(len(placed.frame)), columns.group)
    bases = [np.stack(parts, axis=1) for parts in zip(*found, strict=True)]
    return Measured(data, names, bases if per_base else np.stack([one.mean(0) for one in bases]))


def as_numbers(data: Labelled, column: str) -> FloatArray:
    """The labels (n,) as finite numbers, whatever their spelling: 0.10 and 1e-3 are text for classes.

    Raises:
        ValueError: one is no finite number.
    """
    labels = data.labels.tolist()
    found = np.array([_number(label) for label in labels])
    if not np.isfinite(found).all():
        place = int((~np.isfinite(found)).argmax())
        several = len(_parts(labels[place])) > 1
        hint = "write a decimal point, or give --per-base for a list of the bases' numbers"
        hint = hint if several else "fill it in, or remove the row"
        raise ValueError(f"{_row(data, column, place)}: expected a number, got {str(labels[place])[:40]!r}: {hint}")
    return found


def base_numbers(data: Labelled, column: str) -> list[FloatArray]:
    """The labels as n arrays (T,), one finite number for each base.

    Raises:
        ValueError: a cell holds something else, or another count of numbers than its sequence has bases.
    """
    found = []
    for place, (label, sequence) in enumerate(zip(data.labels.tolist(), data.sequences, strict=True)):
        parts = _parts(label)
        numbers = np.array([_number(part) for part in parts])
        if not np.isfinite(numbers).all():
            wrong = int((~np.isfinite(numbers)).argmax())
            raise ValueError(
                f"{_row(data, column, place)}: expected numbers of bases as in 0.5,1,0, got {str(parts[wrong])[:40]!r} "
                f"at base {wrong} (from 0): fill it in, or remove the row"
            )
        if len(numbers) != len(sequence):
            raise ValueError(
                f"{_row(data, column, place)}: expected {len(sequence):,} numbers, one per base, got {len(numbers):,}"
            )
        found.append(numbers)
    return found


def _row(data: Labelled, column: str, place: int) -> str:
    where = f"{data.name}, " + ("the score" if data.intervals is not None else f"column {column!r}")
    # Without a column of names rows are named by their numbers from 0.
    return f"{where}, row {place + 1}" + (f" ({data.ids[place]})" if data.ids[place] != str(place) else "")


def _parts(label: Any) -> Sequence[Any]:
    """The numbers of a cell: a list, or text with commas, semicolons or blanks between them."""
    if isinstance(label, list | tuple | np.ndarray):
        return list(label)
    return re.split(r"\s*[,;]\s*|\s+", str(label).strip().strip("[]()").strip())


def _number(value: Any) -> float:
    # Of Python's spellings files never mean 1_000.
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
