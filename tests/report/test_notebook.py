"""Manners in a notebook: results are returned, nothing is printed, no window opens, progress can be turned off."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.source_tree import ROOT
from titans_ts import TitansForecaster, load_air_passengers, plot_forecast
from titans_ts.forecasting import plot_surprise
from titans_ts.forecasting.training import steps
from titans_ts.genomics import plot_logo, plot_track

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


@pytest.mark.parametrize("asked", [True, False])
def test_training_shows_a_bar_unless_asked_not_to(
    asked: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "moves_bars", lambda stream: True)
    small = {"width": 8, "heads": 1, "layers": 1, "experts": False, "pretrained": None, "progress": asked}
    TitansForecaster(2, max_steps=1, options=small).fit(np.tile([1.0, 2.0, 4.0, 3.0], 12))
    assert ("training" in capsys.readouterr().out) is asked


def test_figures_are_returned_and_belong_to_no_window() -> None:
    table = load_air_passengers()
    figures = [
        plot_forecast(table[:-3], table[-3:].rename(columns={"target": "0.5"})),
        plot_surprise(table, table.assign(surprise=1.0)),
        *(draw([0.5, -1.0], "AC") for draw in (plot_logo, lambda values, _: plot_track(values))),
    ]
    # A figure without a manager is drawn where the caller puts it, nowhere else.
    assert [type(one) for one in figures] == [Figure] * 4
    assert all(one.canvas.manager is None for one in figures)
