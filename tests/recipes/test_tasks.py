"""Every task of the registry: what it declares, and the recipes that ship for it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from titans_recipes.catalogue import all_recipes, load_recipe
from titans_recipes.page import published_results, read_results, sections
from titans_recipes.registry import TASKS, task_named
from titans_recipes.task import Task

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.mark.parametrize("name", TASKS)
def test_a_task_declares_its_columns(name: str) -> None:
    task = task_named(name)
    assert isinstance(task, Task) and is_dataclass(task.row)
    columns = {field.name for field in fields(task.row)}
    assert {"run", "seed", "cpu_seconds", *task.keys, *task.scores} <= columns
    assert set(task.columns) <= columns and task.scores


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_recipes_that_pass_its_check(name: str) -> None:
    mine = [path for path in all_recipes() if yaml.safe_load(path.read_text(encoding="utf-8"))["task"] == name]
    assert mine
    for path in mine:
        assert load_recipe(path)["task"] == name


@pytest.mark.parametrize("file", published_results(RECIPES), ids=lambda file: file.name)
def test_published_results_are_rows_of_their_task(file: Path) -> None:
    rows = read_results(file)
    for name in {row["task"] for row in rows}:
        mine, task = [row for row in rows if row["task"] == name], task_named(name)
        assert task.results == file.name and set(task.columns) <= set(mine[0])
        header, lines = task.table(mine)
        assert lines and all(len(line) == len(header) for line in lines)


def test_the_page_is_made_from_the_published_results() -> None:
    rows = [row for file in published_results(RECIPES) for row in read_results(file)]
    assert sections(rows) in (RECIPES / "README.md").read_text(encoding="utf-8")


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown task 'weather': choose among long_horizon,"):
        task_named("weather")


def test_results_name_their_task(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("recipe,run,seed\netth1,small,0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"rows.csv has no column task: add it"):
        read_results(file)
