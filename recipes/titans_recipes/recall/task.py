"""The task `recall`: small models trained on short streams, and how much they recall at the end of long ones."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from titans_recipes.recall.network import RecallNetwork
from titans_recipes.recall.rows import RecallRow, label, plot_recall, recall_table
from titans_recipes.recall.streams import STREAM_KINDS, StreamKind
from titans_recipes.recall.training import MOST_TOKENS, RecallTraining, accuracy, train
from titans_recipes.settings import GROUPS, configurations
from titans_recipes.task import Recipe, Selection, Task
from titans_ts.core import TitansConfig
from titans_ts.support.guards.limits import built
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

# A trained network in a folder, as `titans_ts.support.model_folder` writes it.
KIND = "recall network"
Report = Callable[[int, int, float, float], None]


def check(path: Path, recipe: Recipe) -> None:
    """Refuse unknown streams, groups and settings, and more streams than anybody reads.

    Raises:
        ValueError: with what is known.
    """
    if recipe["set"] not in STREAM_KINDS:
        raise ValueError(f"{path} has no streams {recipe['set']!r}: set must be one of {list(STREAM_KINDS)}")
    if not isinstance(recipe.get("lengths"), Mapping) or not recipe["lengths"]:
        raise ValueError(f"{path}: lengths must be a mapping of tokens to streams such as {{512: 64, 16384: 32}}")
    for length, streams in recipe["lengths"].items():
        if not isinstance(length, int) or not isinstance(streams, int) or min(length, streams) < 1:
            raise ValueError(f"{path}: lengths must be whole numbers ≥ 1, got {{{length!r}: {streams!r}}}")
        if length * streams > MOST_TOKENS:
            raise ValueError(
                f"{path}: {streams:,} streams of {length:,} tokens are more than {MOST_TOKENS:,} tokens: give fewer"
            )
    for name, run in [("defaults", recipe.get("defaults") or {}), *recipe["runs"].items()]:
        unknown = sorted(set(run or {}) - set(GROUPS))
        if unknown:
            raise ValueError(f"{path}: {name} has unknown entries {unknown}: known are {list(GROUPS)}")
    for run in recipe["runs"].values():
        configurations(recipe, run or {}, 0, RecallTraining)


def run(recipe: Recipe, selection: Selection) -> Iterator[RecallRow]:
    """Every selected run with every seed; horizons are lengths of streams."""
    for name, settings, seed in selection.models():
        yield from rows_of(recipe, name, settings, seed, selection.horizons)


def rows_of(
    recipe: Recipe,
    name: str,
    settings: Mapping[str, Any],
    seed: int,
    lengths: Sequence[int] | None = None,
    report: Report | None = None,
    networks: Path | None = None,
) -> Iterator[RecallRow]:
    """Train one model and test it at every length; a row for each as soon as it is known.

    Args:
        recipe: the checked recipe.
        name: of the run.
        settings: of the run.
        seed: of weights and streams.
        lengths: these of the recipe's only.
        report: called after every step of training; see `titans_recipes.recall.training.train`.
        networks: trained networks are kept in this folder, and loaded from it instead of trained again.

    Raises:
        ValueError: a length that the recipe does not have, the loss is not finite, or the folder holds a network with
            other settings.
    """
    wanted = {int(length): int(rows) for length, rows in recipe["lengths"].items()}
    missing = sorted(set(lengths or []) - set(wanted))
    if missing:
        raise ValueError(f"the recipe has no length {missing[0]}: choose among {sorted(wanted)}")
    kind = STREAM_KINDS[recipe["set"]]
    backbone, training = configurations(recipe, settings, seed, RecallTraining)
    folder = networks / re.sub(r"\W+", "-", f"{recipe['set']} {name} seed {seed}") if networks else None
    network, spent = _trained(kind, backbone, training, folder, report)
    for length in sorted(lengths or wanted):
        started = time.process_time()
        found = accuracy(network, kind, length, wanted[length], seed=seed + 1)
        speed = wanted[length] * length / max(1e-9, time.process_time() - started)
        yield RecallRow(
            name,
            seed,
            length,
            trained=training.longest,
            correct=found.correct,
            questions=found.questions,
            chance=kind.chance,
            nats=found.nats,
            parameters=sum(p.numel() for p in network.parameters()),
            cpu_seconds=spent,
            tokens_per_second=round(speed),
        )


def _trained(
    kind: StreamKind, backbone: TitansConfig, training: RecallTraining, folder: Path | None, report: Report | None
) -> tuple[RecallNetwork, float]:
    """The network and the CPU seconds of its training; loaded from the folder if it is there.

    Raises:
        ValueError: the network in the folder has other settings, or none can be trained.
    """
    settings = plain({"task": asdict(kind), "backbone": asdict(backbone), "training": asdict(training)})
    torch.manual_seed(training.seed)
    network = built(lambda: RecallNetwork(kind.vocabulary, backbone), "the network")
    if folder is not None and folder.exists():
        stored, weights = load_model(folder, KIND)
        if stored.get("settings") != settings:
            raise ValueError(
                f"{folder} holds a network with other settings than the recipe's (they are in its config.json): choose "
                "another folder or remove that one"
            )
        with rebuilding(folder):
            network.load_state_dict(weights)
            return network.eval(), float(stored["cpu_seconds"])
    started = time.process_time()
    train(network, kind, training, report)
    spent = round(time.process_time() - started, 1)
    if folder is not None:
        save_model(folder, KIND, {"settings": settings, "cpu_seconds": spent}, network.state_dict())
    return network, spent


TASK = Task(
    row=RecallRow,
    results="results_recall.csv",
    check=check,
    run=run,
    reads=("lengths", "defaults"),
    table=recall_table,
    scores=("correct",),
    keys=("length",),
    label=label,
    horizons=True,
    plot=plot_recall,
)
