"""`titans-ts forecast --pretrained`: nothing is trained unless asked; options about a network are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forecasting.common import frame
from titans_cli.main import main
from titans_ts.forecasting.pretrained.weighing import unweighed


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "table.csv"
    frame(("b", "a"), 100).to_csv(file, index=False)
    return file


@pytest.fixture(autouse=True)
def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reads have half of what the experts would have alone, whatever weights are installed."""
    monkeypatch.setattr("titans_ts.forecasting.forecaster.fit_panel.weighed", lambda reads, *rest: unweighed(reads))


def run(capsys: pytest.CaptureFixture[str], table: Path, *more: str, code: int = 0) -> str:
    assert main(["forecast", str(table), "--horizon", "6", *more]) == code
    out, err = capsys.readouterr()
    return err if code else out


def test_nothing_is_trained(capsys, table, tmp_path):
    out = run(capsys, table, "--pretrained", "--model", str(tmp_path / "model"), "--output", str(tmp_path / "out.csv"))
    assert "pretrained weights: no training" in out and "backtest" not in out
    assert "50 % pretrained memory reads" in out and "no training: experts and pretrained weights alone" in out
    first = (tmp_path / "out.csv").read_text()
    again = run(capsys, table, "--model", str(tmp_path / "model"), "--output", str(tmp_path / "out.csv"))
    assert "model loaded" in again and (tmp_path / "out.csv").read_text() == first
    run(capsys, table, "--model", str(tmp_path / "model"), "--pretrained")


def test_a_backtest_where_it_is_asked_for(capsys, table):
    out = run(capsys, table, "--pretrained", "--backtest-windows", "2")
    assert "expert mixture" in out and "linear part alone" not in out


@pytest.mark.parametrize("option", ["--block=mac", "--context=24", "--head=normal"])
def test_options_of_training_are_refused(capsys, table, option):
    err = run(capsys, table, "--pretrained", option, code=1)
    assert f"--pretrained trains no network: leave out {option.split('=')[0]}" in err


def test_gradient_steps_of_the_reads_are_told(capsys, table):
    out = run(capsys, table, "--pretrained", "--max-steps", "2", "--backtest-windows", "1")
    assert "tuning pretrained weights: at most 2 steps" in out and "pretrained reads: 2 steps in" in out
    assert "pass --max-steps too" in run(capsys, table, "--pretrained", "--time-budget", "3", code=1)


def test_entries_of_a_network_are_refused(capsys, table):
    assert "width would set it" in run(capsys, table, "--pretrained", "--option", "width=8", code=1)


def test_a_trained_model_is_no_pretrained_one(capsys, table, tmp_path):
    model = str(tmp_path / "model")
    small = [part for name in ("width=8", "layers=1", "heads=2") for part in ("--option", name)]
    out = run(capsys, table, "--model", model, "--max-steps", "0", "--backtest-windows", "0", *small)
    assert "pretrained memory reads" in out
    assert "(it was trained), or --pretrained" in run(capsys, table, "--model", model, "--pretrained", code=1)
    less = run(capsys, table, "--max-steps", "0", "--backtest-windows", "0", "--option", "pretrained=null", *small)
    assert "pretrained" not in less
