"""Values of bases from tracks of a genome browser: bedGraph, plain or compressed, and bigWig by pyBigWig.

Shapes: R intervals, T bases of one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.read.files import PACKED
from titans_datasets.dna.read.intervals import Placed
from titans_datasets.dna.read.tables import no_name_in_common
from titans_datasets.dna.read.text import existing, first_bytes, open_text
from titans_datasets.dna.tracks import BIGWIG, pybigwig

FloatArray = npt.NDArray[np.float64]
BEDGRAPH = (".bedgraph", ".bg", ".bdg")
UNCOVERED = ("error", "zero")
# How a bigWig begins, in both orders of bytes (Kent et al. 2010).
_BIGWIG = (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26")


class Signal(Protocol):
    """A track: a value for bases of chromosomes."""

    @property
    def lengths(self) -> Mapping[str, int | None]:
        """Chromosomes with values → their number of bases, None where the track does not tell it."""

    def values(self, chrom: str, start: int, end: int) -> FloatArray:
        """Of the bases start … end − 1 (T,), NaN where the track has none."""


class _Stretches(NamedTuple):
    """Stretches of one chromosome with a value each, ascending and apart."""

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    values: FloatArray


class BedGraphSignal:
    """The values of a bedGraph on some chromosomes, in memory.

    Args:
        path: .bedgraph, .bg or .bdg, plain or compressed.
        chromosomes: that are kept.

    Attributes:
        lengths: of the chromosomes with values; a bedGraph does not tell them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line without chrom, start, end and a finite number, or two lines with one base (both named).
    """

    def __init__(self, path: str | PathLike[str], chromosomes: Collection[str]) -> None:
        found: dict[str, list[tuple[int, int, float, int]]] = {}
        names = set[str]()
        for chrom, *line in _lines(path):
            names.add(chrom)
            if chrom in chromosomes:
                found.setdefault(chrom, []).append(tuple(line))  # type: ignore[arg-type]
        self.lengths: dict[str, int | None] = dict.fromkeys(sorted(names))
        self._of = {chrom: _apart(path, chrom, sorted(lines)) for chrom, lines in found.items()}

    def values(self, chrom: str, start: int, end: int) -> FloatArray:
        """See `Signal`."""
        out = np.full(end - start, np.nan)
        if chrom in self._of:
            starts, ends, values = self._of[chrom]
            for i in range(int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end, "left"))):
                out[max(int(starts[i]) - start, 0) : int(ends[i]) - start] = values[i]
        return out


def _lines(path: str | PathLike[str]) -> Iterator[tuple[str, int, int, float, int]]:
    """Chromosome, start, end, value and line of each stretch."""
    with open_text(path) as handle:
        for number, line in enumerate(handle, start=1):
            cells = line.split()
            if not cells or line.startswith("#") or (cells[0] in ("track", "browser") and not _is_stretch(cells)):
                continue
            if not _is_stretch(cells):
                raise ValueError(
                    f"{path}, line {number}: expected chrom, start, end (0 ≤ start < end) and a number, got "
                    f"{' '.join(cells)[:60]!r}"
                )
            yield cells[0], int(cells[1]), int(cells[2]), float(cells[3]), number


def _is_stretch(cells: list[str]) -> bool:
    if len(cells) != 4 or not all(cell.isascii() and cell.isdigit() for cell in cells[1:3]):
        return False
    try:
        value = float(cells[3])
    except ValueError:
        return False
    return math.isfinite(value) and int(cells[1]) < int(cells[2])


def _apart(path: Any, chrom: str, lines: list[tuple[int, int, float, int]]) -> _Stretches:
    for (_, end, _, one), (start, _, _, other) in itertools.pairwise(lines):
        if start < end:
            raise ValueError(
                f"{path}, lines {one} and {other}: two values for {chrom}:{start}-{end}; a bedGraph has one value per "
                "base: merge them (bedtools merge, or bedtools unionbedg)"
            )
    starts, ends, values, _ = zip(*lines, strict=True)
    return _Stretches(np.array(starts, np.int64), np.array(ends, np.int64), np.array(values, np.float64))


class BigWigSignal:
    """The values of a bigWig, read interval by interval.

    Args:
        path: .bw or .bigwig.

    Attributes:
        lengths: chromosome → number of bases.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: pyBigWig is not installed, or the file is no bigWig or damaged.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        library, file = pybigwig(), existing(path)
        # pyBigWig itself would print lines about files of other kinds.
        if first_bytes(file, 4) not in _BIGWIG:
            raise ValueError(f"{file} is no bigWig file: give a bigWig, or name a bedGraph {BEDGRAPH[0]}")
        try:
            self._file = library.open(str(file))
        except RuntimeError as error:
            raise ValueError(f"{file} is a damaged bigWig file: get it again") from error
        self.lengths: dict[str, int | None] = dict(self._file.chroms())

    def values(self, chrom: str, start: int, end: int) -> FloatArray:
        """See `Signal`."""
        out = np.full(end - start, np.nan)
        for first, last, value in self._file.intervals(chrom, start, end) or ():
            out[max(first - start, 0) : last - start] = value
        return out


