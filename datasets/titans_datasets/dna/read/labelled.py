"""Labelled sequences from a table, from one file per class, or from intervals of a genome.

Shapes: n sequences, K labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import encode
from titans_datasets.dna.negatives import gc_matched
from titans_datasets.dna.read.cells import numbers_or_text
from titans_datasets.dna.read.files import DNARecord, read_records, record_batches
from titans_datasets.dna.read.genome import Genome
from titans_datasets.dna.read.intervals import Placed, Places, bed_kind, check_places, read_intervals
from titans_datasets.dna.read.reference import open_genome
from titans_datasets.dna.read.text import STANDARD_INPUT, title
from titans_datasets.dna.splits import choose_chromosomes, chromosome_split

NEGATIVE, POSITIVE = "negative", "positive"
# The group column of intervals.
CHROM = "chrom"
_OTHER_CLASSES = (
    "give GC-matched windows as negatives (--negatives gc-matched), or one file per class (peak=a.bed,other=b.bed)"
)


class Columns(NamedTuple):
    """Names of the columns of a table, and its format, None for that of its name.

    `label` may be several names, separated by commas.
    """

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
        labels: (n,) classes, text or numbers as the file has them; (n, K) for the columns `label_names`.
        groups: (n,) names in the group column; None without one.
        label_names: names of several label columns; None for one.
        intervals: (n,) rows of chrom, start, end, strand of sequences of a genome; None for others.
        contigs: chromosome → number of bases, of that genome.
        per_base: whether a label is a text with a letter per base.
    """

    name: str
    ids: list[str]
    sequences: list[str]
    labels: npt.NDArray[Any]
    groups: list[str] | None
    label_names: list[str] | None = None
    intervals: pd.DataFrame | None = None
    contigs: dict[str, int] | None = None
    per_base: bool = False

    def targets(self) -> Any:
        """The labels as a classifier takes them: (n,), a table of K columns, or n texts with a letter per base."""
        if self.per_base:
            # Digits were taken for numbers only where these are spelled as the text was.
            return [str(one) for one in self.labels.tolist()]
        return self.labels if self.label_names is None else pd.DataFrame(self.labels, columns=self.label_names)

    def take(self, rows: npt.NDArray[np.int64]) -> Labelled:
        """The sequences at these places."""
        places = rows.tolist()
        return self._replace(
            ids=[self.ids[i] for i in places],
            sequences=[self.sequences[i] for i in places],
            labels=self.labels[rows],
            groups=None if self.groups is None else [self.groups[i] for i in places],
            intervals=None if self.intervals is None else self.intervals.iloc[places].reset_index(drop=True),
        )


def read_labelled(source: str, columns: Columns, places: Places | None = None) -> Labelled:
    """The labelled sequences of a table, of intervals, or of one file per class as in "promoter=a.fa,other=b.fa".

    Args:
        source: the file or files. Of a BED file the label is the column that `places` names.
        columns: of a table.
        places: the genome that intervals lie on, and how they are read from it.

    Raises:
        FileNotFoundError, ValueError: see `read_records` and `read_intervals`; or there are no labels, or no groups
            where a column is named, or intervals without a genome.
    """
    parts = class_files(source)
    kinds = [bed_kind(file, columns.format) for _, file in parts] or [bed_kind(source, columns.format)]
    check_places(source, kinds, None if places is None else places.genome)
    if places is not None:
        format = columns.format
        found = _of_classes(source, parts, places, format) if parts else _of_intervals(source, places, format)
        return _grouped(found, columns.group)
    if parts:
        if columns.group is not None:
            raise ValueError(
                f"groups are a column of a table, but {source!r} is one file per class: leave the group column out"
            )
        each = [(label, read_records(file, **_options(columns, label=None))) for label, file in parts]
        records = [record._replace(label=label) for label, found in each for record in found]
        return _labelled(source, records, None)
    return _of_table(source, columns)


