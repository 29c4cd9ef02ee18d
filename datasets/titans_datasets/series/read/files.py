"""Tables from and to files: text (also .gz), parquet (also a folder), Excel, Arrow; the built-in series."""

from __future__ import annotations

import json
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd
from pyarrow import ArrowInvalid, ArrowNotImplementedError

from titans_datasets import builtin
from titans_datasets.series.read.dialect import read_text_table
from titans_datasets.series.read.records import SeriesWarning
from titans_datasets.text import some
from titans_datasets.writing import in_place_of

PARQUET = (".parquet", ".pq")
WRITTEN = (".csv", ".csv.gz", *PARQUET)
TEXT = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
ARROW, LINES, EXCEL = (".feather", ".arrow"), (".jsonl", ".ndjson"), (".xlsx", ".xlsm")
SUFFIXES = (*TEXT, *PARQUET, *ARROW, *LINES, *EXCEL, ".tsf")


def read_table(path: str | PathLike[str]) -> pd.DataFrame:
    """A text table (csv, tsv, txt, also .gz), a parquet, feather, arrow, jsonl or xlsx file, a folder of parquet files,
    or "builtin:<name>", as a DataFrame.

    Text tables may be separated by commas, semicolons, tabs or pipes, and have decimal commas; see
    `titans_datasets.series.read.dialect`. What had to be decided is a `SeriesWarning`. Of an Excel file the first sheet
    is read, which needs the extra `excel`.

    Raises:
        FileNotFoundError: there is no such file, or no parquet file in the folder.
        ValueError: the suffix is unknown or the file is empty or damaged, or the files of a folder differ in their
            columns.
        ImportError: an Excel file, and openpyxl is not installed.

    Example:
        >>> read_table("builtin:air_passengers").columns.tolist()
        ['item_id', 'timestamp', 'target']
    """
    frame, notes = read_table_with_notes(path)
    if notes:
        warnings.warn("; ".join(notes), SeriesWarning, stacklevel=2)
    return frame


def read_table_with_notes(path: str | PathLike[str]) -> tuple[pd.DataFrame, list[str]]:
    """`read_table`, and notes on how the file was read: encoding, separator, decimal marks, sheet."""
    text = os.fspath(path)
    if text.startswith(builtin.PREFIX):
        return builtin.load(text), []
    if Path(path).expanduser().is_dir():
        return _read_folder(Path(path).expanduser()), []
    suffix, file = suffix_of(path), existing_file(path)
    if suffix == ".tsf":
        raise ValueError(f"{file} holds series of different lengths, not a table: read it with read_series")
    frame, notes = _read_file(file, suffix)
    if frame.empty:
        raise ValueError(f"{file} holds column names but no rows: check that it was written completely")
    return frame, notes


def _read_file(file: Path, suffix: str) -> tuple[pd.DataFrame, list[str]]:
    with whole(file):
        if suffix in TEXT:
            return read_text_table(file)
        if suffix in EXCEL:
            return _read_excel(file)
        if suffix in LINES:
            return _read_lines(file), []
        return pd.read_parquet(file) if suffix in PARQUET else pd.read_feather(file), []


@contextmanager
def whole(file: Path) -> Iterator[None]:
    """A context that reads a file, in which what readers raise for damaged files is a ValueError that names it."""
    try:
        yield
    except (EOFError, BadGzipFile, zlib.error, ArrowInvalid, ArrowNotImplementedError, UnicodeError) as error:
        what = f"{type(error).__name__}: {error}" if isinstance(error, UnicodeError) else str(error)
        raise ValueError(f"{file} is damaged, or not what its name says ({what}): copy or write it again") from error
    except RecursionError as error:
        raise ValueError(f"{file} is nested too deeply: expected a table") from error
    except OSError as error:
        # Arrow's own, which have no number.
        if error.errno is not None:
            raise
        raise ValueError(f"{file} is damaged ({error}): copy or write it again") from error


