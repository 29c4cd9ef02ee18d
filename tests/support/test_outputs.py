"""No output stands in the way of an input or of another output, however it is spelled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from titans_ts.support.guards.outputs import Place, check_outputs, places


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("data", "parts", "model"):
        (tmp_path / name).mkdir()
    for name in ("a.csv", "future.csv", "data/b.csv", "parts/p.parquet", "model/config.json"):
        (tmp_path / name).touch()
    os.symlink(tmp_path / "a.csv", tmp_path / "link.csv")
    os.symlink(tmp_path / "data", tmp_path / "there")
    os.link(tmp_path / "a.csv", tmp_path / "second.csv")
    return tmp_path


def check(**paths: str) -> None:
    check_outputs([Place(name, f"--{name}", path) for name, path in paths.items()])


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"file": "a.csv", "output": "a.csv"}, "--output a.csv is the input --file a.csv"),
        ({"file": "a.csv", "output": "./data/../a.csv"}, "is the input"),
        ({"file": "link.csv", "output": "a.csv"}, "is the input"),
        ({"file": "a.csv", "output": "link.csv"}, "is the input"),
        ({"file": "a.csv", "output": "second.csv"}, "is the input"),
        ({"file": "a.csv", "future": "future.csv", "output": "future.csv"}, "the input --future future.csv"),
        ({"file": "data/b.csv", "json": "there/b.csv"}, "is the input"),
        ({"file": "a.csv", "output": "o.csv", "plot": "o.csv"}, "are the same file"),
        ({"file": "a.csv", "output": "there/o.csv", "plot": "data/o.csv"}, "are the same file"),
        ({"file": "a.csv", "model": "o.csv", "output": "o.csv"}, "are the same file"),
        ({"file": "a.csv", "model": "a.csv"}, "--model a.csv is the input"),
        ({"file": "a.csv", "model": "new", "output": "new/o.csv"}, "lies in --model new"),
        ({"file": "a.csv", "model": "model", "output": "model/config.json"}, "lies in --model model"),
        ({"file": "parts", "output": "parts"}, "is the input"),
        ({"file": "parts", "output": "parts/forecasts"}, "lies in the input folder"),
        ({"file": "parts/p.parquet", "output": "parts"}, "is a folder that holds the input"),
        ({"file": "a.csv", "output": "data"}, "is a folder: give the name"),
        ({"file": "a.csv", "output": "/dev/null"}, "no regular file"),
        ({"file": "a.csv", "output": "future.csv/o.csv"}, "expected a folder"),
        ({"file": "a.csv", "output": "/proc/o.csv"}, "cannot be written to"),
        ({"file": "a.csv", "json": "report.csv"}, "expected a name ending in .json"),
    ],
)
def test_what_would_be_destroyed_is_refused(folder: Path, paths: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        check(**paths)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "paths",
    [
        {"file": "a.csv", "output": "o.csv", "plot": "o.png", "model": "model"},
        {"file": "a.csv", "output": "deep/er/o.csv"},
        {"file": "a.csv", "output": "data/o.csv"},
        {"file": "parts", "output": "forecasts", "model": "model"},
        {"file": "builtin:weather", "output": "o.csv"},
        {"file": "absent.csv", "output": "future.csv"},
    ],
)
def test_what_harms_nobody_is_allowed(folder: Path, paths: dict[str, str]) -> None:
    before = sorted(path.name for path in folder.rglob("*"))
    check(**paths)
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_files_are_told_from_other_options() -> None:
    assert places("file", None, "FILE", "a.csv") == [Place("file", "FILE", "a.csv")]
    assert places("only", None, None, ["a", "b"]) == [Place("only", "None", "a"), Place("only", "None", "b")]
    assert places("output", "", "FILE", "o") == [Place("output", "--output", "o")]
    assert (
        places("id", "", "COLUMN", "a.csv")
        == places("output", "", "FILE", None)
        == places("f", None, "FILE", "-")
        == []
    )
