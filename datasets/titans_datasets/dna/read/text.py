"""Files as text: plain, compressed by gzip or bgzip, or standard input."""

from __future__ import annotations

import atexit
import codecs
import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO, TextIO

STANDARD_INPUT, SHOWN = "-", "standard input"
_PATH: Any = type(Path())
_GZIP, _UTF_16 = b"\x1f\x8b", (b"\xff\xfe", b"\xfe\xff")


def _one_letter_each(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are not UTF-8 as letters of Latin-1: names in an older encoding stay different from each other."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("titans_dna_latin_1", _one_letter_each)


class InputCopy(_PATH):  # type: ignore[misc]
    """The path of a copy of standard input; messages call it what the user knows."""

    def __str__(self) -> str:
        return SHOWN

    def __fspath__(self) -> str:
        return str(super().__str__())

    def absolute(self) -> InputCopy:
        """It is absolute."""
        return self


def title(path: str | PathLike[str]) -> str:
    """A file's name for messages.

    Example:
        >>> title("-"), title("a.bed")
        ('standard input', 'a.bed')
    """
    return SHOWN if isinstance(path, InputCopy) or fspath(path) == STANDARD_INPUT else fspath(path)


def existing(path: str | PathLike[str]) -> Path:
    """The file of a path; for "-" a copy of standard input, which is removed when the program ends.

    Raises:
        FileNotFoundError: with the absolute path that was tried.
    """
    if isinstance(path, InputCopy):
        return path
    if fspath(path) == STANDARD_INPUT:
        return _copied(sys.stdin.buffer)
    file = Path(path).expanduser()
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "does not exist"
        raise FileNotFoundError(f"{file.absolute()} {what}: check the path")
    return file


@cache
def _copied(stream: BinaryIO) -> InputCopy:
    """A copy, as files are read more than once: for their format, then for their records."""
    folder = tempfile.TemporaryDirectory(prefix="titans-ts-")
    atexit.register(folder.cleanup)
    file = InputCopy(folder.name, "input")
    with open(file, "wb") as copy:
        shutil.copyfileobj(stream, copy)
    return file


@contextmanager
def open_text(path: str | PathLike[str]) -> Iterator[TextIO]:
    """The file as text, decompressed where its first bytes are those of gzip or bgzip, whatever its name.

    Lines end in "\\n", however they end in the file. A file is UTF-16 if it says so, else UTF-8; other bytes are read
    as Latin-1.

    Raises:
        FileNotFoundError: with the absolute path that was tried.
        ValueError: the file is empty, or its compressed data are truncated.
    """
    file = existing(path)
    magic = first_bytes(file, 2)
    if not magic:
        raise ValueError(f"{file.absolute()} is empty (0 bytes): check that it was written completely")
    # Record names may be in any encoding; letters that are not DNA are found when they are encoded.
    encoding = "utf-16" if magic in _UTF_16 else "utf-8-sig"
    options: dict[str, Any] = {"mode": "rt", "encoding": encoding, "errors": "titans_dna_latin_1"}
    with gzip.open(file, **options) if magic == _GZIP else open(file, **options) as handle:
        try:
            yield handle
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{file} is truncated ({error}): get it again") from error


def first_bytes(file: Path, count: int) -> bytes:
    """The first bytes of a file, as they are on the disk."""
    with file.open("rb") as raw:
        return raw.read(count)
