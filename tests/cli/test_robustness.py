"""The command line destroys no input, says in one line what is wrong with a file, and is silent about nothing."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pandas as pd
import pytest

from titans_cli.main import main

FORECAST = ["forecast", "good.csv", "--horizon", "5", "--max-steps", "0", "--backtest-windows", "0", "--quiet"]


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.chdir(tmp_path)
    stamps = pd.date_range("2024-01-01", periods=60, freq="h").astype(str)
    frame = pd.DataFrame({"item_id": "a", "timestamp": stamps, "target": [step % 12 + 0.5 for step in range(60)]})
    frame.to_csv("good.csv", index=False)
    Path("dna.csv").write_text("sequence,label\nACGTACGTACGT,0\nTTTTACGTACGA,1\n")
    os.symlink("good.csv", "link.csv")
    return Path("good.csv").read_bytes()


def error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line of an error."""
    assert main(argv) == 1
    (line,) = [one for one in capsys.readouterr().err.splitlines() if not one.endswith("loading packages")]
    assert line.startswith("titans-ts: error: ")
    return line


@pytest.mark.parametrize("output", ["good.csv", "./good.csv", "link.csv"])
def test_an_output_is_no_input(output: str, table: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"--output {output} is the input FILE good.csv" in error(capsys, *FORECAST, "--output", output)
    assert Path("good.csv").read_bytes() == table


def test_a_report_is_no_input(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("dna.csv").read_bytes()
    assert "--json dna.csv is the input TEST dna.csv" in error(
        capsys, "leakage", "good.csv", "dna.csv", "--json", "dna.csv"
    )
    assert Path("dna.csv").read_bytes() == before


@pytest.mark.parametrize(("option", "old", "new"), [("--id", "item_id", "mean"), ("--timestamp", "timestamp", "0.5")])
def test_a_key_is_no_result(option: str, old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    pd.read_csv("good.csv").rename(columns={old: new}).to_csv("good.csv", index=False)
    message = error(capsys, *FORECAST, option, new, "--output", "o.csv")
    assert f"{option} {new} is also the name of a column of results: rename the column" in message
    assert not Path("o.csv").exists()


def test_a_damaged_file_is_named(table: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("g.csv.gz").write_bytes(gzip.compress(table)[:100])
    message = error(capsys, "forecast", "g.csv.gz", "--horizon", "5")
    assert "g.csv.gz is damaged, or not what its name says" in message


@pytest.mark.parametrize("verb", [["recipes", "run"], ["fit", "-c"]])
def test_a_recipe_that_is_no_yaml_is_named(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("q.yaml").write_text("task: dna\n\truns: 1\n")
    assert "q.yaml, line 2, column 1 is no YAML" in error(capsys, *verb, "q.yaml")


def test_a_column_that_is_there_twice_is_refused(table: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    lines = table.decode().splitlines()
    Path("good.csv").write_text("\n".join([f"{lines[0]},target", *(f"{line},1" for line in lines[1:])]))
    assert "column 'target' is there more than once: keep one of them" in error(capsys, *FORECAST)


def test_a_far_timestamp_is_named(table: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("good.csv").write_bytes(table.replace(b"2024-01-03 11", b"2250-01-03 11"))
    message = error(capsys, *FORECAST, "--freq", "min")
    assert "longest gap is from 2024-01-03 10:00:00 to 2250-01-03 11:00:00" in message


def test_a_future_table_that_is_not_used_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FORECAST, "--future", "dna.csv", "--output", "o.csv"]) == 0
    assert (
        "note: --future is not used, no column is known ahead: name its columns by --covariates"
        in capsys.readouterr().err
    )
