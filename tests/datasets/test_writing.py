"""A file or folder is the old one or the whole new one, whatever happens on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from titans_datasets import writing
from titans_datasets.writing import folder_in_place_of, in_place_of


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    wanted = tmp_path / "deep" / "a[1].csv.gz"
    for content in ("old", "new"):
        with in_place_of(wanted) as beside:
            assert beside.parent == wanted.parent and beside.name.endswith(".a[1].csv.gz")
            beside.write_text(content)
    assert wanted.read_text() == "new" and names(wanted.parent) == ["a[1].csv.gz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), in_place_of(tmp_path / "a") as beside:
        beside.write_text("half")
        raise error
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileNotFoundError), in_place_of(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with folder_in_place_of(tmp_path / "new" / "folder") as beside:
            (beside / "inside").mkdir()
            (beside / "inside" / name).write_text(name)
            (beside / "inside" / name).chmod(0o444)
    assert names(tmp_path / "new" / "folder" / "inside") == ["two"] and names(tmp_path / "new") == ["folder"]


@pytest.mark.parametrize("step", ["_sync", "_swap", None])
def test_a_failure_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str | None) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    if step is not None:
        monkeypatch.setattr(writing, step, fail)
    with pytest.raises(KeyboardInterrupt), folder_in_place_of(folder) as beside:
        (beside / "new").touch()
        if step is None:
            raise KeyboardInterrupt
    assert names(folder) == ["old"] and names(tmp_path) == ["folder"]


def test_a_failed_rename_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, real = tmp_path / "folder", os.rename
    folder.mkdir()
    (folder / "old").touch()

    def rename(source: Path, target: Path) -> None:
        if target == folder and not source.name.endswith(".old"):
            raise OSError("disk full")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="disk full"), folder_in_place_of(folder) as beside:
        (beside / "new").touch()
    assert names(folder) == ["old"] and names(tmp_path) == ["folder"]