def by_chromosome(data: Labelled, test: str, seed: int) -> tuple[Labelled, Labelled]:
    """Training and test part, of different chromosomes.

    Args:
        data: sequences of a genome.
        test: names of the chromosomes of the test part, separated by commas, or about which share of the sequences they
            hold, such as "0.2".
        seed: of the choice by a share.

    Raises:
        ValueError: sequences without places, or see `chromosome_split` and `choose_chromosomes`.
    """
    if data.intervals is None:
        raise ValueError(f"a split by chromosome is for intervals (.bed with --fasta), got {data.name}")
    names = [name.strip() for name in test.split(",")]
    share = pd.to_numeric(test, errors="coerce")
    if test not in set(data.intervals[CHROM]) and 0 < share < 1:
        names = choose_chromosomes(data.intervals, float(share), seed=seed)
    split = chromosome_split(data.intervals, names)
    held = data.take(split.test)
    return data.take(split.train), held._replace(name=f"{data.name} on {', '.join(names)}")


def class_files(source: str) -> list[tuple[str, str]]:
    """Class and file of each part of "promoter=a.fa,other=b.fa"; none where the source is one file.

    Raises:
        ValueError: a single class, or a class or file without a name.
    """
    parts = [part.split("=", 1) for part in source.split(",")]
    if Path(source).expanduser().exists() or not all(len(part) == 2 for part in parts):
        return []
    found = [(label.strip(), file.strip()) for label, file in parts]
    if len({label for label, _ in found}) < 2 or not all(label and file for label, file in found):
        raise ValueError(
            f"expected two or more classes with one file each, as in promoter=a.fa,other=b.fa, got {source!r}"
        )
    if sum(file == STANDARD_INPUT for _, file in found) > 1:
        raise ValueError(f"standard input can be one class only, got {source!r}: write the others to files")
    return found


def _of_table(source: str, columns: Columns) -> Labelled:
    names = columns.label.split(",")
    each = [read_records(source, **_options(columns, label=name.strip())) for name in names]
    records, name = each[0], title(source)
    if any(record.label is None for record in records):
        raise ValueError(
            f"{name} has no labels: give a csv or tsv with the columns {columns.sequence!r} and {columns.label!r}, "
            "one file per class, as in promoter=a.fa,other=b.fa, or intervals (.bed) with --fasta"
        )
    named = None
    if columns.group is not None:
        named = [r.id for r in read_records(source, **_options(columns._replace(id=columns.group), label=None))]
    found = _labelled(name, records, named)
    if len(names) == 1:
        return found
    table = np.array([[record.label for record in one] for one in each]).T
    return found._replace(labels=table, label_names=[name.strip() for name in names])


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
    labels = _array([record.label for record in records])
    return Labelled(name, [r.id for r in records], [r.sequence for r in records], labels, named)


def _array(labels: list[Any]) -> npt.NDArray[Any]:
    """(n,) labels; those that are lists, as a Parquet file may have, stay lists."""
    if not any(isinstance(label, list) for label in labels):
        return np.array(labels)
    found = np.empty(len(labels), dtype=object)
    for place, label in enumerate(labels):
        found[place] = label
    return found


def _of_intervals(file: str, places: Places, format: str | None) -> Labelled:
    """Sequences of a BED file, with the labels of a column, or with GC-matched windows as a second class."""
    found, source = read_intervals(file, places, format=format), title(file)
    if not places.negatives:
        return _cut(source, found, _classes(source, found, places.label))
    try:
        others = gc_matched(found.genome, found.frame, seed=places.seed)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    positive = _cut(source, found, np.full(len(found.frame), POSITIVE))
    return _joined(source, [positive, _cut(source, found._replace(frame=others), np.full(len(others), NEGATIVE))])


def _of_classes(source: str, parts: list[tuple[str, str]], places: Places, format: str | None) -> Labelled:
    if places.negatives:
        raise ValueError(f"{source!r} names its classes: leave --negatives out, or give one file of intervals")
    genome: Genome = open_genome(places.genome)
    each = []
    for label, file in parts:
        found = read_intervals(file, places, genome, format)
        each.append(_cut(file, found, np.full(len(found.frame), label)))
    return _joined(source, each)


