"""Standard streams that are closed, full or not read: what is printed is lost, what goes to files is not."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

# Status of a program whose reader is gone, as if SIGPIPE had ended it.
PIPE = 141


class Shown(io.RawIOBase):
    """Bytes to a standard stream; after the first error of the system what comes is dropped.

    Args:
        number: of the open file.
        ends: whether the first error is raised, where nothing but this stream holds the results.

    Attributes:
        error: the first error; None where there was none.
    """

    def __init__(self, number: int, ends: bool) -> None:
        self.number, self.ends = number, ends
        self.error: OSError | None = None

    def writable(self) -> bool:
        """True."""
        return True

    def fileno(self) -> int:
        """Number of the open file."""
        return self.number

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self.number)

    def write(self, data: object) -> int:
        """Write bytes; the number of them.

        Raises:
            OSError: it is the first one, and nothing else holds the results.
        """
        size = memoryview(data).nbytes  # type: ignore[arg-type]
        if self.error is None:
            try:
                return os.write(self.number, data)  # type: ignore[arg-type]
            except OSError as error:
                self.error = error
                if self.ends:
                    raise
        return size


def safe_streams(files: bool = True) -> Shown | None:
    """Make standard streams that are closed, full, or know only ASCII, fit to be written to.

    What is printed to a stream that is closed, or whose reader is gone, is lost; without this the next file that is
    opened would get the number of a closed one, and what libraries print would end in the file, and work whose results
    go to files would end at the first line that nobody reads. Characters that a stream cannot hold are escaped.

    Args:
        files: whether files hold the results, so that work goes on when nobody reads standard output.

    Returns:
        What stands behind standard output; None where it was closed or is not that of the system.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    shown = None
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
            # Of an interpreter that buffers nothing the buffer is the file itself.
            buffer = getattr(stream, "buffer", None)
            raw = getattr(buffer, "raw", buffer)
            if isinstance(raw, io.FileIO):
                stream.flush()
                behind = Shown(raw.fileno(), ends=name == "stdout" and not files)
                setattr(sys, name, _text(stream, behind))
                shown = behind if name == "stdout" else shown
    return shown


def _text(stream: TextIO, behind: Shown) -> TextIO:
    """A stream like another, on other bytes."""
    buffer = io.BufferedWriter(behind)
    lines = behind.isatty() or stream is sys.stderr or isinstance(stream.buffer, io.FileIO)
    return io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", line_buffering=lines)


def unread(shown: Shown | None) -> int | None:
    """The status that standard output calls for: `PIPE` where its reader is gone, None where all was read.

    Raises:
        OSError: it could not be written to; the message says so.
    """
    if shown is None or shown.error is None:
        return None
    if shown.error.errno == errno.EPIPE:
        return PIPE
    raise OSError(shown.error.errno, shown.error.strerror, "standard output")
