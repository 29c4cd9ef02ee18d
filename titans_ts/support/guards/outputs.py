"""One look at all files of a command before any work: no output may destroy an input or another output."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

Role = Literal["input", "output", "folder"]
# Options whose file is written, and what its name has to end in where every command wants the same.
OUTPUTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("output", "plot", "logo", "surprise", "page", "csv"), ()),
    "json": (".json", ".json.gz"),
    "report": (".html", ".htm"),
}
# Options whose folder is read where it is there, and written otherwise.
FOLDERS = ("model", "networks")
# What a help calls the values of options that are files and folders.
METAVARS = ("FILE", "DIR", "FOLDER")


class Place(NamedTuple):
    """A file or folder as it was given.

    Attributes:
        name: of the option, without dashes, or of the argument.
        flag: what a message calls it.
        path: as it was given.
    """

    name: str
    flag: str
    path: str

    @property
    def role(self) -> Role:
        """What happens to it."""
        return "output" if self.name in OUTPUTS else "folder" if self.name in FOLDERS else "input"

    @property
    def real(self) -> Path:
        """Behind links and other spellings."""
        return Path(os.path.realpath(Path(self.path).expanduser()))

    def __str__(self) -> str:
        return f"{self.flag} {self.path}"


def places(name: str, flag: str | None, metavar: str | None, value: Any) -> list[Place]:
    """The files and folders that an option or argument names; none for an option of another kind.

    Args:
        name: of the field.
        flag: of the option, "" for that of the field; None for a positional argument, whose value may be a file.
        metavar: of its help.
        value: one path, several, or nothing; "-" is a standard stream.
    """
    if flag is not None and metavar not in METAVARS:
        return []
    shown = f"{metavar}" if flag is None else flag or f"--{name.replace('_', '-')}"
    paths = value if isinstance(value, (list, tuple)) else [value]
    return [Place(name, shown, path) for path in paths if isinstance(path, str) and path not in ("", "-")]


def check_streams(given: Sequence[tuple[str, str | None, str | None, Any]]) -> None:
    """Refuse to read standard input twice.

    Args:
        given: arguments of `places` for all options of a command.

    Raises:
        ValueError: two options are "-".

    Example:
        >>> check_streams([("file", None, "FILE", "-"), ("test", "", "FILE", "-")])
        Traceback (most recent call last):
        ...
        ValueError: FILE and --test are both standard input (-), which can be one of them: write the other to a file
    """
    files = [one for one in given if one[3] == "-" and (one[1] is None or one[2] in METAVARS)]
    shown = [f"{metavar}" if flag is None else flag or f"--{name}" for name, flag, metavar, _ in files]
    if len(shown) > 1:
        raise ValueError(
            f"{' and '.join(shown[:2])} are both standard input (-), which can be one of them: write the other to a "
            "file"
        )


def check_outputs(places: Sequence[Place]) -> None:
    """Refuse outputs that are inputs or other outputs, lie in folders that are read, or cannot be written.

    Links, other spellings of a path and second names of a file (hard links) are looked through.

    Raises:
        ValueError: an output stands in the way of something.
        OSError: a folder cannot be written to.

    Example:
        >>> check_outputs([Place("file", "FILE", "a.csv"), Place("output", "--output", "./a.csv")])
        Traceback (most recent call last):
        ...
        ValueError: --output ./a.csv is the input FILE a.csv, which it would replace: give another name
    """
    outputs = [place for place in places if place.role != "input"]
    for number, output in enumerate(outputs):
        for source in places:
            # A folder that is there is read.
            if source.role == "input" and not (output.role == "folder" and output.real.is_dir()):
                _check_input(output, source)
        for other in outputs[:number]:
            _check_other(output, other)
    folders = any(place.role == "input" and place.real.is_dir() for place in places)
    for output in outputs:
        _check_kind(output, folder=output.role == "folder" or (folders and output.name == "output"))
        if output.role == "output" or not output.real.exists():
            _check_writable(output)


def _check_input(output: Place, source: Place) -> None:
    if same(output.real, source.real):
        raise ValueError(f"{output} is the input {source}, which it would replace: give another name")
    if output.role == "output" and source.real.is_dir() and source.real in output.real.parents:
        raise ValueError(f"{output} lies in the input folder {source}: give a place outside of it")
    if output.real in source.real.parents and output.role == "output":
        raise ValueError(f"{output} is a folder that holds the input {source}: give another name")


def _check_other(output: Place, other: Place) -> None:
    if same(output.real, other.real):
        raise ValueError(f"{output} and {other} are the same file: give each a name of its own")
    for inner, outer in ((output, other), (other, output)):
        if outer.real in inner.real.parents:
            raise ValueError(f"{inner} lies in {outer}, which is written as a whole: give a place outside of it")


def _check_kind(output: Place, folder: bool) -> None:
    endings = OUTPUTS.get(output.name, ())
    if endings and not output.path.lower().endswith(endings):
        raise ValueError(f"{output}: expected a name ending in {' or '.join(endings)}")
    if not output.real.exists():
        return
    if output.real.is_dir() and not folder:
        raise ValueError(f"{output} is a folder: give the name of the file to write")
    if not output.real.is_dir() and not output.real.is_file():
        raise ValueError(f"{output} is no regular file, and a device would be replaced: give the name of a file")


def _check_writable(output: Place) -> None:
    """Look whether a file can be made in the nearest folder that is there."""
    folder = next(one for one in output.real.parents if one.exists())
    if not folder.is_dir():
        raise ValueError(f"{output}: {folder} is a file, expected a folder: give another place")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{output}: the folder {folder} cannot be written to ({error.strerror})") from error


def same(one: Path, other: Path) -> bool:
    """Whether two paths are one file."""
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
