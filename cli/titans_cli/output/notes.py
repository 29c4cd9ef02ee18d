"""Warnings as single lines on stderr."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager


@contextmanager
def notes_on_stderr(shown: Collection[str] = (), *, numbers: bool = True) -> Iterator[None]:
    """Each warning once, as one line on stderr.

    Args:
        shown: warnings that were reported already and are left out.
        numbers: whether warnings that differ only in their numbers are different ones; batches of one file differ so.
    """
    reported = {"; ".join(shown), *shown}

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        """Instead of Python's own."""
        text = " ".join(str(message).split())
        key = text if numbers else re.sub(r"[\d,.]+ (bases are|base is)|[\d,.]+", "#", text)
        if key not in reported:
            reported.add(key)
            print(f"titans-ts: note: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        for noisy in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", noisy)
        warnings.showwarning = show
        yield
