"""Per-base values as files: bedGraph tracks for genome browsers, and tables.

Shapes: n bases.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.writing import in_place_of

FloatArray = npt.NDArray[np.float64]


def write_frame(path: str | PathLike[str], frame: pd.DataFrame) -> None:
    """CSV with a header and without the index."""
    with in_place_of(path) as beside:
        frame.to_csv(beside, index=False)


class Place(NamedTuple):
    """Position of values on a chromosome.

    Attributes:
        chrom: its name.
        start: position of the sequence's leftmost base, from 0.
        offset: bases between that and the leftmost value.
        strand: "-" where the sequence is the reverse complement of the chromosome, else "+".
    """

    chrom: str
    start: int
    offset: int = 0
    strand: str = "+"

    def check(self) -> None:
        """Check all fields.

        Raises:
            ValueError: an unknown strand, a negative start, or an empty name or one with white space.
        """
        if self.strand not in ("+", "-"):
            raise ValueError(f"strand must be '+' or '-', got {self.strand!r}")
        if self.start < 0:
            raise ValueError(
                "start must be ≥ 0 (position of the sequence's leftmost base on the chromosome, from 0), got "
                f"{self.start}"
            )
        if not self.chrom or any(letter.isspace() for letter in self.chrom):
            raise ValueError(f"chrom must be a name without white space, got {self.chrom!r}")


def write_bedgraph(path: str | PathLike[str], tracks: Iterable[tuple[FloatArray, Place]], name: str) -> None:
    """Write one line per base, without bases whose value is NaN.

    Args:
        path: the file.
        tracks: values (n,) in the order of a sequence, and their position; one sequence after another.
        name: of the track.

    Raises:
        ValueError: see `Place.check`.
    """
    quoted = name.replace('"', "'")
    with in_place_of(path) as beside, beside.open("w", encoding="utf-8") as handle:
        handle.write(f'track type=bedGraph name="{quoted}"\n')
        for values, place in tracks:
            place.check()
            placed = values if place.strand == "+" else values[::-1]
            handle.writelines(
                f"{place.chrom}\t{at}\t{at + 1}\t{value:.6g}\n"
                for at, value in enumerate(placed.tolist(), start=place.start + place.offset)
                if np.isfinite(value)
            )
