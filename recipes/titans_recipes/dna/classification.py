"""The task `dna`: classifiers and baselines of a labelled public set, scored on its test part.

Shapes: n test sequences, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from titans_datasets.dna.alphabet import encode_all
from titans_datasets.dna.leakage import leakage
from titans_datasets.dna.public import benchmarks
from titans_datasets.dna.public.task import DNATask
from titans_recipes.dna.answer import Answer
from titans_recipes.dna.baselines import BASELINES
from titans_recipes.tables import Rows, Table, average, by_run, mean_of, numbers, spread
from titans_recipes.task import Recipe, Selection, Task
from titans_ts.genomics import DNAClassifier
from titans_ts.genomics.linear.blend import probabilities
from titans_ts.genomics.model.inference import network_logits
from titans_ts.genomics.report.metrics import class_metrics, intervals

SHOWN = ("mcc", "accuracy", "auroc", "log_loss")

# Columns of the table beside the MCC and its interval.
COLUMNS = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "clean_mcc": "MCC, clean part",
    "network_mcc": "networks alone",
    "linear_mcc": "linear part alone",
}


@dataclass(frozen=True)
class DNARow:
    """One model on one set, scored on its test part.

    Attributes:
        run, seed: which model.
        mcc, accuracy: with the ends of their 95 % bootstrap intervals over the test sequences.
        auroc, log_loss: the mean over classes; nats.
        clean_mcc: on the test sequences that share no 31-mer with the training part, clean_rows of test_rows; None
            where there are none.
        network_mcc: of the networks alone; network_weight: theirs in the blend with the linear part.
        linear_mcc: of the linear part alone, with weights of its own.
        validation: log loss of the held-out sequences, in nats.
        epochs: passes over the training sequences; parameters of the networks; cpu_seconds of training.
        protocol: where the split comes from, and what the parts share.
    """

    run: str
    seed: int
    mcc: float
    mcc_low: float
    mcc_high: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    auroc: float
    log_loss: float
    clean_mcc: float | None = None
    clean_rows: int | None = None
    test_rows: int | None = None
    network_mcc: float | None = None
    network_weight: float | None = None
    linear_mcc: float | None = None
    validation: float | None = None
    epochs: int | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None
    protocol: str = ""


def check(path: Path, recipe: Recipe) -> None:
    """Refuse runs that are neither a baseline nor parameters of the classifier.

    Raises:
        ValueError: an unknown baseline or parameter, with what is known.
    """
    known = set(DNAClassifier().get_params()) - {"random_state"}
    for name, run in recipe["runs"].items():
        values = run or {}
        if "baseline" in values:
            if set(values) != {"baseline"} or values["baseline"] not in BASELINES:
                raise ValueError(
                    f"{path}: run {name!r} must name one baseline and nothing else, known are {list(BASELINES)}"
                )
        elif unknown := sorted(set(values) - known):
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {sorted(known)}")


def run(recipe: Recipe, selection: Selection) -> Iterator[DNARow]:
    """Every selected run with every seed: trained on the training part, scored once on the test part."""
    for name, settings, seed in selection.models():
        yield score(recipe, name, settings, seed)


def score(recipe: Recipe, name: str, settings: Mapping[str, Any], seed: int) -> DNARow:
    """Train and score one model.

    Args:
        recipe: with ``set``, a name of `titans_datasets.dna.public.benchmarks.benchmark`; sets that come without a
            split are split anew for each seed.
        name: of the run.
        settings: {"baseline": name}, or parameters of `DNAClassifier`.
        seed: of the split, the held-out part, initialisation and training.
    """
    task = benchmarks.benchmark(recipe["set"], seed)
    classes = np.unique(task.train["label"])
    truth = np.searchsorted(classes, task.test["label"])
    started = time.process_time()
    baseline = settings.get("baseline")
    answer = classify(task, settings, seed) if baseline is None else BASELINES[baseline](task, seed)
    spent = time.process_time() - started
    leaked = leakage(task.train["sequence"], task.test["sequence"])
    copies = int((leaked.verbatim | leaked.reverse).sum())
    found = class_metrics(answer.probability, truth)
    ends = intervals(class_metrics, answer.probability, truth)
    clean = class_metrics(answer.probability[leaked.clean], truth[leaked.clean])["mcc"] if leaked.clean.any() else None
    shared = int((leaked.shared > 0).sum())
    values: dict[str, Any] = {
        "mcc_low": ends["mcc"][0],
        "mcc_high": ends["mcc"][1],
        "accuracy_low": ends["accuracy"][0],
        "accuracy_high": ends["accuracy"][1],
        "clean_mcc": clean,
        "clean_rows": int(leaked.clean.sum()),
        "test_rows": len(truth),
        "cpu_seconds": round(answer.fields.pop("cpu_seconds", spent), 1),
        "protocol": f"{task.protocol}; {shared} test rows share a 31-mer with train, {copies} are copies",
        **{name: found[name] for name in SHOWN},
        **answer.fields,
    }
    return DNARow(name, seed, **values)


def classify(task: DNATask, settings: Mapping[str, Any], seed: int) -> Answer:
    """A `DNAClassifier`, and the MCC of its networks and of its linear part alone."""
    options = {"progress": False, **(settings.get("options") or {})}
    started = time.process_time()
    model = DNAClassifier(**{**settings, "options": options, "random_state": seed})
    model.fit(task.train["sequence"], task.train["label"])
    spent = time.process_time() - started
    probability = model.predict_proba(task.test["sequence"])
    fitted, truth = model.model_, np.searchsorted(model.classes_, task.test["label"])
    fields: dict[str, Any] = {
        "validation": fitted.choices.get("blend"),
        "epochs": max((result["epochs"] for result in fitted.training), default=0),
        "parameters": sum(p.numel() for network in fitted.networks for p in network.parameters()),
        "cpu_seconds": spent,
    }
    codes = encode_all(task.test["sequence"].tolist())
    if (linear := fitted.parts.linear_outputs(codes)) is not None:
        fields["linear_mcc"] = class_metrics(probabilities(linear, "classes"), truth)["mcc"]
    if fields["epochs"]:
        alone = np.mean([network_logits(network, codes, torch.device("cpu")) for network in fitted.networks], axis=0)
        fields["network_mcc"] = class_metrics(probabilities(alone, "classes"), truth)["mcc"]
        fields["network_weight"] = float(fitted.weights[0])
    return Answer(probability, fields)


def dna_table(rows: Rows) -> Table:
    """A line for each run: MCC as mean ± standard deviation over seeds, mean ends of its bootstrap intervals."""
    lines = []
    for name, mine in by_run(rows).items():
        ends = [average(numbers(mine, end), 3) for end in ("mcc_low", "mcc_high")]
        shown = [average(numbers(mine, column), 3) for column in COLUMNS]
        spent = mean_of(mine, "cpu_seconds", "{:.0f}")
        lines.append((name, str(len(mine)), spread(numbers(mine, "mcc"), 3), " – ".join(ends), *shown, spent))
    header = ("run", "seeds", "MCC", "95 %", *COLUMNS.values(), "CPU s")
    return Table(header, lines)


TASK = Task(
    row=DNARow,
    results="results_dna.csv",
    check=check,
    run=run,
    table=dna_table,
    scores=("mcc", "accuracy"),
)
