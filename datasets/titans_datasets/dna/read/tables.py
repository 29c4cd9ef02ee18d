"""Positions on a genome as tables: BED intervals and the sites of a VCF.

Positions of BED are 0-based with an exclusive end, those of VCF are 1-based.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import DNAWarning
from titans_datasets.dna.read.text import open_text, title

BED_COLUMNS = ("chrom", "start", "end", "name", "score", "strand")
# Kinds of BED files → columns of every line; None for any number of at least three.
BED_WIDTHS: dict[str, int | None] = {"bed": None, "narrowpeak": 10, "broadpeak": 9}
SUMMIT = "summit"
# What to do where names differ by "chr" only.
CHR = "write both with 'chr' or both without it"
STRANDS = ("+", "-", ".")
VCF_COLUMNS = ("chrom", "pos", "ref", "alt", "id")
_IN_FILE = ("#CHROM", "POS", "ID", "REF", "ALT")
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_ALLELE = "[ACGTN]+"


def read_bed(path: str | PathLike[str]) -> pd.DataFrame:
    """Intervals: chrom, start, end, and name, score, strand where the file has them; further columns are ignored.

    Blank lines, lines that begin with "#" and the lines "track …" and "browser …" of a genome browser are skipped;
    columns are separated by tabs, or otherwise by blanks. Names of chromosomes and intervals are text.

    Args:
        path: .bed, plain or compressed; "-" for standard input.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no intervals, or a line with fewer than three columns or another number of them than the first
            line, a bad interval, a strand other than +, - and ., or a strand in the column of the score.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "a.bed"
        >>> written = path.write_text("chr1\\t0\\t100\\tgeneA\\n")
        >>> read_bed(path).to_dict("records")
        [{'chrom': 'chr1', 'start': 0, 'end': 100, 'name': 'geneA'}]
    """
    return numbered_bed(path)[0]


def numbered_bed(path: str | PathLike[str], kind: str = "bed") -> tuple[pd.DataFrame, list[int]]:
    """The intervals of `read_bed`, and the line of each in the file.

    Args:
        path: as in `read_bed`.
        kind: "bed", "narrowpeak" (BED6+4 of ENCODE: ten columns, of which the last is kept as `summit`, counted from
            the start of the interval, -1 for none) or "broadpeak" (BED6+3).

    Raises:
        FileNotFoundError, ValueError: as `read_bed`; or a line has other columns than the kind, or a summit outside of
            its interval.
    """
    source = title(path)
    with open_text(path) as handle:
        # Tabs at the end of a line are no columns.
        lines = [(number, line.rstrip("\n\t")) for number, line in enumerate(handle, start=1)]
    lines = [(number, line) for number, line in lines if not _is_skipped(line)]
    if not lines:
        raise ValueError(f"{source} has no interval: expected lines of chrom, start, end")
    tab = "\t" if "\t" in lines[0][1] else None
    rows = [line.split(tab) for _, line in lines]
    numbers = [number for number, _ in lines]
    columns = BED_COLUMNS[: _width(source, numbers, rows, kind)]
    frame = pd.DataFrame([row[: len(columns)] for row in rows], columns=list(columns))
    for column in ("start", "end"):
        frame[column] = _whole(frame[column], f"{source}: {column}", numbers)
    check_intervals(frame, source, numbers)
    _check_strands(frame, source, numbers)
    if kind == "narrowpeak":
        frame[SUMMIT] = _summits(frame, source, numbers, [row[-1] for row in rows])
    return frame, numbers


def _is_skipped(line: str) -> bool:
    words = line.split()
    if not words or line.startswith("#"):
        return True
    # A contig may be called "track": its line has two numbers after the name.
    return words[0] in ("track", "browser") and not all(map(_WHOLE.fullmatch, words[1:3]))


def _width(path: str, numbers: list[int], rows: list[list[str]], kind: str) -> int:
    """Columns of every row that are read.

    Raises:
        ValueError: fewer than three, rows that differ in them, or other columns than those of the kind.
    """
    wanted = BED_WIDTHS[kind]
    wrong = [place for place, row in enumerate(rows) if wanted is not None and len(row) != wanted]
    if wrong:
        raise ValueError(
            f"{path}, line {numbers[wrong[0]]}: expected the {wanted} columns of a {kind} file, got "
            f"{len(rows[wrong[0]])}: complete it, or read it as BED (--format bed)"
        )
    width = min(len(rows[0]), len(BED_COLUMNS))
    for number, row in zip(numbers, rows, strict=True):
        if len(row) < 3:
            raise ValueError(f"{path}, line {number}: expected chrom, start, end, got {' '.join(row)[:60]!r}")
        if min(len(row), len(BED_COLUMNS)) != width:
            raise ValueError(
                f"{path}, line {number}: expected {len(rows[0])} columns as in line {numbers[0]}, got {len(row)}: "
                "write '.' for what is not known"
            )
    return width


def _summits(frame: pd.DataFrame, path: str, numbers: list[int], cells: list[str]) -> npt.NDArray[np.int64]:
    """The summit of each interval, counted from its start; -1 for none."""
    sizes = (frame["end"] - frame["start"]).tolist()
    for cell, size, number in zip(cells, sizes, numbers, strict=True):
        if cell != "-1" and not (_WHOLE.fullmatch(cell) and int(cell) < size):
            raise ValueError(
                f"{path}, line {number}: expected as summit (column 10) a whole number from 0 to {size - 1}, counted "
                f"from the start of the interval of {size:,} bases, or -1 for none, got {cell!r}"
            )
    return np.array([int(cell) for cell in cells], dtype=np.int64)


def _check_strands(frame: pd.DataFrame, path: str, numbers: list[int]) -> None:
    """Refuse strands in the column of the score, and what is no strand in that of the strand."""
    score = "a number or '.': the strand is the sixth column, after the score"
    for column, hint in (("score", score), ("strand", "+, - or .")):
        for number, text in zip(numbers, frame.get(column, ()), strict=False):
            if text in ("+", "-") if column == "score" else text not in STRANDS:
                raise ValueError(f"{path}, line {number}: expected as {column} {hint}, got {text!r}")


def check_intervals(
    frame: pd.DataFrame, what: str, lines: list[int] | None = None, *, before_start: bool = False
) -> None:
    """Refuse a table whose rows are not intervals.

    Args:
        frame: the table.
        what: it is, for the message.
        lines: of the rows in their file; None names rows by their number.
        before_start: whether intervals may begin before the first base.

    Raises:
        ValueError: no column chrom, start or end, a missing name, or a row without whole numbers 0 ≤ start < end; the
            message locates it.
    """
    missing = [column for column in BED_COLUMNS[:3] if column not in frame.columns]
    if missing:
        raise ValueError(f"{what} has no column {missing[0]!r}, only {', '.join(map(str, frame.columns))}: rename it")
    start, end = (pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64) for name in ("start", "end"))
    whole = (start == np.floor(start)) & (end == np.floor(end))
    wrong = ~(whole & (start < end) & ((start >= 0) | before_start))
    if wrong.any():
        row = int(wrong.argmax())
        place = f"line {lines[row]}" if lines else f"interval {row}"
        expected = "whole numbers start < end" if before_start else "0 ≤ start < end"
        start, end = frame["start"].iloc[row], frame["end"].iloc[row]
        raise ValueError(f"{what}, {place}: expected {expected}, got start {start}, end {end}")
    chromosome_names(frame["chrom"], what)


def chromosome_names(column: Iterable[Any], what: str) -> list[str]:
    """Names of chromosomes as text, whole numbers too.

    Raises:
        ValueError: a missing name.

    Example:
        >>> chromosome_names([1, "X", 2.0], "intervals")
        ['1', 'X', '2']
    """
    names = []
    for row, name in enumerate(column):
        if pd.isna(name):
            raise ValueError(f"{what}, row {row}: the name of the chromosome is missing: fill it, or remove the row")
        whole = isinstance(name, float) and name.is_integer()
        names.append(str(int(name)) if whole else str(name))
    return names


def no_name_in_common(asked: Iterable[str], known: Iterable[str], whose: str) -> str:
    """What to say where tables and genome name their chromosomes differently; "" where they share a name.

    Args:
        asked: names of the table.
        known: names of the genome or of another table.
        whose: `known` are.

    Example:
        >>> no_name_in_common(["1", "2"], ["chr1"], "the genome")
        "no name is shared: 1, 2 here, chr1 in the genome: write both with 'chr' or both without it"
    """
    ours, theirs = dict.fromkeys(asked), dict.fromkeys(known)
    if not ours or not theirs or any(name in theirs for name in ours):
        return ""
    listed = [", ".join([*names][:4]) + (" …" if len(names) > 4 else "") for names in (ours, theirs)]
    alike = {name.removeprefix("chr") for name in ours} & {name.removeprefix("chr") for name in theirs}
    advice = CHR if alike else "use the same names"
    return f"no name is shared: {listed[0]} here, {listed[1]} in {whose}: {advice}"


def read_vcf(path: str | PathLike[str], *, symbolic: str = "error") -> pd.DataFrame:
    """Sites of a VCF: chrom, pos (from 1), ref, alt, id; an ALT of several alleles gives one row each.

    Args:
        path: .vcf, .vcf.gz, or "-" for standard input; genotypes, INFO and FILTER are not read. Quotes are letters as
            any other; names are text.
        symbolic: what to do with alleles without letters (<DEL>, *, breakends, a missing ALT): "error" or "skip"
            (counted in a `DNAWarning`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no line "#CHROM POS ID REF ALT", a position below 1, letters other than A, C, G, T, N, no sites.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "a.vcf"
        >>> written = path.write_text("#CHROM\\tPOS\\tID\\tREF\\tALT\\nchr1\\t7\\trs1\\tA\\tG,T\\n")
        >>> read_vcf(path)[["pos", "ref", "alt"]].values.tolist()
        [[7, 'A', 'G'], [7, 'A', 'T']]
    """
    if symbolic not in ("error", "skip"):
        raise ValueError(f"symbolic must be 'error' or 'skip', got {symbolic!r}")
    frame, path = _sites(path), title(path)
    frame["alt"] = frame["alt"].str.split(",")
    frame = frame.explode("alt", ignore_index=True)
    for column in ("ref", "alt"):
        frame[column] = frame[column].str.upper()
    wrong = ~frame["ref"].str.fullmatch(_ALLELE)
    if wrong.any():
        raise ValueError(
            f"{path}, {_site(frame[wrong].iloc[0])}: REF must be letters A, C, G, T or N: write the base of the "
            "reference, or N"
        )
    without = ~frame["alt"].str.fullmatch(_ALLELE)
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


def is_allele(text: str) -> bool:
    """Whether an ALT is written in letters, not as <DEL>, *, a breakend or a dot.

    Example:
        >>> is_allele("acG"), is_allele("<DEL>"), is_allele("*")
        (True, False, False)
    """
    return re.fullmatch(_ALLELE, text.upper()) is not None


def _sites(file: str | PathLike[str]) -> pd.DataFrame:
    path = title(file)
    with open_text(file) as handle:
        lines = [(number, line.rstrip("\n")) for number, line in enumerate(handle, start=1) if line.strip()]
    lines = [(number, line) for number, line in lines if not line.startswith("##")]
    number, header = lines[0] if lines else (0, "")
    if tuple(header.split("\t")[:5]) != _IN_FILE:
        raise ValueError(
            f"{path}, line {number}: expected the header {' '.join(_IN_FILE)} … of a VCF, separated by tabs, got "
            f"{header[:60]!r}"
        )
    if len(lines) == 1:
        raise ValueError(f"{path} holds a header but no site")
    frame = pd.DataFrame(list(_site_cells(path, lines[1:])), columns=["chrom", "pos", "id", "ref", "alt"], dtype=object)
    numbers = [number for number, _ in lines[1:]]
    frame["pos"] = _whole(frame["pos"], f"{path}: POS", numbers)
    if frame["pos"].min() < 1:
        raise ValueError(
            f"{path}, line {numbers[int(frame['pos'].argmin())]}: POS counts from 1, got {frame['pos'].min()}"
        )
    return frame


def _site_cells(path: Any, lines: list[tuple[int, str]]) -> Iterator[list[str]]:
    """The first five cells of each line: a VCF has no quotes."""
    for number, line in lines:
        cells = line.split("\t", 5)[:5]
        if len(cells) < 5 or not cells[0]:
            raise ValueError(
                f"{path}, line {number}: expected {' '.join(_IN_FILE)} …, separated by tabs, got {line[:60]!r}"
            )
        yield cells


def _site(row: pd.Series[Any]) -> str:
    return f"{row['chrom']}:{row['pos']} {row['ref']}>{row['alt']}"


def _whole(column: pd.Series[Any], what: str, lines: list[int]) -> npt.NDArray[np.int64]:
    for text, line in zip(column, lines, strict=True):
        if not _WHOLE.fullmatch(text.strip()):
            hint = ": a line of column names begins with '#'" if line == min(lines) and text.isalpha() else ""
            raise ValueError(f"{what} must be a whole number, got {text!r} in line {line}{hint}")
    return np.array([int(text) for text in column], dtype=np.int64)
