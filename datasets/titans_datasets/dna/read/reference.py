"""The genome of a file, in the form that needs least memory."""

from __future__ import annotations

from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path

from titans_datasets.dna.read.genome import Genome, IndexedGenome, read_genome
from titans_datasets.dna.read.twobit import TwoBitGenome


def open_genome(path: str | PathLike[str]) -> Genome:
    """A genome from which intervals are cut.

    A .2bit file, and a FASTA file (plain or compressed by bgzip) with its index .fai beside it where pyfaidx is
    installed, are read interval by interval. Every other file is read whole: one byte per base in memory.

    Args:
        path: FASTA, GenBank or 2bit, or "builtin:<name>".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see `read_genome` and `TwoBitGenome`.

    Example:
        >>> open_genome("builtin:phix174").lengths
        {'NC_001422.1': 5386}
    """
    name = fspath(path)
    if name.lower().endswith(".2bit"):
        return TwoBitGenome(path)
    if Path(f"{name}.fai").expanduser().is_file() and find_spec("pyfaidx") is not None and _is_seekable(name):
        return IndexedGenome(path)
    return read_genome(path)


def _is_seekable(name: str) -> bool:
    """Plain text or blocks of bgzip: gzip's header has the subfield BC there (SAM specification, 4.1)."""
    with Path(name).expanduser().open("rb") as file:
        start = file.read(16)
    return start[:2] != b"\x1f\x8b" or start[12:14] == b"BC"
