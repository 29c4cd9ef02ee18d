"""16S rRNA genes of bacteria and their genera (training set 9 of the RDP classifier), without near copies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import encode_all
from titans_datasets.dna.kmers import canonical_kmers

# Full-length genes; ranks from domain to genus.
SHORTEST, LONGEST, RANKS = 1_200, 1_600, 6
# 12-mers in common, over the fewer of two sequences. Two that differ in 1.3 % of their bases, about the border of a
# species (Stackebrandt and Ebers 2006), share .987¹² = 85 % of them.
KMER, ALIKE = 12, 0.85
FEWEST = 30


def distinct_genes(frame: pd.DataFrame, *, fewest: int = FEWEST) -> pd.DataFrame:
    """Genes of the common genera, one of those that are nearly alike.

    Within a genus sequences are taken in order, those that share 85 % of their 12-mers with one that was taken are left
    out, and so are genera with less than `fewest` sequences left.

    Args:
        frame: columns sequence and taxonomy: "Bacteria;phylum;class;order;family;genus".
        fewest: sequences of a genus.

    Returns:
        Columns sequence (upper case) and label, the genus.
    """
    lineage = frame["taxonomy"].str.rstrip(";")
    ranks = lineage.str.split(";")
    full = frame["sequence"].str.len().between(SHORTEST, LONGEST)
    wanted = full & (lineage.str.count(";") == RANKS - 1) & (ranks.str[0] == "Bacteria")
    genes = pd.DataFrame({"sequence": frame["sequence"].str.upper(), "label": ranks.str[-1]})[wanted]
    genes = genes.drop_duplicates("sequence")
    kept = [
        genes.loc[rows[_distinct(genes.loc[rows, "sequence"].tolist())]]
        for rows in genes.groupby("label").groups.values()
        if len(rows) >= fewest
    ]
    return pd.concat([part for part in kept if len(part) >= fewest] or [genes[:0]]).sort_index().reset_index(drop=True)


def _distinct(texts: list[str]) -> npt.NDArray[np.int64]:
    """Numbers of the sequences that are not nearly alike to an earlier one of them."""
    kmers = canonical_kmers(encode_all(texts), KMER)
    borders = np.searchsorted(kmers.rows, np.arange(1, len(texts)))
    taken: dict[int, frozenset[int]] = {}
    for row, values in enumerate(np.split(kmers.values, borders)):
        mine = frozenset(values.tolist())
        if all(len(mine & other) < ALIKE * min(len(mine), len(other)) for other in taken.values()):
            taken[row] = mine
    return np.array(list(taken), dtype=np.int64)
