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
from titans_datasets.dna.read.tables import BED_WIDTHS, SUMMIT, no_name_in_common, numbered_bed
from titans_datasets.dna.read.text import title

# Kinds of files of intervals: the suffix of each is its name.
KINDS = tuple(BED_WIDTHS)
OUTSIDE = ("error", "drop")


class Places(NamedTuple):
    """How intervals become sequences.

    Attributes:
        genome: file of the genome they lie on, see `open_genome`.
        window: bases around the summit of each interval (narrowPeak), or else around its middle; None for the interval
            itself.
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
        frame: (R,) rows of chrom, start, end, and name, score, strand, summit where the file has them.
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
            empty = next((row for row, cell in enumerate(cells) if cell in ("", ".")), None)
            if empty is not None:
                raise ValueError(
                    f"{source}, line {self.lines[empty]}: the {column} is the label, got {cells[empty]!r}: fill it in, "
                    "or remove the interval"
                )
            return cells
        numbers = pd.to_numeric(self.frame[column], errors="coerce").to_numpy(np.float64)
        if not np.isfinite(numbers).all():
            row = int((~np.isfinite(numbers)).argmax())
            raise ValueError(f"{source}, line {self.lines[row]}: expected a number as score, got {cells[row]!r}")
        return list(numbers.tolist())


def bed_kind(source: str, format: str | None = None) -> str | None:
    """The kind of a file of intervals, of `KINDS`; None for other files.

    Args:
        source: its name.
        format: which it is said to be; None goes by the name.

    Example:
        >>> bed_kind("peaks.bed.gz"), bed_kind("a.narrowPeak"), bed_kind("a.fa"), bed_kind("-", "broadpeak")
        ('bed', 'narrowpeak', None, 'broadpeak')
    """
    if format is not None:
        return format if format in KINDS else None
    name = source.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return next((kind for kind in KINDS if name.endswith(f".{kind}")), None)


def is_bed(source: str, format: str | None = None) -> bool:
    """Whether a file holds intervals; see `bed_kind`."""
    return bed_kind(source, format) is not None


def check_places(source: str, kinds: list[str | None], genome: str | None) -> None:
    """Refuse intervals without a genome, and a genome without intervals.

    Args:
        source: the file or files.
        kinds: of each file, see `bed_kind`.
        genome: its file.

    Raises:
        ValueError: with what is missing.
    """
    if any(kinds) and genome is None:
        raise ValueError(f"{title(source)} has places, no letters: give the genome they lie on (--fasta)")
    if genome is not None and not all(kinds):
        raise ValueError(
            f"a genome is for intervals, and the name of {title(source)} is not that of such a file: give its kind by "
            f"--format ({', '.join(KINDS)}), or leave --fasta out"
        )


def read_intervals(source: str, places: Places, genome: Genome | None = None, format: str | None = None) -> Placed:
    """The intervals of a BED file, or windows around their summits (narrowPeak) or middles.

    A window of N bases has its middle, or the summit, at place N // 2, from 0.

    Args:
        source: .bed, .narrowPeak or .broadPeak, plain or compressed; "-" for standard input. The first six columns are
            read, and the summits of a .narrowPeak.
        places: how they are read.
        genome: of `places`, where it is open already.
        format: one of `KINDS`; by default by the name, else "bed".

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: see `numbered_bed`; a window below 1 base, a contig that the genome lacks, an interval or window
            past an end of its chromosome (both with their lines), or nothing is left.
    """
    if places.outside not in OUTSIDE:
        raise ValueError(f"outside must be one of {', '.join(OUTSIDE)}, got {places.outside!r}")
    frame, lines = numbered_bed(source, bed_kind(source, format) or "bed")
    genome = open_genome(places.genome) if genome is None else genome
    _check_contigs(title(source), frame, lines, genome)
    if places.window is not None:
        if places.window < 1:
            raise ValueError(f"window must be ≥ 1 base, got {places.window}")
        frame["start"] = _centres(frame) - places.window // 2
        frame["end"] = frame["start"] + places.window
    inside = _inside(title(source), frame, lines, genome, places.outside)
    kept = np.flatnonzero(inside)
    return Placed(frame.iloc[kept].reset_index(drop=True), [lines[row] for row in kept.tolist()], genome)


def _centres(frame: pd.DataFrame) -> pd.Series:
    """Summits, and the middles of intervals without one."""
    middle = (frame["start"] + frame["end"]) // 2
    if SUMMIT not in frame.columns:
        return middle
    return middle.where(frame[SUMMIT] < 0, frame["start"] + frame[SUMMIT])


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
