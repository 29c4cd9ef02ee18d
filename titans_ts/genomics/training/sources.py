"""What a recipe's `data:` names: public sets, tables, files of sequences, intervals and genomes, read as records.

Shapes: n sequences or windows, T bases of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_datasets.dna.alphabet import Codes, encode_all, soft_mask
from titans_datasets.dna.batches.windows import interval_labels
from titans_datasets.dna.genes import prodigal_genes
from titans_datasets.dna.public.benchmarks import benchmark, benchmark_names, reference_genome
from titans_datasets.dna.public.catalogue import GENOMES
from titans_datasets.dna.public.values import value_benchmark, value_benchmark_names
from titans_datasets.dna.read.files import format_of, read_records
from titans_datasets.dna.read.genome import MemoryGenome, read_genome
from titans_datasets.dna.read.intervals import Places, is_bed, read_intervals
from titans_datasets.dna.read.labelled import class_files
from titans_datasets.dna.read.reference import open_genome
from titans_datasets.dna.read.tables import read_bed
from titans_datasets.dna.read.text import open_text
from titans_ts.core.config import require
from titans_ts.genomics.language.windows import BoolArray, cut
from titans_ts.genomics.training.holdout import IntArray

TaskName = Literal["sequence_classification", "sequence_regression", "base_labels", "language_model"]
PARTS = ("train", "validation", "test", "predict")
PRODIGAL = "prodigal"
# Neighbouring windows of a genome that are held out together.
NEIGHBOURS = 8
# Labels of bases by number, of intervals with and without strands.
STRANDED, PLAIN = np.array(["none", "+", "-"]), np.array(["none", "inside", "inside"])


@dataclass(frozen=True)
class SequenceColumns:
    """Names of the columns of a csv or tsv.

    Attributes:
        sequence, label: of the letters and of the class, number or labels of bases (a text with a letter per base).
        id: of the names; row numbers without one.
        group: sequences of one group are held out together.
    """

    sequence: str = "sequence"
    label: str = "label"
    id: str | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Which files and segments are read, and what they are read as; see `titans_ts.genomics.DNADataModule`.

    Raises:
        ValueError: a value is out of range, or does not belong to the task.
    """

    train: str
    task: TaskName = "sequence_classification"
    validation: str | None = None
    test: str | None = None
    predict: str | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.0
    columns: SequenceColumns = field(default_factory=SequenceColumns)
    genome: str | None = None
    labels: str | None = None
    regions: dict[str, tuple[int, int]] = field(default_factory=dict)
    context_length: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("validation_fraction", "test_fraction"):
            require(0 <= getattr(self, name) <= 0.5, name, "0 to 0.5", getattr(self, name))
        require(self.context_length >= 2, "context_length", "≥ 2 bases", self.context_length)
        wrong = None
        if self.labels is not None and self.task != "base_labels":
            wrong = f"labels is for task base_labels, this is task {self.task}: leave it out"
        elif self.regions and not self.windowed:
            wrong = "regions is for windows of a genome (task language_model, or base_labels with labels): leave it out"
        if wrong:
            raise ValueError(wrong)
        self._check_regions()

    def _check_regions(self) -> None:
        for name, (start, end) in self.regions.items():
            require(name in PARTS, "regions", f"of some of {', '.join(PARTS)}", name)
            require(0 <= start < end, f"regions.{name}", "[start, end) from 0", [start, end])
        for name in PARTS[1:3]:
            first, other = self.regions.get("train"), self.regions.get(name)
            if first and other and self.source(name) == self.train and first[0] < other[1] and other[0] < first[1]:
                raise ValueError(f"regions.train {list(first)} and regions.{name} {list(other)} must not overlap")

    @property
    def windowed(self) -> bool:
        """Whether sequences are windows of genomes."""
        return self.task == "language_model" or self.labels is not None

    def region(self, part: str) -> tuple[int, int] | None:
        """The bases of its source that a part reads; None for all of them."""
        same = part == "predict" and self.predict is None
        return self.regions.get(part, self.regions.get("test") if same else None)

    def source(self, part: str) -> str | None:
        """Where a part is read from; None where it is held out of the training data, or not there."""
        if part == "train":
            return self.train
        given: str | None = getattr(self, part)
        if part == "predict" and not given and part not in self.regions:
            return self.source("test")
        public = part == "test" and self.train in _public_names()
        return given or (self.train if part in self.regions or public else None)


class Records(NamedTuple):
    """Sequences of a part.

    Attributes:
        ids: n names; of windows those of their chromosomes.
        codes: n arrays (T,).
        labels: n classes, numbers or arrays (T,) of classes; None where there are none.
        groups: n names, numbers or None: sequences of one group are held out together.
        soft: n arrays (T,), True for lower-case letters; None where nothing depends on them.
        starts: (n,) place of the first base on its chromosome, 0 for whole sequences.
    """

    ids: list[str]
    codes: list[Codes]
    labels: list[Any] | None = None
    groups: list[Any] | None = None
    soft: list[BoolArray] | None = None
    starts: IntArray | None = None

    def take(self, rows: IntArray) -> Records:
        """The records at these places."""
        places = rows.tolist()
        labels, groups, soft = (
            None if one is None else [one[i] for i in places] for one in (self.labels, self.groups, self.soft)
        )
        ids, codes = [self.ids[i] for i in places], [self.codes[i] for i in places]
        return Records(ids, codes, labels, groups, soft, None if self.starts is None else self.starts[rows])


