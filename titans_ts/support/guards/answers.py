"""What a command line says of an error: one line with what to do next, whatever was raised."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from titans_ts.support.guards.signals import PROGRAM, Stopped, ending_signals, status
from titans_ts.support.guards.streams import PIPE, safe_streams, unread

OK, FAILED = 0, 1
DEBUG = "--debug"
MOST_CHARACTERS = 1000
# Import name of a package that is not always installed → the extra that brings it.
EXTRAS = {
    "pooch": "data",
    "pyfaidx": "genomes",
    "pyrodigal": "genes",
    "openpyxl": "excel",
    "fev": "fev",
    "tangermeme": "motifs",
    "memelite": "motifs",
    "pyBigWig": "bigwig",
    "ray": "ray",
    **dict.fromkeys(("statsforecast", "mlforecast", "lightgbm", "flaircast", "fracast"), "peers"),
}
# Errors of the caller; everything else is one of ours.
EXPECTED = (ValueError, TypeError, OSError)


def answered(work: Callable[[], None], debug: bool = False, files: bool = True) -> int:
    """Do the work of a command.

    Args:
        work: what it does.
        debug: whether a traceback is printed before the line of an error.
        files: whether its results go to files; then it goes on when the reader of standard output is gone.

    Returns:
        The status: 0 on success; 1 after an error, which is one line on stderr; 130, 143 or 129 after SIGINT, SIGTERM
        or SIGHUP, with one line that says what was kept; 141 where the reader of standard output was gone.

    Raises:
        SystemExit: the work exits by itself, as argparse does for usage errors.
    """
    shown = safe_streams(files)
    with ending_signals() as course:
        try:
            try:
                work()
            finally:
                sys.stdout.flush()
            missed = unread(shown)
        except BaseException as error:
            if isinstance(error, BrokenPipeError) and shown is not None and shown.error is error:
                return PIPE
            if debug and not isinstance(error, SystemExit):
                traceback.print_exc()
            # A library may have made another error of what a signal raised.
            if course.signal is not None or isinstance(error, (KeyboardInterrupt, Stopped)):
                number = course.signal or signal.SIGINT
                print(f"{PROGRAM}: {course.ending(number)}", file=sys.stderr)
                return status(number)
            if isinstance(error, SystemExit):
                raise
            print(f"{PROGRAM}: error: {described(error)}", file=sys.stderr)
            return FAILED
        if course.signal is not None:
            return status(course.signal)
        return OK if missed is None else missed


def described(error: BaseException) -> str:
    """An error in one line of at most `MOST_CHARACTERS`.

    Example:
        >>> described(ValueError("expected rows,\\n  got none")), described(ModuleNotFoundError("", name="ray.data"))
        ('expected rows, got none', "ray is not installed: pip install 'titans-ts[ray]'")
        >>> described(ZeroDivisionError("division by zero"))
        'ZeroDivisionError: division by zero; this is not expected: --debug shows where, please report it'
    """
    text = " ".join(_text(error).split())
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 2]} …"


def _text(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, ImportError):
        package = (error.name or "").partition(".")[0]
        if "pip install" in str(error) and PROGRAM in str(error):
            return str(error)
        extra = EXTRAS.get(package)
        missing = f"{package} is not installed" if package and isinstance(error, ModuleNotFoundError) else str(error)
        return f"{missing}: pip install '{PROGRAM}[{extra}]'" if extra else f"{missing}: pip install -U {PROGRAM}"
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        what = f" ({error})" if str(error) else ""
        return f"not enough memory{what}: give less data, a shorter horizon or a smaller network"
    if isinstance(error, RecursionError):
        return "the input is nested too deeply to be read: check that the file is what the command expects"
    if isinstance(error, EOFError):
        return f"a file ends too early ({error}): check that it was copied or written completely"
    if isinstance(error, UnicodeError):
        return f"text that cannot be read or written as it is encoded ({error}): save the file as UTF-8"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, EXPECTED) and str(error).strip():
        return str(error)
    what = f"{name}: {error}" if str(error).strip() else name
    return f"{what}; this is not expected: {DEBUG} shows where, please report it"


def without_debug(argv: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug`` before a ``--``, and whether it was there."""
    given = list(argv)
    end = given.index("--") if "--" in given else len(given)
    return [word for place, word in enumerate(given) if word != DEBUG or place > end], DEBUG in given[:end]
