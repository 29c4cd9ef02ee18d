"""Files are written beside their place and moved there: readers see the old file or the whole new one, never a part.

Shapes: none.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path


@contextmanager
def in_place_of(path: str | PathLike[str]) -> Iterator[Path]:
    """A path beside the wanted one, with its suffix; what was written there takes its place when all went well."""
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{uuid.uuid4().hex}.{file.name}")
    try:
        yield beside
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
