"""16S genes and their genera: full length, common genera, no near copies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from titans_datasets.dna import decode
from titans_datasets.dna.public.rrna import LONGEST, SHORTEST, distinct_genes


def changed(text: str, share: float, random: np.random.Generator) -> str:
    places = random.permutation(len(text))[: round(share * len(text))]
    letters = list(text)
    for place in places:
        letters[place] = "ACGT"[("ACGT".index(letters[place]) + 1) % 4]
    return "".join(letters)


def test_full_genes_of_common_genera_without_near_copies() -> None:
    random = np.random.default_rng(0)
    start = "Bacteria;p;c;o;f;"
    genes = [decode(row) for row in random.integers(0, 4, (8, 1400))]
    rows = [(text, f"{start}{genus}") for genus, part in (("Alpha", genes[:4]), ("Beta", genes[4:6])) for text in part]
    rows += [
        (genes[0].lower(), f"{start}Alpha"),  # equal
        (changed(genes[1], 0.005, random), f"{start}Alpha"),  # one species
        (changed(genes[2], 0.05, random), f"{start}Alpha;"),  # another one
        (genes[6][: SHORTEST - 1], f"{start}Alpha"),
        (genes[6] + genes[7][: LONGEST - 1399], f"{start}Alpha"),
        (genes[6], "Archaea;p;c;o;f;Alpha"),
        (genes[6], "Bacteria;p;c;f;Alpha"),
        (genes[7], f"{start}Gamma"),
    ]
    found = distinct_genes(pd.DataFrame(rows, columns=["sequence", "taxonomy"]), fewest=2)
    assert found["sequence"].tolist() == [*genes[:6], rows[8][0]]
    assert found["label"].tolist() == ["Alpha"] * 4 + ["Beta"] * 2 + ["Alpha"]
    assert distinct_genes(pd.DataFrame(rows, columns=["sequence", "taxonomy"]), fewest=6).empty
