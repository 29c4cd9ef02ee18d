"""Tables of sequences as text: every cell as the file has it, every row with its line.

Nothing is taken for a number or a missing value: "007", "1E5" and "NA" are text.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from titans_datasets.dna.read.text import open_text

if TYPE_CHECKING:
    import pyarrow.parquet as pq

SEPARATORS = {"csv": ",", "tsv": "\t"}
ANY_SEPARATOR = ",\t;|"
# Rows of a Parquet file that are in memory at a time.
_ROWS = 10_000
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")
_LONGEST_CELL = 2**31 - 1


class Row(NamedTuple):
    """The requested cells of a row, and where it is: "line 3" of a text file, "row 2" (from 1) of a Parquet file."""

    place: str
    cells: tuple[Any, ...]


def text_rows(file: Path, kind: str, columns: Sequence[str]) -> Iterator[Row]:
    """The cells of a csv or tsv in these columns, row by row; blank lines are skipped.

    Columns may also be separated by another of comma, tab, semicolon and bar: the one with which the header has the
    first of `columns`.

    Raises:
        ValueError: no header or no rows, a column that is missing or there twice, a row of another width than the
            header, a quote that is not closed in its row; the message gives the line.
    """
    with open_text(file) as handle:
        header, skipped = _header(file, handle, kind)
        separator = separator_of(header, columns[0]) or SEPARATORS[kind]
        csv.field_size_limit(_LONGEST_CELL)
        reader = csv.reader(chain([header], handle), delimiter=separator, strict=True)
        try:
            names = next(reader)
            chosen = [_place_of(file, names, column) for column in columns]
            empty = True
            for place, cells in _whole_rows(file, reader, len(names), skipped, separator):
                empty = False
                yield Row(place, tuple(cells[i] for i in chosen))
        except csv.Error as error:
            raise ValueError(
                f"{file}, line {skipped + reader.line_num}: {error}: close a quote in its row, write a quote inside a "
                "cell twice"
            ) from error
    if empty:
        raise ValueError(f"{file} holds column names but no rows: check that it was written completely")


def _header(file: Path, handle: TextIO, kind: str) -> tuple[str, int]:
    """The first line that is not blank, and the number of lines before it."""
    for number, line in enumerate(handle):
        if line.strip():
            return line, number
    raise ValueError(f"{file} is not a table ({kind}): it holds blank lines only")


def separator_of(header: str, column: str) -> str | None:
    """The separator with which a header has the column; None where none gives it."""
    for separator in ANY_SEPARATOR:
        if column in next(csv.reader([header], delimiter=separator), ()):
            return separator if separator in header else None
    return None


def _place_of(file: Path, names: list[str], column: str) -> int:
    if column not in names:
        raise ValueError(
            f"{file} has no column {column!r}, only {', '.join(names)}: rename it, or name the columns "
            "(sequence_column, label_column, id_column; --sequence, --label)"
        )
    if names.count(column) > 1:
        raise ValueError(f"{file} has {names.count(column)} columns {column!r}: rename the others")
    return names.index(column)


def _whole_rows(file: Path, reader: Any, width: int, skipped: int, separator: str) -> Iterator[tuple[str, list[str]]]:
    """Rows of the header's width, with their lines; a row that swallowed others is refused."""
    before = reader.line_num
    for cells in reader:
        line, before = skipped + before + 1, reader.line_num
        if not cells:
            continue
        if skipped + before > line and _swallowed(cells, width, separator):
            raise ValueError(
                f"{file}, line {line}: a cell begins with a quote that ends in line {skipped + before}, whole rows "
                "later: close the quote in its row, or write it twice"
            )
        if len(cells) < width or any(cells[width:]):
            raise ValueError(f"{file}, line {line}: expected {width} cells as in the header, got {len(cells)}")
        yield f"line {line}", cells


def _swallowed(cells: list[str], width: int, separator: str) -> bool:
    """Whether a cell of several lines holds a line that looks like a row."""
    lines = [line for cell in cells for line in cell.split("\n")[1:]]
    return separator == "\t" or any(line.count(separator) >= width - 1 for line in lines)


def parquet_rows(file: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The values of a Parquet file in these columns, row by row; text stays text.

    Raises:
        ValueError: no Parquet file, no rows, or no such column.
    """
    number = 0
    for batch in _parquet(file, columns).iter_batches(_ROWS, columns=list(columns)):
        for values in zip(*(batch.column(column).to_pylist() for column in columns), strict=True):
            number += 1
            yield Row(f"row {number}", values)
    if not number:
        raise ValueError(f"{file} holds column names but no rows: check that it was written completely")


def _parquet(file: Path, columns: Sequence[str]) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{file} is not a Parquet file: {error}") from error
    for column in columns:
        _place_of(file, opened.schema_arrow.names, column)
    return opened


def numbers_or_text(cells: Sequence[str]) -> list[Any]:
    """The cells of a column as numbers if every one is the plain spelling of its number, else as text.

    Example:
        >>> numbers_or_text(["1", "0"]), numbers_or_text(["0.5", "2.0"]), numbers_or_text(["01", "2"])
        ([1, 0], [0.5, 2.0], ['01', '2'])
        >>> numbers_or_text(["1.10", "1.1"]), numbers_or_text(["NA", "HA"]), numbers_or_text(["nan", "1.0"])
        (['1.10', '1.1'], ['NA', 'HA'], ['nan', '1.0'])
    """
    if all(_WHOLE.fullmatch(cell) for cell in cells):
        return [int(cell) for cell in cells]
    if all(cell[-1:].isdigit() and _is_plain_float(cell) for cell in cells):
        return [float(cell) for cell in cells]
    return list(cells)


def _is_plain_float(cell: str) -> bool:
    try:
        return repr(float(cell)) == cell
    except ValueError:
        return False