def open_signal(path: str | PathLike[str], chromosomes: Collection[str]) -> Signal:
    """The track of a file.

    Args:
        path: .bedgraph, .bg, .bdg (also compressed), .bw or .bigwig.
        chromosomes: whose values are needed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix; see `BedGraphSignal` and `BigWigSignal`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.bedgraph"
        >>> written = path.write_text("chr1\\t2\\t4\\t0.5\\n")
        >>> open_signal(path, ["chr1"]).values("chr1", 1, 5).tolist()
        [nan, 0.5, 0.5, nan]
    """
    name = fspath(path).lower()
    if name.endswith(BIGWIG):
        return BigWigSignal(path)
    if not stem(name, BEDGRAPH):
        raise ValueError(f"{path} is no track by its name: expected {', '.join((*BEDGRAPH, *BIGWIG))}")
    return BedGraphSignal(path, chromosomes)


def stem(path: str, suffixes: tuple[str, ...] = (*BEDGRAPH, *BIGWIG)) -> str:
    """The name of a track's file without folder and suffix; "" where it has another suffix.

    Example:
        >>> stem("tracks/liver.bedGraph.gz"), stem("liver.bw"), stem("liver.txt")
        ('liver', 'liver', '')
    """
    name = Path(path).name
    for packed in PACKED:
        name = name.removesuffix(packed)
    found = next((suffix for suffix in suffixes if name.lower().endswith(suffix)), None)
    return "" if found is None else name[: -len(found)]


def signal_values(path: str, source: str, placed: Placed, uncovered: str = "error") -> list[FloatArray]:
    """The values of the bases of intervals, R arrays (T,); those on the strand "−" from their end to their start.

    Args:
        path: of the track.
        source: name of the file of intervals, for messages.
        placed: R intervals on their genome.
        uncovered: what bases without a value are: an "error", or "zero" for tracks that leave zeros out.

    Raises:
        FileNotFoundError, ValueError: see `open_signal`; a chromosome that the track lacks or that has another length
            there than in the genome, or bases without a value.
    """
    frame = placed.frame
    signal = open_signal(path, set(frame["chrom"]))
    _check_contigs(path, source, placed, signal, uncovered)
    found = []
    for place, (chrom, start, end) in enumerate(zip(frame["chrom"], frame["start"], frame["end"], strict=True)):
        values = signal.values(chrom, int(start), int(end)) if chrom in signal.lengths else np.full(end - start, np.nan)
        lacking = int(np.isnan(values).sum())
        if lacking and uncovered == "error":
            raise ValueError(
                f"{source}, line {placed.lines[place]}: {lacking:,} of the {end - start:,} bases of "
                f"{chrom}:{start}-{end} have no value in {path}: remove the interval, or take such bases as 0 "
                "(uncovered='zero', --uncovered zero) if the track leaves zeros out"
            )
        found.append(np.nan_to_num(values))
    if "strand" in frame.columns:
        return [one[::-1] if strand == "-" else one for one, strand in zip(found, frame["strand"], strict=True)]
    return found


def _check_contigs(path: str, source: str, placed: Placed, signal: Signal, uncovered: str) -> None:
    asked = list(dict.fromkeys(placed.frame["chrom"]))
    strange = no_name_in_common(asked, signal.lengths, "the track")
    if strange:
        raise ValueError(f"{source} and {path} do not fit: {strange}")
    missing = [chrom for chrom in asked if chrom not in signal.lengths]
    if missing and uncovered == "error":
        count = int(placed.frame["chrom"].isin(missing).sum())
        listed = ", ".join(missing[:4]) + (" …" if len(missing) > 4 else "")
        raise ValueError(
            f"{path} has no values on {listed}, where {count:,} of {len(placed.frame):,} intervals of {source} lie: "
            "give the track of all chromosomes, remove those intervals, or take them as 0 (uncovered='zero', "
            "--uncovered zero)"
        )
    for chrom in asked:
        length, ours = signal.lengths.get(chrom), placed.genome.lengths[chrom]
        if length is not None and length != ours:
            raise ValueError(
                f"{path}: {chrom} has {length:,} bases, in the genome it has {ours:,}: the track is of another "
                "assembly, give one of this genome"
            )
