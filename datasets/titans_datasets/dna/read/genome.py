"""Whole genomes: in memory as one uint8 per base, or on disk through an index, interval by interval.

Shapes: n bases of a chromosome or interval; intervals are 0-based with an exclusive end.
"""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import (
    Codes,
    DNAWarning,
    ambiguous_letters,
    decode,
    encode,
    reverse_complement,
    soft_mask,
)
from titans_datasets.dna.read.files import DNARecord, iterate_records
from titans_datasets.dna.read.tables import STRANDS, check_intervals, chromosome_names, no_name_in_common

OUTSIDE = ("error", "clip")


class Genome(Protocol):
    """Chromosomes by name, from which windows and intervals are cut.

    Example:
        >>> genome: Genome = MemoryGenome({"chr1": encode("ACGTTGCA")})
        >>> decode(genome.fetch("chr1", 2, 5)), genome.soft_mask("chr1", 2, 5)
        ('GTT', None)
    """

    lengths: dict[str, int]

    def fetch(self, name: str, start: int, end: int) -> Codes:
        """Bases start … end − 1 of a chromosome (n,)."""

    def soft_mask(self, name: str, start: int, end: int) -> npt.NDArray[np.bool_] | None:
        """Where these bases are lower case (n,); None where that is not known."""


class MemoryGenome:
    """Chromosomes as arrays.

    Args:
        chromosomes: name → numbers of the bases (n,).
        soft_masks: name → where they are lower case (n,), None where not needed.
        ambiguous: name → position (from 0) → IUPAC code of the bases that are N in the arrays; None where not known.

    Attributes:
        lengths: name → number of bases.

    Example:
        >>> genome = MemoryGenome({"chr1": encode("ACGTTGCA")})
        >>> genome.lengths, decode(genome.fetch("chr1", 2, 5))
        ({'chr1': 8}, 'GTT')
    """

    def __init__(
        self,
        chromosomes: dict[str, Codes],
        soft_masks: dict[str, npt.NDArray[np.bool_]] | None = None,
        ambiguous: dict[str, dict[int, str]] | None = None,
    ) -> None:
        self.chromosomes, self.soft_masks, self.ambiguous = chromosomes, soft_masks, ambiguous or {}
        self.lengths = {name: len(bases) for name, bases in chromosomes.items()}

    def fetch(self, name: str, start: int, end: int) -> Codes:
        """Bases start … end − 1 of a chromosome (n,), a view.

        Raises:
            ValueError: an unknown chromosome, or an interval that does not lie on it.
        """
        check_place(self, name, start, end)
        return self.chromosomes[name][start:end]

    def letters(self, name: str, start: int, end: int) -> str:
        """Bases start … end − 1 of a chromosome in upper case, with IUPAC codes.

        Raises:
            ValueError: as `fetch`.
        """
        codes = self.ambiguous.get(name, {})
        text = decode(self.fetch(name, start, end))
        return "".join(codes.get(start + i, letter) for i, letter in enumerate(text)) if codes else text

    def soft_mask(self, name: str, start: int, end: int) -> npt.NDArray[np.bool_] | None:
        """Where these bases are lower case (n,), a view; None where it is not known.

        Raises:
            ValueError: as `fetch`.
        """
        check_place(self, name, start, end)
        return None if self.soft_masks is None else self.soft_masks[name][start:end]


class IndexedGenome:
    """A FASTA file of which only the requested intervals are read.

    Args:
        path: FASTA, plain or compressed by bgzip (not by gzip), with its index (.fai) beside it.
        build_index: write the index when it is missing.

    Attributes:
        lengths: name → number of bases.

    Raises:
        ImportError: pyfaidx is not installed.
        FileNotFoundError: the file or its index is missing.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tiny.fa"
        >>> written = path.write_text(">chr1\\nACGTTGCA\\n")
        >>> decode(IndexedGenome(path, build_index=True).fetch("chr1", 2, 5))
        'GTT'
    """

    def __init__(self, path: str | PathLike[str], *, build_index: bool = False) -> None:
        file = Path(path).expanduser()
        try:
            import pyfaidx
        except ImportError as error:
            raise ImportError(
                'random access to a FASTA file needs pyfaidx: pip install "titans-ts[genomes]", or read it whole with '
                "read_genome (one byte per base)"
            ) from error
        if not file.is_file():
            raise FileNotFoundError(f"{file.absolute()} does not exist: check the path")
        index = file.with_name(f"{file.name}.fai")
        if not index.is_file() and not build_index:
            raise FileNotFoundError(
                f"{index} does not exist: write it with `samtools faidx {file}` or build_index=True, or read the "
                "genome whole with read_genome (one byte per base)"
            )
        self._fasta = pyfaidx.Fasta(str(file), rebuild=False, build_index=build_index)
        self.lengths = {name: len(bases) for name, bases in self._fasta.items()}

    def fetch(self, name: str, start: int, end: int) -> Codes:
        """Bases start … end − 1 of a chromosome (n,), read from the disk.

        Raises:
            ValueError: an unknown chromosome, an interval that does not lie on it, or a letter that is not DNA.
        """
        return encode(self._letters(name, start, end))

    def letters(self, name: str, start: int, end: int) -> str:
        """Bases start … end − 1 of a chromosome in upper case, with IUPAC codes; U is T.

        Raises:
            ValueError: as `fetch`.
        """
        return self._letters(name, start, end).upper().replace("U", "T")

    def soft_mask(self, name: str, start: int, end: int) -> npt.NDArray[np.bool_]:
        """Where these bases are lower case (n,).

        Raises:
            ValueError: as `fetch`.
        """
        return soft_mask(self._letters(name, start, end))

    def _letters(self, name: str, start: int, end: int) -> str:
        check_place(self, name, start, end)
        return str(self._fasta[name][start:end].seq)


