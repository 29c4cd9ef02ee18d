"""`titans-ts leakage`: a table, a JSON file, errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from titans_cli.main import main

TEXT = "ACGTTGCAACGGATCCATTAGCCGATAGGCTTACGA"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "train.csv").write_text(f"sequence,label\n{TEXT},a\n{TEXT},b\n{'G' * 40},a\n")
    (tmp_path / "test.csv").write_text(f"sequence,label\n{TEXT.lower()},a\n{'AC' * 20},a\n")
    return str(tmp_path / "train.csv"), str(tmp_path / "test.csv")


def test_table_and_json(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep" / "report.json"
    assert main(["leakage", *files, "--json", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if "31-mer with" in line or "clean" in line or "majority" in line] == [
        ["share", "a", "31-mer", "with", "train", "1", "50.0", "%"],
        ["clean", "1", "50.0", "%"],
        ["majority", "100.0", "%"],
    ]
    found = json.loads(path.read_text())
    assert found["rows_not_clean"] == [0] and found["train"]["sequences_with_several_labels"] == 1
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]


def test_other_columns_words_and_fasta(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.fa").write_text(f">x\n{TEXT[:12]}{'T' * 30}\n>x\n{'A' * 35}\n")
    assert main(["leakage", str(tmp_path / "train.fa"), files[1], "--k", "12"]) == 0
    captured = capsys.readouterr()
    assert "share a 12-mer with train" in captured.out and "majority" not in captured.out
    assert "train.fa has no labels" in captured.err
    (tmp_path / "test.tsv").write_text(f"seq\tkind\n{TEXT}\ta\n")
    assert main(["leakage", files[0], str(tmp_path / "test.tsv"), "--sequence", "seq", "--label", "kind"]) == 1
    assert main(["leakage", files[0], files[0], "--no-label"]) == 0
    assert "majority" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv", "none.csv"], "none.csv does not exist: check the path"),
        (["TRAIN", "TEST", "--label", "y"], "has no column 'y', only sequence, label"),
        (["TRAIN", "TEST", "--k", "40"], "k must be 1 … 32, got 40"),
    ],
)
def test_errors_are_one_line(
    files: tuple[str, str], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replaced = [{"TRAIN": files[0], "TEST": files[1]}.get(argument, argument) for argument in arguments]
    assert main(["leakage", *replaced]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