def read_part(spec: DataSpec, part: str, source: str) -> Records:
    """The records of a part: whole sequences, or the windows of a genome (whole ones where a language model is tested).

    Args:
        spec: of the recipe.
        part: train, validation, test or predict, which needs no labels.
        source: where it is read from.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: letters that are not DNA, missing labels, or a source that the task cannot read.
    """
    if spec.windowed:
        return _windows(spec, part, source)
    labelled = part != "predict"
    if source in _public_names():
        return _of_public_set(spec, part, source)
    if files := class_files(source):
        return _of_classes(spec, source, files)
    if is_bed(source):
        return _of_intervals(spec, source, labelled)
    if spec.task == "base_labels" and labelled:
        return _labelled_bases(spec.columns, source)
    return _of_file(spec.columns, source, labelled)


def _public_names() -> list[str]:
    return [*benchmark_names(), *value_benchmark_names()]


def _of_public_set(spec: DataSpec, part: str, source: str) -> Records:
    """A part of a public set, with its classes or measured numbers."""
    measured = source in value_benchmark_names()
    if measured != (spec.task == "sequence_regression"):
        wanted = "sequence_regression" if measured else "sequence_classification"
        raise ValueError(f"{source} is a set for task {wanted}, the recipe has {spec.task}: change one of them")
    task = (value_benchmark if measured else benchmark)(source, spec.seed)
    frame = task.train if part == "train" else task.test
    groups = frame["group"].tolist() if "group" in frame else None
    labels = frame["target" if measured else "label"].tolist()
    return _records(source, [str(i) for i in frame.index], frame["sequence"].tolist(), labels, groups)


def _records(name: str, ids: list[str], texts: list[str], labels: list[Any] | None, groups: Any = None) -> Records:
    try:
        return Records(ids, encode_all(texts), labels, groups)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _of_classes(spec: DataSpec, source: str, files: list[tuple[str, str]]) -> Records:
    if spec.task != "sequence_classification":
        raise ValueError(f"one file per class is for task sequence_classification, got {source!r}: give a csv or tsv")
    columns = spec.columns
    options: dict[str, Any] = {"sequence_column": columns.sequence, "id_column": columns.id, "unique_ids": False}
    found = [(label, one) for label, file in files for one in read_records(file, label_column=None, **options)]
    ids, texts = [one.id for _, one in found], [one.sequence for _, one in found]
    return _records(source, ids, texts, [label for label, _ in found])


def _of_intervals(spec: DataSpec, source: str, labelled: bool) -> Records:
    """Sequences of BED intervals: the class is the column name, a number the column score."""
    if spec.genome is None:
        raise ValueError(f"{source} has places, no letters: give the genome they lie on as data.genome")
    column = "score" if spec.task == "sequence_regression" else "name"
    genome = reference_genome(spec.genome) if spec.genome in GENOMES else open_genome(spec.genome)
    placed = read_intervals(source, Places(spec.genome), genome)
    labels = placed.labels(source, column) if labelled else None
    cut_out = placed.records()
    groups = placed.frame["chrom"].tolist() if spec.columns.group == "chrom" else None
    return _records(source, [one.id for one in cut_out], [one.sequence for one in cut_out], labels, groups)


def _of_file(columns: SequenceColumns, source: str, labelled: bool) -> Records:
    """Sequences of any file; labels and groups are columns of a table."""
    options: dict[str, Any] = {"sequence_column": columns.sequence, "unique_ids": False}
    label = columns.label if labelled else None
    found = read_records(source, label_column=label, id_column=columns.id, **options)
    if labelled and any(one.label is None for one in found):
        raise ValueError(
            f"{source} has no labels: give a csv or tsv with the columns {columns.sequence!r} and {columns.label!r}, "
            "one file per class (promoter=a.fa,other=b.fa), or a .bed file and data.genome"
        )
    groups = None
    if labelled and columns.group is not None:
        groups = [one.id for one in read_records(source, label_column=None, id_column=columns.group, **options)]
    labels = [one.label for one in found] if labelled else None
    return _records(source, [one.id for one in found], [one.sequence for one in found], labels, groups)


