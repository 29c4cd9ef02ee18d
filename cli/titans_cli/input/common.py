"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from titans_cli.input.options import REQUIRED, Group, option, switch
from titans_cli.input.values import at_least, positive
from titans_datasets.dna.read.files import FORMATS
from titans_datasets.series.schema import AGGREGATES
from titans_ts.core.config import BlockName

DNA_FILES = "FASTA, FASTQ, GenBank, csv, tsv or Parquet file, also .gz, or - for standard input"
SERIES_FILES = "csv (also ; tab |, decimal commas, .gz), xlsx, parquet, feather, jsonl or tsf file, or builtin:weather"
# Those of titans_datasets.dna.read.intervals, whose import takes pandas.
KINDS, OUTSIDE = ("bed", "narrowpeak", "broadpeak"), ("error", "drop")
PICTURES = "png, svg, pdf, jpg, webp"
TABLES = "csv or tsv file"
DATA, PLACES = Group("data"), Group("intervals", "sequences of a genome at the places of a .bed file")


def item_id(group: Group | None = None) -> Any:
    """--id of series."""
    return option("COLUMN", "column that names the series (default: item_id)", group=group)


def timestamp(group: Group | None = None) -> Any:
    """--timestamp."""
    return option("COLUMN", "time column (default: timestamp)", group=group)


def target(text: str, group: Group | None = None) -> Any:
    """--target."""
    return option("COLUMN", f"{text} (default: target)", group=group)


def freq(group: Group | None = None) -> Any:
    """--freq."""
    return option("ALIAS", "time step such as h, D, MS, 15min; inferred by default", group=group)


def aggregate(group: Group | None = None) -> Any:
    """--aggregate."""
    return option(None, "bring rows of a shorter step to --freq", choices=AGGREGATES, group=group)


def snap(group: Group | None = None) -> Any:
    """--snap."""
    return switch("move timestamps to the nearest step of --freq, for clocks with jitter", group=group)


def sequence(group: Group | None = None) -> Any:
    """--sequence of a DNA table."""
    return option("COLUMN", "sequences in a csv or tsv", default="sequence", group=group)


def file_format(group: Group | None = None, kinds: tuple[str, ...] = KINDS) -> Any:
    """--format of DNA files, and of those kinds of intervals."""
    text = "of FILE; by default by its name, else by its beginning"
    return option(None, text, choices=(*FORMATS, *kinds), group=group)


def label(group: Group | None = None) -> Any:
    """--label of a DNA table."""
    return option("COLUMN", "labels in a csv or tsv; a,b,c: columns of 0 and 1", default="label", group=group)


def record_id(group: Group | None = None) -> Any:
    """--id of a DNA table."""
    return option("COLUMN", "names in a csv or tsv; row numbers by default", group=group)


def block(group: Group | None = None, first: Sequence[str] = (), default: str = "mag") -> Any:
    """--block, with choices before the names of blocks."""
    text = f"how memory and attention are combined (default: {default})"
    return option(None, text, choices=(*first, *get_args(BlockName)), group=group)


def max_epochs(group: Group | None = None) -> Any:
    """--max-epochs."""
    return option("N", "largest number of passes over the data", type=at_least(0), group=group)


def time_budget(group: Group | None = None) -> Any:
    """--time-budget."""
    return option("SECONDS", "longest training of a model", type=positive, group=group)


def seed(group: Group | None = None) -> Any:
    """--seed."""
    return option("N", "random seed", type=at_least(0), default=0, group=group)


def device(group: Group | None = None) -> Any:
    """--device."""
    return option("NAME", "auto, cpu, cuda, cuda:N or mps (default: auto)", group=group)


def both_strands() -> Any:
    """--both-strands."""
    return switch("mean over a sequence and its reverse complement")


def report(group: Group | None = None) -> Any:
    """--report."""
    return option("FILE", "write a report as one HTML file with interactive pictures and all tables", group=group)


def quiet(group: Group | None = None) -> Any:
    """--quiet."""
    return switch("print only warnings and the paths of written files", group=group)


def saved_model() -> Any:
    """--model, where a trained one is needed."""
    return option("DIR", "folder of the model", default=REQUIRED)


@dataclass(frozen=True, kw_only=True)
class SourceJob:
    """Options of the commands that read sequences from files, or from a genome at the places of a .bed file."""

    format: str | None = file_format(DATA)
    sequence: str = sequence(DATA)
    id: str | None = record_id(DATA)
    fasta: str | None = option("FILE", "the genome: FASTA, GenBank, 2bit", group=PLACES)
    window: int | None = option(
        "N", "bases around the summit (narrowPeak) or middle of each interval", type=at_least(1), group=PLACES
    )
    outside: str = option(
        None, "intervals past an end of their chromosome", default="error", choices=OUTSIDE, group=PLACES
    )
