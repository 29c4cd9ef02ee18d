"""Equations as MathML, made when the site is built: browsers draw it without a script."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    content = INLINE.sub(lambda found: convert(html.unescape(found[1])), content)
    return BLOCK.sub(lambda found: _block(html.unescape(found[1]).strip()), content)


def _block(latex: str) -> str:
    return f'<div class="equation">{convert(latex, display="block")}</div>'
