"""The task `distal`: classifiers of drawn sequences whose class lies in motifs far apart.

Shapes: n test sequences, K classes.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from titans_datasets.dna.distal import CLASSES, distal_pairs
from titans_datasets.dna.public.task import DNATask
from titans_recipes.dna.baselines import BASELINES
from titans_recipes.dna.classification import classify
from titans_recipes.tables import Rows, Table, average, by_run, mean_of, numbers, spread
from titans_recipes.task import Recipe, Selection, Task
from titans_ts.genomics import DNAClassifier
from titans_ts.genomics.report.metrics import class_metrics, intervals

# Arguments of `distal_pairs` in `data`; the others follow from the recipe.
DATA = frozenset(inspect.signature(distal_pairs).parameters) - {"relation", "test_sequences", "seed"}


@dataclass(frozen=True)
class DistalRow:
    """One model at one length of test sequences.

    Attributes:
        run, seed: which model; the seed is also that of the data.
        length: bases of a test sequence; trained: of those of training.
        accuracy: with the ends of its 95 % bootstrap interval over test_rows sequences.
        mcc, log_loss: the latter in nats.
        epochs, parameters: of the network; cpu_seconds: of training.
        protocol: how the test sequences were drawn.
    """

    run: str
    seed: int
    length: int
    trained: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    mcc: float
    log_loss: float
    test_rows: int
    epochs: int | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None
    protocol: str = ""


def check(path: Path, recipe: Recipe) -> None:
    """Refuse unknown relations, data, baselines and parameters.

    Raises:
        ValueError: with what is known.
    """
    if recipe["set"] not in CLASSES:
        raise ValueError(f"{path} has no relation {recipe['set']!r}: set must be one of {list(CLASSES)}")
    if not isinstance(recipe["lengths"], Mapping):
        raise ValueError(f"{path}: lengths must be a mapping of bases to test sequences such as {{2048: 500}}")
    known = set(DNAClassifier().get_params()) - {"random_state"} | {"data"}
    for name, run in {"defaults": recipe.get("defaults"), **recipe["runs"]}.items():
        values = dict(run or {})
        if unknown := sorted(set(values.get("data") or {}) - DATA):
            raise ValueError(f"{path}: data of {name!r} has unknown entries {unknown}: known are {sorted(DATA)}")
        if values.pop("baseline", "k-mers") not in BASELINES:
            raise ValueError(f"{path}: run {name!r} names no baseline, known are {list(BASELINES)}")
        if unknown := sorted(set(values) - known):
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {sorted(known)}")


def merged(defaults: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run over the defaults, nested mappings entry by entry.

    Example:
        >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
        {'a': {'b': 1, 'c': 3}}
    """
    both = {**defaults, **run}
    for name in defaults.keys() & run.keys():
        if isinstance(defaults[name], Mapping) and isinstance(run[name], Mapping):
            both[name] = merged(defaults[name], run[name])
    return both


def run(recipe: Recipe, selection: Selection) -> Iterator[DistalRow]:
    """Every selected run with every seed: trained once, scored at each length.

    Raises:
        ValueError: a length that the recipe does not have.
    """
    lengths = {int(length): int(rows) for length, rows in recipe["lengths"].items()}
    wanted = [int(length) for length in selection.horizons or lengths]
    if missing := sorted(set(wanted) - set(lengths)):
        raise ValueError(f"the recipe has no length {missing[0]}: choose among {sorted(lengths)}")
    for name, settings, seed in selection.models():
        yield from _rows(recipe, name, settings, seed, {length: lengths[length] for length in wanted})


def _rows(
    recipe: Recipe, name: str, settings: Mapping[str, Any], seed: int, lengths: Mapping[int, int]
) -> Iterator[DistalRow]:
    values = merged(recipe.get("defaults") or {}, settings)
    data = {"length": min(lengths), **(values.pop("data", None) or {})}
    train = distal_pairs(recipe["set"], **data, test_sequences=1, seed=seed).train
    tests = [
        distal_pairs(recipe["set"], length, sequences=1, test_sequences=rows, seed=seed)
        for length, rows in lengths.items()
    ]
    task = DNATask(recipe["set"], train, pd.concat([one.test for one in tests], ignore_index=True), "")
    started = time.process_time()
    baseline = values.get("baseline")
    answer = classify(task, values, seed) if baseline is None else BASELINES[baseline](task, seed)
    spent = answer.fields.get("cpu_seconds", time.process_time() - started)
    truth = np.searchsorted(np.unique(train["label"]), task.test["label"])
    known: dict[str, Any] = {column: answer.fields.get(column) for column in ("epochs", "parameters")}
    ends = np.cumsum(list(lengths.values()))
    for one, length, stop in zip(tests, lengths, ends, strict=True):
        part = slice(stop - lengths[length], stop)
        found = class_metrics(answer.probability[part], truth[part])
        low, high = intervals(class_metrics, answer.probability[part], truth[part])["accuracy"]
        scores = (found["accuracy"], low, high, found["mcc"], found["log_loss"], lengths[length])
        trained = int(data["length"])
        yield DistalRow(
            name, seed, length, trained, *scores, **known, cpu_seconds=round(spent, 1), protocol=one.protocol
        )


def distal_table(rows: Rows) -> Table:
    """A line for each run and length: accuracy as mean ± standard deviation over seeds, its interval, and the cost."""
    lines: list[tuple[str, ...]] = []
    for name, every in by_run(rows).items():
        for length in sorted({int(row["length"]) for row in every}):
            mine = [row for row in every if int(row["length"]) == length]
            ends = [average(numbers(mine, end), 3) for end in ("accuracy_low", "accuracy_high")]
            sizes = (f"{int(mine[0]['trained']):,}", f"{length:,}", str(len(mine)))
            scores = (spread(numbers(mine, "accuracy"), 3), " – ".join(ends), average(numbers(mine, "log_loss"), 3))
            cost = (mean_of(mine, "parameters", "{:,.0f}"), mean_of(mine, "cpu_seconds", "{:.0f}"))
            lines.append((name, *sizes, *scores, *cost))
    header = ("run", "trained on", "bases", "seeds", "accuracy", "95 %", "log loss", "parameters", "CPU s")
    return Table(header, lines)


TASK = Task(
    row=DistalRow,
    results="results_distal.csv",
    check=check,
    run=run,
    table=distal_table,
    scores=("accuracy", "log_loss"),
    needs=("set", "lengths"),
    reads=("defaults",),
    keys=("length",),
    label=lambda row: f", {row.length:,} bases",
    horizons=True,
)
