"""Where files of public data sets are looked for: the folder that $TITANS_TS_DATA names, and a cache folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "TITANS_TS_DATA"
CACHE_VARIABLE = "TITANS_TS_CACHE"


def data_folders() -> list[Path]:
    """Where files of public sets are looked for: $TITANS_TS_DATA, where it is set, and the cache folder."""
    return [folder for folder in (data_folder(), cache_folder()) if folder is not None]


def find_place(places: Sequence[str]) -> Path | None:
    """The first of some relative places, plain or with .gz, that is a file in one of `data_folders`."""
    candidates = (
        path for folder in data_folders() for place in places for path in (folder / place, folder / f"{place}.gz")
    )
    return next((path for path in candidates if path.is_file()), None)


def data_folder() -> Path | None:
    """The folder that $TITANS_TS_DATA names, None where it is not set."""
    folder = os.environ.get(VARIABLE)
    return Path(folder).expanduser() if folder else None


def cache_folder() -> Path:
    """$TITANS_TS_CACHE, else titans-ts in the platform's folder for caches; it need not exist."""
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "titans-ts"
