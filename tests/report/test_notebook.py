"""Manners in a notebook: results are returned, nothing is printed, no window opens, progress can be turned off."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from tests.source_tree import ROOT
from titans_ts import TitansForecaster

LIBRARY = [*(ROOT / "titans_ts").rglob("*.py"), *(ROOT / "datasets" / "titans_datasets").rglob("*.py")]
# Lines of a training without a terminal are this file's purpose.
PRINTS = {"run_folder.py", "signals.py", "answers.py"}


def calls_and_imports(file: Path) -> list[str]:
    """Names that are called, and modules that are imported, in a file."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.append(node.func.id)
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{one.name}" for one in node.names]
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
    return found


def test_the_library_neither_prints_nor_opens_windows() -> None:
    for file in LIBRARY:
        found = calls_and_imports(file)
        assert "print" not in found or file.name in PRINTS, file
        assert not any(name.startswith("matplotlib.pyplot") for name in found), file


def test_a_forecast_with_its_report_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    forecaster = TitansForecaster.from_pretrained("zero", 4, options={"progress": False})
    forecaster.fit(np.tile([1.0, 2.0, 4.0, 3.0], 12))
    shown = forecaster.report()._repr_html_()
    assert shown.startswith("<iframe") and "4 steps" in shown
    assert capsys.readouterr() == ("", "")
