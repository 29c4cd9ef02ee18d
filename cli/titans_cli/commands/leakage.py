"""`titans-ts leakage`: what a DNA test set shares with its training set."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from titans_datasets.writing import in_place_of


class LeakageJob(NamedTuple):
    """The arguments.

    Args:
        train, test: csv, tsv, FASTA, FASTQ or GenBank files.
        json: where the report goes as JSON; None for nowhere.
        k: bases a word.
        sequence, label: columns of a csv or tsv.
        no_label: leave labels out, conflicts and baselines with them.
    """

    train: str
    test: str
    json: str | None
    k: int
    sequence: str
    label: str
    no_label: bool


def check_leakage(job: LeakageJob) -> None:
    """Compare the files, print the report, write it as JSON where that was asked for.

    Raises:
        FileNotFoundError, ValueError: a file cannot be read, or k is out of range.
    """
    from titans_datasets.dna.leakage import leakage

    (train, train_labels), (test, test_labels) = _read(job, job.train), _read(job, job.test)
    if train_labels is None and test_labels is not None:
        print(f"{job.train} holds no labels: those of {job.test} are left aside", file=sys.stderr)
        test_labels = None
    report = leakage(train, test, train_labels, test_labels, k=job.k)
    print(report.table())
    if job.json is not None:
        with in_place_of(job.json) as beside:
            beside.write_text(report.to_json() + "\n", encoding="utf-8")


def _read(job: LeakageJob, path: str) -> tuple[list[str], list[Any] | None]:
    from titans_datasets.dna.read.files import read_records

    label = None if job.no_label else job.label
    # Names do not matter here, and files of windows repeat them.
    records = read_records(path, sequence_column=job.sequence, label_column=label, unique_ids=False)
    labels = None if any(record.label is None for record in records) else [record.label for record in records]
    return [record.sequence for record in records], labels
