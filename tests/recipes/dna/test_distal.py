"""The task `distal`: a row for each length, settings over defaults, errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from titans_cli.main import main

RECIPE = """
task: distal
set: same
seeds: [0]
lengths: {160: 20, 200: 10}
defaults:
  data: {length: 160, sequences: 60, distance: 30}
  linear: false
  head: pooled
  reverse_complement: none
  max_epochs: 1
  options: {channels: 8, width: 8, heads: 2, pool: 8, merge: 1, bidirectional: false}
runs:
  lmm: {block: lmm, options: {memory: {kind: linear, momentum: false}}}
  convolutions only: {options: {mixing: false}}
  k-mers: {baseline: k-mers}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_one_training_a_row_for_each_length(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "run", str(recipe), "--output", str(recipe.with_suffix(".csv"))]) == 0
    out = capsys.readouterr().out
    assert "lmm, 200 bases, seed 0: ACCURACY" in out and "trained on" in out
    rows = pd.read_csv(recipe.with_suffix(".csv"))
    assert rows[["run", "length", "test_rows"]].to_numpy().tolist() == [
        [run, length, count]
        for run in ("lmm", "convolutions only", "k-mers")
        for length, count in ((160, 20), (200, 10))
    ]
    assert (rows["trained"] == 160).all() and (rows["accuracy_low"] <= rows["accuracy_high"]).all()
    parameters = rows.groupby("run", sort=False)["parameters"].first()
    assert parameters["convolutions only"] < parameters["lmm"] and pd.isna(parameters["k-mers"])


def test_some_lengths(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["recipes", "run", str(recipe), "--only", "k-mers", "--horizons"]
    assert main([*arguments, "200"]) == 0
    assert "160 bases" not in capsys.readouterr().out
    assert main([*arguments, "99"]) == 1
    assert "no length 99: choose among [160, 200]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("set: same", "set: near", "no relation 'near': set must be one of ['same', 'marked']"),
        ("lengths: {160: 20, 200: 10}", "lengths: [160]", "lengths must be a mapping"),
        ("distance: 30", "far: 30", "data of 'defaults' has unknown entries ['far']: known are ['distance',"),
        ("baseline: k-mers", "baseline: forest", "run 'k-mers' names no baseline"),
        ("max_epochs", "epochs", "unknown entries ['epochs']: known are ['block',"),
    ],
)
def test_broken_recipes(recipe: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str) -> None:
    recipe.write_text(RECIPE.replace(old, new), encoding="utf-8")
    assert main(["recipes", "run", str(recipe)]) == 1
    assert message in capsys.readouterr().err
