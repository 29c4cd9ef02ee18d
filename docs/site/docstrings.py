"""Docstrings as Markdown: examples with `>>>` become blocks of code, `::` before a block a colon; roles go."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*(?:\n\n\1>>> .*(?:\n\1\S.*)*)*", re.MULTILINE)


class MarkdownDocstrings(griffe.Extension):
    """Rewrites every docstring that Python code hands over."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring with its examples fenced.

    >>> print(as_markdown("Twice::\\n\\n    f(1)"))
    Twice:
    <BLANKLINE>
        f(1)
    """
    text = re.sub(r"::(\n\n +\S)", r":\1", re.sub(r":(?:class|func|meth|mod):(?=`)", "", text))
    return DOCTEST.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
