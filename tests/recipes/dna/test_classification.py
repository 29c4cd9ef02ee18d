"""The task `dna`: rows with intervals, baselines beside, a table of their own, errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import titans_datasets.dna.public.benchmarks as benchmarks
from titans_cli.main import main
from titans_datasets.dna.public.task import DNATask
from titans_recipes.catalogue import all_recipes, load_recipe
from titans_recipes.page import END, START

RECIPE = """
task: dna
set: planted
seeds: [0]
runs:
  maps: {max_epochs: 0, options: {kmers: [6, 5]}}
  titans: {max_epochs: 1, reverse_complement: none, options: {kmers: [6, 5], channels: 8, width: 8, heads: 2}}
  convolutions only: {max_epochs: 1, options: {kmers: [6, 5], channels: 8, mixing: false}}
  positions: {baseline: positions}
  gaps: {baseline: k-mers with gaps}
"""
MOTIF = "TTGACA"


def planted(seed: int = 0) -> DNATask:
    """Half of the sequences have a motif somewhere; the first test rows are copies of training rows."""
    random = np.random.default_rng(seed)
    texts = ["".join(row) for row in random.choice(list("ACGT"), (260, 40))]
    labels = np.arange(260) % 2
    at = random.integers(0, 34, 260)
    texts = [
        x[:p] + MOTIF + x[p + 6 :] if y else x.replace(MOTIF, "A" * 6)
        for x, y, p in zip(texts, labels, at, strict=True)
    ]
    frame = pd.DataFrame({"sequence": texts, "label": labels})
    test = pd.concat([frame[:5], frame[200:]], ignore_index=True)
    return DNATask("planted", frame[:200], test, "planted motif")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(benchmarks, "benchmark", lambda name, seed: planted())
    (tmp_path / "planted.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def test_rows_have_intervals_a_clean_part_and_the_protocol(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "run", str(folder / "planted.yaml"), "--output", str(folder / "rows.csv")]) == 0
    out = capsys.readouterr().out
    assert "MCC, clean part" in out
    rows = pd.read_csv(folder / "rows.csv").set_index("run")
    assert list(rows.index) == ["maps", "titans", "convolutions only", "positions", "gaps"]
    assert (rows["mcc_low"] <= rows["mcc"]).all() and (rows["mcc"] <= rows["mcc_high"]).all()
    # A motif at any place: counted words find it, positions do not.
    assert rows.loc["gaps", "mcc"] > 0.8 > 0.5 > rows.loc["positions", "mcc"]
    assert (rows["test_rows"] == 65).all() and (rows["clean_rows"] == 60).all()
    assert rows["protocol"].str.contains("5 test rows share a 31-mer with train, 5 are copies").all()
    # Without training there is no network to speak of.
    assert np.isnan(rows.loc["maps", "network_mcc"]) and np.isfinite(rows.loc["titans", "network_mcc"])
    assert rows.loc["convolutions only", "parameters"] < rows.loc["titans", "parameters"]


def test_the_page_holds_both_kinds_of_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, page = folder / "rows.csv", folder / "page.md"
    arguments = ["recipes", "run", str(folder / "planted.yaml"), "--output", str(rows), "--only", "positions"]
    assert main(arguments) == 0 and main([*arguments, "--seeds", "1"]) == 0
    forecast = folder / "forecasts.csv"
    forecast.write_text(
        "recipe,task,commit,machine,threads,torch,run,horizon,seed,mse,mae\n"
        "air,long_horizon,abc,m,1,2,linear,24,0,0.5,0.25\n",
        encoding="utf-8",
    )
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n", encoding="utf-8")
    assert main(["recipes", "table", "--results", str(forecast), str(rows), "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "### air" in text and "| linear | 24 | 1 | 0.5000 / 0.2500 |" in text
    assert (
        "### planted" in text and "| positions | 2 | " in text and "old" not in text and "planted motif; 5 test" in text
    )


def test_results_of_another_kind_are_not_mixed_into_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "rows.csv"
    path.write_text("recipe,horizon,mse\nair,24,0.5\n", encoding="utf-8")
    arguments = ["recipes", "run", str(folder / "planted.yaml"), "--output", str(path), "--only", "positions"]
    assert main(arguments) == 1
    assert "name a new file" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "recipe,horizon,mse\nair,24,0.5\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("positions: {baseline: positions}", "p: {baseline: forest}", "must name one baseline"),
        ("positions: {baseline: positions}", "p: {baseline: positions, block: mac}", "must name one baseline"),
        ("max_epochs: 0", "epochs: 0", "unknown entries ['epochs']: known are ['block',"),
        ("set: planted", "horizons: [3]", "must be a mapping with task"),
    ],
)
def test_broken_recipes(folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str) -> None:
    (folder / "planted.yaml").write_text(RECIPE.replace(old, new), encoding="utf-8")
    assert main(["recipes", "run", str(folder / "planted.yaml")]) == 1
    assert message in capsys.readouterr().err


def test_dna_has_no_horizons(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "run", str(folder / "planted.yaml"), "--horizons", "24"]) == 1
    assert "leave --horizons out" in capsys.readouterr().err


def test_every_recipe_of_the_package_is_sound() -> None:
    found = {path.parent.name for path in all_recipes() if load_recipe(path)}
    assert found >= {"forecasting", "genomics"}


def test_without_its_data_a_recipe_says_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TITANS_TS_DATA", str(tmp_path))
    assert main(["recipes", "run", "mouse_3", "--only", "positions"]) == 1
    assert "gue/mouse__3__train.csv" in capsys.readouterr().err
