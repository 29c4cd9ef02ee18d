"""`titans-ts leakage`: what a DNA test set shares with its training set."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

from titans_cli.input import common
from titans_cli.input.options import add_options, argument, option, read_options, switch
from titans_cli.input.values import at_least


@dataclass(frozen=True, kw_only=True)
class LeakageJob:
    """Count copies, reverse complements, shared k-mers and conflicting labels of two sets of DNA sequences, and score
    baselines that learn nothing from DNA."""

    train: str = argument("TRAIN", common.DNA_FILES)
    test: str = argument("TEST", common.DNA_FILES)
    json: str | None = option("FILE", "write the report, with the rows that are not clean")
    k: int = option("N", "bases of a k-mer, at most 32", type=at_least(1), default=31)
    sequence: str = common.sequence()
    label: str = common.label()
    no_label: bool = switch("the files have no labels, or ignore them")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, LeakageJob)


def run(arguments: argparse.Namespace) -> None:
    """Compare the files, print the report, and write it as JSON on request.

    Raises:
        FileNotFoundError, ValueError: a file cannot be read, or k is out of range.
    """
    from titans_datasets.dna.leakage import leakage
    from titans_datasets.writing import in_place_of

    job = read_options(arguments, LeakageJob)
    (train, train_labels), (test, test_labels) = read_records_of(job, job.train), read_records_of(job, job.test)
    if train_labels is None and test_labels is not None:
        print(f"{job.train} has no labels: those of {job.test} are ignored", file=sys.stderr)
        test_labels = None
    report = leakage(train, test, train_labels, test_labels, k=job.k)
    print(report.table())
    if job.json is not None:
        with in_place_of(job.json) as beside:
            beside.write_text(report.to_json() + "\n", encoding="utf-8")


def read_records_of(job: LeakageJob, path: str) -> tuple[list[str], list[Any] | None]:
    """Sequences of a file, and their labels where all have one."""
    from titans_datasets.dna.read.files import read_records

    label = None if job.no_label else job.label
    # Names do not matter here, and files of windows repeat them.
    records = read_records(path, sequence_column=job.sequence, label_column=label, unique_ids=False)
    labels = None if any(record.label is None for record in records) else [record.label for record in records]
    return [record.sequence for record in records], labels
