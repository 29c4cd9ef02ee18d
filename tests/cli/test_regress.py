"""`titans-ts regress`: training, scores, folds, predictions, errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.genomics.common import measured
from titans_cli.main import main

# Ridge regressions alone: the network is tested elsewhere.
QUICK = ["--max-epochs", "0", "--device", "cpu", "--reverse-complement", "none"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    for name, seed in (("train", 0), ("test", 1)):
        texts, y = measured(100, seed=seed)
        frame = pd.DataFrame({"sequence": texts, "target": y, "b": -y, "word": "high", "name": range(100)})
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_train_test_and_predict(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = [
        f"--{name}={files / file}" for name, file in (("output", "o.csv"), ("json", "r.json"), ("plot", "r.png"))
    ]
    call = ["regress", f"{files}/train.csv", "--test", f"{files}/test.csv", "--model", f"{files}/model"]
    assert main([*call, "--target", "target,b", *QUICK, *written]) == 0
    out = capsys.readouterr().out
    assert "k-mer ridge" in out and "DNARegressor, b" in out and "95 % from" in out
    found = pd.read_csv(files / "o.csv")
    assert list(found.columns) == ["id", "target", "b", "predicted target", "predicted b"] and len(found) == 100
    assert json.loads((files / "r.json").read_text())["models"]["DNARegressor"]["pearson"]["value"] > 0.3
    assert (files / "r.png").is_file()
    assert main(["regress", f"{files}/test.csv", "--model", f"{files}/model", "--output", f"{files}/p.csv"]) == 0
    again = pd.read_csv(files / "p.csv")
    assert again["target"].tolist() == pytest.approx(found["predicted target"].tolist(), rel=1e-4)
    effects = ["dna", "effects", f"{files}/test.csv", "--model", f"{files}/model", "--only", "0"]
    assert main([*effects, "--class", "b", "--output", f"{files}/e.csv"]) == 0
    assert main([*effects, "--output", f"{files}/e.csv"]) == 1
    assert "--class must name one of target, b" in capsys.readouterr().err


def test_the_headline_knows_what_training_has_seen(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for test, said in (("train", "of which are copies of training sequences"), ("test", "that training has not seen")):
        assert main(["regress", f"{files}/train.csv", "--test", f"{files}/{test}.csv", *QUICK]) == 0
        (headline,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith(":")]
        assert headline.startswith(f"{test}.csv") or f"/{test}.csv, " in headline
        assert said in headline


def test_folds(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["regress", f"{files}/train.csv", "--cv", "3", "--output", f"{files}/cv.csv", "--id", "name"]
    assert main([*call, *QUICK]) == 0
    assert capsys.readouterr().out.count("weights of network + linear part") == 3
    assert pd.read_csv(files / "cv.csv")["id"].tolist() == list(range(100))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cv", "3", "--target", "word"], "expected a number, got 'high'"),
        (["--cv", "3", "--target", "none"], "none"),
        ([], "expected --test FILE or --cv K"),
        (["--cv", "3", "--loss", "poisson", "--target", "b"], "loss='poisson' needs counts or rates ≥ 0"),
        (["--cv", "3", "--per-base"], "row 1: expected 30 numbers, one per base, got 1"),
        (["--cv", "3", "--signal", "a.bw"], "--signal is for intervals (.bed)"),
        (["--cv", "3", "--report", "report.txt"], "--report report.txt: expected a name ending in .html"),
        (["--cv", "3", "--json", "report.txt"], "--json report.txt: expected a name ending in .json"),
    ],
)
def test_errors_are_one_line(files: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regress", f"{files}/train.csv", *options, *QUICK]) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
