"""Segments of genomes that recipes learn from and test on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def check_segments(path: Path, learn: Any, tests: Mapping[str, Any]) -> None:
    """Refuse what is no segment.

    Raises:
        ValueError: an entry is not [start, end) with 0 ≤ start < end.
    """
    for name, found in (("learn", learn), *tests.items()):
        whole = isinstance(found, Sequence) and len(found) == 2 and all(isinstance(n, int) for n in found)
        if not whole or not 0 <= found[0] < found[1]:
            raise ValueError(f"{path}: {name} must be [start, end), 0-based, got {found!r}")


def check_disjoint(path: Path, learn: Sequence[int], test: Sequence[int]) -> None:
    """Refuse segments of one genome that overlap.

    Raises:
        ValueError: they do.
    """
    if test[0] < learn[1] and learn[0] < test[1]:
        raise ValueError(f"{path}: learn {list(learn)} and test {list(test)} overlap: the test must be unseen")
