"""`titans-ts dna score`: the log-likelihood of each sequence, a batch at a time."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titans_cli.input import common
from titans_cli.input.options import add_options, argument, option, read_options

if TYPE_CHECKING:
    from titans_ts.genomics.plain import PlainLanguageModel


@dataclass(frozen=True, kw_only=True)
class ScoreJob(common.SourceJob):
    """Write id, number of bases (A, C, G, T), log-likelihood in nats and bits per base of each sequence."""

    file: str = argument("FILE", f"{common.DNA_FILES}, of any size; or .bed with --fasta")
    model: str = common.saved_model()
    device: str | None = common.device()
    surprise: str | None = option("FILE", "also write the surprise of the memory at each base: a .bedgraph file")
    both_strands: bool = common.both_strands()
    output: str | None = option("FILE", f"{common.TABLES}; standard output by default")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, ScoreJob)


def run(arguments: argparse.Namespace) -> None:
    """Score the sequences of a file."""
    from titans_cli.input.dna_files import LANGUAGE_MODEL, batches_of, check_output, load_dna_model, named, rows
    from titans_cli.output.notes import notes_on_stderr
    from titans_datasets.dna.alphabet import N, encode

    job = read_options(arguments, ScoreJob)
    check_output(job.output)
    check_output(job.surprise, (".bedgraph",))
    if job.surprise is not None and job.fasta is not None:
        raise ValueError("--surprise writes each sequence as a chromosome of its own: leave it out, or give sequences")
    batches = batches_of(job, job.file)
    model: Any = load_dna_model(job.model, (LANGUAGE_MODEL,), job.device)
    columns = ["id", "bases", "log_likelihood", "bits_per_base"]
    with notes_on_stderr(numbers=False), rows(job.output, columns) as table:
        for batch in batches:
            with named(job.file, batch):
                bases = [int((encode(record.sequence) < N).sum()) for record in batch]
                nats = model.log_likelihood([record.sequence for record in batch], both_strands=job.both_strands)
            for record, count, value in zip(batch, bases, nats.tolist(), strict=True):
                bits = -value / count / math.log(2) if count else math.nan
                table.write(record.id, count, value, bits)
    if job.output is not None:
        print(f"scores  {job.output} ({table.count:,} sequences)")
    if job.surprise is not None:
        _write_surprise(job, job.surprise, model)
        print(f"surprise  {job.surprise}", file=sys.stdout if job.output is not None else sys.stderr)


def _write_surprise(job: ScoreJob, path: str, model: PlainLanguageModel) -> None:
    """A bedGraph of all sequences, each a chromosome with its own name."""
    from titans_cli.input.dna_files import batches_of
    from titans_cli.output.notes import notes_on_stderr
    from titans_ts.genomics.analysis.surprise import write_surprise

    batches = batches_of(job, job.file)
    with notes_on_stderr(numbers=False):
        write_surprise(path, ((one.id, model.surprise(one.sequence)) for batch in batches for one in batch))
