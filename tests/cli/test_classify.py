"""`titans-ts classify`: training, scores, folds, labels of new sequences, errors of one line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.genomics.common import sequences
from titans_cli.main import main
from titans_datasets.dna.read.labelled import Columns, read_labelled
from titans_ts.genomics.training.holdout import clusters, cross_validation

COLUMNS = Columns("sequence", "label", None, None)
# Logistic maps alone: the network is tested elsewhere.
QUICK = ["--max-epochs", "0", "--device", "cpu"]


def fasta(texts: list[str]) -> str:
    return "".join(f">s{i} of the test\n{text}\n" for i, text in enumerate(texts))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dna")
    for name, count, seed in (("train", 80, 0), ("test", 40, 1)):
        texts, labels = sequences(count, seed=seed)
        frame = pd.DataFrame({"seq": texts, "kind": labels, "name": [f"{name}{i}" for i in range(count)]})
        frame["family"] = np.arange(count) // 4
        frame.to_csv(folder / f"{name}.csv", index=False)
        (folder / f"{name}_no.fa").write_text(fasta([t for t, y in zip(texts, labels, strict=True) if y == "no"]))
        (folder / f"{name}_yes.fa").write_text(fasta([t for t, y in zip(texts, labels, strict=True) if y == "yes"]))
    return folder


@pytest.fixture(scope="module")
def trained(files: Path) -> Path:
    """A folder with a model and everything else that a training writes."""
    out = files / "out"
    written = [
        "--model",
        out / "model",
        "--output",
        out / "found.csv",
        "--json",
        out / "r.json",
        "--plot",
        out / "r.png",
    ]
    named = ["--sequence", "seq", "--label", "kind", "--id", "name", "--group", "family"]
    argv = [files / "train.csv", "--test", files / "test.csv", *named, *written, "--max-epochs", "1", "--device", "cpu"]
    assert main(["classify", *map(str, argv)]) == 0
    return out


def test_training_writes_everything(trained: Path, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(path.name for path in trained.iterdir()) == ["found.csv", "model", "r.json", "r.png"]
    found = pd.read_csv(trained / "found.csv")
    assert list(found.columns) == ["id", "label", "predicted", "no", "yes"] and len(found) == 40
    assert found["id"].tolist() == [f"test{i}" for i in range(40)]
    assert np.allclose(found["no"] + found["yes"], 1, atol=1e-5)
    report = json.loads((trained / "r.json").read_text())
    value = report["models"]["DNAClassifier"]["accuracy"]["value"]
    assert value == pytest.approx((found["label"] == found["predicted"]).mean()) and value > 0.8
    assert report["leakage"]["test"]["clean"] == 40
    # The folder is there: it is scored, not trained again, and gives the same table.
    argv = ["classify", str(files / "train.csv"), "--test", str(files / "test.csv"), "--model", str(trained / "model")]
    assert main([*argv, "--sequence", "seq", "--label", "kind"]) == 0
    out = capsys.readouterr().out
    assert "no training" in out and "k-mers" in out and "95 % from" in out and f"{value:.3f}" in out
    assert "no test sequence shares 31 bases" in out and "no 20, yes 20" in out


def test_labels_of_new_sequences(trained: Path, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, packed = str(trained / "model"), files / "new.fa.gz"
    packed.write_bytes(gzip.compress((files / "test_yes.fa").read_bytes()))
    assert main(["classify", str(packed), "--model", model]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines(), delimiter="\t"))
    expected = pd.read_csv(trained / "found.csv").iloc[20:]
    assert [row["id"] for row in rows] == [f"s{i}" for i in range(20)]
    assert np.allclose([float(row["yes"]) for row in rows], expected["yes"], atol=1e-5)
    assert [row["predicted"] for row in rows] == expected["predicted"].tolist()
    table = files / "new.tsv"
    argv = ["classify", str(files / "test.csv"), "--model", model, "--sequence", "seq", "--output", str(table)]
    assert main(argv) == 0
    assert "40 sequences" in capsys.readouterr().out
    assert pd.read_csv(table, sep="\t")["yes"].iloc[20:].tolist() == expected["yes"].tolist()


@pytest.mark.parametrize("options", [[], ["--format", "fasta"]])
def test_sequences_of_standard_input(
    options: list[str], trained: Path, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((files / "test_yes.fa").read_bytes())))
    assert main(["classify", "-", "--model", str(trained / "model"), *options]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines(), delimiter="\t"))
    assert [row["id"] for row in rows] == [f"s{i}" for i in range(20)]


def test_folds_from_a_file_a_class(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = f"no={files / 'train_no.fa'},yes={files / 'train_yes.fa'}"
    out, model = files / "folds.csv", files / "folds"
    written = ["--output", str(out), "--model", str(model), "--plot", str(files / "folds.png")]
    assert main(["classify", source, "--cv", "2", *QUICK, *written]) == 0
    lines = capsys.readouterr().out.splitlines()
    (ours,) = [line for line in lines if line.startswith("DNAClassifier ")]
    assert ours.count("±") == 8 and any(line.startswith("majority ") for line in lines)
    assert sum("fold " in line and "MCC" in line for line in lines) == 2
    assert "leakage: no sequence shares 31 bases with those that its model saw" in lines
    assert len(pd.read_csv(out)) == 80 and (model / "config.json").is_file()


def test_folds_keep_related_sequences_together(tmp_path: Path) -> None:
    texts, labels = sequences(60, length=50)
    # Overlapping halves of one stretch, and a copy: related. The rest is one of three families.
    texts[1], texts[2] = texts[0][10:] + texts[1][:10], texts[0]
    frame = pd.DataFrame({"sequence": texts, "label": labels, "family": [0, 1, 2, *range(3, 60)]})
    frame.loc[40:45, "family"] = 99
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = read_labelled(str(tmp_path / "a.csv"), COLUMNS._replace(group="family"))
    together = clusters(data, 31)
    parts = cross_validation(together, data.labels, 3, 0)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(60))
    for members in ([0, 1, 2], list(range(40, 46))):
        assert len({together[i] for i in members}) == 1
        assert sum(np.isin(members, part).any() for part in parts) == 1
    assert len(np.unique(clusters(data, 0)[:3])) == 2
    assert all(15 <= len(part) <= 25 for part in parts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NO"], "expected --test FILE or --cv K, to train on labelled sequences, or --model DIR"),
        (["NO", "--cv", "2"], "train_no.fa has no labels: give a csv or tsv"),
        (["TRAIN", "--cv", "2"], "has no column 'sequence', only seq, kind, name, family"),
        (["a=NO", "--cv", "2"], "expected two or more classes with one file each"),
        (["a=NO,b=none.fa", "--cv", "2"], "none.fa does not exist"),
        (["TRAIN", "--cv", "99", "--sequence", "seq", "--label", "kind"], "--cv 99 leaves a fold empty"),
        (["NO", "--model", "none"], "none is no folder: give the --model folder of a trained model"),
        (["NO", "--model", "MODEL", "--plot", "a.png"], "--plot is for labelled sequences"),
        (["NO", "--model", "MODEL", "--output", "a.xls"], "expected a name ending in .csv"),
        (["NO", "--cv", "2", "--plot", "a.gif"], "path must end in one of .png"),
        (["BAD", "--model", "MODEL"], "bad.fa: record odd: position 3: letter '!' is none of A, C, G, T"),
        (["TRAIN", "--sequence", "seq", "--label", "kind", "--cv", "2", "--model", "MODEL"], "is there already"),
        (["NO", "--model", "MODEL", "--pretrained", "LM"], "--pretrained is for labelled sequences"),
        (["TRAIN", "--cv", "2", "--model", "MODEL", "--pretrained", "LM"], "--pretrained starts a new model, but"),
        (["TRAIN", "--cv", "2", "--pretrained", "none"], "none is no folder"),
        (["TRAIN", "--cv", "2", "--pretrained", "MODEL"], "holds a dna classifier, expected a dna language model"),
        (["RARE", "--cv", "2"], "to train on in a fold: that class occurs in 1 groups"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, files: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rare = zip(("ACGTACCA", "GGTTACGA", "TTGACCAT", "CAGTTTGA"), "aabc", strict=True)
    (files / "rare.csv").write_text("sequence,label\n" + "".join(f"{text},{label}\n" for text, label in rare))
    (files / "bad.fa").write_text(">fine\nACGT\n>odd\nAC!T\n")
    places = {"NO": "train_no.fa", "TRAIN": "train.csv", "BAD": "bad.fa", "RARE": "rare.csv", "MODEL": "out/model"}
    for name, place in places.items():
        arguments = [argument.replace(name, str(files / place)) for argument in arguments]
    assert main(["classify", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and message in captured.err
    assert "Traceback" not in captured.out


def test_the_headline_tells_what_training_has_seen(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(files / "train.csv").rename(columns={"seq": "sequence", "kind": "label"})
    table.to_csv(files / "own.csv", index=False)
    new = pd.read_csv(files / "test.csv").rename(columns={"seq": "sequence", "kind": "label"})
    mixed = pd.concat([table.iloc[:3], new])
    for test, said in ((table, "80 sequences, 80 of which are copies"), (mixed, "43 sequences, 3 of which are copies")):
        test.to_csv(files / "again.csv", index=False)
        assert main(["classify", str(files / "own.csv"), "--test", str(files / "again.csv"), *QUICK]) == 0
        out = capsys.readouterr().out
        assert said in out and "has not seen" not in out


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("AC,HA\nGG,NA\n", "AC,HA\nGG,PB1\n", "test.csv: y has the label 'PB1', training had ['HA', 'NA']"),
        ("AC,HA\nGG,NA\n", "AC,HA\nG!,NA\n", "test.csv: sequence 1, position 2: letter '!'"),
        ("AC,1\nGG,0\n", "AC,1\n\nGG,\n", "test.csv, line 4: column 'label' is empty"),
        ("AC,1.5\nGG,0.25\n", "AC,1.5\n", "predict numbers on a scale with DNARegressor (`titans-ts regress`)"),
        ("AC,HA\nGG,HA\n", "AC,HA\n", "y must hold at least two classes, got only ['HA']"),
    ],
)
def test_labels_are_checked_before_training(
    train: str, test: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rows in (("train", train), ("test", test)):
        (tmp_path / f"{name}.csv").write_text(f"sequence,label\n{rows}")
    assert main(["classify", str(tmp_path / "train.csv"), "--test", str(tmp_path / "test.csv")]) == 1
    captured = capsys.readouterr()
    assert message in captured.err and "training" not in captured.out
    if "DNARegressor" in message:
        assert main(["classify", str(tmp_path / "train.csv"), "--cv", "2"]) == 1
        assert message in capsys.readouterr().err
