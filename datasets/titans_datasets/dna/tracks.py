"""Values of intervals as tracks of a genome browser: bedGraph, or bigWig by pyBigWig.

Shapes: R intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.read.tables import chromosome_names
from titans_datasets.writing import in_place_of

BEDGRAPH, BIGWIG = (".bedgraph", ".bg"), (".bigwig", ".bw")
# Intervals that are handed to pyBigWig together.
_AT_ONCE = 100_000


def is_track(path: str | PathLike[str]) -> bool:
    """Whether the name of a file is that of a bedGraph or bigWig."""
    return fspath(path).lower().endswith((*BEDGRAPH, *BIGWIG))


def check_track(path: str | PathLike[str], intervals: pd.DataFrame) -> None:
    """Refuse what cannot be written, before values are computed.

    Args:
        path: the file, a bigWig by its suffix .bw or .bigwig, else a bedGraph.
        intervals: (R,) rows of chrom, start, end.

    Raises:
        ValueError: pyBigWig is missing, or two intervals share bases: both formats have one value per base.
    """
    if fspath(path).lower().endswith(BIGWIG):
        pybigwig()
    table = _sorted(intervals)
    chrom, start, end = (table[name].to_numpy() for name in ("chrom", "start", "end"))
    both = (chrom[1:] == chrom[:-1]) & (start[1:] < end[:-1])
    if both.any():
        row = int(both.argmax())
        named = [f"{chrom[i]}:{start[i]}-{end[i]}" for i in (row, row + 1)]
        raise ValueError(
            f"{fspath(path)}: a track has one value per base, but {' and '.join(named)} overlap, as "
            f"{int(both.sum()):,} pairs of neighbours do: write a table (.tsv, .csv), or use smaller windows or "
            "merged intervals"
        )


def write_track(
    path: str | PathLike[str],
    intervals: pd.DataFrame,
    values: npt.ArrayLike,
    lengths: Mapping[str, int],
    *,
    name: str = "titans-ts",
) -> None:
    """Write one value per interval, sorted by place; values that are NaN are left out.

    Args:
        path: see `check_track`.
        intervals: (R,) rows of chrom, start, end, which do not overlap.
        values: (R,).
        lengths: chromosome → number of bases, the contigs of a bigWig.
        name: of the track, in a bedGraph.

    Raises:
        ValueError: see `check_track`; another number of values, an interval on a contig that is not in `lengths` or
            past its end, or no value.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "a.bedgraph"
        >>> intervals = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [5, 0], "end": [9, 5]})
        >>> write_track(path, intervals, [0.25, 0.5], {"chr1": 9})
        >>> path.read_text().splitlines()[1:]
        ['chr1\\t0\\t5\\t0.5', 'chr1\\t5\\t9\\t0.25']
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (len(intervals),):
        raise ValueError(f"expected one value for each of {len(intervals):,} intervals, got shape {numbers.shape}")
    check_track(path, intervals)
    table = _sorted(intervals.assign(value=numbers)).dropna(subset="value")
    if table.empty:
        raise ValueError(f"{fspath(path)}: there is no value to write")
    ends = table["chrom"].map(dict(lengths))
    wrong = ~(table["end"] <= ends).to_numpy()
    if wrong.any():
        row = table.iloc[int(wrong.argmax())]
        length = lengths.get(row["chrom"])
        what = "is not among the contigs" if length is None else f"has {length:,} bases"
        raise ValueError(
            f"{fspath(path)}: {row['chrom']} of {row['chrom']}:{row['start']}-{row['end']} {what}: give the lengths of "
            "the genome that the intervals lie on"
        )
    with in_place_of(path) as beside:
        if fspath(path).lower().endswith(BIGWIG):
            _bigwig(fspath(beside), table, lengths)
        else:
            _bedgraph(fspath(beside), table, name)


def bases_of(intervals: pd.DataFrame) -> pd.DataFrame:
    """Every base of intervals as an interval, in the order in which their sequences are read.

    Args:
        intervals: (R,) rows of chrom, start, end and optionally strand.

    Example:
        >>> bases_of(pd.DataFrame({"chrom": ["1"], "start": [4], "end": [6], "strand": ["-"]}))["start"].tolist()
        [5, 4]
    """
    starts, ends = (intervals[name].to_numpy(np.int64) for name in ("start", "end"))
    sizes = ends - starts
    offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    backward = intervals["strand"].to_numpy() == "-" if "strand" in intervals.columns else np.zeros(len(sizes), bool)
    place = np.where(np.repeat(backward, sizes), np.repeat(ends, sizes) - 1 - offset, np.repeat(starts, sizes) + offset)
    return pd.DataFrame({"chrom": np.repeat(intervals["chrom"].to_numpy(), sizes), "start": place, "end": place + 1})


def _sorted(intervals: pd.DataFrame) -> pd.DataFrame:
    named = intervals.assign(chrom=chromosome_names(intervals["chrom"], "intervals"))
    return named.sort_values(["chrom", "start", "end"], ignore_index=True)


def _bedgraph(path: str, table: pd.DataFrame, name: str) -> None:
    quoted = name.replace('"', "'")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(f'track type=bedGraph name="{quoted}"\n')
        columns = (table[column].tolist() for column in ("chrom", "start", "end", "value"))
        handle.writelines(f"{c}\t{start}\t{end}\t{value:.6g}\n" for c, start, end, value in zip(*columns, strict=True))


def _bigwig(path: str, table: pd.DataFrame, lengths: Mapping[str, int]) -> None:
    """Contigs in the order of the genome; entries have to be in that order too."""
    file = pybigwig().open(path, "w")
    try:
        file.addHeader([(name, int(length)) for name, length in lengths.items()])
        order = {name: place for place, name in enumerate(lengths)}
        table = table.assign(place=table["chrom"].map(order)).sort_values(["place", "start"], ignore_index=True)
        for first in range(0, len(table), _AT_ONCE):
            part = table.iloc[first : first + _AT_ONCE]
            starts, ends, values = (part[column].tolist() for column in ("start", "end", "value"))
            file.addEntries(part["chrom"].tolist(), starts, ends=ends, values=values)
    finally:
        file.close()


def pybigwig() -> Any:
    """The library of bigWig files.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import pyBigWig
    except ImportError as error:
        raise ValueError(
            'a bigWig file needs pyBigWig: pip install "titans-ts[bigwig]", or use a bedGraph (.bedgraph)'
        ) from error
    return pyBigWig
