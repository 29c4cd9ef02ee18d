"""What a long computation is doing, as records of Python's logging; who wants to show it adds a handler to `PROGRESS`.

Phases and checks have the level INFO, single steps DEBUG. A message names what is done, in present participles:
"fitting the linear part", "training, step 120 of 300, held-out loss .151".

Example:
    >>> import logging
    >>> from titans_ts.support.progress import PROGRESS
    >>> PROGRESS.name, PROGRESS.isEnabledFor(logging.INFO)
    ('titans_ts.progress', False)
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TextIO

PROGRESS = logging.getLogger("titans_ts.progress")
# Seconds between two lines, and before the first.
EVERY = 5.0


class ProgressLines(logging.Handler):
    """What is being done, from the records of `PROGRESS`, as lines of a stream.

    Args:
        stream: where they are written.
        started: `clock` time from which seconds are counted.
        clock: seconds.
    """

    def __init__(self, stream: TextIO, started: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.DEBUG)
        self.stream, self.started, self.clock = stream, started, clock
        self.next = started + EVERY
        self.doing = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the newest message."""
        self.doing = record.getMessage()

    def show(self) -> None:
        """A line, at most one every `EVERY` seconds; none before anything is known."""
        now = self.clock()
        if now >= self.next and self.doing:
            self.next = now + EVERY
            self.stream.write(f"titans-ts: {now - self.started:.0f} s, {self.doing}\n")
            self.stream.flush()


@contextmanager
def progress_lines(stream: TextIO | None, started: float) -> Iterator[None]:
    """Context in which a line tells every few seconds what is being done.

    Args:
        stream: where lines are written; None for none.
        started: `time.monotonic` time at which the command started.
    """
    if stream is None:
        yield
        return
    lines, done = ProgressLines(stream, started), threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            lines.show()

    thread, level = threading.Thread(target=watch, daemon=True), PROGRESS.level
    PROGRESS.addHandler(lines)
    PROGRESS.setLevel(logging.DEBUG)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        PROGRESS.removeHandler(lines)
        PROGRESS.setLevel(level)


class _OnBar(logging.Handler):
    """The newest message as the description of a bar."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show it."""
        self.show(record.getMessage())


def moves_bars(stream: TextIO) -> bool:
    """Whether a bar can move there: a terminal, or a notebook with ipywidgets. Elsewhere it would be lines of a log."""
    if stream.isatty():
        return True
    from rich.console import Console

    # Without ipywidgets rich warns in place of every bar.
    return Console().is_jupyter and find_spec("ipywidgets") is not None


@contextmanager
def progress_bar(shown: bool) -> Iterator[None]:
    """Context in which a bar shows the newest message of `PROGRESS` and the seconds, see `moves_bars`.

    Args:
        shown: False shows nothing.
    """
    if not shown or not moves_bars(sys.stderr):
        yield
        return
    # Imported here: most programs show no bar.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        handler, level = _OnBar(lambda text: bar.update(task, description=text)), PROGRESS.level
        PROGRESS.addHandler(handler)
        PROGRESS.setLevel(min(level or logging.INFO, logging.INFO))
        try:
            yield
        finally:
            PROGRESS.removeHandler(handler)
            PROGRESS.setLevel(level)
