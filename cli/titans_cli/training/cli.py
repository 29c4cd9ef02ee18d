"""Training with Lightning's command line, configured by YAML files: the task of a command, and its run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException

from titans_cli.output.notes import notes_on_stderr
from titans_ts.support.guards.yaml_files import read_yaml
from titans_ts.support.lightning import quiet_lightning

DEFAULT = "forecasting"
# Name in a recipe's `task:` → module and its subclass of RecipeCLI, imported when it is needed.
TASKS = {
    DEFAULT: "forecasting.ForecastingCLI",
    "pretraining": "forecasting.PretrainingCLI",
    "sequence_classification": "genomics.DNACLI",
    "sequence_regression": "genomics.DNACLI",
    "base_labels": "genomics.DNACLI",
    "language_model": "genomics.DNACLI",
}


def run_training(argv: Sequence[str]) -> None:
    """Run the command; results go to stdout, warnings to stderr.

    Args:
        argv: fit, validate, test or predict, and its options.

    Raises:
        ValueError, TypeError, OSError: invalid input (one-line message).
    """
    task = task_of(argv)
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown: it is one of {', '.join(TASKS)}")
    with notes_on_stderr(shown=[]), quiet_lightning():
        module, name = TASKS[task].split(".")
        try:
            getattr(import_module(f"titans_cli.training.{module}"), name)(argv, task)
        except MisconfigurationException as error:
            raise ValueError(str(error)) from error


def task_of(argv: Sequence[str]) -> str:
    """The task that an option or the recipes name; forecasting where none does.

    Raises:
        ValueError: a recipe cannot be read, recipes of two tasks, or a recipe of `titans-ts recipes run`.
    """
    named: dict[str, str] = {}
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    chosen = None
    for option, value in itertools.pairwise(words):
        if option == "--task":
            chosen = value
        elif option in ("-c", "--config") and Path(value).is_file():
            named.setdefault(_task_of_file(Path(value)), value)
    named.pop("", None)
    if chosen is None and len(named) > 1:
        (one, first), (other, second) = [*named.items()][:2]
        raise ValueError(f"{first} is of task {one}, {second} of task {other}: give recipes of one task")
    return chosen or next(iter(named), DEFAULT)


def _task_of_file(file: Path) -> str:
    """The task that a recipe names; empty where it names none."""
    recipe = read_yaml(file)
    if not isinstance(recipe, dict):
        raise ValueError(f"{file} is no recipe: expected sections such as `data:` and `model:`")
    if "runs" in recipe and "data" not in recipe:
        fit = file.with_name(f"fit_{file.name}")
        other = f", or `titans-ts fit -c {fit}` for one network with Lightning" if fit.is_file() else ""
        raise ValueError(f"{file} is a recipe for `titans-ts recipes run`: run `titans-ts recipes run {file}`{other}")
    return str(recipe.get("task", ""))
