"""Splits without leakage: groups of related sequences, whole chromosomes, and intervals that do not overlap.

Shapes: R sequences or intervals, Q intervals of a test set.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import DNAWarning, as_sequences, encode_all, reverse_complement_text
from titans_datasets.dna.kmers import canonical_kmers
from titans_datasets.dna.leakage.overlap import BoolArray, IntArray, plain
from titans_datasets.dna.read.tables import CHR, check_intervals, chromosome_names, no_name_in_common


class ChromosomeSplit(NamedTuple):
    """Numbers of the intervals on each side, ascending.

    Example:
        >>> intervals = pd.DataFrame({"chrom": ["chr1", "chr8"], "start": [0, 5], "end": [4, 9]})
        >>> split = chromosome_split(intervals, ["chr8"])
        >>> split.test.tolist()
        [1]
    """

    train: IntArray
    test: IntArray


def groups(sequences: Any, *, k: int = 31) -> IntArray:
    """Group of each sequence (R,): connected components of sequences that share a k-mer, on either strand.

    Equal sequences and reverse complements are in one group, however short. Groups are numbered from 0 in the order of
    appearance. For scikit-learn's `StratifiedGroupKFold`: no k-mer of a test fold is in its training folds. k-mers of
    low complexity or repeats can join everything into a few large groups: look at `np.bincount(groups(X)).max()` and
    raise k, or accept such sequences on both sides.

    Args:
        sequences: what `as_sequences` takes.
        k: length of the k-mers, 1 … 32.

    Raises:
        ValueError: no or empty sequences, other letters, k out of range.
        TypeError: something is not a sequence.

    Example:
        >>> groups(["ACGTACGTA", "TACGTACGT", "GGGGGGGGG"], k=5).tolist()
        [0, 0, 1]
    """
    texts = [plain(text) for text in as_sequences(sequences)]
    kmers = canonical_kmers(encode_all(texts), k)
    order = np.lexsort((kmers.rows, kmers.values))
    values, rows = kmers.values[order], kmers.rows[order]
    same = values[1:] == values[:-1]
    by_kmers = np.stack([rows[:-1][same], rows[1:][same]], axis=1)
    seen: dict[str, int] = {}
    by_text = np.array([(seen.setdefault(_strandless(text), row), row) for row, text in enumerate(texts)])
    links = np.concatenate([by_kmers, by_text])
    links = np.unique(links[links[:, 0] != links[:, 1]], axis=0)
    return _components(len(texts), links)


def _strandless(text: str) -> str:
    return min(text, reverse_complement_text(text))


def _components(count: int, links: npt.NDArray[np.int64]) -> IntArray:
    """Union-find over all links at once: each takes the least number among its neighbours, then that one's own."""
    least = np.arange(count)
    while len(links):
        ends = least[links]
        links = links[ends[:, 0] != ends[:, 1]]
        ends = ends[ends[:, 0] != ends[:, 1]]
        np.minimum.at(least, ends.max(axis=1), ends.min(axis=1))
        while (least[least] != least).any():
            least = least[least]
    return np.unique(least, return_inverse=True)[1]


def chromosome_split(intervals: pd.DataFrame, test: Sequence[str]) -> ChromosomeSplit:
    """Split intervals by chromosome.

    Args:
        intervals: a table with a column chrom, as `read_bed` gives it.
        test: chromosomes of the test set, such as ["chr8", "chr9"].

    Raises:
        TypeError: test is a single name, not a list.
        ValueError: no column chrom, a name that no interval has, or a side without intervals.

    Example:
        >>> intervals = pd.DataFrame({"chrom": ["chr1", "chr8", "chr1"], "start": [0, 5, 9], "end": [4, 9, 12]})
        >>> split = chromosome_split(intervals, ["chr8"])
        >>> split.train.tolist(), split.test.tolist()
        ([0, 2], [1])
    """
    if isinstance(test, str):
        raise TypeError(f"test must be a list of chromosomes, got {test!r}: give a list, [{test!r}]")
    if "chrom" not in intervals.columns:
        raise ValueError(f"intervals have no column 'chrom', only {', '.join(map(str, intervals.columns))}: rename one")
    names = chromosome_names(intervals["chrom"], "intervals")
    there, wanted = sorted(set(names)), chromosome_names(test, "test")
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise ValueError(f"no interval lies on {', '.join(unknown)}: the chromosomes are {', '.join(there)}")
    chosen = np.isin(names, wanted)
    if not len(test) or chosen.all():
        raise ValueError(
            f"the test chromosomes must leave others for training, got {', '.join(wanted) or 'none'} of "
            f"{', '.join(there)}: name some of them"
        )
    return ChromosomeSplit(np.flatnonzero(~chosen), np.flatnonzero(chosen))


