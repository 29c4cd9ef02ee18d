"""`titans-ts dna pretrain`: a language model of unlabelled DNA, beside Markov models.

Shapes: none.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from titans_cli.output.notes import notes_on_stderr
from titans_cli.output.tables import make_console
from titans_datasets.dna.alphabet import encode_all
from titans_datasets.dna.read.files import DNARecord, read_records

if TYPE_CHECKING:
    from titans_ts.genomics.language.language_model import DNALanguageModel

ORDERS = range(1, 9)


class PretrainJob(NamedTuple):
    """The arguments, named as on the command line; None where the default holds."""

    file: str
    model: str
    test: str | None = None
    sequence: str = "sequence"
    id: str | None = None
    objective: str = "causal"
    context: int | None = None
    soft_mask_weight: float | None = None
    one_strand: bool = False
    block: str | None = None
    max_epochs: int | None = None
    time_budget: float | None = None
    seed: int = 0
    device: str | None = None
    quiet: bool = False


def pretrain(job: PretrainJob) -> None:
    """Run the command; results go to stdout, warnings to stderr.

    Raises:
        ValueError, TypeError, OSError: what the user can mend, in one sentence.
    """
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
    records = read_records(file, sequence_column=job.sequence, label_column=None, id_column=job.id)
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
    return f"{trained}; held-out windows {best:.3f} bits a base, untrained {start:.3f}"


def _compare(
    job: PretrainJob, model: DNALanguageModel, records: list[DNARecord], test: list[DNARecord], console: Console
) -> None:
    """The model on the test sequences, beside Markov chains."""
    from titans_ts.genomics.linear.markov import markov_bits

    sequences = [record.sequence for record in test]
    given = "all others of its window" if job.objective == "masked" else "those before it"
    found = {f"model, each base given {given}": model.bits_per_base(sequences)}
    known, asked = encode_all([record.sequence for record in records]), encode_all(sequences)
    strands = not job.one_strand
    found["composition"] = markov_bits(known, asked, 0, both_strands=strands)
    orders = {order: markov_bits(known, asked, order, both_strands=strands) for order in ORDERS}
    best = min(orders, key=orders.__getitem__)
    found[f"Markov chain of order {best}, the best here of {ORDERS[0]} to {ORDERS[-1]}"] = orders[best]
    found["chance"] = 2.0
    console.print(f"\n{job.test}, bits a base:", markup=False)
    width = max(map(len, found))
    console.print("\n".join(f"  {name:<{width}}  {value:.3f}" for name, value in found.items()), markup=False)
