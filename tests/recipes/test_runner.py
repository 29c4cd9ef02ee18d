"""`titans-ts recipes`: the protocol's windows, errors that say what to do, a table and a csv."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_cli.main import main
from titans_datasets.series.public.benchmarks import long_horizon
from titans_recipes.catalogue import find_recipe, load_recipe
from titans_recipes.forecasting.rows import forecast_table
from titans_recipes.forecasting.settings import settings_of
from titans_recipes.page import END, START

# The table of these tests is shorter than the published one.
pytestmark = pytest.mark.filterwarnings("ignore:.* is not the file of ETTh1")
RECIPE = """
task: long_horizon
set: ETTh1
horizons: [24]
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
    arguments = ["recipes", "run", str(folder / "small.yaml"), "--output", str(folder / "rows.csv")]
    assert main(arguments) == 0
    assert "linear part alone" in capsys.readouterr().out
    assert main([*arguments, "--seeds", "3"]) == 0
    rows = pd.read_csv(folder / "rows.csv")
    assert rows["seed"].tolist() == [0, 3] and (rows["mse"] < 0.03).all() and rows["torch"].notna().all()


def test_horizons_get_rows_of_their_own_and_their_mean_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "run", str(folder / "small.yaml"), "--horizons", "12,24"]) == 0
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert [line.split()[1] for line in lines] == ["12", "24", "mean"] and "mean of 2" in lines[2]
    scores = [float(re.findall(r"\d\.\d{4}", line)[0]) for line in lines]
    assert scores[2] == pytest.approx((scores[0] + scores[1]) / 2, abs=1e-4)


def test_a_mean_over_horizons_leaves_out_seeds_that_lack_one() -> None:
    rows = [
        {"run": "a", "horizon": horizon, "seed": seed, "mse": mse, "mae": mse}
        for horizon, seed, mse in ((12, 0, 1.0), (24, 0, 3.0), (12, 1, 100.0))
    ]
    assert forecast_table(rows).lines[-1][:4] == ("a", "mean of 2", "1", "2.0000 / 2.0000")
    assert len(forecast_table(rows[1:]).lines) == 2


def test_every_shipped_recipe_is_listed_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"etth1", "ettm1", "weather", "exchange", "epf_np", "epf_be", "epf_de"} <= set(listed)
    for name in listed:
        recipe = load_recipe(find_recipe(name))
        if recipe["task"] in ("long_horizon", "electricity_prices"):
            run = next(iter(recipe["runs"].values())) or {}
            assert recipe["seeds"] and settings_of(recipe, run)["context_length"] > 0


def test_the_page_gets_the_newest_rows_and_keeps_its_text(folder: Path) -> None:
    rows = folder / "rows.csv"
    for _ in range(2):
        assert main(["recipes", "run", str(folder / "small.yaml"), "--seeds", "0,1", "--output", str(rows)]) == 0
    page = folder / "page.md"
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n", encoding="utf-8")
    assert main(["recipes", "table", "--results", str(rows), "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    line = next(line for line in text.splitlines() if line.startswith("| small"))
    assert [cell.strip() for cell in line.strip("|").split("|")][1:3] == ["24", "2"]


def test_a_page_without_marks_stays_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, rows = folder / "page.md", folder / "rows.csv"
    page.write_text("nothing here", encoding="utf-8")
    rows.write_text("recipe,task,run,horizon,seed\n", encoding="utf-8")
    assert main(["recipes", "table", "--results", str(rows), "--page", str(page)]) == 1
    assert "between which the table goes" in capsys.readouterr().err and page.read_text() == "nothing here"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eth1"], "did you mean 'etth1'?"),
        (["nowhere.yaml"], "no recipe 'nowhere.yaml'"),
        (["{folder}/small.yaml", "--only", "big"], "has no run 'big': choose among ['small']"),
    ],
)
def test_errors(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["recipes", "run", *(a.format(folder=folder) for a in arguments)]) == 1
    assert message in capsys.readouterr().err


def test_missing_data_say_where_to_get_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TITANS_TS_DATA", str(folder / "empty"))
    assert main(["recipes", "run", str(folder / "small.yaml")]) == 1
    assert "get it from https://github.com/zhouhaoyi/ETDataset" in capsys.readouterr().err


def test_unknown_entries_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "small.yaml").write_text(RECIPE.replace("small: {}", "small: {lookback: 3}"), encoding="utf-8")
    assert main(["recipes", "run", str(folder / "small.yaml")]) == 1
    assert "unknown entries ['lookback']" in capsys.readouterr().err
