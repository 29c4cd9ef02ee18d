"""Open reading frames (ORFs): the simplest gene finder for bacteria, phages and organelles, used as a baseline.

Shapes: n bases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.alphabet import Codes, encode, reverse_complement
from titans_datasets.dna.batches.windows import FORWARD, NOTHING, REVERSE

STARTS, STOPS = ("ATG", "GTG", "TTG"), ("TAA", "TAG", "TGA")
CODON = 3


class ReadingFrame(NamedTuple):
    """Bases start … end − 1 (from 0, of the given strand's sequence) from a start codon to a stop codon, both included.

    `strand` is "+" or "-"; on "-" the start codon lies at the right.

    Example:
        >>> frame = reading_frames("CCATGAAATAGG", shortest=9)[0]
        >>> "CCATGAAATAGG"[frame.start : frame.end], frame.strand
        ('ATGAAATAG', '+')
    """

    start: int
    end: int
    strand: str


def reading_frames(sequence: Any, shortest: int = 90, *, overlaps: bool = False) -> list[ReadingFrame]:
    """The longest reading frames of both strands; they share no bases unless `overlaps` is set.

    Every stop codon ends one candidate, which begins at the first ATG, GTG or TTG after the previous stop codon in the
    same frame. Candidates are taken from the longest to the shortest (of equal ones the left one, then the one on the
    strand +); one that shares a base with a candidate already taken, on either strand, is skipped. Frames that run past
    an end of the sequence are not counted; codons with an N are neither start nor stop; introns are not modelled.

    Args:
        sequence: str, Seq, SeqRecord, or numbers of the bases (n,).
        shortest: bases of the shortest frame, start and stop codon included.
        overlaps: keep every candidate: neighbouring genes of bacteria often share a few bases, and the first start
            codon of a frame often lies before the gene's own.

    Returns:
        Frames from left to right.

    Raises:
        ValueError: shortest below 6, or see `titans_datasets.dna.encode`.
        TypeError: the argument is not a sequence.

    Example:
        >>> reading_frames("CCATGAAATAGG", shortest=9)
        [ReadingFrame(start=2, end=11, strand='+')]
    """
    if shortest < 2 * CODON:
        raise ValueError(f"shortest must be ≥ {2 * CODON} (a start and a stop codon), got {shortest}")
    codes = sequence if isinstance(sequence, np.ndarray) else encode(sequence)
    found = [ReadingFrame(start, end, "+") for start, end in _candidates(codes)]
    length = len(codes)
    other = _candidates(reverse_complement(codes))
    found += [ReadingFrame(length - end, length - start, "-") for start, end in other]
    taken = np.zeros(length, dtype=bool)
    chosen = []
    for frame in sorted(found, key=lambda one: (one.start - one.end, one.start, one.strand)):
        if frame.end - frame.start < shortest:
            break
        if overlaps or not taken[frame.start : frame.end].any():
            taken[frame.start : frame.end] = True
            chosen.append(frame)
    return sorted(chosen)


def reading_frame_labels(sequence: Any, shortest: int = 90, *, overlaps: bool = False) -> npt.NDArray[np.uint8]:
    """Labels of the bases (n,) by reading frame: 0 none, 1 in a frame of the strand +, 2 of −, as in `coding_labels`.

    Where frames overlap, the longest one decides.

    Args:
        sequence, shortest, overlaps: as in `reading_frames`.

    Raises:
        ValueError, TypeError: as `reading_frames`.

    Example:
        >>> reading_frame_labels("CCATGAAATAGG", shortest=9).tolist()
        [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    """
    codes = sequence if isinstance(sequence, np.ndarray) else encode(sequence)
    labels = np.full(len(codes), NOTHING, dtype=np.uint8)
    for frame in sorted(reading_frames(codes, shortest, overlaps=overlaps), key=lambda one: one.end - one.start):
        labels[frame.start : frame.end] = FORWARD if frame.strand == "+" else REVERSE
    return labels


def _candidates(codes: Codes) -> Iterator[tuple[int, int]]:
    """Start and end of the longest frame of each stop codon, on the given strand."""
    if len(codes) < CODON:
        return
    codons_here = np.lib.stride_tricks.sliding_window_view(codes, CODON)

    def places(codons: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        return np.any([(codons_here == encode(codon)).all(1) for codon in codons], axis=0)

    starts, stops = places(STARTS), places(STOPS)
    for frame in range(CODON):
        ends = np.flatnonzero(stops[frame::CODON]).tolist()
        begins = np.flatnonzero(starts[frame::CODON])
        before = -1
        for end in ends:
            place = int(np.searchsorted(begins, before, side="right"))
            if place < len(begins) and begins[place] < end:
                yield int(begins[place]) * CODON + frame, (end + 1) * CODON + frame
            before = end
