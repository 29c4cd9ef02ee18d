"""No import circles, no crowded folders, no long classes, no private modules."""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.source_tree import PACKAGES, SourceTree

TREE = SourceTree()
FILES_PER_FOLDER, LINES_PER_CLASS, LINES_OF_CLI = 12, 200, 4000


def circle(tree: SourceTree) -> list[str]:
    """Modules that import each other in a ring, type-only and deferred imports included; empty where there is none."""
    try:
        TopologicalSorter(tree.graph()).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def code_lines(node: ast.ClassDef) -> int:
    """Lines of a class without its docstrings."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            doc = ast.get_docstring(inner, clean=False)
            lines -= doc.count("\n") + 1 if doc else 0
    return lines


def test_no_import_circles() -> None:
    assert circle(TREE) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"a": "from titans_ts.core.b import x", "b": "from titans_ts.core.a import y"},
        {"a": "def f():\n    from titans_ts.core.b import x", "b": "import titans_ts.core.a"},
        {"a": "if TYPE_CHECKING:\n    from titans_ts.core import b", "b": "from .a import y"},
        {
            "a": "from titans_ts.core import x",
            "b": "from titans_ts.core import y",
            "__init__": "from .b import x\nfrom .a import y",
        },
    ],
)
def test_planted_circles_are_found(tmp_path: Path, sources: dict[str, str]) -> None:
    folder = tmp_path / "titans_ts/core"
    folder.mkdir(parents=True)
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    assert set(circle(SourceTree(tmp_path))) == {"titans_ts.core.a", "titans_ts.core.b"}


def test_folders_stay_small() -> None:
    files = Counter(module.path.parent.relative_to(TREE.root) for module in TREE.modules.values())
    assert {str(folder): count for folder, count in files.items() if count > FILES_PER_FOLDER} == {}


def test_classes_stay_small() -> None:
    long = {}
    for module in TREE.modules.values():
        for node in ast.walk(ast.parse(module.path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and code_lines(node) > LINES_PER_CLASS:
                long[f"{module.name}.{node.name}"] = code_lines(node)
    assert long == {}


def test_no_private_modules() -> None:
    """What is public is what a package exports; an underscore before a module says nothing."""
    private = [name for name in TREE.modules if any(part.startswith("_") for part in name.split("."))]
    assert [name for name in private if not name.endswith("__main__")] == []


def test_the_command_line_stays_thin() -> None:
    lines = [
        len(m.path.read_text(encoding="utf-8").splitlines())
        for n, m in TREE.modules.items()
        if n.startswith("titans_cli")
    ]
    assert sum(lines) <= LINES_OF_CLI


def test_every_package_was_walked() -> None:
    assert {name.split(".")[0] for name in TREE.modules} == set(PACKAGES)
