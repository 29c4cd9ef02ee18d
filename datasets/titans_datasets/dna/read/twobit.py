"""Genomes in UCSC's 2bit format: two bits per base, read interval by interval without further packages.

Shapes: n bases of an interval; positions are 0-based with an exclusive end.
Source: https://genome.ucsc.edu/FAQ/FAQformat.html#format7
"""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.alphabet import Codes, N
from titans_datasets.dna.read.genome import check_place
from titans_datasets.dna.read.text import existing

SIGNATURE = 0x1A412743
# T, C, A, G in the file → numbers of the bases.
_BASES = np.array([3, 1, 0, 2], dtype=np.uint8)
_SHIFTS = np.array([6, 4, 2, 0], dtype=np.uint8)


class _Blocks(NamedTuple):
    """Stretches of a chromosome, ascending: starts and ends (exclusive)."""

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def inside(self, start: int, end: int) -> npt.NDArray[np.bool_]:
        """Which bases from start to end lie in a stretch (n,)."""
        found = np.zeros(end - start, dtype=bool)
        first, last = np.searchsorted(self.ends, start, side="right"), np.searchsorted(self.starts, end)
        for one in range(int(first), int(last)):
            found[max(int(self.starts[one]) - start, 0) : int(self.ends[one]) - start] = True
        return found


class _Chromosome(NamedTuple):
    """Stretches of N and of lower case, and the place of the bases in the file."""

    unknown: _Blocks
    soft: _Blocks
    bases: int


class TwoBitGenome:
    """A 2bit file of which only the requested intervals are read.

    Args:
        path: the .2bit file, of version 0 or 1, of either byte order.

    Attributes:
        lengths: name → number of bases.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another format, or the file is truncated.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "a.2bit"
        >>> head = np.array([SIGNATURE, 0, 1, 0], "<u4").tobytes() + b"\\x04chr1" + np.array([25], "<u4").tobytes()
        >>> written = path.write_bytes(head + np.array([4, 0, 0, 0], "<u4").tobytes() + bytes([0b10011100]))
        >>> TwoBitGenome(path).fetch("chr1", 0, 4).tolist()  # A, C, G, T
        [0, 1, 2, 3]
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._file = existing(path)
        if not self._file.stat().st_size:
            raise ValueError(f"{self._file} is empty (0 bytes): check that it was written completely")
        self._bytes = np.memmap(self._file, dtype=np.uint8, mode="r")
        self._order = next((one for one in "<>" if self._words(0, 1, one)[0] == SIGNATURE), "")
        if not self._order:
            raise ValueError(f"{self._file} is no 2bit file: its first four bytes are not those of the format")
        version, count = self._words(4, 2).tolist()
        if version > 1:
            raise ValueError(f"{self._file} is a 2bit file of version {version}: expected 0 or 1")
        self._places = self._index(count, wide=version == 1)
        self.lengths = {name: int(self._words(place, 1)[0]) for name, place in self._places.items()}
        self._read: dict[str, _Chromosome] = {}

    def fetch(self, name: str, start: int, end: int) -> Codes:
        """Bases start … end − 1 of a chromosome (n,), read from the disk.

        Raises:
            ValueError: an unknown chromosome, an interval that does not lie on it, or a truncated file.
        """
        check_place(self, name, start, end)
        one, first = self._chromosome(name), start // 4
        packed = self._part(one.bases + first, (end + 3) // 4 - first)
        bases = _BASES[(packed[:, None] >> _SHIFTS) & 3].reshape(-1)[start - 4 * first : end - 4 * first]
        bases[one.unknown.inside(start, end)] = N
        return bases

    def soft_mask(self, name: str, start: int, end: int) -> npt.NDArray[np.bool_]:
        """Where these bases are lower case (n,).

        Raises:
            ValueError: as `fetch`.
        """
        check_place(self, name, start, end)
        return self._chromosome(name).soft.inside(start, end)

    def _index(self, count: int, *, wide: bool) -> dict[str, int]:
        """Name → place of the record in the file."""
        places: dict[str, int] = {}
        at, size = 16, 8 if wide else 4
        for _ in range(count):
            letters = int(self._part(at, 1)[0])
            name = self._part(at + 1, letters).tobytes().decode("latin-1")
            place = self._part(at + 1 + letters, size).tobytes()
            places[name] = int.from_bytes(place, "little" if self._order == "<" else "big")
            at += 1 + letters + size
        return places

    def _chromosome(self, name: str) -> _Chromosome:
        """Kept once read: a few stretches per thousand bases."""
        if name not in self._read:
            unknown, at = self._blocks(self._places[name] + 4)
            soft, at = self._blocks(at)
            self._read[name] = _Chromosome(unknown, soft, at + 4)
        return self._read[name]

    def _blocks(self, at: int) -> tuple[_Blocks, int]:
        """The stretches that begin at a place of the file, and the place after them."""
        count = int(self._words(at, 1)[0])
        starts, sizes = self._words(at + 4, 2 * count).reshape(2, count)
        return _Blocks(starts, starts + sizes), at + 4 + 8 * count

    def _words(self, at: int, count: int, order: str = "") -> npt.NDArray[np.int64]:
        """Whole numbers of four bytes."""
        return self._part(at, 4 * count).view(f"{order or self._order}u4").astype(np.int64)

    def _part(self, at: int, count: int) -> npt.NDArray[np.uint8]:
        part = np.array(self._bytes[at : at + count])
        if len(part) < count:
            raise ValueError(f"{self._file} is truncated: get it again")
        return part
