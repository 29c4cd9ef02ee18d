"""What `import titans_ts` promises: names, docstrings, and that it stays cheap."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.source_tree import Import, SourceTree, imports_of

ROOT = Path(__file__).resolve().parent.parent
TREE = SourceTree()
FRONT_DOORS = (
    "titans_ts",
    "titans_ts.core",
    "titans_ts.forecasting",
    "titans_ts.genomics",
    "titans_datasets.series",
    "titans_datasets.dna",
    "titans_kernels",
)
NAMES = [(door, name) for door in FRONT_DOORS for name in sorted(importlib.import_module(door).__all__)]
FROZEN = Path(__file__).with_name("public_names.txt")
HEAVY = ("torch", "lightning", "matplotlib", "gluonts", "sklearn", "pandas", "numpy", "rich")


@pytest.mark.parametrize(("door", "name"), NAMES)
def test_public_name_is_there_and_documented(door: str, name: str) -> None:
    if name in ("TitansEstimator", "TitansPredictor"):
        pytest.importorskip("gluonts")
    thing = getattr(importlib.import_module(door), name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert thing.__doc__ and len(thing.__doc__.strip()) > 10
        # A dataclass without a docstring gets its signature as one.
        assert not thing.__doc__.startswith(f"{thing.__name__}(")


def test_no_public_name_comes_or_goes_unnoticed() -> None:
    """A new name is written down here (and in CHANGELOG.md); one that goes breaks somebody's program."""
    found = [f"{door} {name}" for door, name in NAMES]
    assert found == FROZEN.read_text(encoding="utf-8").splitlines()


def definition(found: Import) -> ast.ClassDef | ast.FunctionDef | None:
    """Where a name is defined, through re-exports; None for constants, aliases of types and modules."""
    home = TREE.defined_in(found)
    assert home is not None, found
    source = TREE.modules[home].path.read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == found.name:
            return node
    again = [x for x in imports_of(source, home, TREE.modules[home].is_package) if x.name == found.name]
    return definition(again[0]) if again and again[0].dotted not in TREE.modules else None


@cache
def public_definitions() -> dict[str, ast.ClassDef | ast.FunctionDef]:
    """Classes and functions that packages with a stub, and `titans_kernels`, export; optional packages too."""
    found = {}
    for name, module in TREE.modules.items():
        if module.path.with_suffix(".pyi").is_file() or name == "titans_kernels":
            exported = [one for one in module.imports() if one.name and one.home.startswith("titans")]
            found.update({f"{name}.{one.name}": node for one in exported if (node := definition(one))})
    return found


def test_public_names_have_an_example() -> None:
    """The tests of doctests run them. Constants and aliases of types have no docstring of their own."""
    found = public_definitions()
    assert len(found) > 200 and "titans_ts.forecasting.fev.TitansModel" in found
    example = re.compile(r"^Example:\n    >>> ", re.MULTILINE)
    lacking = [name for name, node in found.items() if not example.search(ast.get_docstring(node) or "")]
    assert lacking == []


@pytest.mark.parametrize("door", FRONT_DOORS)
def test_front_doors_list_their_names(door: str) -> None:
    module = importlib.import_module(door)
    assert set(module.__all__) <= set(dir(module))
    assert len(set(module.__all__)) == len(module.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "door",
    [
        "titans_ts",
        "titans_ts.core",
        "titans_ts.forecasting",
        "titans_ts.genomics",
        "titans_datasets",
        "titans_datasets.dna",
        "titans_recipes",
        "titans_cli",
    ],
)
def test_import_is_cheap(door: str) -> None:
    code = f"import sys, {door}; print([m for m in {HEAVY!r} if m in sys.modules])"
    paths = [str(ROOT / part) for part in (".", "kernels", "datasets", "recipes", "cli")]
    code = f"import sys; sys.path[:0] = {paths!r}; {code}"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_version_is_the_package_version() -> None:
    import titans_ts

    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', project, flags=re.MULTILINE)
    assert found and titans_ts.__version__ == found[1]


@pytest.mark.parametrize(
    "folder",
    ["titans_ts", "kernels/titans_kernels", "datasets/titans_datasets", "recipes/titans_recipes", "cli/titans_cli"],
)
def test_packages_are_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()
