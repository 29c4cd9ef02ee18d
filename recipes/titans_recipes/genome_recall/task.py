"""The task `genome_recall`: a genome is read, then windows of a relative, with the memory carried over or empty.

Shapes: B windows, T bases of one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from titans_datasets.dna.alphabet import N
from titans_datasets.dna.public.benchmarks import reference_genome
from titans_recipes.genome_recall.kmer_memory import GenomeConfig
from titans_recipes.genome_recall.models import build
from titans_recipes.genome_recall.reading import Curves, FloatArray, read, score_windows
from titans_recipes.genome_recall.relatives import Codes, homologs
from titans_recipes.genome_recall.rows import EVERYWHERE, HOMOLOGOUS, GenomeRow, genome_table, label, plot_curves
from titans_recipes.genome_recall.state import memory_size
from titans_recipes.task import Recipe, Selection, Task

# Read before, read after, and the control: a genome of similar length that is no relative.
SETS = {"ecoli": ("ecoli_k12", "ecoli_536", "saureus_n315")}
KINDS = {
    "kmers": {field.name for field in fields(GenomeConfig)},
    "titans": {"backbone", "memory", "steps"},
}


class Genomes(NamedTuple):
    """Codes of A, C, G, T, one strand each."""

    read: Codes
    relative: Codes
    control: Codes


def check(path: Path, recipe: Recipe) -> None:
    """Refuse unknown sets, windows and settings.

    Raises:
        ValueError: with what is known.
    """
    if recipe["set"] not in SETS:
        raise ValueError(f"{path} has no genomes {recipe['set']!r}: set must be one of {list(SETS)}")
    lengths, windows = recipe.get("lengths"), recipe.get("windows")
    if not isinstance(lengths, Sequence) or not lengths or sorted(lengths) != list(lengths) or int(lengths[0]) < 1:
        raise ValueError(f"{path}: lengths must be ascending numbers of bases such as [16384, 65536], got {lengths}")
    if not isinstance(windows, Mapping) or set(windows) != {"size", "count"}:
        raise ValueError(f"{path}: windows must be {{size: bases, count: how many}}, got {windows}")
    for name, run in recipe["runs"].items():
        kind = (run or {}).get("kind")
        if kind not in KINDS:
            raise ValueError(f"{path}: kind of run {name!r} must be one of {', '.join(KINDS)}, got {kind!r}")
        unknown = sorted(set(run) - KINDS[kind] - {"kind", "lengths"})
        if unknown:
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {sorted(KINDS[kind])}")
        if kind == "kmers":
            GenomeConfig(**{field: value for field, value in run.items() if field in KINDS[kind]})


def run(recipe: Recipe, selection: Selection) -> Iterator[GenomeRow]:
    """Every selected run with every seed."""
    for name, settings, seed in selection.models():
        yield from rows_of(recipe, name, settings, seed)


def rows_of(recipe: Recipe, name: str, settings: Mapping[str, Any], seed: int) -> Iterator[GenomeRow]:
    """Build and train one model, read the genome, and score windows after each of the recipe's lengths.

    Args:
        recipe: the checked recipe.
        name: of the run.
        settings: of the run.
        seed: of the model and of the choice of windows.

    Raises:
        FileNotFoundError, ValueError: genomes are missing, or not the known ones.
    """
    genomes, size, count = load(recipe["set"]), int(recipe["windows"]["size"]), int(recipe["windows"]["count"])
    lengths = [min(int(n), len(genomes.read)) for n in settings.get("lengths", recipe["lengths"])]
    started = time.process_time()
    model, before = build(settings, genomes.read, lengths, seed)
    pairs = homologs(genomes.read, genomes.relative, size, size)
    rng, control, done = np.random.default_rng(seed), None, 0
    for length in lengths:
        control = read(model, genomes.control[done:length], control)
        carried, done = before[length], length
        mine = [one.start for one in pairs if one.place + size <= length]
        sets = {HOMOLOGOUS: np.sort(rng.permutation(mine)[:count])}
        if length == lengths[-1]:
            sets[EVERYWHERE] = np.linspace(0, len(genomes.relative) - size, count).astype(np.int64)
        for windows, starts in sets.items():
            if len(starts):
                curves, reverse = score_windows(model, genomes.relative, starts, size, (carried, control))
                spent = time.process_time() - started
                protocol = "{} read, then windows of {}, or {} read first".format(*SETS[recipe["set"]])
                scores = _scores(curves, reverse)
                yield GenomeRow(
                    *(name, seed, windows, length),
                    **scores,
                    memory=memory_size(carried),
                    cpu_seconds=round(spent, 1),
                    protocol=protocol,
                    curves=curves,
                )


def _scores(curves: Curves, reverse: FloatArray) -> dict[str, Any]:
    gain = curves.empty - curves.carried
    return {
        "pieces": len(gain),
        "empty": float(curves.empty.mean()),
        "carried": float(curves.carried.mean()),
        "control": float(curves.control.mean()),
        "gain": float(gain.mean()),
        "gain_error": float(gain.std() / math.sqrt(len(gain))),
        "reverse_gain": float(reverse.mean()),
    }


def load(name: str) -> Genomes:
    """The genomes of a set.

    Raises:
        FileNotFoundError, ValueError: see `titans_datasets.dna.public.benchmarks.reference_genome`.
    """
    found = []
    for one in SETS[name]:
        genome = reference_genome(one)
        codes = np.concatenate([genome.fetch(record, 0, n) for record, n in genome.lengths.items()])
        found.append(codes[codes < N])
    return Genomes(*found)


TASK = Task(
    row=GenomeRow,
    results="results_genome.csv",
    check=check,
    run=run,
    reads=("lengths", "windows"),
    table=genome_table,
    scores=("empty", "carried", "control"),
    keys=("length", "windows"),
    label=label,
    plot=plot_curves,
)
