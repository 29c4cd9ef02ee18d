"""Warnings as single lines on stderr."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from titans_datasets.text import renamed

# Arguments of Python and the options of the commands for the same.
OPTIONS = {
    "id_column": "--id",
    "timestamp_column": "--timestamp",
    "target_column": "--target",
    "static_covariates": "--static",
    "past_covariates": "--past-covariates",
    "known_covariates": "--covariates",
    "max_steps": "--max-steps",
    **{name: f"--{name}" for name in ("freq", "aggregate", "snap", "lower", "upper")},
    **{name: f"--{name}" for name in ("mismatch", "outside", "symbolic")},
}


def in_options(text: str) -> str:
    """A message of the library in the words of the command line."""
    text = text.replace("short='pad', short_series='pad' in options", "--option short_series=pad")
    text = text.replace("the future frame", "--future")
    return re.sub(r"(?<!memory )\boption '(\w+)' is unknown", r"--option \1 is unknown", renamed(text, OPTIONS))


@contextmanager
def errors_in_options() -> Iterator[None]:
    """Messages of errors with the names of options; a missing package is an error of the user's too."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise (TypeError if isinstance(error, TypeError) else ValueError)(in_options(str(error))) from error
    except ImportError as error:
        if "pip install" not in str(error):
            raise
        raise ValueError(str(error)) from error


@contextmanager
def notes_on_stderr(shown: Collection[str] = (), *, numbers: bool = True) -> Iterator[None]:
    """Each warning once, as one line on stderr.

    Args:
        shown: notes that were reported already; a warning that repeats some of them is left out.
        numbers: whether warnings that differ only in their numbers are different ones; batches of one file differ so.
    """
    before, reported = " ".join("; ".join(shown).split()), set[str]()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        """Instead of Python's own."""
        text = " ".join(str(message).split())
        key = text if numbers else re.sub(r"[\d,.]+ (bases are|base is)|[\d,.]+", "#", text)
        if key not in reported and text not in before:
            reported.add(key)
            print(f"titans-ts: note: {in_options(text)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        for noisy in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", noisy)
        warnings.showwarning = show
        yield
