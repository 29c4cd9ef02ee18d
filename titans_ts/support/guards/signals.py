"""Signals that end a program: one line, the conventional status, and what is kept of its work.

Example:
    >>> status(15), Course().ending(15)
    (143, 'ended by SIGTERM; nothing was kept')
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from titans_datasets.writing import WRITTEN
from titans_ts.support.progress import PROGRESS

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
PROGRAM = "titans-ts"
# Seconds after which a signal comes once more whose exception was lost.
AGAIN = 0.05


class Stopped(BaseException):
    """A signal ends the program. Like KeyboardInterrupt it is no failure that someone could handle.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Course(logging.Handler):
    """What a program is doing and has written, from its log records, and the signal that has come.

    A warning of `PROGRESS` is printed as it comes, also where everything else is quiet: work was cut short.

    Attributes:
        doing: the newest message of `PROGRESS`.
        written: files and folders that are in their place.
        signal: number of the signal; None where none has come.
        again: sends it once more, see `unraised`.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.doing = ""
        self.written: list[str] = []
        self.signal: int | None = None
        self.again = threading.Timer(AGAIN, lambda: None)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        text = record.getMessage()
        if record.name == WRITTEN.name:
            self.written = [*(one for one in self.written if one != text), text]
        elif record.levelno >= logging.WARNING:
            self.signal = getattr(record, "signal", self.signal)
            print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)
        else:
            self.doing = text

    def stop(self, number: int, frame: FrameType | None = None) -> None:
        """The handler of signals.

        Raises:
            KeyboardInterrupt: for Ctrl-C.
            Stopped: for every other signal.
        """
        self.signal = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Stopped(number)

    def unraised(self, found: Any) -> None:
        """The hook for exceptions that Python cannot raise, as in callbacks of its memory: a signal comes once more."""
        if self.signal is None or not isinstance(found.exc_value, (KeyboardInterrupt, Stopped)):
            sys.__unraisablehook__(found)
            return
        self.again = threading.Timer(AGAIN, os.kill, (os.getpid(), self.signal))
        self.again.start()

    def ending(self, number: int) -> str:
        """One line for the end by a signal."""
        name = signal.Signals(number).name
        how = "interrupted" if number == signal.SIGINT else f"ended by {name}"
        doing = f" while {self.doing}" if self.doing else ""
        kept = f"kept: {', '.join(self.written[-3:])}" if self.written else "nothing was kept"
        more = f" and {len(self.written) - 3} more" if len(self.written) > 3 else ""
        return " ".join(f"{how}{doing}; {kept}{more}".split())


def status(number: int) -> int:
    """The status of a program that a signal has ended: 130, 143, 129."""
    return 128 + number


@contextmanager
def ending_signals() -> Iterator[Course]:
    """A context in which SIGINT, SIGTERM and SIGHUP are exceptions; signals that are ignored (nohup) stay so.

    In other threads than the first, where no handlers can be set, only the records are kept.
    """
    course, before, hook = Course(), {}, sys.unraisablehook
    loggers = {logger: logger.level for logger in (PROGRESS, WRITTEN)}
    for logger in loggers:
        logger.addHandler(course)
        # Single steps too: a line that is late by a minute of training would say the wrong thing.
        logger.setLevel(logging.DEBUG)
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in ENDING if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, course.stop)
    sys.unraisablehook = course.unraised
    try:
        yield course
    finally:
        sys.unraisablehook = hook
        course.again.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        for logger, level in loggers.items():
            logger.removeHandler(course)
            logger.setLevel(level)


def cut_short(what: str, kept: str) -> None:
    """Say that Ctrl-C has ended a part of the work whose result so far is used; the program ends with status 130.

    Args:
        what: was cut short, such as "training after step 12 of 300".
        kept: of it, as a sentence.
    """
    PROGRESS.warning("%s was cut short by Ctrl-C: %s", what, kept, extra={"signal": int(signal.SIGINT)})
