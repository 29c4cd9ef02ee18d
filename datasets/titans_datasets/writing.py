"""Files and folders are written beside their place and moved there: a reader sees the old one or the whole new one,
never a part, and what fails halfway leaves the old one as it was."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path


@contextmanager
def in_place_of(path: str | PathLike[str]) -> Iterator[Path]:
    """A path beside the wanted file, with its suffix; what was written there takes its place when all went well.

    Missing folders above it are made. Something must have been written when the block ends without an error.

    Example:
        >>> import tempfile
        >>> wanted = Path(tempfile.mkdtemp()) / "results" / "table.csv"
        >>> with in_place_of(wanted) as beside:
        ...     written = beside.write_text("a,b")
        >>> wanted.read_text(), [file.name for file in wanted.parent.iterdir()]
        ('a,b', ['table.csv'])
    """
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(file)
    try:
        yield beside
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def folder_in_place_of(path: str | PathLike[str]) -> Iterator[Path]:
    """A new folder beside the wanted one; it takes its place, contents and all, when all went well.

    The files in it and both renames are on the disk when the block has ended. Should the machine stop between the two
    renames, the old folder lies in the hidden folder beside it whose name ends in ".old".

    Example:
        >>> import tempfile
        >>> wanted = Path(tempfile.mkdtemp()) / "model"
        >>> for content in ("old", "new"):
        ...     with folder_in_place_of(wanted) as beside:
        ...         written = (beside / "weights").write_text(content)
        >>> (wanted / "weights").read_text(), [folder.name for folder in wanted.parent.iterdir()]
        ('new', ['model'])
    """
    folder = Path(path).expanduser().absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(folder)
    beside.mkdir()
    try:
        yield beside
        for entry in sorted(beside.rglob("*"), reverse=True):
            _sync(entry)
        _sync(beside)
        _swap(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def leftovers(path: str | PathLike[str]) -> list[Path]:
    """What interrupted writers of a file or folder left beside it; no one may be writing it now.

    Example:
        >>> import tempfile
        >>> wanted = Path(tempfile.mkdtemp()) / "table.csv"
        >>> with in_place_of(wanted) as beside:
        ...     written = beside.write_text("a,b")
        ...     leftovers(wanted) == [beside]
        True
        >>> leftovers(wanted)
        []
    """
    file = Path(path).expanduser()
    pattern = re.compile(rf"\.[0-9a-f]{{32}}\.{re.escape(file.name)}")
    return sorted(entry for entry in file.parent.glob(".*") if pattern.fullmatch(entry.name))


def _beside(path: Path) -> Path:
    return path.with_name(f".{uuid.uuid4().hex}.{path.name}")


def _swap(fresh: Path, folder: Path) -> None:
    """Rename, with the old folder set aside until the new one is there."""
    if folder.exists():
        aside = folder.with_name(f".{uuid.uuid4().hex}.{folder.name}.old")
        os.rename(folder, aside)
        try:
            os.rename(fresh, folder)
        except BaseException:
            os.rename(aside, folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    else:
        os.rename(fresh, folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Make a file, or the entries of a folder, durable; Windows has no such call for folders, and writes to sync."""
    windows = os.name == "nt"
    if windows and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
