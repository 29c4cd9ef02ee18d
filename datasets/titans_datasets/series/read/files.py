"""Tables from and to files: csv (also .gz), parquet (also a folder of files) and the built-in series."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from titans_datasets import builtin
from titans_datasets.writing import in_place_of

# Before pandas 3.1 the default parser is off by one unit in the last place for some numbers.
_OLD_PANDAS = tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1)
_EXACT: dict[str, Any] = {"float_precision": "round_trip"} if _OLD_PANDAS else {}
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".pq", ".tsf")
PARQUET = (".parquet", ".pq")


def read_table(path: str | PathLike[str]) -> pd.DataFrame:
    """A csv, csv.gz or parquet file, a folder of parquet files, or "builtin:<name>", as a DataFrame.

    Raises:
        FileNotFoundError: there is no such file, or no parquet file in the folder.
        ValueError: the suffix is unknown or the file is empty, or the files of a folder differ in their columns.

    Example:
        >>> read_table("builtin:air_passengers").columns.tolist()
        ['item_id', 'timestamp', 'target']
    """
    return read_table_with_notes(path)[0]


def read_table_with_notes(path: str | PathLike[str]) -> tuple[pd.DataFrame, list[str]]:
    """`read_table`, and a note when the file was not UTF-8."""
    text = os.fspath(path)
    if text.startswith(builtin.PREFIX):
        return builtin.load(text), []
    if Path(path).expanduser().is_dir():
        return _read_folder(Path(path).expanduser()), []
    suffix, file = suffix_of(path), existing_file(path)
    if suffix == ".tsf":
        raise ValueError(f"{file} holds series of different lengths, not a table: read it with read_series")
    if suffix in PARQUET:
        frame: pd.DataFrame = pd.read_parquet(file)
        notes: list[str] = []
    else:
        frame, notes = _read_csv(file)
    if frame.empty:
        raise ValueError(f"{file} holds column names but no rows: check that it was written completely")
    return frame, notes


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
    file, suffix = Path(path), suffix_of(path)
    if suffix == ".tsf":
        raise ValueError(f"cannot write {file}: use a name that ends in .csv, .csv.gz or .parquet")
    with in_place_of(file) as beside:
        if suffix in PARQUET:
            frame.to_parquet(beside, index=False)
        else:
            frame.to_csv(beside, index=False, lineterminator="\n")
    return file


def suffix_of(path: str | PathLike[str]) -> str:
    """The known suffix of a path, in lower case.

    Raises:
        ValueError: the suffix is not csv, csv.gz, parquet, pq or tsf.
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


def _read_csv(file: Path) -> tuple[pd.DataFrame, list[str]]:
    try:
        return pd.read_csv(file, **_EXACT), []
    except UnicodeDecodeError:
        return pd.read_csv(file, encoding="latin-1", **_EXACT), [f"{file.name} is not UTF-8 and was read as latin-1"]
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{file} holds no columns: expected a header line and rows") from error
    except pd.errors.ParserError as error:
        raise ValueError(f"{file} is not a table of comma-separated values: {error}") from error
