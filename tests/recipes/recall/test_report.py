"""`titans-ts recall`: a recipe without data, a line a length, a csv that becomes a table, a plot, errors that help."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from titans_cli.main import main
from titans_recipes.catalogue import all_recipes, load_recipe
from titans_recipes.page import END, START
from titans_recipes.recall.report import stored
from titans_recipes.recall.streams import STREAM_KINDS

RECIPE = """
task: recall
set: passkey
seeds: [0]
lengths: {24: 4, 40: 2}
defaults:
  backbone: {width: 8, heads: 2, layers: 1, window: 4, segment: 4, dropout: 0.0}
  memory: {kind: linear, anchor: token, chunk_size: 8}
  training: {steps: 2, tokens: 64, shortest: 12, longest: 24, span: 16}
runs:
  lmm: {backbone: {block: lmm}}
  attention only: {backbone: {block: attention}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_rows_table_and_plot(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, plot = tmp_path / "rows.csv", tmp_path / "plot.png"
    assert main(["recall", str(recipe), "--output", str(output), "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "lmm,        40 tokens:" in printed and "guessing" in printed and "trained to" in printed
    rows = pd.read_csv(output)
    assert rows["run"].tolist() == ["lmm"] * 2 + ["attention only"] * 2 and rows["length"].tolist() == [24, 40] * 2
    assert rows["questions"].tolist() == [4, 2, 4, 2] and rows["correct"].between(0, 1).all()
    assert (rows["chance"] == 1e-4).all() and (rows["trained"] == 24).all() and (rows["parameters"] > 0).all()
    assert plot.read_bytes().startswith(b"\x89PNG")
    again = stored(output, "small")
    assert [(row.run, row.length) for row in again] == list(zip(rows["run"], rows["length"], strict=True))
    assert [row.correct for row in again] == rows["correct"].tolist() and isinstance(again[0].questions, int)
    assert stored(output, "another") == []
    page = tmp_path / "page.md"
    page.write_text(f"{START}\n{END}\n", encoding="utf-8")
    assert main(["recipes", "table", "--results", str(output), "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "| run | seeds | trained to | 24 | 40 | CPU s |" in text and "| attention only | 1 | 24 |" in text


def test_parts_of_a_recipe_and_the_way_over_recipes_run(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recall", str(recipe), "--only", "lmm", "--lengths", "24", "--seeds", "1"]) == 0
    assert "attention" not in capsys.readouterr().out
    assert main(["recipes", "run", str(recipe), "--only", "lmm", "--horizons", "24", "--seeds", "1"]) == 0
    assert "lmm, 24 tokens, seed 1: CORRECT 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("set: passkey", "set: haystack", "set must be one of"),
        ("lengths: {24: 4, 40: 2}", "lengths: []", "a mapping of tokens to streams"),
        ("lengths: {24: 4, 40: 2}", "lengths: {24: x}", "whole numbers ≥ 1, got {24: 'x'}"),
        ("lengths: {24: 4, 40: 2}", "lengths: {24: 100000000}", "100,000,000 streams of 24 tokens are more than"),
        ("steps: 2", "stepps: 2", "unknown setting: .*stepps"),
        ("{backbone: {block: lmm}}", "{network: {}}", r"unknown entries \['network'\]"),
        ("kind: linear", "kind: cubic", "memory kind must be one of"),
        ("shortest: 12", "shortest: 2", "shortest must be ≥ 12 tokens for these streams"),
        ("{24: 4, 40: 2}", "{11: 4}", "length must be ≥ 12 tokens"),
    ],
)
def test_broken_recipes_are_refused(
    recipe: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    recipe.write_text(RECIPE.replace(old, new), encoding="utf-8")
    assert main(["recall", str(recipe)]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "mamba"], "has no run 'mamba': choose among"),
        (["--lengths", "25"], r"no length 25: choose among \[24, 40\]"),
        (["--plot", "x.gif"], "path must end in one of .png"),
    ],
)
def test_wrong_arguments_are_refused(
    recipe: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["recall", str(recipe), *arguments]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error


def test_kept_networks_are_not_trained_again(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output, folder = tmp_path / "rows.csv", tmp_path / "networks"
    command = ["recall", str(recipe), "--only", "lmm", "--output", str(output), "--networks", str(folder)]
    assert main([*command, "--lengths", "24"]) == 0
    monkeypatch.setattr("titans_recipes.recall.task.train", lambda *_: pytest.fail("trained again"))
    assert main(command) == 0
    rows = pd.read_csv(output)
    assert rows["length"].tolist() == [24, 24, 40]
    again = rows[rows["length"] == 24]
    assert again["nats"].nunique() == 1 and again["cpu_seconds"].nunique() == 1
    recipe.write_text(RECIPE.replace("steps: 2", "steps: 3"), encoding="utf-8")
    assert main(command) == 1
    assert "holds a network with other settings than the recipe's" in capsys.readouterr().err
    (kept,) = folder.iterdir()
    (kept / "config.json").unlink()
    assert main(command) == 1
    assert "is no model of titans-ts" in capsys.readouterr().err


def test_other_recipes_are_sent_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recall", "etth1"]) == 1
    assert "use titans-ts recipes run etth1" in capsys.readouterr().err


def test_the_recipes_that_ship_can_be_read() -> None:
    read = [load_recipe(path) for path in all_recipes() if path.parent.name == "long_context"]
    found = [recipe for recipe in read if recipe["task"] == "recall"]
    assert {recipe["set"] for recipe in found} == set(STREAM_KINDS)
    for recipe in found:
        assert {"lmm", "mac", "mag", "mal", "attention only"} <= set(recipe["runs"])
