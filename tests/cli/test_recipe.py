"""`titans-ts recipe`: the protocol's windows, errors that say what to do, a table and a csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_cli.main import main
from titans_datasets.series.benchmarks import long_horizon

RECIPE = """
task: long_horizon
set: ETTh1
horizon: 24
season: 24
seeds: [0]
defaults:
  context_length: 48
  network: {head: point}
  backbone: {block: lmm, width: 8, heads: 2, layers: 1}
  training: {max_steps: 1, batch_size: 8}
runs:
  small: {}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    steps = np.arange(14_500)
    frame = pd.DataFrame({"date": pd.date_range("2016-07-01", periods=len(steps), freq="h")})
    frame["OT"] = np.sin(2 * np.pi * steps / 24) + 0.1 * np.random.default_rng(0).standard_normal(len(steps))
    (tmp_path / "ett").mkdir()
    frame.to_csv(tmp_path / "ett" / "ETTh1.csv", index=False)
    monkeypatch.setenv("TITANS_TS_DATA", str(tmp_path))
    (tmp_path / "small.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def test_windows_are_the_published_ones(folder: Path) -> None:
    task = long_horizon("ETTh1", 48, 24)
    assert len(task.train) == 8640 - 48 - 24 + 1
    assert len(task.validation) == len(task.test) == 2880 - 24 + 1
    batch = task.store.batch(task.train)
    whole = task.store.batch(task.test.take(slice(0, 1)))
    assert int(task.test.positions[0]) == 8640 + 2880 and int(task.test.positions[-1]) == 8640 + 2 * 2880 - 24
    assert batch["past_observed_values"].min() == 1 and abs(float(batch["past_target"].mean())) < 0.01
    assert float(whole["item_loc"]) == pytest.approx(0, abs=1e-6) and float(whole["item_scale"]) == pytest.approx(1)


def test_a_recipe_prints_a_table_and_appends_to_a_csv(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["recipe", str(folder / "small.yaml"), "--output", str(folder / "rows.csv")]
    assert main(arguments) == 0
    assert "test MSE" in capsys.readouterr().out
    assert main([*arguments, "--seeds", "3"]) == 0
    rows = pd.read_csv(folder / "rows.csv")
    assert rows["seed"].tolist() == [0, 3] and (rows["mse"] < 0.03).all() and rows["torch"].notna().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "no recipe at nowhere.yaml"),
        (["{folder}/small.yaml", "--only", "big"], "has no run 'big': choose among ['small']"),
    ],
)
def test_errors(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["recipe", *(a.format(folder=folder) for a in arguments)]) == 1
    assert message in capsys.readouterr().err


def test_missing_data_say_where_to_get_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TITANS_TS_DATA", str(folder / "empty"))
    assert main(["recipe", str(folder / "small.yaml")]) == 1
    assert "get it from https://github.com/zhouhaoyi/ETDataset" in capsys.readouterr().err


def test_unknown_entries_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "small.yaml").write_text(RECIPE.replace("small: {}", "small: {lookback: 3}"), encoding="utf-8")
    assert main(["recipe", str(folder / "small.yaml")]) == 1
    assert "unknown entries ['lookback']" in capsys.readouterr().err
