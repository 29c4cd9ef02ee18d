"""Public sets of labelled DNA with their published splits; the files are not part of the package.

Each table has one row per sequence, with the columns sequence and label.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from titans_datasets.dna.distal import distal_pairs
from titans_datasets.dna.public.catalogue import (
    ECOLI_PROMOTERS,
    GENOMES,
    GUE,
    PARTS,
    RRNA,
    UCI_SPLICE,
    DNAFile,
    find_file,
    genome_file,
    gue_file,
)
from titans_datasets.dna.public.rrna import distinct_genes
from titans_datasets.dna.public.task import DNATask
from titans_datasets.dna.read.files import read_records
from titans_datasets.dna.read.genome import MemoryGenome, read_genome
from titans_datasets.dna.read.text import open_text
from titans_datasets.text import lookup

_TEST_SHARE = 0.2


def gue(name: str) -> DNATask:
    """A set of GUE (Genome Understanding Evaluation): train and dev files joined for training, and the test file.

    Args:
        name: tf_0 … tf_4 and mouse_0 … mouse_4 (transcription factors), prom_core_tata, prom_300_tata … (promoters),
            splice_reconstructed, emp_H3 … (histone marks), virus_covid.

    Raises:
        ValueError: an unknown set, or a file with another number of rows than the known one.
        FileNotFoundError: a file is missing; the message shows where to get it and where to put it.

    Example:
        >>> task = gue("tf_0")  # doctest: +SKIP
        >>> len(task.train), len(task.test)  # doctest: +SKIP
        (33378, 1000)
    """
    lookup(GUE, name, "set of GUE")
    train, dev, test = (_read(f"{name} ({part})", gue_file(name, part)) for part in PARTS)
    return DNATask(name, pd.concat([train, dev], ignore_index=True), test, "GUE: train and dev, test apart")


def uci_splice(seed: int = 0, *, deduplicate: bool = True) -> DNATask:
    """Splice junctions of primates (UCI): 3,190 sequences of 60 bases, classes EI, IE and N (neither).

    Args:
        seed: of the split, 80 % train and 20 % test within each class.
        deduplicate: before the split, keep one copy of equal sequences, and drop sequences with two labels: 3,004 are
            left. Otherwise copies are on both sides of the split.

    Raises:
        ValueError: the file has another number of rows than the known one.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.

    Example:
        >>> task = uci_splice()  # doctest: +SKIP
        >>> len(task.train) + len(task.test)  # doctest: +SKIP
        3004
    """
    path = find_file("uci_splice", UCI_SPLICE)
    frame = _read_uci(path) if path.name.startswith("splice.data") else _read_table(path)
    _check_rows("uci_splice", UCI_SPLICE, path, len(frame))
    if deduplicate:
        frame = frame[frame.groupby("sequence")["label"].transform("nunique") == 1].drop_duplicates("sequence")
    what = "one of equal sequences, then" if deduplicate else "duplicates kept,"
    return _split("uci_splice", frame, seed, what)


def ecoli_promoters(seed: int = 0) -> DNATask:
    """Sigma-70 promoters of E. coli against segments of its genes (CNNProm): 839 and 3,000 sequences of 81 bases.

    Args:
        seed: of the split, 80 % train and 20 % test within each class.

    Promoters of divergent or neighbouring genes overlap: 60 % of the test rows share a 31-mer with the training set.

    Raises:
        ValueError: a file has another number of rows than the known one.
        FileNotFoundError: a file is missing; the message shows where to get it and where to put it.

    Example:
        >>> task = ecoli_promoters()  # doctest: +SKIP
        >>> len(task.train) + len(task.test)  # doctest: +SKIP
        3839
    """
    rows = []
    for label, file in ECOLI_PROMOTERS.items():
        path = find_file(f"ecoli_promoters ({label})", file)
        records = read_records(path, unique_ids=False)
        _check_rows(f"ecoli_promoters ({label})", file, path, len(records))
        rows += [(record.sequence.upper(), label) for record in records]
    return _split("ecoli_promoters", pd.DataFrame(rows, columns=["sequence", "label"]), seed, "")


def rrna_genus(seed: int = 0) -> DNATask:
    """Genes of 16S rRNA and their genus (training set 9 of RDP): genera with at least 30 different ones.

    Args:
        seed: of the split, 80 % train and 20 % test within each class.

    Of genes of a genus that are nearly alike (85 % of their 12-mers) one is kept, so that no test gene has a near copy
    in training. All genes share 31-mers, in their conserved parts.

    Raises:
        ValueError: the file has another number of rows than the known one.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.

    Example:
        >>> task = rrna_genus()  # doctest: +SKIP
        >>> len(task.train), len(task.test), task.train["label"].nunique()  # doctest: +SKIP
        (910, 228, 22)
    """
    path = find_file("rrna_genus", RRNA)
    frame = pd.read_csv(path, keep_default_na=False)
    _check_rows("rrna_genus", RRNA, path, len(frame))
    return _split("rrna_genus", distinct_genes(frame), seed, "one of nearly equal genes, then")


def _distal_pairs(seed: int) -> DNATask:
    """2,000 drawn sequences of 2,048 bases; see `titans_datasets.dna.distal_pairs`."""
    return distal_pairs(sequences=2_000, seed=seed)


_OTHER_SETS: dict[str, Callable[[int], DNATask]] = {
    "uci_splice": uci_splice,
    "ecoli_promoters": ecoli_promoters,
    "rrna_genus": rrna_genus,
    "distal_pairs": _distal_pairs,
}


def benchmark_names() -> list[str]:
    """Names that `benchmark` takes.

    Example:
        >>> "uci_splice" in benchmark_names()
        True
    """
    return [*GUE, *_OTHER_SETS]


def benchmark(name: str, seed: int = 0) -> DNATask:
    """Any of the labelled sets by its name.

    Args:
        name: of a set of GUE, "uci_splice", "ecoli_promoters", "rrna_genus" or "distal_pairs".
        seed: of the split, for sets without a published split.

    Raises:
        ValueError, FileNotFoundError: as the function of the set.

    Example:
        >>> benchmark("uci_splice").name  # doctest: +SKIP
        'uci_splice'
    """
    lookup(dict.fromkeys(benchmark_names()), name, "DNA benchmark")
    return gue(name) if name in GUE else _OTHER_SETS[name](seed)


def reference_genome(name: str, *, soft_masks: bool = False) -> MemoryGenome:
    """A genome for language models, in memory.

    Args:
        name: ecoli_k12, ecoli_536, saureus_n315, vcholerae_n16961, hpylori_g27, lambda_phage, worm_ce2_chrx,
            worm_ce2_chrm, yeast_chr1 or yeast_chr2.
        soft_masks: see `read_genome`.

    Raises:
        ValueError: an unknown genome, or a file with another number of bases.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.

    Example:
        >>> sum(reference_genome("lambda_phage").lengths.values())  # doctest: +SKIP
        48502
    """
    entry = lookup(GENOMES, name, "genome")
    path = find_file(name, genome_file(name))
    genome = read_genome(path, soft_masks=soft_masks)
    bases = sum(genome.lengths.values())
    if bases != entry.bases:
        raise ValueError(f"{path} is not {name}: expected {entry.bases:,} bases ({entry.accession}), got {bases:,}")
    return genome


def _read(name: str, file: DNAFile) -> pd.DataFrame:
    path = find_file(name, file)
    frame = _read_table(path)
    _check_rows(name, file, path, len(frame))
    return frame


def _read_table(path: Path) -> pd.DataFrame:
    rows = [(record.sequence.upper(), record.label) for record in read_records(path)]
    return pd.DataFrame(rows, columns=["sequence", "label"])


def _read_uci(path: Path) -> pd.DataFrame:
    """UCI's own file format: lines of class, name, sequence, padded with blanks."""
    with open_text(path) as handle:
        cells = [[cell.strip() for cell in line.split(",")] for line in handle if line.strip()]
    if any(len(row) != 3 for row in cells):
        raise ValueError(f"{path} is not the file of uci_splice: expected lines of class, name, sequence")
    return pd.DataFrame([(row[2].upper(), row[0]) for row in cells], columns=["sequence", "label"])


def _check_rows(name: str, file: DNAFile, path: Path, rows: int) -> None:
    if file.rows not in (None, rows):
        raise ValueError(
            f"{path} is not the file of {name}: expected {file.rows:,} sequences, got {rows:,}; get it from "
            f"{file.home} ({file.address})"
        )


def _split(name: str, frame: pd.DataFrame, seed: int, what: str) -> DNATask:
    """A random fifth of each class for the test set; both sets in the order of the table."""
    generator = np.random.default_rng(seed)
    frame = frame.reset_index(drop=True)
    test = np.zeros(len(frame), dtype=bool)
    for _, rows in sorted(frame.groupby("label").indices.items()):
        test[generator.permutation(rows)[: round(_TEST_SHARE * len(rows))]] = True
    train, held = (frame[chosen].reset_index(drop=True) for chosen in (~test, test))
    return DNATask(name, train, held, f"{what} random 80/20 of each class, seed {seed}".strip())
