"""Files and folders are written beside their place and moved there: a reader sees the old one or the whole new one,
never a part, and what fails halfway leaves the old one as it was.

What is written beside has a hidden name of 32 hexadecimal digits and the wanted name. The digits begin with the machine
and the process that writes, so that the next writer in a folder can tell what a killed one left there, and remove it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from os import PathLike
from pathlib import Path

# Tells of every file and folder that has taken its place, at level INFO; the record's argument is the path.
WRITTEN = logging.getLogger("titans_datasets.writing")
# Seconds after which a file that another machine began is taken for left.
LEFT_AFTER = 24 * 3600.0
_HIDDEN = re.compile(r"\.(?P<machine>[0-9a-f]{12})(?P<process>[0-9a-f]{8})[0-9a-f]{12}\.(?P<name>.+)", re.DOTALL)
_OLD = ".old"


@contextmanager
def in_place_of(path: str | PathLike[str]) -> Iterator[Path]:
    """A path beside the wanted file, with its suffix; what was written there takes its place when all went well.

    Missing folders above it are made, and what killed writers left there is removed. Something must have been written
    when the block ends without an error. Of a link the file that it points to is replaced.

    Raises:
        OSError: the file cannot be written (a full disk, a folder that is none); the message names it.

    Example:
        >>> import tempfile
        >>> wanted = Path(tempfile.mkdtemp()) / "results" / "table.csv"
        >>> with in_place_of(wanted) as beside:
        ...     written = beside.write_text("a,b")
        >>> wanted.read_text(), [file.name for file in wanted.parent.iterdir()]
        ('a,b', ['table.csv'])
    """
    file = _place(path)
    with _named(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(file)
        beside = _beside(file)
        try:
            yield beside
            os.replace(beside, file)
        finally:
            beside.unlink(missing_ok=True)
    WRITTEN.info("%s", file)


@contextmanager
def folder_in_place_of(path: str | PathLike[str]) -> Iterator[Path]:
    """A new folder beside the wanted one; it takes its place, contents and all, when all went well.

    The files in it and both renames are on the disk when the block has ended. Should the machine stop between the two
    renames, the old folder lies in the hidden folder beside it whose name ends in ".old", and the next writer puts it
    back. Signals wait while they are made.

    Raises:
        OSError: the folder cannot be written; the message names it.

    Example:
        >>> import tempfile
        >>> wanted = Path(tempfile.mkdtemp()) / "model"
        >>> for content in ("old", "new"):
        ...     with folder_in_place_of(wanted) as beside:
        ...         written = (beside / "weights").write_text(content)
        >>> (wanted / "weights").read_text(), [folder.name for folder in wanted.parent.iterdir()]
        ('new', ['model'])
    """
    folder = _place(path)
    with _named(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder)
        beside = _beside(folder)
        beside.mkdir()
        try:
            yield beside
            for entry in sorted(beside.rglob("*"), reverse=True):
                _sync(entry)
            _sync(beside)
            with _signals_wait():
                _swap(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    WRITTEN.info("%s", folder)


def clear_leftovers(path: str | PathLike[str]) -> None:
    """Remove what killed writers left in the folder of a file; an old folder whose place is empty is put back.

    A writer is dead when its process on this machine is gone. What another machine began for the same name is removed
    when nothing was written to it for a day. What cannot be removed stays.

    Example:
        >>> import tempfile
        >>> wanted = Path(tempfile.mkdtemp()) / "table.csv"
        >>> left = wanted.with_name(f".{_machine()}{2**31:08x}{12 * '0'}.table.csv")
        >>> left.touch()
        >>> clear_leftovers(wanted)
        >>> left.exists()
        False
    """
    file = Path(path).expanduser()
    with suppress(OSError):
        for entry in sorted(file.parent.glob(".*.*")):
            found = _HIDDEN.fullmatch(entry.name)
            if found is None or not _is_left(entry, found, file.name):
                continue
            place = entry.with_name(found["name"].removesuffix(_OLD))
            if found["name"].endswith(_OLD) and entry.is_dir() and not place.exists():
                os.rename(entry, place)
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _is_left(entry: Path, found: re.Match[str], name: str) -> bool:
    if found["machine"] == _machine():
        return not _is_running(int(found["process"], 16))
    same = found["name"].removesuffix(_OLD) == name.removesuffix(_OLD)
    return same and time.time() - entry.lstat().st_mtime > LEFT_AFTER


def _is_running(process: int) -> bool:
    if os.name == "nt":
        # There a signal of number 0 would end the process.
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


@cache
def _machine() -> str:
    """12 digits for this machine since it was started, and the processes it shows."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _place(path: str | PathLike[str]) -> Path:
    """The file or folder that a path means, behind links."""
    return Path(os.path.realpath(Path(path).expanduser()))


def _beside(path: Path, ending: str = "") -> Path:
    return path.with_name(f".{_machine()}{os.getpid():08x}{uuid.uuid4().hex[:12]}.{path.name}{ending}")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A context whose errors of the system name the wanted path, not the hidden one beside it."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, (BlockingIOError, BrokenPipeError, InterruptedError)):
            raise
        hidden = isinstance(error.filename, (str, PathLike)) and _HIDDEN.fullmatch(Path(error.filename).name)
        if error.filename is not None and not hidden:
            raise
        raise type(error)(error.errno, f"cannot write it, what was there stays: {error.strerror}", str(path)) from error


@contextmanager
def _signals_wait() -> Iterator[None]:
    """A context in which this thread is not interrupted by signals; they come when it ends."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _swap(fresh: Path, folder: Path) -> None:
    """Rename, with the old folder set aside until the new one is there."""
    if folder.exists():
        aside = _beside(folder, _OLD)
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
