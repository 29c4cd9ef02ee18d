"""Files inside the package, checked against what was shipped."""

from __future__ import annotations

import hashlib
from pathlib import Path

PREFIX = "builtin:"
_FOLDER = Path(__file__).parent


def shipped_file(name: str, sha256: str) -> Path:
    """A file of this folder.

    Raises:
        ValueError: it was altered.
    """
    path = _FOLDER / name
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file that was shipped (its checksum differs): reinstall titans-ts")
    return path
