"""What is needed to make a report's numbers again: the call, settings, versions."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from titans_ts.report import elements
from titans_ts.report.page import Page
from titans_ts.version import __version__

PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "plotly")
# Longest value of a setting that is written whole.
LONGEST = 400


def add_settings(page: Page, settings: Mapping[str, object]) -> None:
    """The last section of a report.

    Args:
        page: it is added to.
        settings: names and values.
    """
    page.section("How to make it again")
    call = command()
    if call is not None:
        page.add(elements.paragraph("The command:"), elements.pre(call))
    if settings:
        rows = "\n".join(f"{key} = {_written(value)}" for key, value in settings.items())
        page.add(elements.details("Settings", elements.pre(rows)))
    found = ", ".join(f"{package} {number}" for package, number in versions().items())
    page.add(elements.paragraph(f"Versions: {found}. Made on {datetime.now():%Y-%m-%d at %H:%M}."))


def command() -> str | None:
    """The command line of titans-ts that runs now; None elsewhere, as in a notebook."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else ""
    return shlex.join(["titans-ts", *sys.argv[1:]]) if re.fullmatch(r"titans-ts(\.exe)?", program) else None


def versions() -> dict[str, str]:
    """Package → version, of those that are installed."""
    found = {"titans-ts": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _written(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
