"""Running a recipe: rows as they come, the table at the end, a CSV file and a picture on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from titans_recipes.catalogue import load_recipe
from titans_recipes.page import read_results
from titans_recipes.pictures import picture_path
from titans_recipes.registry import TASKS, task_named
from titans_recipes.task import Recipe, Row, Selection, Task
from titans_ts.support.run_log import append_csv, commit, machine
from titans_ts.version import __version__


def select(
    path: Path,
    recipe: Recipe,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
    horizons: Sequence[int] | None = None,
) -> Selection:
    """The part of a recipe to run; what is None or empty is taken from the recipe.

    Args:
        path: of the recipe, for messages.
        recipe: its content.
        seeds, horizons: instead of the recipe's.
        only: names of runs, or of the recipe's peers.

    Raises:
        ValueError: the recipe has no such run, or its task has no horizons.
    """
    every = {**recipe["runs"], **dict.fromkeys(recipe.get("peers") or ())}
    missing = sorted(set(only or []) - set(every))
    if missing:
        raise ValueError(f"{path} has no run {missing[0]!r}: choose among {list(every)}")
    if horizons and not task_named(recipe["task"]).horizons:
        raise ValueError(f"{path}: recipes of task {recipe['task']} have no horizons: leave --horizons out")
    runs = {name: run or {} for name, run in every.items() if not only or name in only}
    return Selection(runs, [int(seed) for seed in seeds or recipe["seeds"]], horizons or None)


def run_recipe(
    path: Path,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
    horizons: Sequence[int] | None = None,
) -> Iterator[Row]:
    """Train and score every run of a recipe with every seed; see `select` for the arguments.

    Raises:
        ValueError: as `load_recipe` and `select`.
    """
    recipe = load_recipe(path)
    yield from task_named(recipe["task"]).run(recipe, select(path, recipe, seeds, only, horizons))


def append_rows(file: Path, recipe: Path, task: str, rows: Sequence[Any]) -> None:
    """Append results to a CSV file, with task, machine, versions and commit; the file is replaced as a whole.

    Args:
        file: the CSV file.
        recipe: the file of the recipe.
        task: its name.
        rows: of the task's dataclass.

    Raises:
        ValueError: the file has other columns, such as those of another task.
    """
    where = {
        "recipe": recipe.stem,
        "task": task,
        "version": __version__,
        "commit": commit(),
        "torch": torch.__version__,
        "machine": machine(),
        "threads": torch.get_num_threads(),
    }
    found = task_named(task)
    lines = [{**where, **{name: _short(value) for name, value in found.values(row).items()}} for row in rows]
    append_csv(file, [*where, *found.columns], lines)


def _short(value: object) -> object:
    return round(value, 5) if isinstance(value, float) else value


def report_recipe(
    path: Path,
    console: Console,
    *,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
    horizons: Sequence[int] | None = None,
    output: str | None = None,
    plot: str | None = None,
) -> None:
    """Run a recipe: a line as each model is done, the table at the end, and a picture where one is requested.

    Args:
        path: the recipe.
        console: prints.
        seeds, only, horizons: see `select`.
        output: CSV file to which rows are appended; what it has already some tasks don't compute again.
        plot: file of the picture.

    Raises:
        ValueError: as `run_recipe`, or the task has no picture.
        FileNotFoundError: the data are missing.
    """
    recipe = load_recipe(path)
    task = task_named(recipe["task"])
    picture = None if plot is None else _picture(path, task, plot)
    selection = select(path, recipe, seeds, only, horizons)
    if output and task.known is not None:
        selection = replace(selection, known=_stored(Path(output), path.stem))
    for note in task.notes(recipe, selection):
        console.print(note, markup=False)
    rows: list[Row] = []
    for row in task.run(recipe, selection):
        rows.append(row)
        console.print(_line(task, row), markup=False)
        if output and not (task.known is not None and task.known(row)):
            append_rows(Path(output), path, recipe["task"], [row])
    console.print(task.table([task.values(row) for row in rows]).rich())
    if picture is not None and task.plot is not None:
        task.plot(rows, picture, path.stem)
        console.print(f"plot: {picture}")


def _stored(file: Path, recipe: str) -> list[Mapping[str, str]]:
    """Rows of a recipe in a file of results; none where the file is not there or empty."""
    if not file.is_file() or not file.stat().st_size:
        return []
    return [row for row in read_results(file) if row["recipe"] == recipe]


def _picture(path: Path, task: Task, name: str) -> Path:
    if task.plot is None:
        have = ", ".join(one for one in TASKS if task_named(one).plot is not None)
        raise ValueError(f"{path} has no picture, recipes of tasks {have} have: leave --plot out")
    return picture_path(name)


def _line(task: Task, row: Row) -> str:
    """What is printed of a row while a recipe runs."""
    values = task.values(row)
    scores = [f"{name.upper()} {values[name]:.4f}" for name in task.scores if values[name] is not None]
    spent = "" if row.cpu_seconds is None else f", {row.cpu_seconds:.0f} CPU s"
    return f"{row.run}{task.label(row)}, seed {row.seed}: {' '.join(scores)}{spent}"
