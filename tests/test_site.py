"""The site and the gallery: what `make docs` makes from sources and results, and that the quick examples run."""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def hook(name: str) -> ModuleType:
    """A module of docs/site, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_site_{name}", ROOT / "docs/site" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_has_the_newest_results() -> None:
    """`python docs/site/results.py` writes the table."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert hook("results").readme_with_tables(readme) == readme


def test_every_public_name_is_in_the_reference() -> None:
    reference = hook("reference")
    pages = {door: reference.page_of(door) for door in reference.DOORS}
    everywhere = "\n".join(pages.values())
    for line in (ROOT / "tests/public_names.txt").read_text(encoding="utf-8").splitlines():
        door, name = line.split()
        if not name.startswith("_"):
            assert f"::: {door}.{name}\n" in pages[door] or f".{name}]\n" in pages[door], line
    linked = {part.split("]")[0] for part in everywhere.split("][")[1:]}
    assert [name for name in linked if f"::: {name}\n" not in everywhere] == []


def test_docstrings_become_markdown() -> None:
    pytest.importorskip("griffe")
    text = "See :class:`A`::\n\n    f(1)\n\n>>> 1 + 1\n2\n>>> 3\n3\n\nEnd."
    found = hook("docstrings").as_markdown(text)
    assert found == "See `A`:\n\n    f(1)\n\n```pycon\n>>> 1 + 1\n2\n>>> 3\n3\n```\n\nEnd."


def test_the_gallery_has_every_example_and_a_small_picture() -> None:
    gallery = hook("gallery")
    assert sorted(gallery.ORDER) == EXAMPLES
    for name in gallery.ORDER:
        title, prose, code = gallery.parts_of(name)
        assert title and prose and f"{name}.png" in code
        assert (ROOT / "docs/gallery" / f"{name}.png").stat().st_size < 60_000
        ast.parse(code)


@pytest.mark.parametrize("name", ["first_forecast", "neural_memory"])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quickest ones, one with fewer training steps; the others run by `make examples`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    matplotlib.use("Agg")
    source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").replace("6, 200\n", "6, 20\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(source, name, "exec"), {"__name__": "__main__"})
    assert (tmp_path / "out/examples" / f"{name}.png").stat().st_size > 1000
    matplotlib.pyplot.close("all")
