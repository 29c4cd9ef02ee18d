"""Lines of progress on stderr, where no terminal shows a bar."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from titans_ts.support.progress import PROGRESS

# Seconds between two lines, and before the first.
EVERY = 5.0


class ProgressLines(logging.Handler):
    """What is being done, from the records of `PROGRESS`.

    Args:
        started: `clock` time from which seconds are counted.
        clock: seconds.
    """

    def __init__(self, started: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.DEBUG)
        self.started, self.clock, self.next, self.doing = started, clock, started + EVERY, ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the newest message."""
        self.doing = record.getMessage()

    def show(self) -> None:
        """A line on stderr, at most one every `EVERY` seconds; none before anything is known."""
        now = self.clock()
        if now >= self.next and self.doing:
            self.next = now + EVERY
            sys.stderr.write(f"titans-ts: {now - self.started:.0f} s, {self.doing}\n")
            sys.stderr.flush()


@contextmanager
def progress_lines(shown: bool, started: float) -> Iterator[None]:
    """Context in which a line tells every few seconds what is being done.

    Args:
        shown: False for none.
        started: `time.monotonic` time at which the command started.
    """
    if not shown:
        yield
        return
    lines, done = ProgressLines(started), threading.Event()

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
