"""What the user should know but need not mend: warnings as single lines."""

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
        shown: what has been said already, and is left out.
        numbers: whether warnings that differ in numbers only are different ones; batches of a file each count.
    """
    said = {"; ".join(shown), *shown}

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        """In place of Python's own."""
        text = " ".join(str(message).split())
        key = text if numbers else re.sub(r"[\d,.]+ (bases are|base is)|[\d,.]+", "#", text)
        if key not in said:
            said.add(key)
            print(f"titans-ts: note: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        for noisy in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", noisy)
        warnings.showwarning = show
        yield
