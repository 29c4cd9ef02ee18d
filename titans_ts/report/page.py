"""HTMLReport: one file with everything in it, and `Page`, which it is put together with.

The file needs no network: style, script, data and the library Plotly.js are in it, and its security policy forbids
anything else, scripts included that are not the report's own.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from titans_datasets.writing import in_place_of
from titans_ts.report import elements
from titans_ts.report.elements import shortened, text
from titans_ts.version import __version__

SUFFIXES = (".html", ".htm")
# Items from which a chooser has a field to look for names.
SEARCHED = 12
ADVICE = "reports draw with plotly: pip install plotly"


@dataclass(frozen=True, repr=False)
class HTMLReport:
    """A finished report; in a notebook it shows itself.

    Attributes:
        title: its heading.
        body: the page without its head, as HTML.
        data: of the charts, plain values.

    Example:
        >>> from titans_ts.report.page import Page
        >>> report = Page("Sales", "3 series").finished()
        >>> report.to_html().startswith("<!doctype html>"), report
        (True, HTMLReport('Sales'))
    """

    title: str
    body: str
    data: dict[str, Any]

    def to_html(self, path: str | PathLike[str] | None = None) -> str:
        """The report as one HTML file.

        Args:
            path: where to write it as well; readers see the old file or the whole new one.

        Returns:
            The text.

        Raises:
            ValueError: the path ends in something else than .html or .htm, or is a folder.
            OSError: the file cannot be written.
            ImportError: plotly is not installed.
        """
        if path is not None:
            check_report(path)
        found = document(self)
        if path is not None:
            try:
                with in_place_of(path) as beside:
                    beside.write_text(found, encoding="utf-8", newline="\n")
            except OSError as error:
                why = error.strerror or str(error)
                raise type(error)(error.errno, f"the report cannot be written: {why}", os.fspath(path)) from error
        return found

    def _repr_html_(self) -> str:
        """The report in a frame of a notebook's cell, apart from the notebook's own style and scripts."""
        content = html.escape(self.to_html())
        style = "width:100%;height:720px;border:1px solid #c5ccd3;border-radius:6px"
        allowed = "allow-scripts allow-downloads allow-modals"
        return f'<iframe title="{text(self.title)}" sandbox="{allowed}" style="{style}" srcdoc="{content}"></iframe>'

    def __repr__(self) -> str:
        return f"HTMLReport({self.title!r})"


def check_report(path: str | PathLike[str] | None) -> None:
    """Refuse a path to which no report can be written, before time is spent on what it tells; None is fine.

    Raises:
        ValueError: another suffix, or a folder.
        PermissionError: no file can be made there.
        ImportError: plotly is not installed.

    Example:
        >>> check_report("forecast.pdf")
        Traceback (most recent call last):
            ...
        ValueError: a report must end in .html or .htm, got 'forecast.pdf': rename it
    """
    if path is None:
        return
    file = Path(path).expanduser()
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a report must end in {' or '.join(SUFFIXES)}, got {os.fspath(path)!r}: rename it")
    if file.is_dir():
        raise ValueError(f"{os.fspath(path)} is a folder: give the name of the report to write")
    there = next(folder for folder in file.absolute().parents if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{os.fspath(path)} cannot be written: {there} is not yours to write to")
    if find_spec("plotly") is None:
        raise ImportError(ADVICE)


@cache
def library() -> str:
    """Plotly.js, which the package plotly brings along.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    except ModuleNotFoundError as error:
        raise ImportError(ADVICE) from error


@cache
def asset(file: str) -> str:
    """A file of the report's own style and script."""
    return (files("titans_ts.report") / "assets" / file).read_text(encoding="utf-8")


def document(report: HTMLReport) -> str:
    """The whole file."""
    scripts = [_in_script(library()), asset("report.js")] if report.data["charts"] else [asset("report.js")]
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="generator" content="titans-ts {__version__}">',
            f"<title>{text(report.title)}</title>",
            f"<style>{asset('report.css')}</style></head><body>",
            '<a class="skip" href="#main">Skip to the report</a>',
            f'<main id="main">{report.body}</main>',
            f'<script type="application/json" id="report-data">{elements.embedded(report.data)}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body></html>\n",
        ]
    )


def _in_script(source: str) -> str:
    return source.replace("</script", "<\\/script")


