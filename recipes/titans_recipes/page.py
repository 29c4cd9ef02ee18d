"""The page of results, whose tables are made from the CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from titans_datasets.writing import in_place_of
from titans_recipes.registry import TASKS, task_named
from titans_recipes.tables import Rows

START, END = "<!-- results: start -->", "<!-- results: end -->"


def published_results(folder: Path) -> list[Path]:
    """The files of results of all tasks that are in a folder.

    Raises:
        FileNotFoundError: none of them is.
    """
    names = dict.fromkeys(task_named(name).results for name in TASKS)
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise FileNotFoundError(
            f"there are no results in {folder}/: run this in the root of the repository, or name the files with "
            "--results"
        )
    return found


def read_results(file: Path) -> list[Mapping[str, str]]:
    """The newest row of each model in a file of results.

    Raises:
        ValueError: the file has no column that names the task.
    """
    with file.open(encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if "task" not in (reader.fieldnames or ()):
            raise ValueError(
                f"{file} has no column task: add it, with the task of each row's recipe (one of {', '.join(TASKS)})"
            )
        return newest(reader)


def newest(rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Of rows with the same recipe, run, seed and keys of their task, the last one."""
    found: dict[tuple[str, ...], Mapping[str, str]] = {}
    for row in rows:
        keys = ("task", "recipe", "run", *task_named(row["task"]).keys, "seed")
        found[tuple(row[name] for name in keys)] = row
    return list(found.values())


def sections(rows: Rows) -> str:
    """Markdown: a section for each recipe, with the commits and the machine that its rows come from."""
    parts = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        mine = [row for row in rows if row["recipe"] == recipe]
        last, commits = mine[-1], ", ".join(dict.fromkeys(row["commit"] for row in mine if row["commit"]))
        parts.append(f"### {recipe}\n\n{task_named(last['task']).table(mine).markdown()}")
        protocol = f"{last['protocol']}.\n" if last.get("protocol") else ""
        parts.append(f"{protocol}{last['machine']}, {last['threads']} thread, torch {last['torch']}; commit {commits}")
    return "\n\n".join(parts)


def write_page(results: Sequence[Path], page: Path) -> None:
    """Put the tables of files of results between the two marks of a page, which is replaced as a whole.

    Raises:
        FileNotFoundError: one of the files is missing.
        ValueError: the page lacks the marks, or a file has no column that names the task.
    """
    for file in (*results, page):
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist: run this in the root of the repository, or name the files")
    text = page.read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} must have the lines {START!r} and {END!r} once each, between which the table goes")
    rows = [row for file in results for row in read_results(file)]
    before, after = text.split(START)[0], text.split(END)[1]
    with in_place_of(page) as beside:
        beside.write_text(f"{before}{START}\n\n{sections(rows)}\n\n{END}{after}", encoding="utf-8")
