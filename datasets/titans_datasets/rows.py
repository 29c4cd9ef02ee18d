"""Results row by row: csv or tsv files, standard output, and reports as JSON."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import sys
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from titans_datasets.writing import in_place_of

if TYPE_CHECKING:
    import pandas as pd

# Suffixes of tables that are written row by row.
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


class Rows:
    """Rows of a table, written one by one to a file, or tab-separated to standard output.

    Args:
        handle: the open file.
        columns: names, written before the first row.
        tabs: whether columns are separated by tabs, not by commas.

    Raises:
        ValueError: two columns have one name.
    """

    def __init__(self, handle: TextIO, columns: list[str], *, tabs: bool) -> None:
        self._writer = csv.writer(handle, delimiter="\t" if tabs else ",", lineterminator="\n")
        if len(set(columns)) < len(columns):
            raise ValueError(f"two columns of the result would have one name ({', '.join(columns)}): rename the class")
        self._columns = columns
        self.count = 0

    def write(self, *row: Any) -> None:
        """Write a row; floats have six digits, NaN is an empty cell."""
        if not self.count:
            self._writer.writerow(self._columns)
        self._writer.writerow([_text(value) for value in row])
        self.count += 1


@contextlib.contextmanager
def rows(path: str | PathLike[str] | None, columns: list[str]) -> Iterator[Rows]:
    """Rows into a file, which appears when all of them are written, or to standard output where path is None."""
    if path is None:
        yield Rows(sys.stdout, columns, tabs=True)
        return
    name = str(path).lower()
    with in_place_of(path) as beside, _open(beside) as handle:
        yield Rows(handle, columns, tabs=".tsv" in name)


def _open(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "wt", encoding="utf-8")
    return path.open("w", encoding="utf-8")


def write_frame(frame: pd.DataFrame, path: str | PathLike[str] | None) -> None:
    """Write a whole table as `rows` does."""
    with rows(path, [str(name) for name in frame.columns]) as table:
        for row in frame.itertuples(index=False):
            table.write(*row)


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write a report as JSON; a file is replaced as a whole."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    with in_place_of(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def _text(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return value