def _hash(script: str) -> str:
    """The name of a script in the security policy: no other script of the file is run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@dataclass
class Page:
    """A report in the making: sections, one after another, and the data of their charts.

    Args:
        title: the heading.
        lead: a line below it.

    Attributes:
        parts: HTML so far.
        charts: id → figure, or the items of a chooser.
        axes: timestamps, which series share → their number.
    """

    title: str
    lead: str
    parts: list[str] = field(default_factory=list)
    charts: dict[str, Any] = field(default_factory=dict)
    axes: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def section(self, title: str) -> None:
        """Begin a section."""
        self.parts.append(f"<h2>{text(title)}</h2>")

    def add(self, *content: str) -> None:
        """Add HTML made by `titans_ts.report.elements` or `titans_ts.report.tables`."""
        self.parts += content

    def axis(self, stamps: Sequence[Any]) -> int:
        """The number of an axis of timestamps; series of the same steps share one."""
        return self.axes.setdefault(tuple(stamps), len(self.axes))

    def figure(self, figure: Mapping[str, Any], caption: str, description: str) -> str:
        """A chart as HTML, to be added.

        Args:
            figure: "data" and "layout" of Plotly.
            caption: above it.
            description: what it shows, in words, for readers who do not see it, and below it for all.
        """
        mark = f"chart{len(self.charts)}"
        self.charts[mark] = dict(figure)
        chart = f'<div class="chart" id="{mark}" role="img" aria-label="{text(f"{caption}. {description}")}"></div>'
        return f"<figure><figcaption>{text(caption)}</figcaption>{chart}<p>{text(description)}</p></figure>"

    def chooser(self, items: Sequence[Mapping[str, Any]], what: str, **titles: str) -> str:
        """A chart of one of several items, which a reader chooses.

        Args:
            items: of each a "name", a "text" that tells what its chart shows, and "tracks" (see
                `titans_ts.report.series`) or "data" and "layout" of Plotly.
            what: the word for an item.
            titles: x, y and below of the axes of tracks.
        """
        mark = f"chart{len(self.charts)}"
        self.charts[mark] = {"items": [dict(item) for item in items], **titles}
        first = items[0]
        described = f'role="img" aria-labelledby="{mark}-name" aria-describedby="{mark}-text"'
        numbers = f'<div class="scroll" tabindex="0" role="region" aria-label="Numbers" id="{mark}-numbers"></div>'
        return (
            f"{_choice(mark, items, what)}"
            f'<figure><figcaption dir="auto" id="{mark}-name">{text(shortened(first["name"]))}</figcaption>'
            f'<div class="chart large" id="{mark}" {described}></div>'
            f'<p id="{mark}-text" aria-live="polite">{text(first["text"])}</p></figure>'
            f"<details hidden><summary>Numbers of this forecast</summary>{numbers}</details>"
        )

    def finished(self) -> HTMLReport:
        """The report."""
        head = f'<header><h1>{text(self.title)}</h1><p class="lead">{text(self.lead)}</p></header>'
        script = "<noscript><p>The charts need JavaScript; texts and tables do not.</p></noscript>"
        end = f"<footer>Made by titans-ts {__version__}. This file needs no network.</footer>"
        body = "".join([head, script, *self.parts, end])
        return HTMLReport(self.title, body, {"axes": [list(stamps) for stamps in self.axes], "charts": self.charts})


def _choice(mark: str, items: Sequence[Mapping[str, Any]], what: str) -> str:
    """The controls of a chart: which item, and how much of its history; none where there is nothing to choose."""
    options = "".join(
        f'<option value="{place}" dir="auto">{text(shortened(item["name"]))}</option>'
        for place, item in enumerate(items)
    )
    found = []
    if len(items) > SEARCHED:
        found.append(f'<label>Find<input type="search" id="{mark}-filter" autocomplete="off"></label>')
    if len(items) > 1:
        found += [
            f'<label>{text(what)}<select id="{mark}-choice">{options}</select></label>',
            f'<button type="button" id="{mark}-before" aria-label="previous {text(what)}">←</button>',
            f'<button type="button" id="{mark}-after" aria-label="next {text(what)}">→</button>',
        ]
    if any(item.get("from") for item in items):
        found.append(f'<button type="button" id="{mark}-whole" aria-pressed="false">Whole history</button>')
    return f'<div class="chooser">{"".join(found)}</div>' if found else ""
