"""Tables of results: means over seeds, and how numbers are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, pstdev
from typing import Any, NamedTuple

from rich.table import Table as RichTable

Rows = Sequence[Mapping[str, Any]]
"""Rows of results, column → value; from a CSV file values are text, and empty where there is none."""


class Table(NamedTuple):
    """Names of the columns, and the cells of each line."""

    header: tuple[str, ...]
    lines: list[tuple[str, ...]]

    def rich(self) -> RichTable:
        """For a terminal."""
        table = RichTable(*self.header, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for line in self.lines:
            table.add_row(*line)
        return table

    def markdown(self) -> str:
        """For a page."""
        lines = [self.header, tuple("---" for _ in self.header), *self.lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by_run(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each run, runs in the order of their first row."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["run"], []).append(row)
    return found


def number(row: Mapping[str, Any], name: str) -> float | None:
    """The value of a column; None where it is empty or missing."""
    value = row.get(name)
    return None if value in (None, "") else float(str(value))


def numbers(rows: Rows, name: str) -> list[float]:
    """The values of a column that are not empty."""
    return [value for row in rows if (value := number(row, name)) is not None]


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation; of one value itself, of none a dash."""
    return f"{mean(values):.{digits}f} ± {pstdev(values):.{digits}f}" if len(values) > 1 else average(values, digits)


def average(values: Sequence[float], digits: int = 4) -> str:
    """The mean; of no value a dash."""
    return f"{mean(values):.{digits}f}" if values else "–"


def mean_of(rows: Rows, name: str, form: str) -> str:
    """The mean of a column in a format such as "{:.2f}"; a dash where all are empty."""
    values = numbers(rows, name)
    return form.format(mean(values)) if values else "–"