def read_genome(path: str | PathLike[str], *, soft_masks: bool = False) -> MemoryGenome:
    """All chromosomes of a FASTA or GenBank file in memory.

    Args:
        path: the file, plain or compressed.
        soft_masks: also keep where letters are lower case, a second byte per base.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an empty or nameless record, a duplicate name, or a letter that is not DNA.

    Example:
        >>> read_genome("builtin:plasmid").lengths
        {'NC_005816.1': 9609}
    """
    chromosomes: dict[str, Codes] = {}
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    ambiguous: dict[str, dict[int, str]] = {}
    for record in iterate_records(path):
        if not record.id or not record.sequence or record.id in chromosomes:
            what = "is empty" if record.id and not record.sequence else "appears twice" if record.id else "has no name"
            raise ValueError(f"{path}: record {len(chromosomes) + 1} ({record.id or '?'}) {what}: rename or remove it")
        try:
            chromosomes[record.id] = encode(record.sequence)
        except ValueError as error:
            raise ValueError(f"{path}: record {record.id}: {error}") from error
        ambiguous[record.id] = ambiguous_letters(record.sequence)
        if soft_masks:
            masks[record.id] = soft_mask(record.sequence)
    if not chromosomes:
        raise ValueError(f"{path} holds no sequence")
    return MemoryGenome(chromosomes, masks if soft_masks else None, ambiguous)


def check_place(genome: Genome, name: str, start: int, end: int) -> None:
    """Refuse an interval that does not lie on its chromosome.

    Raises:
        ValueError: an unknown chromosome, start below 0, not below end, or end past the chromosome's.
    """
    if name not in genome.lengths:
        known = ", ".join([*genome.lengths][:8]) + (" …" if len(genome.lengths) > 8 else "")
        raise ValueError(
            f"no chromosome {name!r} in the genome, there are {known}: use the genome's names ('chr1' or '1')"
        )
    if not 0 <= start < end <= genome.lengths[name]:
        raise ValueError(
            f"interval {name}:{start}-{end} must lie on 0-{genome.lengths[name]} and contain a base: cut it, or use "
            "outside='clip' where available"
        )


def cut_intervals(genome: Genome, intervals: pd.DataFrame, *, outside: str = "error") -> list[DNARecord]:
    """The sequences of BED intervals, those on the strand "−" as their reverse complement.

    Args:
        genome: in memory or indexed.
        intervals: columns chrom, start, end, and optionally strand, name, label; `read_bed` gives such a table.
        outside: an interval past an end of its chromosome is an "error", or is cut there by "clip" (with a
            `DNAWarning`).

    Returns:
        Records in the order of the intervals, letters upper case; ids are the names, else chrom:start-end(strand).

    Raises:
        ValueError: no interval, an unknown chromosome, an interval past an end (or all beyond it), an unknown strand.

    Example:
        >>> genome = MemoryGenome({"chr1": encode("ACGTTGCA")})
        >>> intervals = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [4], "name": ["a"], "strand": ["-"]})
        >>> cut_intervals(genome, intervals)
        [DNARecord(id='a', sequence='ACGT', label=None)]
    """
    if outside not in OUTSIDE:
        raise ValueError(f"outside must be one of {', '.join(OUTSIDE)}, got {outside!r}")
    check_intervals(intervals, "intervals", before_start=outside == "clip")
    names = chromosome_names(intervals["chrom"], "intervals")
    strange = no_name_in_common(names, genome.lengths, "the genome")
    if strange:
        raise ValueError(f"intervals and genome do not fit: {strange}")
    records, clipped = [], 0
    for name, row in zip(names, intervals.to_dict("records"), strict=True):
        start, end = int(row["start"]), int(row["end"])
        length = genome.lengths.get(name, 0)
        if outside == "clip" and start < length and end > 0 and (start < 0 or end > length):
            clipped, start, end = clipped + 1, max(start, 0), min(end, length)
        records.append(_cut(genome, name, row, start, end))
    if clipped:
        warnings.warn(f"intervals clipped at an end of their chromosome: {clipped:,}", DNAWarning, stacklevel=2)
    return records


def _cut(genome: Genome, chromosome: str, row: dict[Any, Any], start: int, end: int) -> DNARecord:
    strand = row.get("strand", ".")
    if strand not in STRANDS:
        raise ValueError(f"strand of {chromosome}:{start}-{end} must be +, - or ., got {strand!r}")
    bases = genome.fetch(chromosome, start, end)
    text = decode(reverse_complement(bases) if strand == "-" else bases)
    name = row.get("name")
    if pd.isna(name) or name in ("", "."):
        name = f"{chromosome}:{start}-{end}({strand})"
    return DNARecord(str(name), text, row.get("label"))
