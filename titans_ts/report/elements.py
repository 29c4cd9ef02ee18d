"""Pieces of a page as HTML: whatever comes from data is escaped here, and only here."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

# Characters that HTML does not allow, and halves of surrogate pairs, which no file can hold.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# Longest name that is written whole.
LONGEST = 120


def text(value: object) -> str:
    """A value as escaped text.

    Example:
        >>> text("<b>A & B</b>")
        '&lt;b&gt;A &amp; B&lt;/b&gt;'
    """
    return html.escape(FORBIDDEN.sub("\ufffd", str(value)))


def shortened(value: object) -> str:
    """A name of at most `LONGEST` characters; longer ones end in "…"."""
    found = FORBIDDEN.sub("\ufffd", str(value))
    return found if len(found) <= LONGEST else f"{found[: LONGEST - 1]}…"


def name(value: object) -> str:
    """A name from data: escaped, with its own direction of writing."""
    return f"<bdi>{text(shortened(value))}</bdi>"


def label(value: object) -> str:
    """A name inside a chart, where Plotly reads tags: escaped and short."""
    found = shortened(value)
    return html.escape(found if len(found) <= 28 else f"{found[:27]}…", quote=False)


def paragraph(value: object, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{_class(kind)}>{text(value)}</p>"


def listed(lines: Iterable[object]) -> str:
    """A list of sentences; nothing for none."""
    rows = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<ul class="notes">{rows}</ul>' if rows else ""


def facts(found: Mapping[str, tuple[str, str]]) -> str:
    """A row of numbers: what is told → the value and a remark."""
    cells = "".join(
        f"<div><dt>{text(what)}</dt><dd>{text(value)}{f'<small>{text(remark)}</small>' if remark else ''}</dd></div>"
        for what, (value, remark) in found.items()
    )
    return f'<dl class="facts">{cells}</dl>'


def pre(value: object) -> str:
    """Text as it is: a command, or lines of settings."""
    return f"<pre>{text(value)}</pre>"


def details(summary: str, content: str) -> str:
    """Content that a reader opens."""
    return f"<details><summary>{text(summary)}</summary>{content}</details>"


def embedded(data: Any) -> str:
    """Data as JSON that no browser reads as markup."""
    found = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        found = found.replace(sign, f"\\u{ord(sign):04x}")
    return FORBIDDEN.sub("\ufffd", found)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
