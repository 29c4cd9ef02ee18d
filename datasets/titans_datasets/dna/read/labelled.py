"""Labelled sequences from a table, or from one file per class.

Shapes: n sequences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from titans_datasets.dna.read.files import DNARecord, read_records


class Columns(NamedTuple):
    """Names of the columns of a table, and its format, None for that of its name."""

    sequence: str
    label: str
    id: str | None
    group: str | None
    format: str | None = None


class Labelled(NamedTuple):
    """Sequences with their classes.

    Attributes:
        name: of the file or files, for messages.
        ids, sequences: n of each.
        labels: (n,) classes, text or numbers as the file has them.
        groups: (n,) names in the group column; None without one.
    """

    name: str
    ids: list[str]
    sequences: list[str]
    labels: npt.NDArray[Any]
    groups: list[str] | None


def read_labelled(source: str, columns: Columns) -> Labelled:
    """The labelled sequences of a table, or of one file per class as in "promoter=a.fa,other=b.fa".

    Raises:
        FileNotFoundError, ValueError: see `read_records`; or there are no labels, or no groups where a column is named.
    """
    parts = _parts(source)
    if parts:
        if columns.group is not None:
            raise ValueError(
                f"groups are a column of a table, but {source!r} is one file per class: leave the group column out"
            )
        each = [(label, read_records(file, **_options(columns, label=None))) for label, file in parts]
        records = [record._replace(label=label) for label, found in each for record in found]
        return _labelled(source, records, None)
    records = read_records(source, **_options(columns, label=columns.label))
    if any(record.label is None for record in records):
        raise ValueError(
            f"{source} has no labels: give a csv or tsv with the columns {columns.sequence!r} and {columns.label!r}, "
            "or one file per class, as in promoter=a.fa,other=b.fa"
        )
    named = None
    if columns.group is not None:
        named = [r.id for r in read_records(source, **_options(columns._replace(id=columns.group), label=None))]
    return _labelled(source, records, named)


def _parts(source: str) -> list[tuple[str, str]]:
    """Class and file of each part; empty where the source is one file."""
    parts = [part.split("=", 1) for part in source.split(",")]
    if Path(source).expanduser().exists() or not all(len(part) == 2 for part in parts):
        return []
    found = [(label.strip(), file.strip()) for label, file in parts]
    if len({label for label, _ in found}) < 2 or not all(label and file for label, file in found):
        raise ValueError(
            f"expected two or more classes with one file each, as in promoter=a.fa,other=b.fa, got {source!r}"
        )
    return found


def _options(columns: Columns, label: str | None) -> dict[str, Any]:
    # Names may repeat: rows of a table have none, and windows often have that of their chromosome.
    return {
        "format": columns.format,
        "sequence_column": columns.sequence,
        "label_column": label,
        "id_column": columns.id,
        "unique_ids": False,
    }


def _labelled(name: str, records: list[DNARecord], named: list[str] | None) -> Labelled:
    labels = np.array([record.label for record in records])
    return Labelled(name, [r.id for r in records], [r.sequence for r in records], labels, named)


def like(labels: npt.NDArray[Any], test: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels of a test file in the type of the training labels: what is text there may be numbers here.

    Example:
        >>> like(np.array(["NA", "1"]), np.array([1, 1])).tolist()
        ['1', '1']
    """
    return test.astype(str) if labels.dtype.kind == "U" and test.dtype.kind != "U" else test


def as_numbers(data: Labelled, column: str) -> npt.NDArray[np.float64]:
    """The labels (n,) as finite numbers, whatever their spelling: 0.10 and 1e-3 are text for classes.

    Raises:
        ValueError: one is no finite number.
    """
    found = np.empty(len(data.labels))
    for place, label in enumerate(data.labels.tolist()):
        try:
            found[place] = float(label)
        except ValueError:
            found[place] = np.nan
        if not np.isfinite(found[place]):
            where = f"{data.name}, column {column!r}, row {place + 1} ({data.ids[place]})"
            raise ValueError(f"{where}: expected a number, got {label!r}: fill it in, or remove the row")
    return found
