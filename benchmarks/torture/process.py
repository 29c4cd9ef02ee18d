"""Cases as processes: copies of one that has loaded everything, or interpreters that are started anew."""

from __future__ import annotations

import fcntl
import os
import pkgutil
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

from benchmarks.torture.case import BYTES, SECONDS, Case, Outcome
from benchmarks.torture.files import lost, sums

PACKAGES = ("titans_cli", "titans_datasets", "titans_ts.forecasting", "titans_ts.genomics", "titans_ts.report")
PACKAGES += ("titans_ts.support", "titans_recipes.recall")
LATER = ("matplotlib.pyplot", "lightning.pytorch.cli", "sklearn.linear_model", "pyarrow.parquet", "plotly")
# A busy machine may take ten times as long by the clock as by the CPU.
PATIENCE = 10
# Bytes of messages.
MOST_SAID = 2**20
ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Ended(NamedTuple):
    """How a process ended: its status (negative after a signal, None when it took too long), CPU seconds, bytes."""

    status: int | None
    seconds: float
    memory: int


def load_all() -> None:
    """Import what the commands import, so that copies of this process need not."""
    for name in PACKAGES:
        package = import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            with suppress(ImportError):
                import_module(module.name)
    for name in LATER:
        import_module(name)


def run(case: Case, template: Path, usual: float = 1.0, kept: Sequence[str] = ()) -> Outcome:
    """Run a case in a copy of a folder.

    Args:
        case: the case.
        template: the folder with what all cases have.
        usual: seconds by the clock that its command takes when nothing comes between.
        kept: files and folders that become part of the template.
    """
    home = Path(tempfile.mkdtemp(prefix="torture-"))
    folder = home / "work"
    shutil.copytree(template, folder, symlinks=True)
    (folder / "hard.csv").unlink()
    os.link(folder / "good.csv", folder / "hard.csv")
    if case.disk:
        _full_disk(folder / "disk")
    case.prepare(folder)
    before = sums(folder)
    commands = case.command.split(" & ")
    # Pipes, since a limit of files would hold for files of messages too.
    pipes = [os.pipe() for _ in commands]
    processes = []
    for (_, end), command in zip(pipes, commands, strict=True):
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, MOST_SAID)
        processes.append(_started(case, words(command), folder, end))
        os.close(end)
    if case.signal is not None:
        time.sleep(case.moment * usual)
        with suppress(ProcessLookupError):
            os.kill(processes[0], case.signal)
    ends = [_ended(process) for process in processes]
    # Of several programs, one of them ended by a signal, the others have to go well.
    others = [end.status for end in ends[1:]] or [ends[0].status]
    status = next((other for other in others if other != 0), 0)
    error = "".join(_said(end) for end, _ in pipes)
    shown = None if status is None else 128 - status if status < 0 else status
    wrong = lost(case, folder, before, shown)
    if case.disk:
        subprocess.run(["umount", folder / "disk"], check=True)
    for name in kept if status == 0 else ():
        shutil.copytree(folder / name, template / name, dirs_exist_ok=True)
    shutil.rmtree(home)
    seconds, memory = max(end.seconds for end in ends), max(end.memory for end in ends)
    return Outcome(case, shown, seconds, memory, error, wrong, killed=status is not None and status < 0)


def can_mount() -> bool:
    """Whether this process may have disks in memory."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "disk")
        try:
            _full_disk(place)
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", place], check=True)
    return True


def _full_disk(place: Path) -> None:
    """A disk of 64 kB with an old file, and one that takes all the rest.

    Raises:
        OSError, subprocess.CalledProcessError: it is not allowed.
    """
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    (place / "o.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with suppress(OSError), (place / "rest").open("wb", buffering=0) as handle:
        while True:
            handle.write(b"x" * 4096)


def words(command: str) -> list[str]:
    """Arguments, with those in braces kept together."""
    found: list[str] = []
    for word in command.split():
        if found and found[-1].count("{") > found[-1].count("}"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def _said(end: int) -> str:
    """What is in a pipe, and close it; what a process left behind may still hold its other end."""
    os.set_blocking(end, False)
    with open(end, "rb") as handle:
        return (handle.read(MOST_SAID) or b"").decode(errors="replace")


def _started(case: Case, given: Sequence[str], folder: Path, error: int) -> int:
    """The process of a command, with a pipe for its messages."""
    sys.stdout.flush()
    # None may come before the copy has forgotten the handlers of this process.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    process = os.fork()
    if not process:
        _copy(case, given, folder, error)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    return process


def _copy(case: Case, given: Sequence[str], folder: Path, error: int) -> NoReturn:
    """What a copy of this process does: one command."""
    status = 70
    try:
        os.setsid()
        os.chdir(folder)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(error, 2)
        # Those of this process may know another kind of file.
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        _limit(case)
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        if case.real:
            _begin_anew(case, given)
        sys.argv = ["titans-ts", *given]
        status = _status(case, given)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _begin_anew(case: Case, given: Sequence[str]) -> NoReturn:
    """Become an interpreter that has loaded nothing, below a shell where streams are redirected."""
    command = [sys.executable, "-m", "titans_cli.main", *given]
    if case.shell:
        command = ["bash", "-c", f'set -o pipefail; "$@" {case.shell}', "bash", *command]
    os.execvpe(command[0], command, {**os.environ, **case.environment})


def _status(case: Case, given: Sequence[str]) -> int:
    from titans_cli.main import main

    try:
        return (case.program or main)(given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1


def _limit(case: Case) -> None:
    # Address space counts code and files too: torch alone maps some GB, so that the heap is limited; what is
    # resident is measured.
    resource.setrlimit(resource.RLIMIT_DATA, (2 * BYTES, 2 * BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 1, SECONDS + 1))
    if case.largest is not None:
        # Python ignores SIGXFSZ: the write fails, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (case.largest, case.largest))
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _ended(process: int) -> Ended:
    """Wait for a process; after too long it is killed."""
    last = time.monotonic() + PATIENCE * SECONDS
    late = False
    while True:
        done, status, used = os.wait4(process, os.WNOHANG)
        if done:
            break
        if time.monotonic() > last and not late:
            os.kill(process, signal.SIGKILL)
            late = True
        time.sleep(0.01)
    code = os.waitstatus_to_exitcode(status)
    late = late or code == -signal.SIGXCPU or (code == -signal.SIGKILL and used.ru_utime > SECONDS)
    return Ended(None if late else code, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
