"""Positions on a genome as tables: BED intervals and the sites of a VCF.

Positions of BED are 0-based with an exclusive end, those of VCF are 1-based.
"""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import DNAWarning
from titans_datasets.dna.read.files import open_text

BED_COLUMNS = ("chrom", "start", "end", "name", "score", "strand")
VCF_COLUMNS = ("chrom", "pos", "ref", "alt", "id")
_IN_FILE = ("#CHROM", "POS", "ID", "REF", "ALT")


def read_bed(path: str | PathLike[str]) -> pd.DataFrame:
    """Intervals: chrom, start, end, and name, score, strand where the file has them; further columns are ignored.

    Lines that begin with "#", "track" or "browser" are skipped; columns are separated by tabs, or otherwise by blanks.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: fewer than three columns, no intervals, or a bad interval (the message gives its line).

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.bed"
        >>> written = path.write_text("chr1\\t0\\t100\\tgeneA\\n")
        >>> read_bed(path).to_dict("records")
        [{'chrom': 'chr1', 'start': 0, 'end': 100, 'name': 'geneA'}]
    """
    with open_text(path) as handle:
        lines = [(number, line.rstrip("\n")) for number, line in enumerate(handle, start=1)]
    lines = [(n, line) for n, line in lines if line.strip() and not line.startswith(("#", "track", "browser"))]
    if not lines:
        raise ValueError(f"{path} has no interval: expected lines of chrom, start, end")
    tab = "\t" if "\t" in lines[0][1] else None
    rows = [line.split(tab) for _, line in lines]
    width = min(len(row) for row in rows)
    if width < 3:
        number, line = next(pair for pair in lines if len(pair[1].split(tab)) < 3)
        raise ValueError(f"{path}, line {number}: expected chrom, start, end, got {line[:60]!r}")
    columns = BED_COLUMNS[:width]
    frame = pd.DataFrame([row[: len(columns)] for row in rows], columns=list(columns))
    for column in ("start", "end"):
        frame[column] = _whole(frame[column], f"{path}: {column}", [number for number, _ in lines])
    check_intervals(frame, str(path), [number for number, _ in lines])
    return frame


def check_intervals(frame: pd.DataFrame, what: str, lines: list[int] | None = None) -> None:
    """Refuse a table whose rows are not intervals.

    Raises:
        ValueError: no column chrom, start or end, or a row without 0 ≤ start < end; the message locates it.
    """
    missing = [column for column in BED_COLUMNS[:3] if column not in frame.columns]
    if missing:
        raise ValueError(f"{what} has no column {missing[0]!r}, only {', '.join(map(str, frame.columns))}: rename it")
    wrong = ~((frame["start"] >= 0) & (frame["start"] < frame["end"])).to_numpy(dtype=bool)
    if wrong.any():
        row = int(wrong.argmax())
        place = f"line {lines[row]}" if lines else f"interval {row}"
        start, end = frame["start"].iloc[row], frame["end"].iloc[row]
        raise ValueError(f"{what}, {place}: expected 0 ≤ start < end, got start {start}, end {end}")


def read_vcf(path: str | PathLike[str], *, symbolic: str = "error") -> pd.DataFrame:
    """Sites of a VCF: chrom, pos (from 1), ref, alt, id; an ALT of several alleles gives one row each.

    Args:
        path: .vcf, .vcf.gz; genotypes, INFO and FILTER are not read.
        symbolic: what to do with alleles without letters (<DEL>, *, breakends, a missing ALT): "error" or "skip"
            (counted in a `DNAWarning`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no line "#CHROM POS ID REF ALT", a position below 1, letters other than A, C, G, T, N, no sites.
    """
    if symbolic not in ("error", "skip"):
        raise ValueError(f"symbolic must be 'error' or 'skip', got {symbolic!r}")
    frame = _sites(Path(path))
    frame["alt"] = frame["alt"].str.split(",")
    frame = frame.explode("alt", ignore_index=True)
    for column in ("ref", "alt"):
        frame[column] = frame[column].str.upper()
    wrong = ~frame["ref"].str.fullmatch("[ACGTN]+")
    if wrong.any():
        raise ValueError(f"{path}, {_site(frame[wrong].iloc[0])}: REF must be letters A, C, G, T or N")
    without = ~frame["alt"].str.fullmatch("[ACGTN]+")
    if without.any():
        first = _site(frame[without].iloc[0])
        if symbolic == "error":
            raise ValueError(
                f"{path}, {first}: ALT must be letters A, C, G, T or N: skip such alleles by symbolic='skip'"
            )
        count = int(without.sum())
        warnings.warn(f"alleles without letters skipped: {count:,}, first {first}", DNAWarning, stacklevel=2)
        frame = frame[~without].reset_index(drop=True)
    if frame.empty:
        raise ValueError(f"{path} holds no site with letters")
    return frame[list(VCF_COLUMNS)]


def _sites(path: Path) -> pd.DataFrame:
    with open_text(path) as handle:
        lines_of_header = enumerate(iter(handle.readline, ""), start=1)
        number, header = next(
            ((n, line.rstrip("\n")) for n, line in lines_of_header if not line.startswith("##")), (0, "")
        )
        names = header.split("\t")
        if tuple(names[:5]) != _IN_FILE:
            raise ValueError(
                f"{path}, line {number}: expected the header {' '.join(_IN_FILE)} … of a VCF, separated by tabs, got "
                f"{header[:60]!r}"
            )
        options: dict[str, Any] = {"usecols": range(5), "dtype": str, "keep_default_na": False, "comment": None}
        frame = pd.read_csv(handle, sep="\t", header=None, names=names, **options)
    if frame.empty:
        raise ValueError(f"{path} holds a header but no site")
    lines = list(range(number + 1, number + 1 + len(frame)))
    frame.columns = pd.Index(["chrom", "pos", "id", "ref", "alt"])
    frame["pos"] = _whole(frame["pos"], f"{path}: POS", lines)
    if frame["pos"].min() < 1:
        raise ValueError(
            f"{path}, line {lines[int(frame['pos'].argmin())]}: POS counts from 1, got {frame['pos'].min()}"
        )
    return frame


def _site(row: pd.Series[Any]) -> str:
    return f"{row['chrom']}:{row['pos']} {row['ref']}>{row['alt']}"


def _whole(column: pd.Series[Any], what: str, lines: list[int]) -> npt.NDArray[np.int64]:
    wrong = ~column.str.strip().str.fullmatch(r"\d+").to_numpy(dtype=bool)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{what} must be a whole number, got {column.iloc[row]!r} in line {lines[row]}")
    return np.asarray(column, dtype=np.int64)
