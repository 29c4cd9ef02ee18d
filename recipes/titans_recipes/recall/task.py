"""The recall task of recipes: small models trained on short streams, asked at the end of long ones.

Shapes: none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from titans_recipes.settings import GROUPS, configurations

if TYPE_CHECKING:
    from titans_recipes.recall import RecallNetwork, RecallTraining
    from titans_recipes.recall.tasks import Task
    from titans_ts.core import TitansConfig

# A trained network in a folder, as `titans_ts.support.model_folder` writes it.
KIND = "recall network"
Report = Callable[[int, int, float, float], None]


class RecallRow(NamedTuple):
    """One model at one length of streams.

    Attributes:
        run, seed: which model.
        length: tokens of a stream; trained: the longest of training.
        correct: share of questions answered, the whole answer right; questions: how many were asked; chance: the share
            that guessing answers.
        nats: mean loss of a token to be answered.
        parameters: of the network; cpu_seconds: of training; tokens_per_second: of the test, in CPU time.
    """

    run: str
    seed: int
    length: int
    trained: int
    correct: float
    questions: int
    chance: float
    nats: float
    parameters: int
    cpu_seconds: float
    tokens_per_second: int


def check_recall(path: Any, recipe: Mapping[str, Any]) -> None:
    """Refuse unknown tasks, groups and settings.

    Raises:
        ValueError: with what is known.
    """
    from titans_recipes.recall import RecallTraining

    task_of(recipe, path)
    if not isinstance(recipe.get("lengths"), Mapping) or not recipe["lengths"]:
        raise ValueError(f"{path} must say lengths, a mapping of tokens to streams such as {{512: 64, 16384: 32}}")
    for name, run in [("defaults", recipe.get("defaults") or {}), *recipe["runs"].items()]:
        unknown = sorted(set(run or {}) - set(GROUPS))
        if unknown:
            raise ValueError(f"{path}: {name} has unknown entries {unknown}: known are {list(GROUPS)}")
    for run in recipe["runs"].values():
        configurations(recipe, run or {}, 0, RecallTraining)


def task_of(recipe: Mapping[str, Any], path: Any = "the recipe") -> Task:
    """The recipe's task.

    Raises:
        ValueError: there is none of that name.
    """
    from titans_recipes.recall import TASKS

    if recipe["set"] not in TASKS:
        raise ValueError(f"{path} has no task {recipe['set']!r}: set must be one of {list(TASKS)}")
    return TASKS[recipe["set"]]


def recall_rows(
    recipe: Mapping[str, Any],
    name: str,
    run: Mapping[str, Any],
    seed: int,
    lengths: Sequence[int] | None = None,
    report: Report | None = None,
    networks: Path | None = None,
) -> Iterator[RecallRow]:
    """Train one run and test it at every length, a row each as soon as it is there.

    Args:
        recipe: the checked recipe.
        name: of the run; run: its settings.
        seed: of weights and streams.
        lengths: these of the recipe's only.
        report: called after every step of training; see `titans_recipes.recall.train`.
        networks: trained networks are kept in this folder, and taken from it instead of trained again.

    Raises:
        ValueError: a length that the recipe does not have, the loss is not finite, or the folder holds a network of
            other settings.
    """
    from titans_recipes.recall import RecallTraining, accuracy

    wanted = {int(length): int(rows) for length, rows in recipe["lengths"].items()}
    missing = sorted(set(lengths or []) - set(wanted))
    if missing:
        raise ValueError(f"the recipe has no length {missing[0]}: choose among {sorted(wanted)}")
    task = task_of(recipe)
    backbone, training = configurations(recipe, run, seed, RecallTraining)
    folder = networks / re.sub(r"\W+", "-", f"{recipe['set']} {name} seed {seed}") if networks else None
    network, spent = _trained(task, backbone, training, folder, report)
    for length in sorted(lengths or wanted):
        started = time.process_time()
        found = accuracy(network, task, length, wanted[length], seed=seed + 1)
        speed = wanted[length] * length / max(1e-9, time.process_time() - started)
        yield RecallRow(
            name,
            seed,
            length,
            trained=training.longest,
            correct=found.correct,
            questions=found.questions,
            chance=task.chance,
            nats=found.nats,
            parameters=sum(p.numel() for p in network.parameters()),
            cpu_seconds=spent,
            tokens_per_second=round(speed),
        )


def _trained(
    task: Task, backbone: TitansConfig, training: RecallTraining, folder: Path | None, report: Report | None
) -> tuple[RecallNetwork, float]:
    """The network and the CPU seconds of its training, from the folder if it is there.

    Raises:
        ValueError: the network in the folder has other settings, or none can be trained.
    """
    import torch

    from titans_recipes.recall import RecallNetwork, train
    from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

    settings = plain({"task": asdict(task), "backbone": asdict(backbone), "training": asdict(training)})
    torch.manual_seed(training.seed)
    network = RecallNetwork(task.vocabulary, backbone)
    if folder is not None and folder.exists():
        stored, weights = load_model(folder, KIND)
        if stored.get("settings") != settings:
            raise ValueError(
                f"{folder} holds a network of other settings than the recipe's (its config.json says which): choose "
                "another folder or remove that one"
            )
        with rebuilding(folder):
            network.load_state_dict(weights)
            return network.eval(), float(stored["cpu_seconds"])
    started = time.process_time()
    train(network, task, training, report)
    spent = round(time.process_time() - started, 1)
    if folder is not None:
        save_model(folder, KIND, {"settings": settings, "cpu_seconds": spent}, network.state_dict())
    return network, spent