def _read_lines(file: Path) -> pd.DataFrame:
    """Objects of JSON, one a line. pandas would take numbers in a column named "timestamp" for milliseconds."""
    try:
        return pd.DataFrame(
            [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        )
    except ValueError as error:
        raise ValueError(f"{file} is not a table of one JSON object a line: {error}") from error


def _read_excel(file: Path) -> tuple[pd.DataFrame, list[str]]:
    if find_spec("openpyxl") is None:
        raise ImportError(
            f"{file} is an Excel file, and openpyxl, which reads these, is not installed: pip install "
            "'titans-ts[excel]', or save the sheet as csv"
        )
    try:
        with pd.ExcelFile(file, engine="openpyxl") as book:
            first, *others = book.sheet_names
            frame: pd.DataFrame = pd.read_excel(book, sheet_name=first)
    except (BadZipFile, KeyError) as error:
        raise ValueError(f"{file} is not an Excel file, or a damaged one: {error}") from error
    return frame, [f"of {file.name} the sheet {first!r} was read, not {some(others)}"] if others else []


def parquet_files(folder: Path) -> list[Path]:
    """The parquet files of a partitioned data set, at any depth, in the order of their paths.

    Files and folders whose names begin with "_" or "." are left out, as other readers of such data sets do.

    Raises:
        FileNotFoundError: there is none.
    """
    inside = (path for path in folder.rglob("*") if path.suffix.lower() in PARQUET and path.is_file())
    found = [path for path in inside if not any(part[0] in "_." for part in path.relative_to(folder).parts)]
    if not found:
        raise FileNotFoundError(f"{folder.absolute()} holds no parquet file (*.parquet, *.pq): check the path")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _read_folder(folder: Path) -> pd.DataFrame:
    """All parquet files of a folder as one table."""
    files = parquet_files(folder)
    frames = [read_table(file) for file in files]
    for file, frame in zip(files, frames, strict=True):
        if set(frame.columns) != set(frames[0].columns):
            raise ValueError(
                f"{file} has the columns {list(frame.columns)}, {files[0]} has {list(frames[0].columns)}: give all "
                "files of the folder the same columns"
            )
    return pd.concat(frames, ignore_index=isinstance(frames[0].index, pd.RangeIndex))


def write_table(frame: pd.DataFrame, path: str | PathLike[str]) -> Path:
    """Write csv, csv.gz or parquet without the index; the file is replaced as a whole.

    Raises:
        ValueError: the suffix is unknown.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> read_table(write_table(pd.DataFrame({"a": [1, 2]}), folder / "a.parquet"))["a"].tolist()
        [1, 2]
    """
    file, suffix = Path(path), written_suffix(path)
    with in_place_of(file) as beside:
        if suffix in PARQUET:
            frame.to_parquet(beside, index=False)
        else:
            frame.to_csv(beside, index=False, lineterminator="\n")
    return file


def written_suffix(path: str | PathLike[str]) -> str:
    """The suffix of a file to be written: csv, csv.gz, parquet or pq.

    Raises:
        ValueError: it is another one.
    """
    if (suffix := suffix_of(path)) not in WRITTEN:
        raise ValueError(f"cannot write {os.fspath(path)}: use a name that ends in .csv, .csv.gz or .parquet")
    return suffix


def suffix_of(path: str | PathLike[str]) -> str:
    """The known suffix of a path, in lower case.

    Raises:
        ValueError: the suffix is none of `SUFFIXES`.
    """
    name = os.fspath(path).lower()
    found = next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), None)
    if found is None:
        raise ValueError(
            f"cannot tell the format of {os.fspath(path)!r}: expected a name ending in {', '.join(SUFFIXES)}"
        )
    return found


def existing_file(path: str | PathLike[str]) -> Path:
    """The path as a file that exists and is not empty.

    Raises:
        FileNotFoundError: with the absolute path that was tried.
        ValueError: the file has no bytes.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "does not exist"
        known = ", ".join(builtin.PREFIX + name for name in builtin.names())
        raise FileNotFoundError(f"{file.absolute()} {what}: check the path, or use {known}")
    if file.stat().st_size == 0:
        raise ValueError(f"{file.absolute()} is empty (0 bytes): check that it was written completely")
    return file
