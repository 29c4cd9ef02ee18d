"""The task `language_model`: one segment of a genome is learned from, another one is scored."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from titans_datasets.dna.alphabet import decode
from titans_datasets.dna.public import benchmarks
from titans_recipes.dna.segments import check_disjoint, check_segments
from titans_recipes.tables import Rows, Table, by_run, mean_of, numbers, spread
from titans_recipes.task import Recipe, Selection, Task
from titans_ts.genomics import DNALanguageModel
from titans_ts.genomics.linear.markov import HIGHEST_ORDER, markov_bits


@dataclass(frozen=True)
class LanguageRow:
    """One model of a genome, scored once on the held-out segment.

    Attributes:
        run, seed: which model.
        bits: bits per base of the test segment, each base given those before it.
        order: bases of context of a Markov chain; None for a network.
        learned, tested: bases of the two segments.
        validation: bits per base of windows that training held out, which stop it.
        epochs, parameters: of the network; cpu_seconds: of training.
        protocol: which genome and segments.
    """

    run: str
    seed: int
    bits: float
    order: int | None
    learned: int
    tested: int
    validation: float | None = None
    epochs: int | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None
    protocol: str = ""


def check(path: Path, recipe: Recipe) -> None:
    """Refuse segments that overlap, and runs that are neither a Markov chain nor parameters of the model.

    Raises:
        ValueError: with what is known.
    """
    check_segments(path, recipe.get("learn"), {"test": recipe.get("test")})
    check_disjoint(path, recipe["learn"], recipe["test"])
    known = sorted({"order", *DNALanguageModel().get_params()} - {"random_state"})
    for name, run in recipe["runs"].items():
        values = run or {}
        order = values.get("order")
        if "order" in values and (set(values) != {"order"} or order not in range(HIGHEST_ORDER + 1)):
            raise ValueError(
                f"{path}: run {name!r} must have order: 0 to {HIGHEST_ORDER} and nothing else, got {values}"
            )
        if unknown := sorted(set(values).difference(known)):
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {known}")


def run(recipe: Recipe, selection: Selection) -> Iterator[LanguageRow]:
    """Every selected run with every seed."""
    for name, settings, seed in selection.models():
        yield score(recipe, name, settings, seed)


def score(recipe: Recipe, name: str, settings: Mapping[str, Any], seed: int) -> LanguageRow:
    """Train and score one model.

    Args:
        recipe: the checked recipe; ``set`` is a name of `titans_datasets.dna.reference_genome`, whose first record is
            read.
        name: of the run.
        settings: {"order": k}, a Markov chain of the same segment, or parameters of `DNALanguageModel`.
        seed: of the network; chains have none.

    Raises:
        FileNotFoundError, ValueError: the genome is missing, not the known one, or shorter than a segment.
    """
    genome = benchmarks.reference_genome(recipe["set"])
    record, length = next(iter(genome.lengths.items()))
    segments = [recipe["learn"], recipe["test"]]
    if max(end for _, end in segments) > length:
        raise ValueError(f"learn and test must lie in {recipe['set']}, {length:,} bases of {record}, got {segments}")
    learn, test = (genome.fetch(record, *segment) for segment in segments)
    (first, last), (start, end) = segments
    protocol = f"{recipe['set']}, bases {first:,} to {last:,} to learn from, {start:,} to {end:,} to test"
    row = LanguageRow(name, seed, 0.0, settings.get("order"), len(learn), len(test), protocol=protocol)
    if "order" in settings:
        return replace(row, bits=markov_bits([learn], [test], settings["order"]))
    return _network(row, settings, decode(learn), decode(test))


def _network(row: LanguageRow, settings: Mapping[str, Any], learn: str, test: str) -> LanguageRow:
    options = {"progress": False, **(settings.get("options") or {})}
    started = time.process_time()
    model = DNALanguageModel(**{**settings, "options": options, "random_state": row.seed}).fit([learn])
    spent = time.process_time() - started
    return replace(
        row,
        bits=float(model.bits_per_base([test])),
        validation=model.training_["best_loss"] / math.log(2),
        epochs=model.training_["epochs"],
        parameters=sum(p.numel() for p in model.network_.parameters()),
        cpu_seconds=round(spent, 1),
    )


def language_table(rows: Rows) -> Table:
    """A line for each run: bits per base as mean ± standard deviation over seeds."""
    lines = []
    for name, mine in by_run(rows).items():
        shown = [mean_of(mine, "validation", "{:.3f}"), mean_of(mine, "epochs", "{:.0f}")]
        rest = [mean_of(mine, "parameters", "{:,.0f}"), mean_of(mine, "cpu_seconds", "{:.0f}")]
        lines.append((name, str(len(mine)), spread(numbers(mine, "bits"), 3), *shown, *rest))
    header = ("run", "seeds", "bits per base, test", "held-out windows", "epochs", "parameters", "CPU s")
    return Table(header, lines)


TASK = Task(
    row=LanguageRow,
    results="results_language.csv",
    check=check,
    run=run,
    reads=("learn", "test"),
    table=language_table,
    scores=("bits",),
)
