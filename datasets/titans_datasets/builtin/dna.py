"""Small annotated genomes and one labelled set of sequences that ship inside the package.

Each file's origin and licence are in SOURCES.md beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from titans_datasets.builtin.shipped import shipped_file

if TYPE_CHECKING:
    import pandas as pd
    from Bio.SeqRecord import SeqRecord

PREFIX = "builtin:"


class BuiltinDNA(NamedTuple):
    """A GenBank file of the package, its checksum, and one line for listings."""

    file: str
    sha256: str
    title: str


_SETS = {
    "chloroplast": BuiltinDNA(
        "NC_000932.gb.gz",
        "db062285e2e4c9d40427b9c8199b1fda9e8ec194fb80ec02ea73705b8627383f",
        "chloroplast of Arabidopsis thaliana, 154,478 bp, 85 coding sequences on both strands",
    ),
    "phix174": BuiltinDNA(
        "NC_001422.gb.gz",
        "983ebfef35a232fef638257041e97251d149eae8aa9850bd396e63a44b76b1a3",
        "phage phiX174, 5,386 bp, 11 overlapping coding sequences",
    ),
    "plasmid": BuiltinDNA(
        "NC_005816.gb.gz",
        "c1911c82e240ce029b38721f6dd3eb6867ec5775d7853d0837548ac996691975",
        "plasmid pPCP1 of Yersinia pestis, 9,609 bp, 10 coding sequences",
    ),
    "orchids": BuiltinDNA(
        "ls_orchid.gb.gz",
        "968bdaa31e3943155116961a406a4938fc0c82234858454c471abfffe8adab00",
        "ribosomal spacers (ITS) of 94 lady slipper orchids, 572 to 789 bp, of four genera",
    ),
}


def dna_names() -> list[str]:
    """Names that `load_dna` takes."""
    return list(_SETS)


def describe_dna(name: str) -> BuiltinDNA:
    """File, checksum and title of a set.

    Raises:
        ValueError: there is no set of this name.
    """
    name = name.removeprefix(PREFIX)
    found = _SETS.get(name)
    if found is None:
        raise ValueError(f"no built-in DNA {name!r}: there are {', '.join(dna_names())}")
    return found


def dna_file(name: str) -> Path:
    """The file of a set, as it was shipped.

    Raises:
        ValueError: there is no set of this name, or its file was altered.
    """
    found = describe_dna(name)
    return shipped_file(found.file, found.sha256)


def load_dna(name: str) -> list[SeqRecord]:
    """A set as Biopython's annotated records.

    Args:
        name: chloroplast, phix174, plasmid (one record each) or orchids (94 records).

    Raises:
        ValueError: there is no set of this name, or its file was altered.
    """
    from titans_datasets.dna.read.files import read_annotated

    return read_annotated(dna_file(name))


def load_orchids() -> pd.DataFrame:
    """Ribosomal spacers of 94 lady slipper orchids: columns id, sequence, label.

    The label is the genus: Paphiopedilum (61), Cypripedium (17), Phragmipedium (15), Mexipedium (1).
    """
    import pandas as pd

    rows = [(r.id, str(r.seq), str(r.annotations["organism"]).split()[0]) for r in load_dna("orchids")]
    return pd.DataFrame(rows, columns=["id", "sequence", "label"])
