"""Pages of the repository that lie outside docs/, and links between both.

In the site such a page keeps its path, below `repository/`. Other files that a page links to are copied to `files/`; a
folder has no page, and its link becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "RELEASE.md",
    "benchmarks/README.md",
    "datasets/titans_datasets/builtin/SOURCES.md",
    "kernels/MATH.md",
    "kernels/titans_kernels/linear_memory/README.md",
    "kernels/titans_kernels/mlp_memory/README.md",
    "recipes/README.md",
)
LINK = re.compile(r"(\[[^\]]*\])\(((?!\w+:|#)[^)\s#]+)(#[^)]*)?\)")
ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page in PAGES:
        files.append(File.generated(config, f"repository/{page}", abs_src_path=str(ROOT / page)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = page.file.src_uri
    home = here.removeprefix("repository/") if here.startswith("repository/") else f"docs/{here}"
    return LINK.sub(lambda found: _link(found, here, home, config, files), with_wide_lists(markdown))


def _link(found: re.Match[str], here: str, home: str, config: MkDocsConfig, files: Files) -> str:
    """A link in the places of the site, from one in those of the repository."""
    text, target, anchor = found[1], found[2], found[3] or ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(home), target))
    if path.startswith("docs/"):
        place = path.removeprefix("docs/")
    elif path == "examples" or (path.startswith("examples/") and path.endswith(".py")):
        place = "examples/index.md" if path == "examples" else f"{path.removesuffix('.py')}.md"
    elif path in PAGES:
        place = f"repository/{path}"
    elif (ROOT / path).is_dir():
        return text[1:-1]
    else:
        place = f"files/{path}"
        if files.get_file_from_path(place) is None and (ROOT / path).is_file():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return f"{text}({posixpath.relpath(place, posixpath.dirname(here) or '.')}{anchor})"


def with_wide_lists(markdown: str) -> str:
    """The same page with four spaces a level of a list: fewer are a list on GitHub, but none for Python-Markdown."""
    lines, fenced, inside, blank = [], False, False, True
    for line in markdown.split("\n"):
        if line.startswith(("```", "~~~")):
            fenced = not fenced
        body = line.lstrip(" ")
        depth = len(line) - len(body)
        if not fenced and body:
            inside = bool(ITEM.match(body)) if depth == 0 and (blank or not inside) else inside or False
            if inside and 0 < depth < 4:
                line = " " * 4 + body
            elif inside and depth == 0 and not blank and ITEM.match(body):
                lines.append("")  # an item right below a second paragraph of the one before is part of it otherwise
        blank = not body
        lines.append(line)
    return "\n".join(lines)
