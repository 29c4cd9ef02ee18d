"""Windows of a genome without signal, as alike to given ones as their GC content makes them.

Shapes: R intervals, n bases of a chromosome, W bases of a window.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import Codes, DNAWarning, N
from titans_datasets.dna.read.genome import Genome
from titans_datasets.dna.read.tables import check_intervals, chromosome_names

GC_BIN, MOST_UNKNOWN, LEAST_FOUND = 0.02, 0.1, 0.95
# Chromosomes with fewer places are tried base by base, longer ones every quarter of a window.
EVERY_BASE = 2**20
# Windows of the first batch; each further one is twice as large.
FIRST_BATCH = 128
# Bases of windows that are looked at together.
_BASES_AT_ONCE = 2**22


class _Wanted(NamedTuple):
    """What is looked for on a chromosome: how many windows of each GC bin, and where none may lie."""

    name: str
    bins: Counter[int]
    starts: list[int]
    ends: list[int]


def gc_matched(
    genome: Genome,
    intervals: pd.DataFrame,
    *,
    gc_bin: float = GC_BIN,
    most_unknown: float = MOST_UNKNOWN,
    least_found: float = LEAST_FOUND,
    seed: int = 0,
) -> pd.DataFrame:
    """One window of the genome for each interval: of its length, on its chromosome, in its bin of GC content.

    Windows overlap neither an interval nor each other. Places are drawn without replacement: every base of a
    chromosome below a million bases, every quarter of a window of a longer one. So the share of each chromosome, and on
    it the distributions of lengths, GC bins and strands, are those of the intervals. One chromosome is in memory at a
    time, one byte per base. (The design of gkmSVM's null sequences, Ghandi et al. 2016, without its matching of
    repeats.)

    Args:
        genome: in memory or indexed.
        intervals: (R,) rows of chrom, start, end and optionally strand, all on the genome.
        gc_bin: width of a bin; GC content is the share of G and C among A, C, G, T.
        most_unknown: largest share of N in a window.
        least_found: smallest share of the windows that has to be found; what lacks (rare GC contents) is told in a
            `DNAWarning`.
        seed: of the draws.

    Returns:
        At most R rows of chrom, start, end and, where the intervals have it, strand, sorted by place.

    Raises:
        ValueError: a setting out of range, intervals that are not on the genome, or too few such places; the message
            says how many were found.

    Example:
        >>> from titans_datasets.dna import read_genome
        >>> intervals = pd.DataFrame({"chrom": ["NC_001422.1"] * 2, "start": [0, 900], "end": [100, 1000]})
        >>> gc_matched(read_genome("builtin:phix174"), intervals).shape
        (2, 3)
    """
    for name, value in (("gc_bin", gc_bin), ("most_unknown", most_unknown), ("least_found", least_found)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1, got {value}")
    check_intervals(intervals, "intervals")
    names = np.array(chromosome_names(intervals["chrom"], "intervals"))
    rng, parts, lacking = np.random.default_rng(seed), [], []
    for name in dict.fromkeys(names.tolist()):
        part = intervals[names == name]
        codes = genome.fetch(name, 0, genome.lengths.get(name, 0))
        found, missing = _of_chromosome(name, codes, part, (gc_bin, most_unknown), rng)
        parts.append(found)
        lacking += missing
    result = pd.concat(parts, ignore_index=True)
    if lacking:
        listed = "; ".join(lacking[:4]) + (" …" if len(lacking) > 4 else "")
        said = f"found {len(result):,} places for {len(intervals):,} GC-matched windows; lacking are {listed}"
        if len(result) < least_found * len(intervals):
            raise ValueError(f"{said}: use smaller windows or fewer intervals, or give negatives of your own")
        warnings.warn(said, DNAWarning, stacklevel=2)
    return result.sort_values(["chrom", "start"], ignore_index=True)


def _of_chromosome(
    name: str, codes: Codes, part: pd.DataFrame, limits: tuple[float, float], rng: np.random.Generator
) -> tuple[pd.DataFrame, list[str]]:
    """Windows on one chromosome, and what was not found, in words."""
    starts, ends = (part[column].to_numpy(np.int64) for column in ("start", "end"))
    if ends.max() > len(codes):
        raise ValueError(f"interval {name}:{starts[ends.argmax()]}-{ends.max()} must lie on 0-{len(codes)}")
    taken = _merged(starts, ends)
    rows: list[tuple[int, int]] = []
    lacking = []
    for length in np.unique(ends - starts).tolist():
        own = starts[ends - starts == length]
        bins = np.concatenate([_gc(codes, some, length)[0] for some in _batches(own, length)])
        wanted = _Wanted(name, Counter((bins / limits[0]).astype(int).tolist()), *taken)
        rows += [(start, start + length) for start in _drawn(codes, wanted, length, limits, rng)]
        lacking += [
            f"{count:,} on {name} with GC {place * limits[0]:.2f} to {min((place + 1) * limits[0], 1):.2f}"
            for place, count in sorted(wanted.bins.items())
            if count
        ]
    frame = pd.DataFrame(rows, columns=["start", "end"], dtype=np.int64)
    frame.insert(0, "chrom", name)
    if "strand" in part.columns:
        frame["strand"] = rng.permutation(part["strand"].to_numpy(dtype=object))[: len(frame)]
    return frame, lacking


def _merged(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Starts and ends of the stretches that intervals cover, ascending."""
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    opens = np.concatenate([[True], starts[1:] > reach[:-1]])
    return starts[opens].tolist(), reach[np.concatenate([opens[1:], [True]])].tolist()


