"""Homologous windows of two genomes, and simulated relatives of a genome.

Shapes: n bases of a genome, w windows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]
K = 24
SHARE = 0.1
SLACK = 200


class Homolog(NamedTuple):
    """A window of one genome and its counterpart in another one.

    Attributes:
        start: first base of the window.
        place: first base of its counterpart, on the same strand.
    """

    start: int
    place: int


def homologs(known: Codes, other: Codes, size: int, stride: int) -> list[Homolog]:
    """Windows of `other` with a counterpart in `known`: a tenth of their 24-mers occur there, in one place and order.

    Args:
        known: codes of A, C, G, T; 24-mers that occur twice are ignored.
        other: the genome whose windows are looked up.
        size: bases of a window.
        stride: from one window to the next.
    """
    numbers = _numbers(known)
    order = np.argsort(numbers, kind="stable")
    ranked = numbers[order]
    twice = ranked[1:] == ranked[:-1]
    single = ~(np.append(twice, False) | np.insert(twice, 0, False))
    queries = _numbers(other)
    rank = np.searchsorted(ranked, queries).clip(max=len(ranked) - 1)
    found = (ranked[rank] == queries) & single[rank]
    places = order[rank]
    windows = []
    for start in range(0, len(other) - size + 1, stride):
        hits = np.flatnonzero(found[start : start + size - K + 1])
        if len(hits) >= SHARE * size:
            firsts = places[start + hits] - hits
            middle = int(np.median(firsts))
            if middle >= 0 and (np.abs(firsts - middle) < SLACK).mean() > 0.8:
                windows.append(Homolog(start, middle))
    return windows


def _numbers(codes: Codes) -> npt.NDArray[np.int64]:
    """The number of each 24-mer, computed without a matrix of all of them."""
    count = len(codes) - K + 1
    numbers = np.zeros(count, dtype=np.int64)
    for place in range(K):
        numbers = numbers * 4 + codes[place : place + count]
    return numbers


def mutated(codes: Codes, substitutions: float, gaps: float, rng: np.random.Generator) -> Codes:
    """A relative: substituted bases, short deletions and insertions.

    Args:
        codes: (n,).
        substitutions: share of bases that are substituted.
        gaps: deletions and insertions per base, of 2.5 bases on average.
        rng: draws them.

    Returns:
        About n codes.
    """
    out = codes.copy()
    changed = rng.random(len(out)) < substitutions
    out[changed] = (out[changed] + rng.integers(1, 4, int(changed.sum()), dtype=np.uint8)) % 4
    parts, last = [], 0
    for place in np.flatnonzero(rng.random(len(out)) < gaps).tolist():
        if place < last:
            continue
        size = int(rng.geometric(0.4))
        parts.append(out[last:place])
        last = place
        if rng.random() < 0.5:
            last = min(len(out), place + size)
        else:
            parts.append(rng.integers(0, 4, size, dtype=np.uint8))
    return np.concatenate([*parts, out[last:]])