def choose_chromosomes(intervals: pd.DataFrame, fraction: float, *, seed: int = 0) -> list[str]:
    """Whole chromosomes that together hold about a fraction of the intervals, for `chromosome_split`.

    Chromosomes are taken in random order, each where it brings the number of intervals nearer to the wanted one.

    Args:
        intervals: a table with a column chrom.
        fraction: of the intervals, above 0 and below 1.
        seed: of the order.

    Raises:
        ValueError: a fraction out of range, or fewer than two chromosomes.

    Example:
        >>> intervals = pd.DataFrame({"chrom": ["chr1"] * 6 + ["chr2"] * 3 + ["chr3"] * 2})
        >>> choose_chromosomes(intervals, 0.2)
        ['chr3']
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be above 0 and below 1, got {fraction}")
    names, counts = np.unique(chromosome_names(intervals["chrom"], "intervals"), return_counts=True)
    if len(names) < 2:
        raise ValueError(f"all intervals lie on {', '.join(names)}: a split by chromosome needs two or more")
    chosen: list[str] = []
    lacking = fraction * counts.sum()
    for place in np.random.default_rng(seed).permutation(len(names)).tolist():
        if counts[place] < 2 * lacking and len(chosen) + 1 < len(names):
            chosen.append(str(names[place]))
            lacking -= counts[place]
    return sorted(chosen) or [str(names[counts.argmin()])]


def interval_overlap(train: pd.DataFrame, test: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Fraction of each test interval's bases that training intervals cover (Q,), on either strand.

    Args:
        train, test: tables with chrom, start (from 0), end (exclusive), as `read_bed` gives them.

    Names that differ by "chr" only, as in 1 and chr1, are reported in a `DNAWarning`.

    Raises:
        ValueError: a table without these columns, or a row that is not an interval.

    Example:
        >>> train = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [10]})
        >>> test = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [5, 5], "end": [15, 15]})
        >>> interval_overlap(train, test).tolist()
        [0.5, 0.0]
    """
    check_intervals(train, "train")
    check_intervals(test, "test")
    learned, asked = (np.array(chromosome_names(table["chrom"], "intervals")) for table in (train, test))
    strange = no_name_in_common(asked.tolist(), learned.tolist(), "training")
    if strange.endswith(CHR):
        warnings.warn(f"intervals of test and training do not fit: {strange}", DNAWarning, stacklevel=2)
    shares = np.zeros(len(test))
    starts, ends = (test[name].to_numpy(dtype=np.int64) for name in ("start", "end"))
    for name, part in train.groupby(learned):
        here = asked == name
        covered = _Coverage(part["start"].to_numpy(dtype=np.int64), part["end"].to_numpy(dtype=np.int64))
        bases = covered(ends[here]) - covered(starts[here])
        shares[here] = bases / (ends[here] - starts[here])
    return shares


class _Coverage:
    """How many bases before a position are covered by intervals, which may overlap."""

    def __init__(self, starts: IntArray, ends: IntArray) -> None:
        order = np.argsort(starts, kind="stable")
        starts, reach = starts[order], np.maximum.accumulate(ends[order])
        opens: BoolArray = np.concatenate([[True], starts[1:] > reach[:-1]])
        closes = np.concatenate([np.flatnonzero(opens)[1:] - 1, [len(starts) - 1]])
        edges = np.stack([starts[opens], reach[closes]], axis=1).ravel()
        self._edges, self._below = edges, np.concatenate([[0], np.cumsum(edges[1::2] - edges[::2])])

    def __call__(self, places: IntArray) -> IntArray:
        passed = np.searchsorted(self._edges, places, side="right")
        inside = passed % 2 == 1
        whole = self._below[passed // 2]
        return whole + np.where(inside, places - self._edges[np.maximum(passed - 1, 0)], 0)
