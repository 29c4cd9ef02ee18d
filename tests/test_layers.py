"""The layers of the house: who may import whom, hidden imports (in functions, by `import_module`) included."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT, SourceTree

# Each layer and the layers it may import; `titans_ts` alone is the library's front door.
BELOW = {"titans_kernels", "titans_datasets", "titans_ts.core", "titans_ts.support", "titans_ts.report"}
DOMAINS = {"titans_ts.forecasting", "titans_ts.genomics"}
LAYERS = {
    "titans_kernels": set[str](),
    "titans_datasets": set[str](),
    "titans_ts.core": {"titans_kernels"},
    "titans_ts.support": {"titans_ts.core", "titans_datasets"},
    "titans_ts.report": {"titans_ts.support", "titans_datasets"},
    "titans_ts.forecasting": {"titans_ts.core", "titans_ts.support", "titans_ts.report", "titans_datasets"},
    "titans_ts.genomics": {"titans_ts.core", "titans_ts.support", "titans_ts.report", "titans_datasets"},
    "titans_ts": BELOW | DOMAINS,
    "titans_recipes": BELOW | DOMAINS | {"titans_ts"},
    "titans_cli": BELOW | DOMAINS | {"titans_ts", "titans_recipes"},
}
# Third parties live in folders (or files) of their own purpose; no entry: anywhere above the kernels.
HOMES_OF_THIRD_PARTIES = {
    "lightning": (
        "titans_datasets.series.batches",
        "titans_datasets.dna.batches",
        "titans_datasets.series.public.module_source",
        "titans_ts.support.lightning",
        "titans_ts.support.resume",
        "titans_ts.support.run_folder",
        "titans_ts.forecasting.training",
        "titans_ts.forecasting.reads.training",
        "titans_ts.forecasting.gluonts",
        "titans_ts.genomics.training",
        "titans_cli",
    ),
    "pytorch_lightning": (),
    "sklearn": (
        "titans_ts.forecasting.forecaster",
        "titans_ts.forecasting.sktime",
        "titans_ts.genomics.classifier",
        "titans_ts.genomics.language",
        "titans_ts.genomics.regression",
        "titans_ts.genomics.report",
    ),
    "gluonts": ("titans_ts.forecasting.gluonts",),
    "ray": ("titans_ts.forecasting.batch",),
    "fev": ("titans_ts.forecasting.fev",),
    "sktime": ("titans_ts.forecasting.sktime",),
    **dict.fromkeys(
        ("statsforecast", "mlforecast", "lightgbm", "flaircast", "fracast"), ("titans_recipes.suite.peers",)
    ),
}
ONLY = {"titans_kernels": {"torch", "triton"}, "titans_ts.core": {"torch", "lazy_loader"}}


def inside(dotted: str, home: str) -> bool:
    return f"{dotted}.".startswith(f"{home}.")


def layer_of(dotted: str) -> str | None:
    """The innermost layer that holds a module, None for third parties."""
    return next((x for x in sorted(LAYERS, key=len, reverse=True) if inside(dotted, x)), None)


def complaint(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`; None when it may."""
    here, there = layer_of(module), layer_of(imported)
    assert here is not None
    if there is not None:
        if there == here or there in LAYERS[here] or inside(imported, "titans_ts.version"):
            return None
        return f"{here} may import {', '.join(sorted(LAYERS[here])) or 'no other layer'}"
    top = imported.split(".")[0]
    if here in ONLY and top not in ONLY[here] | sys.stdlib_module_names:
        return f"{here} may import {' and '.join(sorted(ONLY[here]))} only"
    homes = HOMES_OF_THIRD_PARTIES.get(top)
    if homes is not None and not any(inside(module, home) for home in homes):
        return f"{top} is imported only in {', '.join(homes) or 'no module'}"
    return None


def violations(root: Path) -> list[str]:
    """One line for each forbidden import below `root`."""
    return [
        f"{module.path.relative_to(root)}:{found.line} imports {found.dotted}: {why}"
        for module in SourceTree(root).modules.values()
        for found in module.imports()
        if (why := complaint(module.name, found.dotted))
    ]


def test_layers_hold() -> None:
    assert violations(ROOT) == []


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
        ("titans_ts/core/a.py", "import numpy"),
        ("titans_ts/core/a.py", "from titans_ts.support import params"),
        ("titans_ts/support/params.py", "import lightning"),
        ("titans_ts/report/a.py", "from titans_ts.forecasting import metrics"),
        ("titans_ts/report/a.py", "if TYPE_CHECKING:\n    from titans_ts.genomics import x"),
        ("titans_ts/support/a.py", "from titans_ts.forecasting import metrics"),
        ("titans_ts/forecasting/a.py", "import titans_recipes"),
        ("recipes/titans_recipes/a.py", "import titans_cli"),
        ("titans_ts/forecasting/forecaster/forecaster.py", "import gluonts"),
        ("titans_ts/forecasting/model/network.py", "import lightning"),
        ("titans_ts/forecasting/training/module.py", "import pytorch_lightning"),
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
        ("titans_ts/forecasting/a.py", "from titans_ts.version import __version__\nfrom ..core import Titans"),
        ("titans_ts/forecasting/__init__.py", "from . import plot"),
        ("titans_ts/forecasting/training/fit.py", "import lightning.pytorch"),
        ("titans_ts/forecasting/forecaster/params.py", "import sklearn"),
        ("titans_ts/forecasting/gluonts/estimator.py", "import gluonts.torch\nimport lightning.pytorch"),
        ("datasets/titans_datasets/series/batches/module.py", "import lightning"),
        ("titans_ts/forecasting/report.py", "from titans_ts.report import forecast"),
        ("titans_ts/support/a.py", "from titans_datasets import writing\nfrom titans_ts.core import Titans"),
        ("recipes/titans_recipes/a.py", "from titans_ts import TitansForecaster"),
        ("cli/titans_cli/main.py", "import titans_ts.forecasting, titans_datasets, titans_kernels"),
    ],
)
def test_allowed_imports_pass(tmp_path: Path, file: str, source: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(source)
    assert violations(tmp_path) == []
