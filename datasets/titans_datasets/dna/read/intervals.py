"""Intervals of a BED file as sequences of a genome: windows around them, checked against the ends of chromosomes.

Shapes: R intervals.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import DNAWarning
from titans_datasets.dna.read.files import PACKED, DNARecord
from titans_datasets.dna.read.genome import Genome, cut_intervals
from titans_datasets.dna.read.reference import open_genome
from titans_datasets.dna.read.tables import no_name_in_common, numbered_bed

SUFFIXES = (".bed", ".narrowpeak", ".broadpeak")
OUTSIDE = ("error", "drop")


class Places(NamedTuple):
    """How intervals become sequences.

    Attributes:
        genome: file of the genome they lie on, see `open_genome`.
        window: bases around the middle of each interval; None for the interval itself.
        outside: what to do with what reaches past an end of its chromosome: "error" or "drop".
        label: column of the BED file with the label: "name" or "score".
        negatives: whether GC-matched windows of the genome are a second class.
        seed: of these.
    """

    genome: str
    window: int | None = None
    outside: str = "error"
    label: str = "name"
    negatives: bool = False
    seed: int = 0


class Placed(NamedTuple):
    """Intervals on their genome, in the order of their file.

    Attributes:
        frame: (R,) rows of chrom, start, end, and name, score, strand where the file has them.
        lines: (R,) of the file.
        genome: they lie on.
    """

    frame: pd.DataFrame
    lines: list[int]
    genome: Genome

    def batches(self, records: int = 1_000, bases: int = 1_000_000) -> Iterator[list[DNARecord]]:
        """The sequences in batches, those on the strand "−" as their reverse complement; only one is in memory.

        Args:
            records, bases: most records and bases of a batch; a longer sequence is a batch by itself.
        """
        lengths = (self.frame["end"] - self.frame["start"]).to_numpy()
        first = total = 0
        for row, length in enumerate(lengths.tolist()):
            if row > first and (row - first == records or total + length > bases):
                yield cut_intervals(self.genome, self.frame.iloc[first:row])
                first, total = row, 0
            total += length
        yield cut_intervals(self.genome, self.frame.iloc[first:])

    def records(self) -> list[DNARecord]:
        """All sequences, named by their places, also where the file has names."""
        bare = self._replace(frame=self.frame.drop(columns="name", errors="ignore"))
        return [record for batch in bare.batches() for record in batch]

    def labels(self, source: str, column: str) -> list[Any]:
        """The labels (R,) in a column of the file: text, or numbers in that of the score.

        Raises:
            ValueError: no such column, or a score that is not a number.
        """
        if column not in self.frame.columns:
            raise ValueError(
                f"{source} has no column {column}, which holds the label: write chrom, start, end, name, score"
            )
        cells = self.frame[column].tolist()
        if column != "score":
            return cells
        numbers = pd.to_numeric(self.frame[column], errors="coerce").to_numpy(np.float64)
        if not np.isfinite(numbers).all():
            row = int((~np.isfinite(numbers)).argmax())
            raise ValueError(f"{source}, line {self.lines[row]}: expected a number as score, got {cells[row]!r}")
        return list(numbers.tolist())


def is_bed(source: str) -> bool:
    """Whether a file holds intervals, by its name.

    Example:
        >>> is_bed("peaks.bed.gz"), is_bed("a.narrowPeak"), is_bed("a.fa")
        (True, True, False)
    """
    name = source.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name.endswith(SUFFIXES)


def read_intervals(source: str, places: Places, genome: Genome | None = None) -> Placed:
    """The intervals of a BED file, or the windows around their middles.

    Args:
        source: .bed, .narrowPeak or .broadPeak, plain or compressed; of these the first six columns are read.
        places: how they are read.
        genome: of `places`, where it is open already.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: see `read_bed`; a window below 1 base, a contig that the genome lacks, an interval or window past an
            end of its chromosome (both with their lines), or nothing is left.
    """
    if places.outside not in OUTSIDE:
        raise ValueError(f"outside must be one of {', '.join(OUTSIDE)}, got {places.outside!r}")
    frame, lines = numbered_bed(source)
    genome = open_genome(places.genome) if genome is None else genome
    _check_contigs(source, frame, lines, genome)
    if places.window is not None:
        if places.window < 1:
            raise ValueError(f"window must be ≥ 1 base, got {places.window}")
        middle = (frame["start"] + frame["end"]) // 2
        frame["start"] = middle - places.window // 2
        frame["end"] = frame["start"] + places.window
    inside = _inside(source, frame, lines, genome, places.outside)
    kept = np.flatnonzero(inside)
    return Placed(frame.iloc[kept].reset_index(drop=True), [lines[row] for row in kept.tolist()], genome)


def _check_contigs(source: str, frame: pd.DataFrame, lines: list[int], genome: Genome) -> None:
    strange = no_name_in_common(frame["chrom"], genome.lengths, "the genome")
    if strange:
        raise ValueError(f"{source} and the genome do not fit: {strange}")
    unknown = ~frame["chrom"].isin([*genome.lengths]).to_numpy()
    if unknown.any():
        names = list(dict.fromkeys(frame["chrom"][unknown]))
        listed = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
        raise ValueError(
            f"{source}, line {lines[int(unknown.argmax())]}: the genome has no chromosome {names[0]!r}; "
            f"{int(unknown.sum()):,} of {len(frame):,} intervals lie on unknown ones ({listed}): use the genome they "
            "were made with, or remove them"
        )


def _inside(source: str, frame: pd.DataFrame, lines: list[int], genome: Genome, outside: str) -> npt.NDArray[np.bool_]:
    """Which intervals lie on their chromosome (R,)."""
    ends = frame["chrom"].map(genome.lengths)
    inside = ((frame["start"] >= 0) & (frame["end"] <= ends)).to_numpy()
    count = int((~inside).sum())
    if not count:
        return inside
    row = frame.iloc[int((~inside).argmax())]
    first = (
        f"{source}, line {lines[int((~inside).argmax())]}: {row['chrom']}:{row['start']}-{row['end']} reaches past an "
        f"end of its chromosome of {genome.lengths[row['chrom']]:,} bases, as {count:,} of {len(frame):,} do"
    )
    if outside == "error":
        raise ValueError(f"{first}: use smaller windows, or leave such out (outside='drop', --outside drop)")
    if count == len(frame):
        raise ValueError(f"{first}: nothing is left")
    warnings.warn(f"{first}: left out", DNAWarning, stacklevel=3)
    return inside
