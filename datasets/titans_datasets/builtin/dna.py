"""The built-in DNA: small annotated genomes and one labelled set of sequences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from titans_datasets.builtin.sets import describe
from titans_datasets.builtin.shipped import shipped_file

if TYPE_CHECKING:
    import pandas as pd
    from Bio.SeqRecord import SeqRecord


def dna_file(name: str) -> Path:
    """The GenBank file of a set, as it was shipped.

    Raises:
        ValueError: there is no set of this name, or its file was altered.

    Example:
        >>> dna_file("phix174").suffix
        '.gz'
    """
    found = describe(name, "dna")
    return shipped_file(found.file, found.sha256)


def load_dna(name: str) -> list[SeqRecord]:
    """A set as Biopython's annotated records.

    Args:
        name: chloroplast, phix174, plasmid (one record each) or orchids (94 records).

    Raises:
        ValueError: there is no set of this name, or its file was altered.

    Example:
        >>> (record,) = load_dna("phix174")
        >>> record.id, len(record)
        ('NC_001422.1', 5386)
    """
    import gzip

    from Bio import SeqIO

    with gzip.open(dna_file(name), "rt", encoding="utf-8") as handle:
        return list(SeqIO.parse(handle, "genbank"))


def load_orchids() -> pd.DataFrame:
    """Ribosomal spacers of 94 lady slipper orchids: columns id, sequence, label.

    The label is the genus: Paphiopedilum (61), Cypripedium (17), Phragmipedium (15), Mexipedium (1).

    Example:
        >>> load_orchids()["label"].value_counts().to_dict()["Cypripedium"]
        17
    """
    import pandas as pd

    rows = [(r.id, str(r.seq), str(r.annotations["organism"]).split()[0]) for r in load_dna("orchids")]
    return pd.DataFrame(rows, columns=["id", "sequence", "label"])
