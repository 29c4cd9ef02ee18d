"""Sequences from files: FASTA, FASTQ, GenBank, csv, tsv and Parquet, text plain or compressed by gzip or bgzip.

Sequences are text; letters and case are not changed. Names are text as the file has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from titans_datasets import builtin
from titans_datasets.dna.read.cells import Row, numbers_or_text, parquet_rows, separator_of, text_rows
from titans_datasets.dna.read.text import existing, first_bytes, open_text

if TYPE_CHECKING:
    from Bio.SeqRecord import SeqRecord

FORMATS = {
    "fasta": (".fa", ".fasta", ".fna", ".ffn", ".fas"),
    "fastq": (".fq", ".fastq"),
    "genbank": (".gb", ".gbk", ".gbff", ".genbank"),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet", ".pq"),
}
TABLES = ("csv", "tsv", "parquet")
PACKED = (".gz", ".bgz")
_BEGINNINGS = {">": "fasta", "@": "fastq", "LOCUS": "genbank"}


class DNARecord(NamedTuple):
    """A sequence with its name, and its class where the file has one.

    Example:
        >>> DNARecord("a", "ACGT", "promoter").label
        'promoter'
    """

    id: str
    sequence: str
    label: Any = None


def read_records(
    path: str | PathLike[str],
    *,
    format: str | None = None,
    sequence_column: str = "sequence",
    label_column: str | None = "label",
    id_column: str | None = None,
    unique_ids: bool = True,
) -> list[DNARecord]:
    """All sequences of a file, in file order.

    Args:
        path: .fa, .fasta, .fna, .fq, .fastq, .gb, .gbk, .csv, .tsv …, each also with .gz or .bgz, .parquet,
            "builtin:<name>", or "-" for standard input.
        format: fasta, fastq, genbank, csv, tsv or parquet; by default by the name of the file, else by its beginning.
        sequence_column, label_column, id_column: of a table; label_column=None leaves labels out, without an
            id_column the row numbers (from 0) are the ids. Only tables have labels: whole numbers or fractions where
            every label of the file is the plain spelling of one, else text; "NA" and "nan" are text.
        unique_ids: refuse a FASTA, FASTQ or GenBank file with duplicate names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another format, a line before the first ">", a record that is empty or has no name, a
            duplicate id, a table without the column, a missing sequence or label.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "two.fa"
        >>> written = path.write_text(">a first\\nACGT\\n>b\\nGG\\n")
        >>> read_records(path)
        [DNARecord(id='a', sequence='ACGT', label=None), DNARecord(id='b', sequence='GG', label=None)]
    """
    file, kind = _locate(path, format, sequence_column)
    if kind in TABLES:
        return _labelled(list(_table_records(file, kind, _Columns(sequence_column, label_column, id_column))), kind)
    records = _listed(file, iterate_records(path, format=format), unique_ids)
    if not records:
        raise ValueError(f"{file} holds no sequence: expected {kind}")
    return records


def iterate_records(path: str | PathLike[str], *, format: str | None = None) -> Iterator[DNARecord]:
    """The sequences of a FASTA, FASTQ or GenBank file one after another; only one is in memory at a time.

    Duplicate ids are not detected; `read_records` does that.

    Raises:
        FileNotFoundError, ValueError: as `read_records`.

    Example:
        >>> [record.id for record in iterate_records("builtin:phix174")]
        ['NC_001422.1']
    """
    file, kind = _locate(path, format)
    if kind in TABLES:
        raise ValueError(f"{file} is a table: read it with read_records")
    with open_text(file) as handle, _named_errors(file):
        if kind == "fasta":
            yield from _fasta(file, handle)
        elif kind == "fastq":
            from Bio.SeqIO.QualityIO import FastqGeneralIterator

            yield from (DNARecord(_name_in(title), letters) for title, letters, _ in FastqGeneralIterator(handle))
        else:
            from Bio import SeqIO

            yield from (DNARecord(record.id, _letters(record)) for record in SeqIO.parse(handle, "genbank"))


def record_batches(
    path: str | PathLike[str],
    *,
    format: str | None = None,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    records: int = 1_000,
    bases: int = 1_000_000,
) -> Iterator[list[DNARecord]]:
    """The sequences of any file in batches, in file order, for files of any size.

    Labels are left out and duplicate ids are not detected; `read_records` does that.

    Args:
        path, format, sequence_column, id_column: as in `read_records`.
        records, bases: most records and bases of a batch; a longer sequence is a batch by itself.

    Raises:
        FileNotFoundError, ValueError: as `read_records`.

    Example:
        >>> [len(batch) for batch in record_batches("builtin:orchids", records=40)]
        [40, 40, 14]
    """
    file, kind = _locate(path, format, sequence_column)
    if kind in TABLES:
        found = _table_records(file, kind, _Columns(sequence_column, None, id_column))
    else:
        found = _checked(file, iterate_records(path, format=format))
    batch: list[DNARecord] = []
    total, empty = 0, True
    for record in found:
        if batch and (len(batch) == records or total + len(record.sequence) > bases):
            yield batch
            batch, total = [], 0
        batch.append(record)
        total, empty = total + len(record.sequence), False
    if empty:
        raise ValueError(f"{file} holds no sequence: expected {kind}")
    yield batch


def read_annotated(path: str | PathLike[str]) -> list[SeqRecord]:
    """The records of a GenBank file (or "builtin:<name>") with their features, as Biopython gives them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another format, no records, or a record with a length but no letters.

    Example:
        >>> (record,) = read_annotated("builtin:phix174")
        >>> sum(feature.type == "CDS" for feature in record.features)
        11
    """
    from Bio import SeqIO

    file, kind = _locate(path, None)
    if kind != "genbank":
        raise ValueError(f"{file} must be a GenBank file ({', '.join(FORMATS['genbank'])}), got {kind}")
    with open_text(file) as handle, _named_errors(file):
        records = list(SeqIO.parse(handle, "genbank"))
        for record in records:
            _letters(record)
    if not records:
        raise ValueError(f"{file} holds no sequence: expected genbank")
    return records


def format_of(path: str | PathLike[str]) -> str | None:
    """The format by the name of a file, None where the name does not show it."""
    name = os.fspath(path).lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return next((kind for kind, suffixes in FORMATS.items() if name.endswith(suffixes)), None)


def _locate(path: str | PathLike[str], format: str | None, sequence_column: str = "sequence") -> tuple[Path, str]:
    if os.fspath(path).startswith(builtin.PREFIX):
        return builtin.dna_file(os.fspath(path)), "genbank"
    if format is not None and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    kind = format or format_of(path)
    file = existing(path)
    if kind is None:
        kind = _sniffed(file, sequence_column)
    if kind is None:
        raise ValueError(_unknown(file, sequence_column))
    return file, kind


def _unknown(file: Path, sequence_column: str) -> str:
    """What to say where neither name nor beginning of a file shows its format."""
    with open_text(file) as handle:
        first = next((line for line in islice(handle, 100) if line.strip() and not line.startswith("track")), "")
    if first.startswith("##fileformat=VCF") or first.startswith("#CHROM\t"):
        return f"{file} holds variants (VCF): give it to `titans-ts dna effects --vcf FILE --fasta GENOME`"
    cells = first.split()
    if len(cells) >= 3 and all(cell.isdecimal() for cell in cells[1:3]):
        return f"{file} looks like intervals: give --format bed, and the genome they lie on by --fasta"
    return (
        f"unknown format of {file}: give it as one of {', '.join(FORMATS)} (--format, format=); without it a table is "
        f"known by its column {sequence_column!r} (--sequence, sequence_column=), FASTA by its '>'"
    )


def _sniffed(file: Path, sequence_column: str) -> str | None:
    """The format by the beginning of a file; of a table by its header. None where neither shows it."""
    if first_bytes(file, 4) == b"PAR1":
        return "parquet"
    with open_text(file) as handle:
        header = next((line for line in islice(handle, 100) if line.strip()), "").lstrip()
    kind = next((kind for start, kind in _BEGINNINGS.items() if header.startswith(start)), None)
    return kind or ("csv" if separator_of(header, sequence_column) else None)


@contextmanager
def _named_errors(file: Path) -> Iterator[None]:
    """Errors of Biopython's parsers get the file's name in front."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(str(file)) else f"{file}: {text}") from error


