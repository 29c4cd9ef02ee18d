"""Windows along whole genomes, and labels of the bases.

Shapes: n bases of a chromosome, W bases of a window.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import Codes, DNAWarning, N
from titans_datasets.dna.read.genome import Genome, check_place
from titans_datasets.dna.read.tables import CHR, STRANDS, check_intervals, chromosome_names, no_name_in_common

if TYPE_CHECKING:
    from Bio.SeqRecord import SeqRecord

LAST = ("short", "overlap", "drop")
NOTHING, FORWARD, REVERSE = range(3)


class Window(NamedTuple):
    """A segment of a chromosome.

    Args:
        name: of the chromosome.
        start, end: its bases start … end − 1; they may lie outside the chromosome in a window of `around`.
        ids: numbers of the bases (W,).
        soft_mask: where they are lower case (W,), None where the genome does not know it.
        labels: of the bases (W,), None without labels.

    Example:
        >>> from titans_datasets.dna import MemoryGenome, decode, encode
        >>> window = next(genome_windows(MemoryGenome({"chr1": encode("ACGTTGCA")}), 3))
        >>> window.name, window.end, decode(window.ids)
        ('chr1', 3, 'ACG')
    """

    name: str
    start: int
    end: int
    ids: Codes
    soft_mask: npt.NDArray[np.bool_] | None = None
    labels: npt.NDArray[np.uint8] | None = None


def genome_windows(
    genome: Genome,
    size: int,
    stride: int | None = None,
    *,
    last: str = "short",
    labels: Mapping[str, npt.NDArray[np.uint8]] | None = None,
    names: list[str] | None = None,
) -> Iterator[Window]:
    """Windows of all chromosomes from left to right, one at a time.

    The first window of a chromosome begins at its first base.

    Args:
        genome: in memory or indexed.
        size: bases W per window.
        stride: bases from start to start; by default size, so that windows do not overlap.
        last: what to do with bases after the last whole window: "short" gives a shorter window, "overlap" moves the
            last window back to end at the last base (a chromosome shorter than size stays a short window), "drop"
            leaves them out and counts them in a `DNAWarning`.
        labels: name → label of each base (n,), as `coding_labels` gives it.
        names: chromosomes to read, by default all.

    Raises:
        ValueError: size or stride below 1, a stride above size, an unknown `last` or chromosome, or labels of another
            length than the chromosome's.

    Example:
        >>> from titans_datasets.dna import MemoryGenome, decode, encode
        >>> genome = MemoryGenome({"chr1": encode("ACGTTGCA")})
        >>> [(window.start, decode(window.ids)) for window in genome_windows(genome, 3)]
        [(0, 'ACG'), (3, 'TTG'), (6, 'CA')]
    """
    stride = size if stride is None else stride
    if not 1 <= stride <= size:
        raise ValueError(f"size and stride must be 1 ≤ stride ≤ size, got size={size}, stride={stride}")
    if last not in LAST:
        raise ValueError(f"last must be one of {', '.join(LAST)}, got {last!r}")
    chosen = list(genome.lengths) if names is None else list(names)
    for name in chosen:
        check_place(genome, name, 0, genome.lengths.get(name, 0))
        if labels is not None and len(labels.get(name, ())) != genome.lengths[name]:
            raise ValueError(f"labels of {name} must be {genome.lengths[name]}, got {len(labels.get(name, ()))}")
    if last == "drop":
        dropped = sum(genome.lengths[name] - _covered(genome.lengths[name], size, stride) for name in chosen)
        if dropped:
            warnings.warn(f"bases left out at chromosomes' ends: {dropped:,} (last='drop')", DNAWarning, stacklevel=2)
    return _walk(genome, chosen, (size, stride, last), labels)


def _walk(
    genome: Genome, names: list[str], rule: tuple[int, int, str], labels: Mapping[str, npt.NDArray[np.uint8]] | None
) -> Iterator[Window]:
    size, stride, last = rule
    for name in names:
        length = genome.lengths[name]
        for start in window_starts(length, size, stride, last):
            end = min(start + size, length)
            here = None if labels is None else labels[name][start:end]
            yield Window(name, start, end, genome.fetch(name, start, end), genome.soft_mask(name, start, end), here)


def window_starts(length: int, size: int, stride: int, last: str = "short") -> Iterator[int]:
    """Starts of the windows of a chromosome of that length; see `genome_windows`."""
    yield from range(0, length - size + 1, stride)
    covered = _covered(length, size, stride)
    if covered < length and last == "overlap":
        yield max(length - size, 0)
    elif covered < length and last == "short":
        yield max((length - size) // stride + 1, 0) * stride if length > size else 0


def _covered(length: int, size: int, stride: int) -> int:
    """Number of bases, from the first one on, that whole windows cover."""
    return 0 if length < size else (length - size) // stride * stride + size


def around(genome: Genome, name: str, position: int, size: int) -> Window:
    """The window of `size` bases with `position` (from 0) in its middle (right of the middle for an even size).

    Bases beyond an end of the chromosome are N, counted in a `DNAWarning`.

    Raises:
        ValueError: an unknown chromosome, a position that does not lie on it, or size below 1.

    Example:
        >>> from titans_datasets.dna import MemoryGenome, decode, encode
        >>> decode(around(MemoryGenome({"chr1": encode("ACGTTGCA")}), "chr1", position=3, size=3).ids)
        'GTT'
    """
    check_place(genome, name, position, position + 1)
    if size < 1:
        raise ValueError(f"size must be ≥ 1, got {size}")
    start = position - size // 2
    end, length = start + size, genome.lengths[name]
    left, right = max(-start, 0), max(end - length, 0)
    if left or right:
        text = f"window {name}:{start}-{end} reaches past 0-{length}: {left + right} bases are read as N"
        warnings.warn(text, DNAWarning, stacklevel=2)
    ids = np.pad(genome.fetch(name, start + left, end - right), (left, right), constant_values=N)
    mask = genome.soft_mask(name, start + left, end - right)
    return Window(name, start, end, ids, None if mask is None else np.pad(mask, (left, right)))


def coding_labels(record: SeqRecord, feature: str = "CDS") -> npt.NDArray[np.uint8]:
    """Labels of the bases of an annotated record (n,): 0 none, 1 in a feature on the strand +, 2 on the strand −.

    Introns are 0: only the parts of a joined location count. Where features of both strands overlap, the base gets
    1 and is counted in a `DNAWarning`.

    Args:
        record: with features, as `read_annotated` or `load_dna` give it.
        feature: type of the features, such as CDS, gene, tRNA.

    Raises:
        ValueError: the record has no such feature.

    Example:
        >>> from titans_datasets.builtin import load_dna
        >>> labels = coding_labels(load_dna("phix174")[0])
        >>> labels.shape, round(float((labels > 0).mean()), 2)
        ((5386,), 0.96)
    """
    places = [found.location for found in record.features if found.type == feature]
    parts = [part for place in places if place is not None for part in place.parts]
    if not parts:
        types = sorted({found.type for found in record.features})
        raise ValueError(f"{record.id} has no feature {feature!r}, only {', '.join(types) or 'none'}")
    spans = [(int(part.start), int(part.end), "-" if part.strand == -1 else "+") for part in parts]
    return _paint(len(record), spans, str(record.id))


def interval_labels(intervals: pd.DataFrame, name: str, length: int) -> npt.NDArray[np.uint8]:
    """Labels of the bases of a chromosome (n,): 0 in no interval, 1 in one on the strand + (or without one), 2 on −.

    Args:
        intervals: as `read_bed` gives them.
        name: of the chromosome; other chromosomes' intervals are ignored.
        length: its bases n.

    Raises:
        ValueError: a row that is not an interval, one past the chromosome's end, or a strand other than +, - and ".".

    Example:
        >>> intervals = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [0, 4], "end": [2, 6], "strand": ["+", "-"]})
        >>> interval_labels(intervals, "chr1", 7).tolist()
        [1, 1, 0, 0, 2, 2, 0]
    """
    check_intervals(intervals, "intervals")
    names = chromosome_names(intervals["chrom"], "intervals")
    strange = no_name_in_common(names, [name], "the genome")
    if strange.endswith(CHR):
        warnings.warn(f"intervals and chromosome do not fit: {strange}", DNAWarning, stacklevel=2)
    here = intervals[np.array(names) == name]
    strands = here["strand"] if "strand" in here.columns else ["+"] * len(here)
    spans = [(int(s), int(e), str(strand)) for s, e, strand in zip(here["start"], here["end"], strands, strict=True)]
    strangers = [strand for _, _, strand in spans if strand not in STRANDS]
    if strangers:
        raise ValueError(f"strands of intervals on {name} must be +, - or ., got {strangers[0]!r}")
    beyond = [(s, e) for s, e, _ in spans if e > length]
    if beyond:
        raise ValueError(f"interval {name}:{beyond[0][0]}-{beyond[0][1]} must lie on 0-{length}: cut it there")
    return _paint(length, spans, name)


def _paint(length: int, spans: list[tuple[int, int, str]], name: str) -> npt.NDArray[np.uint8]:
    on = {strand: np.zeros(length, dtype=bool) for strand in "+-"}
    for start, end, strand in spans:
        on["-" if strand == "-" else "+"][start:end] = True
    both = int((on["+"] & on["-"]).sum())
    if both:
        warnings.warn(f"{name}: bases on both strands, read as +: {both:,}", DNAWarning, stacklevel=3)
    return np.where(on["+"], FORWARD, np.where(on["-"], REVERSE, NOTHING)).astype(np.uint8)


def reverse_labels(labels: npt.ArrayLike) -> npt.NDArray[Any]:
    """Labels 0, 1, 2 of the bases on the other strand (…, n): in reverse order, + and − exchanged.

    Example:
        >>> reverse_labels([1, 1, 0, 2]).tolist()
        [1, 0, 2, 2]
    """
    found = np.asarray(labels)
    if found.size and (found.min() < NOTHING or found.max() > REVERSE):
        raise ValueError(f"labels must be 0, 1 or 2, got {found.min()} … {found.max()}")
    return np.array([NOTHING, REVERSE, FORWARD], dtype=found.dtype)[found][..., ::-1].copy()
