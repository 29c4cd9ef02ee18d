"""The task `dna_regression`: rows with intervals, baselines beside, a table of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.genomics.common import measured
from titans_cli.main import main
from titans_datasets.dna.public import values as public
from titans_datasets.dna.public.task import DNATask

RECIPE = """
task: dna_regression
set: planted
seeds: [0]
runs:
  titans: {max_epochs: 1, reverse_complement: none, options: {kmers: [3, 3], channels: 8, width: 8, heads: 2}}
  k-mer ridge: {baseline: k-mer ridge}
  position ridge: {baseline: position ridge}
  small CNN: {baseline: small CNN}
"""


def planted() -> DNATask:
    texts, y = measured(150)
    frame = pd.DataFrame({"sequence": texts, "target": y, "group": [f"g{i // 3}" for i in range(150)]})
    return DNATask("planted", frame[:110], frame[110:], "planted words")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(public, "value_benchmark", lambda name, seed: planted())
    (tmp_path / "planted.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def test_rows_have_intervals_and_the_protocol(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("titans_recipes.dna.regression.choose_epochs", lambda count, size, steps: 1)
    assert main(["recipes", "run", str(folder / "planted.yaml"), "--output", str(folder / "rows.csv")]) == 0
    assert "networks alone" in capsys.readouterr().out
    rows = pd.read_csv(folder / "rows.csv").set_index("run")
    assert list(rows.index) == ["titans", "k-mer ridge", "position ridge", "small CNN"]
    assert (rows["pearson_low"] <= rows["pearson"]).all() and (rows["spearman"] <= rows["spearman_high"]).all()
    assert rows.loc["k-mer ridge", "pearson"] > 0.6 and np.isfinite(rows.loc["titans", "network_weight"])
    assert (rows["test_rows"] == 40).all() and (rows["protocol"] == "planted words").all()


@pytest.mark.parametrize(
    ("run", "message"), [("{baseline: oracle}", "must name one baseline"), ("{depth: 3}", "unknown entries")]
)
def test_unknown_runs(folder: Path, run: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"task: dna_regression\nset: planted\nseeds: [0]\nruns:\n  one: {run}\n"
    (folder / "bad.yaml").write_text(text, encoding="utf-8")
    assert main(["recipes", "run", str(folder / "bad.yaml")]) == 1
    assert message in capsys.readouterr().err