def _labelled_bases(columns: SequenceColumns, source: str) -> Records:
    """A table whose labels are texts with a letter per base; digits stay letters."""
    kind = format_of(source)
    if kind not in ("csv", "tsv"):
        raise ValueError(
            f"{source} has no labels of bases: give a csv or tsv with the columns {columns.sequence!r} and "
            f"{columns.label!r} (a text with a letter per base), or a genome and data.labels"
        )
    options: dict[str, Any] = {"sep": "\t" if kind == "tsv" else ",", "dtype": str, "keep_default_na": False}
    with open_text(source) as handle:
        frame = pd.read_csv(handle, **options)
    wanted = [one for one in (columns.sequence, columns.label, columns.id, columns.group) if one is not None]
    if absent := [one for one in wanted if one not in frame.columns]:
        raise ValueError(
            f"{source} has no column {absent[0]!r}, only {', '.join(frame.columns)}: name its columns in data.columns"
        )
    texts, rows = frame[columns.sequence].tolist(), frame[columns.label].tolist()
    for place, (text, row) in enumerate(zip(texts, rows, strict=True)):
        if len(text) != len(row):
            raise ValueError(f"{source}, row {place} (from 0): {len(text)} bases need as many labels, got {len(row)}")
    ids = frame[columns.id].tolist() if columns.id else [str(i) for i in frame.index]
    groups = frame[columns.group].tolist() if columns.group else None
    return _records(source, ids, texts, [np.array(list(row)) for row in rows], groups)


class Chromosome(NamedTuple):
    """A sequence that windows are cut from: its name, bases, case, and labels of bases, all (n,)."""

    name: str
    codes: Codes
    soft: BoolArray
    labels: npt.NDArray[Any] | None = None


def _windows(spec: DataSpec, part: str, source: str) -> Records:
    """Adjacent windows of all chromosomes, or of the region of the first one."""
    size = spec.context_length
    whole = spec.task == "language_model" and part in ("test", "predict")
    region = spec.region(part)
    found: list[tuple[Chromosome, int, int]] = []
    for one in _chromosomes(spec, part, source):
        start, end = region or (0, len(one.codes))
        if end > len(one.codes):
            raise ValueError(
                f"regions.{part} must lie in {source}, {len(one.codes):,} bases of {one.name}, got {end:,}"
            )
        for place in [slice(0, end - start)] if whole else cut(one.codes[start:end], size):
            found.append((one, start + place.start, min(start + place.stop, end)))
        if region:
            break
    found = [(one, first, last) for one, first, last in found if (one.codes[first:last] < 4).any()]
    if not found:
        raise ValueError(f"{source} must hold A, C, G or T, got nothing but N: pass other sequences")
    labels = [one.labels[a:b] for one, a, b in found if one.labels is not None]
    groups = [f"{one.name} {a // (NEIGHBOURS * size)}" for one, a, _ in found] if labels else None
    codes, soft = [one.codes[a:b] for one, a, b in found], [one.soft[a:b] for one, a, b in found]
    starts = np.array([a for _, a, _ in found], dtype=np.int64)
    return Records([one.name for one, _, _ in found], codes, labels or None, groups, soft, starts)


def _chromosomes(spec: DataSpec, part: str, source: str) -> Iterator[Chromosome]:
    if format_of(source) in ("csv", "tsv"):
        if spec.labels is not None:
            raise ValueError(f"labels are of a genome, got the table {source}: give a FASTA or GenBank file")
        table = _of_file(spec.columns, source, labelled=False)
        texts = read_records(source, sequence_column=spec.columns.sequence, label_column=None)
        for name, codes, one in zip(table.ids, table.codes, texts, strict=True):
            yield Chromosome(name, codes, soft_mask(one.sequence))
        return
    genome, labelled = _genome(source), spec.labels is not None and part != "predict"
    intervals = read_bed(spec.labels) if labelled and spec.labels not in (None, PRODIGAL) else None
    for name, codes in genome.chromosomes.items():
        soft = genome.soft_masks[name] if genome.soft_masks is not None else np.zeros(len(codes), dtype=bool)
        yield Chromosome(name, codes, soft, _base_labels(intervals, name, codes) if labelled else None)


def _base_labels(intervals: pd.DataFrame | None, name: str, codes: Codes) -> npt.NDArray[Any]:
    """Class of each base: in an interval (or a gene that Prodigal predicts), on which strand."""
    if intervals is None:
        genes = [(name, *gene) for gene in prodigal_genes(codes)]
        intervals = pd.DataFrame(genes, columns=["chrom", "start", "end", "strand"])
    stranded = "strand" in intervals.columns and bool(intervals["strand"].isin(["+", "-"]).any())
    return (STRANDED if stranded else PLAIN)[interval_labels(intervals, name, len(codes))]


def _genome(source: str) -> MemoryGenome:
    """A reference genome by its name, or that of a file."""
    return reference_genome(source, soft_masks=True) if source in GENOMES else read_genome(source, soft_masks=True)


def as_numbers(name: str, labels: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Labels of a regression (n,).

    Raises:
        ValueError: one is no finite number.
    """
    found = pd.to_numeric(pd.Series(list(labels)), errors="coerce").to_numpy(np.float64)
    if not np.isfinite(found).all():
        row = int((~np.isfinite(found)).argmax())
        raise ValueError(f"{name}, row {row} (from 0): expected a number as label, got {labels[row]!r}")
    return found
