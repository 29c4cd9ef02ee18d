"""Sequences from files: FASTA, FASTQ, GenBank, csv and tsv, plain or compressed by gzip or bgzip.

Sequences are text; letters and case are not changed.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from titans_datasets import builtin

if TYPE_CHECKING:
    import pandas as pd
    from Bio.SeqRecord import SeqRecord

FORMATS = {
    "fasta": (".fa", ".fasta", ".fna", ".ffn", ".fas"),
    "fastq": (".fq", ".fastq"),
    "genbank": (".gb", ".gbk", ".gbff", ".genbank"),
    "csv": (".csv",),
    "tsv": (".tsv",),
}
PACKED = (".gz", ".bgz")
_BEGINNINGS = {">": "fasta", "@": "fastq", "LOCUS": "genbank"}


class DNARecord(NamedTuple):
    """A sequence with its name, and its class where the file has one."""

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
        path: .fa, .fasta, .fna, .fq, .fastq, .gb, .gbk, .csv, .tsv …, each also with .gz or .bgz, or "builtin:<name>".
        format: fasta, fastq, genbank, csv or tsv; by default taken from the file name.
        sequence_column, label_column, id_column: of a csv or tsv; label_column=None leaves labels out, without an
            id_column the row numbers (from 0) are the ids. Only csv and tsv have labels.
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
    file, kind = _locate(path, format)
    if kind in ("csv", "tsv"):
        return list(_table_records(file, kind, _Columns(sequence_column, label_column, id_column)))
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
    if kind in ("csv", "tsv"):
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
    file, kind = _locate(path, format)
    if kind in ("csv", "tsv"):
        found = _table_records(file, kind, _Columns(sequence_column, None, id_column), records)
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


@contextmanager
def open_text(path: str | PathLike[str]) -> Iterator[TextIO]:
    """The file as text, decompressed where its first bytes are those of gzip or bgzip, whatever its name.

    Raises:
        FileNotFoundError: with the absolute path that was tried.
        ValueError: the file is empty, or its compressed data are truncated.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "does not exist"
        raise FileNotFoundError(f"{file.absolute()} {what}: check the path")
    with file.open("rb") as raw:
        magic = raw.read(2)
    if not magic:
        raise ValueError(f"{file.absolute()} is empty (0 bytes): check that it was written completely")
    # Record names may be in any encoding; letters that are not DNA are found when they are encoded.
    options: dict[str, Any] = {"mode": "rt", "encoding": "utf-8-sig", "errors": "replace"}
    with gzip.open(file, **options) if magic == b"\x1f\x8b" else open(file, **options) as handle:
        try:
            yield handle
        except (EOFError, gzip.BadGzipFile) as error:
            raise ValueError(f"{file} is truncated ({error}): get it again") from error


def format_of(path: str | PathLike[str]) -> str | None:
    """The format by the name of a file, None where the name does not show it."""
    name = os.fspath(path).lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return next((kind for kind, suffixes in FORMATS.items() if name.endswith(suffixes)), None)


def _locate(path: str | PathLike[str], format: str | None) -> tuple[Path, str]:
    if os.fspath(path).startswith(builtin.PREFIX):
        return builtin.dna_file(os.fspath(path)), "genbank"
    file = Path(path).expanduser()
    if format is not None and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    kind = format or format_of(file)
    if kind is None:
        with open_text(file) as handle:
            beginning = handle.read(200).lstrip()
        kind = next((kind for start, kind in _BEGINNINGS.items() if beginning.startswith(start)), None)
    if kind is None:
        known = ", ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)
        raise ValueError(f"unknown format of {file}: expected a name ending in {known} (.gz), or pass format=")
    return file, kind


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


def _table_records(file: Path, kind: str, columns: _Columns, rows: int | None = None) -> Iterator[DNARecord]:
    """The records of a table, read whole or `rows` at a time."""
    empty = True
    with open_text(file) as handle:
        for frame in _tables(file, handle, kind, columns.sequence, rows):
            _check_columns(file, frame, columns)
            empty = empty and frame.empty
            yield from _rows(file, frame, columns)
    if empty:
        raise ValueError(f"{file} holds column names but no rows: check that it was written completely")


def _tables(file: Path, handle: TextIO, kind: str, sequence_column: str, rows: int | None) -> Iterator[pd.DataFrame]:
    import pandas as pd

    # A converter keeps pandas from reading the sequence "NA" as a missing value.
    options: dict[str, Any] = {"sep": "\t" if kind == "tsv" else ",", "converters": {sequence_column: str.strip}}
    try:
        if rows is None:
            yield pd.read_csv(handle, **options)
        else:
            yield from pd.read_csv(handle, chunksize=rows, **options)
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(f"{file} is not a table ({kind}): {error}") from error


def _check_columns(file: Path, frame: pd.DataFrame, columns: _Columns) -> None:
    for column in filter(None, columns):
        if column not in frame.columns:
            raise ValueError(
                f"{file} has no column {column!r}, only {', '.join(map(str, frame.columns))}: rename it, or name "
                "the columns (sequence_column, label_column, id_column; --sequence, --label)"
            )


def _rows(file: Path, frame: pd.DataFrame, columns: _Columns) -> Iterator[DNARecord]:
    """Records of a part of a table, whose index counts the rows of the file."""
    sequences = frame[columns.sequence].tolist()
    if "" in sequences:
        row = frame.index[sequences.index("")]
        raise ValueError(f"{file}, row {row} (from 0): column {columns.sequence!r} is empty: remove it")
    labels = [None] * len(frame)
    if columns.label is not None:
        missing = frame[columns.label].isna().to_numpy()
        if missing.any():
            row = frame.index[int(missing.argmax())]
            raise ValueError(
                f"{file}, row {row} (from 0): column {columns.label!r} is empty: fill it, or remove the row"
            )
        labels = frame[columns.label].tolist()
    ids = frame[columns.id] if columns.id else frame.index
    yield from (DNARecord(*row) for row in zip(ids.astype(str).tolist(), sequences, labels, strict=True))