def _fasta(file: Path, handle: TextIO) -> Iterator[DNARecord]:
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    for number, line in enumerate(handle, start=1):
        if line.strip() and line[0] != ">":
            raise ValueError(
                f"{file}, line {number}: a FASTA file begins with '>', got {line.strip()[:40]!r}: remove what is "
                "before the first '>'"
            )
        if line.strip():
            break
    handle.seek(0)
    yield from (DNARecord(_name_in(title), letters) for title, letters in SimpleFastaParser(handle))


def _name_in(title: str) -> str:
    return title.split(maxsplit=1)[0] if title.strip() else ""


def _letters(record: SeqRecord) -> str:
    try:
        return str(record.seq)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"record {record.id} has a length but no letters: get it with its sequence (GenBank (full))"
        ) from error


def _listed(file: Path, found: Iterable[DNARecord], unique: bool) -> list[DNARecord]:
    """A list of the records; missing names or letters, and duplicate names if `unique`, are errors."""
    seen: dict[str, int] = {}
    records = []
    for number, record in enumerate(_checked(file, found), start=1):
        if unique and record.id in seen:
            raise ValueError(
                f"{file}: records {seen[record.id]} and {number} are both named {record.id}: rename or remove one, or "
                "allow it by unique_ids=False"
            )
        seen[record.id] = number
        records.append(record)
    return records