def _drawn(
    codes: Codes, wanted: _Wanted, length: int, limits: tuple[float, float], rng: np.random.Generator
) -> list[int]:
    """Starts of windows of the wanted bins, which are counted down, until all are found or all places were tried."""
    found = []
    for starts in _places(len(codes), length, rng):
        if not wanted.bins.total():
            break
        gc, unknown = _gc(codes, starts, length)
        bins = (gc / limits[0]).astype(int)
        fitting = (unknown <= limits[1]) & np.isin(bins, [place for place, count in wanted.bins.items() if count])
        for start, place in zip(starts[fitting].tolist(), bins[fitting].tolist(), strict=True):
            if wanted.bins[place] and _is_free(wanted, start, start + length):
                wanted.bins[place] -= 1
                insort(wanted.starts, start)
                insort(wanted.ends, start + length)
                found.append(start)
    return found


def _is_free(wanted: _Wanted, start: int, end: int) -> bool:
    """Whether a window lies between the stretches that are taken."""
    before = bisect_left(wanted.starts, end)
    return before == 0 or wanted.ends[before - 1] <= start


def _places(bases: int, length: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """All starts that are tried, each once, in batches, spread over the whole chromosome from the first batch on."""
    count = bases - length + 1
    step = 1 if count <= EVERY_BASE else max(length // 4, 1)
    offset, count = int(rng.integers(min(step, count))), max(count // step, 1)
    # Multiples of a number without a factor in common with the count visit every place once (a Weyl sequence).
    stride, first = max(int(count * 0.618) + int(rng.integers(1 + count // 10)), 1), int(rng.integers(count))
    while gcd(stride, count) > 1:
        stride += 1
    start, size, largest = 0, FIRST_BATCH, max(_BASES_AT_ONCE // length, 1)
    while start < count:
        turns = np.arange(start, min(start + size, count), dtype=np.int64)
        yield offset + step * ((first + turns * stride) % count)
        start, size = start + size, min(2 * size, largest)


def _batches(starts: npt.NDArray[np.int64], length: int) -> Iterator[npt.NDArray[np.int64]]:
    size = max(_BASES_AT_ONCE // length, 1)
    for first in range(0, len(starts), size):
        yield starts[first : first + size]


def _gc(codes: Codes, starts: npt.NDArray[np.int64], length: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Share of G and C among known bases, and share of unknown ones, of each window."""
    windows = np.lib.stride_tricks.sliding_window_view(codes, length)[starts]
    gc = ((windows == 1) | (windows == 2)).sum(1)
    unknown = (windows == N).sum(1)
    return gc / np.maximum(length - unknown, 1), unknown / length
