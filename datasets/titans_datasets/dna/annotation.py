"""A VCF with one more entry in INFO; everything else stays as it is, byte for byte.

Shapes: n alternative alleles.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any, BinaryIO

from titans_datasets.dna.read.files import PACKED
from titans_datasets.dna.read.tables import is_allele
from titans_datasets.dna.read.text import existing, first_bytes
from titans_datasets.writing import in_place_of

_INFO = 7


def annotate_vcf(
    source: str | PathLike[str],
    path: str | PathLike[str],
    values: Sequence[float],
    *,
    key: str = "TITANS_EFFECT",
    of: Any = None,
) -> int:
    """Write a VCF with a number for each alternative allele.

    The number is an entry of INFO (Number=A, Type=Float), "." for an allele without letters or with the value NaN. Its
    header line is put before the line #CHROM. Other bytes of header, sites and genotypes are not changed.

    Args:
        source: the VCF, plain or compressed, or "-" for standard input.
        path: the new one, compressed in blocks (bgzip) where the name ends in .gz or .bgz.
        values: (n,) for the alleles with letters in file order, as the rows of `read_vcf` (with symbolic="skip").
        key: of the entry.
        of: which score the values are differences of, for the description of the entry.

    Returns:
        The number of sites.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no line #CHROM, a site without INFO or with the key already, or another number of alleles.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> source, path = (Path(tempfile.mkdtemp()) / name for name in ("a.vcf", "b.vcf"))
        >>> columns = "#CHROM\\tPOS\\tID\\tREF\\tALT\\tQUAL\\tFILTER\\tINFO\\n"
        >>> written = source.write_text(columns + "1\\t7\\t.\\tA\\tC,G\\t.\\t.\\tDP=3\\n")
        >>> annotate_vcf(source, path, [0.5, -1.0])
        1
        >>> path.read_text().split()[-1]
        'DP=3;TITANS_EFFECT=0.5,-1'
    """
    rest, sites = iter(values), 0
    score = "Score" if of is None else f"Score ({of})".replace("\\", "\\\\").replace('"', '\\"')
    header = (
        f'##INFO=<ID={key},Number=A,Type=Float,Description="{score} of the alternative minus the reference">'.encode()
    )
    with _opened(source) as lines, in_place_of(path) as beside, _written(fspath(beside)) as out:
        headed = False
        for number, line in enumerate(lines, start=1):
            if line.startswith(b"##") or not line.strip():
                if line.startswith(f"##INFO=<ID={key},".encode()):
                    raise ValueError(f"{source}, line {number}: the file has the entry {key} already: remove it first")
            elif not headed:
                if not line.startswith(b"#CHROM"):
                    raise ValueError(f"{source}, line {number}: expected the header #CHROM …, got {line[:60]!r}")
                end = line[len(line.rstrip(b"\r\n")) :] or b"\n"
                line, headed = header + end + line, True
            else:
                line, sites = _annotated(f"{source}, line {number}", line, key.encode(), rest), sites + 1
            out.write(line)
        if next(rest, None) is not None:
            raise ValueError(f"{source} has fewer alleles than there are values ({len(values):,})")
    return sites


def _annotated(place: str, line: bytes, key: bytes, values: Iterator[float]) -> bytes:
    """A site with its values in INFO."""
    bare = line.rstrip(b"\r\n")
    cells = bare.split(b"\t")
    if len(cells) <= _INFO:
        raise ValueError(f"{place}: expected {_INFO + 1} columns or more, up to INFO, got {len(cells)}")
    if any(entry.split(b"=")[0] == key for entry in cells[_INFO].split(b";")):
        raise ValueError(f"{place}: INFO has the entry {key.decode()} already: remove it first")
    numbers = []
    for allele in cells[4].decode("latin-1").split(","):
        value = next(values, None) if is_allele(allele) else math.nan
        if value is None:
            raise ValueError(f"{place}: there are more alleles than values")
        numbers.append("." if math.isnan(value) else f"{value:.6g}")
    entry = key + b"=" + ",".join(numbers).encode()
    cells[_INFO] = entry if cells[_INFO] in (b".", b"") else cells[_INFO] + b";" + entry
    return b"\t".join(cells) + line[len(bare) :]


@contextmanager
def _opened(source: str | PathLike[str]) -> Iterator[BinaryIO]:
    file = existing(source)
    packed = first_bytes(file, 2) == b"\x1f\x8b"
    with gzip.open(file) if packed else file.open("rb") as handle:
        yield handle  # type: ignore[misc]


@contextmanager
def _written(path: str) -> Iterator[Any]:
    """Plain, or in the blocks of bgzip, which tabix can index."""
    if not path.lower().endswith(PACKED):
        with open(path, "wb") as plain:
            yield plain
        return
    from Bio.bgzf import BgzfWriter

    with BgzfWriter(path, "wb") as blocks:
        yield blocks