def _checked(file: Path, records: Iterable[DNARecord]) -> Iterator[DNARecord]:
    """The same records; a record without name or letters is an error."""
    for number, record in enumerate(records, start=1):
        if not record.id:
            raise ValueError(f"{file}: record {number} has no name: write one after its '>'")
        if not record.sequence:
            raise ValueError(f"{file}: record {number} ({record.id}) is empty: remove it")
        yield record


class _Columns(NamedTuple):
    """Column names of a table; None for what is not read."""

    sequence: str
    label: str | None
    id: str | None


def _table_records(file: Path, kind: str, columns: _Columns) -> Iterator[DNARecord]:
    """The records of a table, row by row."""
    wanted = list(filter(None, columns))
    rows = parquet_rows(file, wanted) if kind == "parquet" else text_rows(file, kind, wanted)
    for number, row in enumerate(rows):
        cells = dict(zip(wanted, row.cells, strict=True))
        name = str(number) if columns.id is None else _text(cells[columns.id])
        label = None if columns.label is None else _filled(file, row, columns.label, cells[columns.label])
        sequence = _filled(file, row, columns.sequence, cells[columns.sequence])
        if not isinstance(sequence, str):
            raise ValueError(f"{file}, {row.place}: column {columns.sequence!r} must hold text, got {sequence!r:.40}")
        yield DNARecord(name, sequence.strip(), label)


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _filled(file: Path, row: Row, column: str, cell: Any) -> Any:
    """A cell of a column that has to have a value in every row."""
    if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()):
        raise ValueError(f"{file}, {row.place}: column {column!r} is empty: fill it, or remove the row")
    return cell


def _labelled(records: list[DNARecord], kind: str) -> list[DNARecord]:
    """The records of a table of text with labels that are numbers where all of them are."""
    if kind == "parquet" or records[0].label is None:
        return records
    labels = numbers_or_text([record.label for record in records])
    return [record._replace(label=label) for record, label in zip(records, labels, strict=True)]
