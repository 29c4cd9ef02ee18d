"""What is needed to make a report's numbers again: the call, settings, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from titans_ts.report import elements
from titans_ts.report.page import Page
from titans_ts.version import __version__

PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "plotly")
# Longest value of a setting that is written whole.
LONGEST = 400


def add_settings(page: Page, settings: Mapping[str, object], call: str | None) -> None:
    """The last section of a report.

    Args:
        page: it is added to.
        settings: names and values.
        call: the command, or the Python call, that made the report.
    """
    page.section("How to make it again")
    if call:
        page.add(elements.paragraph("The command:"), elements.pre(call))
    if settings:
        rows = "\n".join(f"{key} = {_written(value)}" for key, value in settings.items())
        page.add(elements.details("Settings", elements.pre(rows)))
    found = ", ".join(f"{package} {number}" for package, number in versions().items())
    page.add(elements.paragraph(f"Versions: {found}. Made on {datetime.now():%Y-%m-%d at %H:%M}."))


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
