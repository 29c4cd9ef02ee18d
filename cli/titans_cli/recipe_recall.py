"""The recall task of recipes: small models trained on short streams, asked at the end of long ones.

Shapes: none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from titans_cli.recipe_settings import GROUPS, configurations

if TYPE_CHECKING:
    from titans_ts.recall.tasks import Task


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
    from titans_ts.recall import RecallTraining

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
    from titans_ts.recall import TASKS

    if recipe["set"] not in TASKS:
        raise ValueError(f"{path} has no task {recipe['set']!r}: set must be one of {list(TASKS)}")
    return TASKS[recipe["set"]]


def recall_rows(
    recipe: Mapping[str, Any],
    name: str,
    run: Mapping[str, Any],
    seed: int,
    lengths: Sequence[int] | None = None,
    report: Callable[[int, int, float, float], None] | None = None,
) -> Iterator[RecallRow]:
    """Train one run and test it at every length, a row each as soon as it is there.

    Args:
        recipe: the checked recipe.
        name: of the run; run: its settings.
        seed: of weights and streams.
        lengths: these of the recipe's only.
        report: called after every step of training; see `titans_ts.recall.train`.

    Raises:
        ValueError: a length that the recipe does not have, or the loss is not finite.
    """
    import torch

    from titans_ts.recall import RecallNetwork, RecallTraining, accuracy, train

    wanted = {int(length): int(rows) for length, rows in recipe["lengths"].items()}
    missing = sorted(set(lengths or []) - set(wanted))
    if missing:
        raise ValueError(f"the recipe has no length {missing[0]}: choose among {sorted(wanted)}")
    task = task_of(recipe)
    backbone, training = configurations(recipe, run, seed, RecallTraining)
    torch.manual_seed(seed)
    network = RecallNetwork(task.vocabulary, backbone)
    started = time.process_time()
    train(network, task, training, report)
    spent = time.process_time() - started
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
            cpu_seconds=round(spent, 1),
            tokens_per_second=round(speed),
        )
