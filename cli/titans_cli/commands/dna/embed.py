"""`titans-ts dna embed`: an embedding of each sequence, a batch at a time."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from titans_cli.input import common
from titans_cli.input.options import REQUIRED, add_options, argument, option, read_options

if TYPE_CHECKING:
    from titans_datasets.dna.embeddings import Batch
    from titans_datasets.dna.read.files import DNARecord
    from titans_ts.genomics.plain import PlainModel


@dataclass(frozen=True, kw_only=True)
class EmbedJob(common.SourceJob):
    """Write the embedding of each sequence: the mean of a language model's features over its bases, or the features
    that the head of a classifier or regressor reads."""

    file: str = argument("FILE", f"{common.DNA_FILES}, of any size; or .bed with --fasta")
    model: str = common.saved_model()
    device: str | None = common.device()
    output: str = option("FILE", "csv, tsv, npz or parquet file", default=REQUIRED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, EmbedJob)


def run(arguments: argparse.Namespace) -> None:
    """Embed the sequences of a file."""
    from titans_cli.input.dna_files import (
        CLASSIFIER,
        LANGUAGE_MODEL,
        REGRESSOR,
        batches_of,
        check_output,
        load_dna_model,
    )
    from titans_cli.output.notes import notes_on_stderr
    from titans_datasets.dna.embeddings import SUFFIXES, write_embeddings

    job = read_options(arguments, EmbedJob)
    check_output(job.output, SUFFIXES)
    batches = batches_of(job, job.file)
    model = load_dna_model(job.model, (CLASSIFIER, REGRESSOR, LANGUAGE_MODEL), job.device)
    if getattr(model, "per_base", False):
        raise ValueError(f"{job.model} answers for single bases: use its embed in Python, which gives one row per base")
    with notes_on_stderr(numbers=False):
        count, width = write_embeddings(job.output, _embedded(job, model, batches))
    print(f"embeddings  {job.output} ({count:,} sequences, {width} numbers each)")


def _embedded(job: EmbedJob, model: PlainModel, batches: Iterable[list[DNARecord]]) -> Iterator[Batch]:
    """Ids (n,) and embeddings (n, F) of each batch."""
    import numpy as np

    from titans_cli.input.dna_files import named

    for batch in batches:
        with named(job.file, batch):
            found = model.embed([record.sequence for record in batch])
        yield [record.id for record in batch], found.astype(np.float32)