def _cut(name: str, found: Placed, labels: npt.NDArray[Any]) -> Labelled:
    """The letters of intervals, which are named by their places."""
    records = found.records()
    ids, texts = [record.id for record in records], [record.sequence for record in records]
    places = found.frame.reindex(columns=[CHROM, "start", "end", "strand"], fill_value=".")
    return Labelled(name, ids, texts, labels, None, intervals=places, contigs=found.genome.lengths)


def _joined(name: str, parts: list[Labelled]) -> Labelled:
    return Labelled(
        name,
        [one for part in parts for one in part.ids],
        [one for part in parts for one in part.sequences],
        np.concatenate([part.labels for part in parts]),
        None,
        intervals=pd.concat([part.intervals for part in parts], ignore_index=True),
        contigs=parts[0].contigs,
    )


def _classes(source: str, found: Placed, label: str) -> npt.NDArray[Any]:
    """Labels in a column of a BED file: classes, or numbers in that of the score."""
    if label == "name" and label not in found.frame.columns:
        raise ValueError(f"{source} has no column name, which holds the class: write it, or {_OTHER_CLASSES}")
    cells = found.labels(source, label)
    if label == "score":
        return np.array(cells)
    if len(cells) > 2 and len(set(cells)) == len(cells):
        raise ValueError(
            f"{source}: the name of an interval is its class, but all {len(cells):,} names are different, such as "
            f"{cells[0]!r}: {_OTHER_CLASSES}"
        )
    return np.array(numbers_or_text(cells))


def placed_sequences(name: str, found: Placed, labels: npt.NDArray[Any], group: str | None = None) -> Labelled:
    """The letters of intervals, which are named by their places.

    Args:
        name: of the file, for messages.
        found: the n intervals.
        labels: (n,).
        group: "chrom" groups them by chromosome.

    Raises:
        ValueError: another group.
    """
    return _grouped(_cut(name, found, labels), group)


def _grouped(data: Labelled, group: str | None) -> Labelled:
    if group not in (None, CHROM):
        raise ValueError(f"groups of intervals are their chromosomes ({CHROM}), got {group!r} for {data.name}")
    assert data.intervals is not None
    return data._replace(groups=None if group is None else data.intervals[CHROM].tolist())


def record_source(source: str, columns: Columns, places: Places | None) -> Placed | Iterator[list[DNARecord]]:
    """The sequences of a file in batches, the first of which is read here, or its intervals on their genome.

    Args:
        source: the file; "-" for standard input.
        columns: of a table, and the format.
        places: the genome that intervals lie on; None for other files.

    Raises:
        FileNotFoundError, ValueError: see `read_intervals`, `check_places` and `record_batches`.
    """
    check_places(source, [bed_kind(source, columns.format)], None if places is None else places.genome)
    if places is not None:
        return read_intervals(source, places, format=columns.format)
    found = record_batches(source, format=columns.format, sequence_column=columns.sequence, id_column=columns.id)
    return chain(list(islice(found, 1)), found)


@contextmanager
def named(file: str, batch: Iterable[DNARecord]) -> Iterator[None]:
    """A context in which an error about letters names the record instead of its number in the batch."""
    try:
        yield
    except ValueError as error:
        for record in batch:
            try:
                encode(record.sequence)
            except ValueError as own:
                raise ValueError(f"{title(file)}: record {record.id}: {own}") from error
        raise


def like(labels: npt.NDArray[Any], test: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels of a test file in the type of the training labels: what is text there may be numbers here.

    Example:
        >>> like(np.array(["NA", "1"]), np.array([1, 1])).tolist()
        ['1', '1']
    """
    return test.astype(str) if labels.dtype.kind == "U" and test.dtype.kind != "U" else test
