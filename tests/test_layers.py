"""The layers of the house: who may import whom, hidden imports (in functions, by `import_module`) included."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "titans_kernels": "kernels/titans_kernels",
    "titans_datasets": "datasets/titans_datasets",
    "titans_ts": "titans_ts",
    "titans_cli": "cli/titans_cli",
}
# Each layer and the layers it may import; `titans_ts` alone is the library's front door.
LAYERS = {
    "titans_kernels": set[str](),
    "titans_datasets": set[str](),
    "titans_ts.core": {"titans_kernels"},
    "titans_ts.forecasting": {"titans_ts.core", "titans_datasets"},
    "titans_ts.genomics": {"titans_ts.core", "titans_datasets"},
    "titans_recipes.recall": {"titans_ts.core"},
    "titans_ts": {"titans_ts.core", "titans_ts.forecasting", "titans_ts.genomics", "titans_datasets", "titans_kernels"},
    "titans_cli": {
        "titans_ts",
        "titans_ts.core",
        "titans_ts.forecasting",
        "titans_ts.genomics",
        "titans_recipes.recall",
        "titans_datasets",
        "titans_kernels",
    },
}
# Heavy third parties begin at these file names (and at names that continue them with an underscore).
HOMES_OF_THIRD_PARTIES = {
    "lightning": ("module", "training", "estimator"),
    "pytorch_lightning": (),
    "sklearn": ("forecaster", "classifier", "language_model", "facade"),
    "gluonts": ("estimator",),
}
KERNELS_MAY_IMPORT = {"torch", "triton", *sys.stdlib_module_names}


def imports_of(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything the source imports; `from a import b` gives `a.b`."""
    parts = module.split(".")

    def absolute(level: int, name: str) -> str:
        base = parts[: len(parts) - level + is_package] if level else []
        return ".".join([*base, *([name] if name else [])])

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = absolute(node.level, node.module or "")
            yield from ((node.lineno, f"{home}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value
            if function in ("import_module", "__import__") and isinstance(name, str):
                bare = name.lstrip(".")
                yield node.lineno, absolute(len(name) - len(bare), bare)


def layer_of(dotted: str) -> str | None:
    """The innermost layer that holds a module, None for third parties."""
    return next((x for x in sorted(LAYERS, key=len, reverse=True) if f"{dotted}.".startswith(f"{x}.")), None)


def complaint(module: str, stem: str, imported: str) -> str | None:
    """Why `module` (in file `stem`.py) may not import `imported`; None when it may."""
    here, there = layer_of(module), layer_of(imported)
    assert here is not None
    if there is not None:
        if there == here or there in LAYERS[here] or imported == "titans_ts.__version__":
            return None
        return f"{here} may import {', '.join(sorted(LAYERS[here])) or 'no other layer'}"
    top = imported.split(".")[0]
    if here == "titans_kernels" and top not in KERNELS_MAY_IMPORT:
        return "titans_kernels may import torch and triton only"
    homes = HOMES_OF_THIRD_PARTIES.get(top)
    if homes is not None and not any(stem == home or stem.startswith(f"{home}_") for home in homes):
        return f"{top} is imported only in {', '.join(f'{home}.py' for home in homes) or 'no file'}"
    return None


def violations(root: Path) -> list[str]:
    """One line for each forbidden import below `root`."""
    found = []
    for package, folder in PACKAGES.items():
        for path in sorted((root / folder).rglob("*.py")):
            inside = path.relative_to(root / folder).with_suffix("").parts
            is_package = inside[-1] == "__init__"
            module = ".".join((package, *(inside[:-1] if is_package else inside)))
            for line, imported in imports_of(path.read_text(encoding="utf-8"), module, is_package):
                why = complaint(module, path.stem, imported)
                if why:
                    found.append(f"{path.relative_to(root)}:{line} imports {imported}: {why}")
    return found


def test_layers_hold() -> None:
    assert violations(ROOT) == []


def test_every_package_was_walked() -> None:
    assert all(len(list((ROOT / folder).rglob("*.py"))) >= 1 for folder in PACKAGES.values())


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("kernels/titans_kernels/a.py", "import titans_datasets"),
        ("kernels/titans_kernels/a.py", "import pandas"),
        ("datasets/titans_datasets/a.py", "from titans_kernels import MemoryState"),
        ("datasets/titans_datasets/series/frames.py", "import lightning.pytorch as pl"),
        ("titans_ts/core/a.py", "import titans_datasets.series"),
        ("titans_ts/core/a.py", "from titans_ts import Titans"),
        ("titans_ts/core/a.py", "from .. import forecasting"),
        ("titans_ts/core/a.py", "def f():\n    from ..forecasting.plot import plot_forecast"),
        ("titans_ts/core/__init__.py", "from ..forecasting import plot"),
        ("titans_ts/core/a.py", "import importlib\nx = importlib.import_module('titans_ts.genomics')"),
        ("titans_ts/core/a.py", "from importlib import import_module\nimport_module('..genomics', __package__)"),
        ("titans_ts/forecasting/a.py", "if TYPE_CHECKING:\n    from titans_ts.genomics import x"),
        ("titans_ts/forecasting/a.py", "from titans_kernels import mlp_memory"),
        ("titans_ts/genomics/a.py", "import titans_ts.forecasting.plot"),
        ("titans_ts/forecasting/plot.py", "from sklearn.base import BaseEstimator"),
        ("titans_ts/forecasting/forecaster.py", "import gluonts"),
        ("titans_ts/forecasting/network.py", "import lightning"),
        ("titans_ts/forecasting/module.py", "import pytorch_lightning"),
        ("titans_ts/forecasting/a.py", "import titans_cli"),
    ],
)
def test_planted_violation_is_found(tmp_path: Path, file: str, source: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(source)
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(file)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("titans_ts/core/a.py", "from titans_kernels import mlp_memory\nfrom .config import x\nimport torch"),
        ("titans_ts/forecasting/a.py", "from titans_ts import __version__\nfrom ..core import Titans"),
        ("titans_ts/forecasting/__init__.py", "from . import plot"),
        ("titans_ts/forecasting/training.py", "import lightning.pytorch"),
        ("titans_ts/forecasting/facade_rules.py", "import sklearn"),
        ("titans_ts/forecasting/estimator.py", "import gluonts.torch\nimport lightning.pytorch"),
        ("datasets/titans_datasets/series/module.py", "import lightning"),
        ("cli/titans_cli/main.py", "import titans_ts.forecasting, titans_datasets, titans_kernels"),
    ],
)
def test_allowed_imports_pass(tmp_path: Path, file: str, source: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(source)
    assert violations(tmp_path) == []
