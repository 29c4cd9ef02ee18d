"""A case of the torture, and what it did.

A case is *answered* when none of these hold: a file is *lost* (changed, half written, or a hidden one left), there is a
*traceback* or an error that says that it was not expected, the work is *unbounded* (more than `SECONDS` of CPU or
`BYTES` of memory, or memory that runs out), or the status *lies*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# CPU seconds, and bytes of RAM.
SECONDS, BYTES = 30, 1_500_000_000
LINES = 3
Prepare = Callable[[Path], object]
Program = Callable[[Sequence[str]], int]


class Case(NamedTuple):
    """A command and what it must do.

    Attributes:
        group: of cases.
        name: what is wrong.
        command: arguments of titans-ts; several, with " & " between them, run at the same time.
        statuses: those that tell the truth.
        prepare: makes the files of the case in its folder.
        writes: names of files and folders that the command may write or replace; with status 0 all have to be there.
        signal: sent to the (first) process; None sends none.
        moment: when it is sent, as share of the time that the command usually takes.
        real: whether an interpreter is started anew, instead of a copy of one that has loaded everything.
        shell: redirections of a real process, such as ">&-".
        environment: further variables of a real process.
        largest: bytes that a file may have; None for no limit. What is written beyond fails as on a full disk.
        like: folder whose Parquet files those of the first folder that is written have to equal.
        program: what runs instead of titans-ts, from the arguments to a status.
        disk: whether the folder "disk" is a disk of its own that has no room left, but a file o.csv.
    """

    group: str
    name: str
    command: str
    statuses: tuple[int, ...] = (1,)
    prepare: Prepare = lambda folder: None
    writes: tuple[str, ...] = ()
    signal: int | None = None
    moment: float = 0.0
    real: bool = False
    shell: str = ""
    environment: Mapping[str, str] = {}
    largest: int | None = None
    like: str = ""
    program: Program | None = None
    disk: bool = False


class Outcome(NamedTuple):
    """What a case did.

    Attributes:
        case: the case.
        status: as a shell gives it; None where the process was killed for taking too long.
        seconds: of CPU.
        memory: most bytes of RAM.
        error: standard error.
        lost: what is wrong with files, a text for each.
        killed: whether a signal ended the process without a word of its own.
    """

    case: Case
    status: int | None
    seconds: float
    memory: int
    error: str
    lost: tuple[str, ...]
    killed: bool = False

    @property
    def lines(self) -> list[str]:
        """Of the message, without notes, usage, and the progress that a slow machine sees more of."""
        skipped = re.compile(r"titans-ts: (note|\d+ s, )|usage:|  ")
        lines = [line for line in self.error.splitlines() if line.strip() and not skipped.match(line)]
        return [line for line in lines if not line.endswith("loading packages") and " · " not in line]

    @property
    def full(self) -> bool:
        """Whether there was no room for files."""
        return self.case.disk or self.case.largest is not None

    @property
    def traceback(self) -> bool:
        """Whether something came out that nobody had thought of."""
        return "Traceback" in self.error or "this is not expected" in self.error

    @property
    def unbounded(self) -> bool:
        """Whether it took too much."""
        full = "not enough memory" in self.error
        return self.status is None or self.seconds > SECONDS or self.memory > BYTES or full

    @property
    def lies(self) -> bool:
        """Whether the status is wrong, or an error has no message, or one that is too long."""
        # Of a pipe whose reader is gone nothing is said, as everywhere.
        said = self.status in (0, 141) or self.killed
        silent = not said and not re.search(r"^titans-ts[a-z ]*: ", self.error, re.MULTILINE)
        # What does not fit on a disk is named.
        unnamed = self.full and not any(name in self.error for name in (*self.case.writes, "disk/"))
        promised = self.status == 0 and any(text.endswith(MISSING) for text in self.lost)
        return self.status not in self.case.statuses or silent or unnamed or promised or len(self.lines) > LINES

    @property
    def answered(self) -> bool:
        """Whether all is well."""
        return not (self.lost or self.traceback or self.unbounded or self.lies)


MISSING = " is missing"


def text(name: str, content: str | bytes) -> Prepare:
    """Writes a file into the case's folder."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)
