"""The packages' source as data: modules, what each imports (hidden imports too), and where a public name is defined."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "titans_kernels": "kernels/titans_kernels",
    "titans_datasets": "datasets/titans_datasets",
    "titans_ts": "titans_ts",
    "titans_recipes": "recipes/titans_recipes",
    "titans_cli": "cli/titans_cli",
}


class Import(NamedTuple):
    """One imported thing: `from home import name`, or `import home` (name empty)."""

    line: int
    home: str
    name: str

    @property
    def dotted(self) -> str:
        return f"{self.home}.{self.name}" if self.name else self.home


def imports_of(source: str, module: str, is_package: bool) -> Iterator[Import]:
    """Everything the source imports: at the top, in functions, under TYPE_CHECKING, and by `import_module`."""
    parts = module.split(".")

    def absolute(level: int, name: str) -> str:
        base = parts[: len(parts) - level + is_package] if level else []
        return ".".join([*base, *([name] if name else [])])

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = absolute(node.level, node.module or "")
            yield from (Import(node.lineno, home, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value
            if function in ("import_module", "__import__") and isinstance(name, str):
                bare = name.lstrip(".")
                yield Import(node.lineno, absolute(len(name) - len(bare), bare), "")


class Module(NamedTuple):
    """A module and its file. A package with a stub beside it is read from the stub: there its names are listed."""

    name: str
    path: Path

    @property
    def is_package(self) -> bool:
        return self.path.stem == "__init__"

    def imports(self) -> list[Import]:
        stub = self.path.with_suffix(".pyi")
        texts = [self.path.read_text(encoding="utf-8"), *([stub.read_text(encoding="utf-8")] if stub.is_file() else [])]
        return [found for text in texts for found in imports_of(text, self.name, self.is_package)]


class SourceTree:
    """All modules below a root, and the graph of their imports."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    @cached_property
    def modules(self) -> dict[str, Module]:
        found = {}
        for package, folder in PACKAGES.items():
            for path in sorted((self.root / folder).rglob("*.py")):
                inside = path.relative_to(self.root / folder).with_suffix("").parts
                name = ".".join((package, *(inside[:-1] if inside[-1] == "__init__" else inside)))
                found[name] = Module(name, path)
        return found

    @cached_property
    def _exports(self) -> dict[str, dict[str, Import]]:
        packages = [module for module in self.modules.values() if module.is_package]
        return {module.name: {found.name: found for found in module.imports() if found.name} for module in packages}

    def defined_in(self, found: Import) -> str | None:
        """The module that an import reaches, through re-exports of packages; None for third parties."""
        if found.dotted in self.modules:
            return found.dotted
        again = self._exports.get(found.home, {}).get(found.name)
        if again is not None:
            return self.defined_in(again)
        return found.home if found.home in self.modules else None

    def graph(self) -> dict[str, set[str]]:
        """The modules that each module imports, at whatever place in its file."""
        return {
            name: {target for found in module.imports() if (target := self.defined_in(found)) not in (None, name)}
            for name, module in self.modules.items()
        }  # type: ignore[return-value]
