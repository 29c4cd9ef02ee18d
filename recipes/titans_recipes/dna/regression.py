"""The task `dna_regression`: regressors and baselines of a public set with measured numbers, scored on its test part.

Shapes: n test sequences.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from titans_datasets.dna.alphabet import Codes, encode_all
from titans_datasets.dna.public import values as public
from titans_datasets.dna.public.task import DNATask
from titans_recipes.dna.baselines import CNNConfig, ResidualCNN, cnn_outputs
from titans_recipes.tables import Rows, Table, average, by_run, mean_of, numbers, spread
from titans_recipes.task import Recipe, Selection, Task
from titans_ts.genomics.linear.features import PositionFeatures
from titans_ts.genomics.model.inference import network_logits
from titans_ts.genomics.params import STEPS, VALUE_STEPS, choose_epochs
from titans_ts.genomics.regression.regressor import DNARegressor
from titans_ts.genomics.regression.targets import TargetScale, Values
from titans_ts.genomics.report.values import HELD_OUT, KMERS, ridge_of, value_intervals, value_metrics
from titans_ts.genomics.training.config import TrainingConfig
from titans_ts.genomics.training.examples import Examples
from titans_ts.genomics.training.fit import train
from titans_ts.genomics.training.holdout import hold_out, related

FloatArray = npt.NDArray[np.float64]
SCORED = ("pearson", "spearman")
ALONE = ("networks alone", "linear part alone")


@dataclass(frozen=True)
class RegressionRow:
    """One model on one set, scored on its test part.

    Attributes:
        run, seed: which model.
        pearson, spearman: with the ends of their 95 % bootstrap intervals over the test sequences.
        r2, mse: of the test sequences.
        network_pearson: of the networks alone; network_weight: theirs in the blend with the linear part.
        linear_pearson: of the linear part alone, with weights of its own.
        validation: held-out squared error of standardised targets.
        test_rows: n; epochs: passes over the training sequences; parameters of the networks; cpu_seconds of training.
        protocol: where the split comes from.
    """

    run: str
    seed: int
    pearson: float
    pearson_low: float
    pearson_high: float
    spearman: float
    spearman_low: float
    spearman_high: float
    r2: float
    mse: float
    network_pearson: float | None = None
    network_weight: float | None = None
    linear_pearson: float | None = None
    validation: float | None = None
    test_rows: int | None = None
    epochs: int | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None
    protocol: str = ""


class Prediction(NamedTuple):
    """What one model predicts: numbers (n,), and columns of the row that only the model knows."""

    numbers: FloatArray
    fields: dict[str, Any]


class Parts(NamedTuple):
    """Sequences to learn from with their numbers and groups (None for none), and sequences to predict."""

    codes: list[Codes]
    values: Values
    groups: list[str] | None
    test: list[Codes]


def check(path: Path, recipe: Recipe) -> None:
    """Refuse runs that are neither a baseline nor parameters of the regressor.

    Raises:
        ValueError: an unknown baseline or parameter, with what is known.
    """
    known = set(DNARegressor().get_params()) - {"random_state"}
    for name, run in recipe["runs"].items():
        values = run or {}
        if "baseline" in values:
            if set(values) != {"baseline"} or values["baseline"] not in BASELINES:
                raise ValueError(
                    f"{path}: run {name!r} must name one baseline and nothing else, known are {list(BASELINES)}"
                )
        elif unknown := sorted(set(values) - known):
            raise ValueError(f"{path}: run {name!r} has unknown entries {unknown}: known are {sorted(known)}")


def run(recipe: Recipe, selection: Selection) -> Iterator[RegressionRow]:
    """Every selected run with every seed: trained on the training part, scored once on the test part."""
    for name, settings, seed in selection.models():
        yield score(recipe, name, settings, seed)


def score(recipe: Recipe, name: str, settings: Mapping[str, Any], seed: int) -> RegressionRow:
    """Train and score one model.

    Args:
        recipe: with ``set``, a name of `titans_datasets.dna.public.values.value_benchmark`; sets that come without a
            split are split anew for each seed.
        name: of the run.
        settings: {"baseline": name}, or parameters of `DNARegressor`.
        seed: of the split, the held-out part, initialisation and training.
    """
    task = public.value_benchmark(recipe["set"], seed)
    truth = task.test["target"].to_numpy(np.float64)
    started = time.process_time()
    baseline = settings.get("baseline")
    found = _predict(task, settings, seed) if baseline is None else BASELINES[baseline](_parts(task), seed)
    spent = time.process_time() - started
    metrics = value_metrics(found.numbers, truth)
    low, high = value_intervals(found.numbers[:, None], truth[:, None], np.arange(len(truth)))
    ends = {f"{metric}_{end}": values[metric] for metric in SCORED for end, values in (("low", low), ("high", high))}
    values: dict[str, Any] = {
        **metrics,
        **ends,
        "test_rows": len(truth),
        "cpu_seconds": round(found.fields.pop("cpu_seconds", spent), 1),
        "protocol": task.protocol,
        **found.fields,
    }
    return RegressionRow(name, seed, **values)


def _parts(task: DNATask) -> Parts:
    values = Values(["target"], task.train[["target"]].to_numpy(np.float64), True)
    codes, test = (encode_all(part["sequence"].tolist()) for part in (task.train, task.test))
    return Parts(codes, values, _groups(task), test)


def _groups(task: DNATask) -> list[str] | None:
    return task.train["group"].tolist() if "group" in task.train.columns else None


def _predict(task: DNATask, settings: Mapping[str, Any], seed: int) -> Prediction:
    """A `DNARegressor`, and the correlation of its networks alone."""
    options = {"progress": False, **(settings.get("options") or {})}
    started = time.process_time()
    model = DNARegressor(**{**settings, "options": options, "random_state": seed})
    model.fit(task.train["sequence"], task.train["target"], groups=_groups(task))
    spent = time.process_time() - started
    parts = model.model_.parts
    fields: dict[str, Any] = {
        "validation": parts.choices.get("blend"),
        "epochs": max((result["epochs"] for result in parts.training), default=0),
        "parameters": sum(p.numel() for network in parts.networks for p in network.parameters()),
        "cpu_seconds": spent,
    }
    codes, truth = encode_all(task.test["sequence"].tolist()), task.test["target"].to_numpy(np.float64)
    if (linear := parts.linear_outputs(codes)) is not None:
        fields["linear_pearson"] = value_metrics(linear[:, 0], truth)["pearson"]
    if fields["epochs"]:
        alone = np.mean([network_logits(network, codes, torch.device("cpu")) for network in parts.networks], axis=0)
        fields["network_pearson"] = value_metrics(alone[:, 0], truth)["pearson"]
        fields["network_weight"] = float(parts.weights[0, 0])
    return Prediction(model.predict(task.test["sequence"]), fields)


def _kmer_ridge(parts: Parts, seed: int) -> Prediction:
    found, loss = ridge_of(KMERS, parts.codes, parts.values, parts.test, seed, parts.groups)
    return Prediction(found[:, 0], {"validation": loss})


def _position_ridge(parts: Parts, seed: int) -> Prediction:
    candidates = [PositionFeatures(len(parts.codes[0]), order) for order in (1, 2)]
    found, loss = ridge_of(candidates, parts.codes, parts.values, parts.test, seed, parts.groups)
    return Prediction(found[:, 0], {"validation": loss})


def _small_cnn(parts: Parts, seed: int) -> Prediction:
    """The best CNN on held-out sequences: one strand or both are pooled, or all positions read; few or many steps."""
    length = len(parts.codes[0])
    if any(len(x) != length for x in (*parts.codes, *parts.test)):
        raise ValueError("the small CNN is for sequences of one length: leave this baseline out of the recipe")
    scale = TargetScale.of(parts.values, "mse", False)
    examples = Examples(parts.codes, scale.learned(parts.values.numbers), np.ones(len(parts.codes)))
    held = hold_out(related(parts.codes, parts.groups), parts.values.strata(), HELD_OUT, 1, seed)[0]
    rest = np.setdiff1d(np.arange(len(parts.codes)), held)
    all_epochs = {choose_epochs(len(parts.codes), 64, steps) for steps in (STEPS, VALUE_STEPS)}
    tried = []
    for (both, positions), most in product(((False, length), (False, 0), (True, 0)), sorted(all_epochs)):
        training = TrainingConfig(max_epochs=most, seed=seed, progress=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network: Any = ResidualCNN(CNNConfig(1, both, "mse", positions))
        result = train(network, examples.take(rest), examples.take(held), training)
        tried.append((result.best_loss, network, result.epochs))
    loss, network, epochs = min(tried, key=lambda one: one[0])
    count = sum(p.numel() for p in network.parameters())
    found = scale.targets(cnn_outputs(network, parts.test))[:, 0]
    return Prediction(found, {"validation": loss, "epochs": epochs, "parameters": count})


BASELINES: dict[str, Callable[[Parts, int], Prediction]] = {
    "k-mer ridge": _kmer_ridge,
    "position ridge": _position_ridge,
    "small CNN": _small_cnn,
}


def regression_table(rows: Rows) -> Table:
    """A line for each run: correlations as mean ± standard deviation over seeds, mean ends of the intervals."""
    lines = []
    for name, mine in by_run(rows).items():
        found = []
        for metric in SCORED:
            ends = [average(numbers(mine, f"{metric}_{end}"), 3) for end in ("low", "high")]
            found += [spread(numbers(mine, metric), 3), " – ".join(ends)]
        shown = [average(numbers(mine, column), 3) for column in ("r2", "network_pearson", "linear_pearson")]
        lines.append((name, str(len(mine)), *found, *shown, mean_of(mine, "cpu_seconds", "{:.0f}")))
    header = ("run", "seeds", "Pearson", "95 %", "Spearman", "95 %", "R²", *ALONE, "CPU s")
    return Table(header, lines)


TASK = Task(
    row=RegressionRow,
    results="results_regression.csv",
    check=check,
    run=run,
    table=regression_table,
    scores=("pearson", "spearman"),
)
