"""`titans-ts dna pretrain`: a language model of unlabelled DNA, compared with Markov models."""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from titans_cli.input import common
from titans_cli.input.options import REQUIRED, add_options, argument, option, read_options, switch
from titans_cli.input.values import at_least, not_negative
from titans_ts.genomics.model.config import ObjectiveName

if TYPE_CHECKING:
    from rich.console import Console

    from titans_datasets.dna.read.files import DNARecord
    from titans_ts.genomics.language.language_model import DNALanguageModel

ORDERS = range(1, 9)


@dataclass(frozen=True, kw_only=True)
class PretrainJob:
    """Train a language model and print its loss in bits per base; guessing has 2."""

    file: str = argument("GENOME", common.DNA_FILES)
    model: str = option("DIR", "save the model in this new folder", default=REQUIRED)
    test: str | None = option("FILE", "sequences to score on, compared with Markov models")
    format: str | None = common.file_format(kinds=())
    sequence: str = common.sequence()
    id: str | None = common.record_id()
    objective: str = option(
        None,
        "causal: predict each base from those before it; masked: from all others",
        default="causal",
        choices=get_args(ObjectiveName),
    )
    context: int | None = option("N", "bases of a training window (default: 1024)", type=at_least(1))
    soft_mask_weight: float | None = option(
        "W", "weight of lower-case bases in training (default: 1)", type=not_negative
    )
    one_strand: bool = switch("do not train on the reverse complements of windows")
    block: str | None = common.block()
    max_epochs: int | None = common.max_epochs()
    time_budget: float | None = common.time_budget()
    seed: int = common.seed()
    device: str | None = common.device()
    quiet: bool = common.quiet()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, PretrainJob)


def run(arguments: argparse.Namespace) -> None:
    """Run the command; results go to stdout, warnings to stderr."""
    from titans_cli.output.notes import notes_on_stderr
    from titans_cli.output.tables import make_console

    job = read_options(arguments, PretrainJob)
    started = time.monotonic()
    console = make_console(job.quiet)
    folder = Path(job.model).expanduser()
    if folder.exists():
        raise FileExistsError(f"{folder} is there already: give another --model folder, or remove it first")
    records = _read(job, job.file, console)
    test = None if job.test is None else _read(job, job.test, console)
    with notes_on_stderr(numbers=False):
        model = _fit(job, records)
        saved = model.save(folder)
        console.print(f"  · {_training(model)}", markup=False)
        if test is not None:
            _compare(job, model, records, test, console)
    print(f"model  {saved}")
    console.print(f"done in {time.monotonic() - started:.1f} s")


def _read(job: PretrainJob, file: str, console: Console) -> list[DNARecord]:
    from titans_datasets.dna.read.files import read_records

    kind = job.format if file == job.file else None
    records = read_records(file, format=kind, sequence_column=job.sequence, label_column=None, id_column=job.id)
    bases = sum(len(record.sequence) for record in records)
    console.print(f"{file}: {len(records):,} sequences, {bases:,} bases", markup=False)
    return records


def _fit(job: PretrainJob, records: list[DNARecord]) -> DNALanguageModel:
    from titans_ts.genomics.language.language_model import DNALanguageModel

    optional: dict[str, Any] = {
        "context_length": job.context,
        "soft_mask_weight": job.soft_mask_weight,
        "block": job.block,
        "max_epochs": job.max_epochs,
        "time_budget": job.time_budget,
        "device": job.device,
    }
    model = DNALanguageModel(
        objective=job.objective,
        reverse_complement=not job.one_strand,
        random_state=job.seed,
        options={"progress": sys.stderr.isatty() and not job.quiet},
        **{name: value for name, value in optional.items() if value is not None},
    )
    try:
        return model.fit([record.sequence for record in records])
    except ValueError as error:
        raise ValueError(f"{job.file}: {error}") from error


def _training(model: DNALanguageModel) -> str:
    found = model.training_
    trained = f"trained {found['epochs']} epochs in {found['seconds']:.1f} s ({found['stopped']})"
    if not math.isfinite(found["best_loss"]):
        return trained
    start, best = (found[name] / math.log(2) for name in ("start_loss", "best_loss"))
    return f"{trained}; held-out windows {best:.3f} bits per base, untrained {start:.3f}"


def _compare(
    job: PretrainJob, model: DNALanguageModel, records: list[DNARecord], test: list[DNARecord], console: Console
) -> None:
    """The model on the test sequences, compared with Markov models of the training sequences."""
    from titans_datasets.dna.alphabet import encode_all
    from titans_ts.genomics.linear.markov import markov_bits

    sequences = [record.sequence for record in test]
    given = "all others of its window" if job.objective == "masked" else "those before it"
    found = {f"model, each base given {given}": model.bits_per_base(sequences)}
    known, scored = encode_all([record.sequence for record in records]), encode_all(sequences)
    strands = not job.one_strand
    found["composition"] = markov_bits(known, scored, 0, both_strands=strands)
    orders = {order: markov_bits(known, scored, order, both_strands=strands) for order in ORDERS}
    best = min(orders, key=orders.__getitem__)
    found[f"Markov chain of order {best}, the best here of {ORDERS[0]} to {ORDERS[-1]}"] = orders[best]
    found["chance"] = 2.0
    console.print(f"\n{job.test}, bits per base:", markup=False)
    width = max(map(len, found))
    console.print("\n".join(f"  {name:<{width}}  {value:.3f}" for name, value in found.items()), markup=False)
