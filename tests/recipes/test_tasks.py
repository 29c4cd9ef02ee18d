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


def test_sections_that_a_task_does_not_use_are_named(tmp_path: Path) -> None:
    recipe = yaml.safe_load((RECIPES / "long_context/passkey.yaml").read_text(encoding="utf-8"))
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**recipe, "season": 24, "horizon": 3}), encoding="utf-8")
    with pytest.warns(UserWarning, match=r"r\.yaml: horizon, season is not used by task recall"):
        load_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("runs", ["lmm"], "runs must be a mapping of names to settings"),
        ("runs", {"lmm": 3}, "lmm must be a mapping of names to settings, got 3"),
        ("runs", {"lmm": {"memory": 3}}, "lmm.memory must be a mapping"),
        ("runs", {3: None}, "names of runs must be texts, got 3"),
        ("defaults", 4, "defaults must be a mapping"),
        ("defaults", {"backbone": [1]}, "defaults.backbone must be a mapping"),
        ("seeds", "0", "seeds must be a list of whole numbers"),
        ("seeds", [0, -1], "seeds must be a list of whole numbers"),
        ("seeds", [2**32], "seeds must be a list of whole numbers"),
    ],
)
def test_sections_of_the_wrong_kind_are_refused(section: str, value: object, message: str, tmp_path: Path) -> None:
    recipe = yaml.safe_load((RECIPES / "long_context/passkey.yaml").read_text(encoding="utf-8"))
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**recipe, section: value}), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_recipe(tmp_path / "r.yaml")


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
