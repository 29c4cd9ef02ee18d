"""Labelled windows of the chloroplast of Arabidopsis thaliana, for the guide docs/dna.md.

Usage: python docs/dna_example.py FOLDER

Writes train.csv and test.csv (columns id, sequence, label, region), genome.fa and rest.fa (training and test regions,
for a language model) and gene.fa (200 bases of a test region around a short gene, psbM).

A window of 200 bases is "coding" if at least half of its bases are in a coding sequence, on either strand. The genome
is cut into regions of 4,000 bases; every fifth is test data. No window crosses a border. The second copy of the
inverted repeat is left out: it would put copies of training windows into the test data.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from titans_datasets.builtin import load_dna
from titans_datasets.dna import coding_labels

SIZE, STRIDE, REGION = 200, 50, 4000
SECOND_COPY = 128_214
# psbM is 28,707 … 28,811 (from 1), on the reverse strand.
GENE = slice(28_659, 28_859)


def windows(letters: str, coding: np.ndarray) -> pd.DataFrame:
    """Windows of all regions: overlapping ones for training, adjacent ones for the test."""
    rows = []
    for start in range(0, len(letters), REGION):
        end, number = min(start + REGION, len(letters)), start // REGION
        for first in range(start, end - SIZE + 1, SIZE if is_test(number) else STRIDE):
            label = "coding" if coding[first : first + SIZE].mean() >= 0.5 else "background"
            rows.append((f"{first + 1}-{first + SIZE}", letters[first : first + SIZE], label, number))
    return pd.DataFrame(rows, columns=["id", "sequence", "label", "region"])


def is_test(region: int) -> bool:
    return region % 5 == 2


def fasta(parts: dict[str, str]) -> str:
    return "".join(f">{name}\n{letters}\n" for name, letters in parts.items())


def main(folder: Path) -> None:
    record = load_dna("chloroplast")[0]
    letters = str(record.seq)[:SECOND_COPY]
    found = windows(letters, coding_labels(record)[:SECOND_COPY] > 0)
    test = found["region"].map(is_test)
    folder.mkdir(parents=True, exist_ok=True)
    found[~test].to_csv(folder / "train.csv", index=False)
    found[test].to_csv(folder / "test.csv", index=False)
    starts = range(0, len(letters), REGION)
    regions = {f"{s + 1}-{min(s + REGION, len(letters))}": letters[s : s + REGION] for s in starts}
    for name, wanted in (("genome.fa", False), ("rest.fa", True)):
        chosen = {place: text for i, (place, text) in enumerate(regions.items()) if is_test(i) is wanted}
        (folder / name).write_text(fasta(chosen))
    (folder / "gene.fa").write_text(fasta({"psbM": letters[GENE]}))
    print(f"{folder}: {(~test).sum():,} training windows, {test.sum():,} test windows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
