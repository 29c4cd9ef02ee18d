"""What `titans-ts forecast` tells: short series, what a forecast was made of, time budgets, progress, its table."""

from __future__ import annotations

import io
import itertools
import logging
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from titans_cli.commands import forecast as command
from titans_cli.main import main, parse
from titans_cli.output.tables import backtest_table, forecast_table
from titans_datasets.series import SeriesSchema
from titans_ts.forecasting.backtest.result import METRICS
from titans_ts.support.progress import PROGRESS

QUICK = ["--device", "cpu", "--option", "width=8", "--option", "layers=1", "--option", "heads=2"]


def monthly(path: Path, *lengths: int) -> Path:
    random = np.random.default_rng(1)
    parts = [
        pd.DataFrame(
            {
                "item_id": f"s{number}",
                "timestamp": pd.date_range("2020-01-01", periods=length, freq="MS"),
                "target": 100 + 10 * np.sin(np.arange(length) * np.pi / 6) + random.normal(0, 1, length),
            }
        )
        for number, length in enumerate(lengths)
    ]
    pd.concat(parts).to_csv(path, index=False)
    return path


def is_best(row: str) -> bool:
    """Whether the MASE of a row of the table has a star."""
    return re.split(r" {2,}", row)[1].split()[0].endswith("*")


@pytest.fixture
def any_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradient steps are taken whatever share of the forecast held-out windows give the linear part."""
    monkeypatch.setattr("titans_ts.forecasting.training.fit.LEAST_SHARE", 0.0)


def run(capsys: pytest.CaptureFixture[str], file: Path, *more: str) -> list[str]:
    code = main(["forecast", str(file), "--freq", "MS", *QUICK, *more])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out.splitlines()


@pytest.mark.parametrize(
    ("lengths", "horizon", "reason"),
    [
        ((1,), 12, "the longest series has 1 step, a window of 12 needs 15"),
        ((2, 1), 3, "the longest series has 2 steps, a window of 3 needs 6"),
        ((12,), 12, "the longest series has 12 steps, a window of 12 needs 15"),
    ],
)
def test_series_too_short_to_backtest_are_forecast(
    lengths: tuple[int, ...], horizon: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, output = monthly(tmp_path / "short.csv", *lengths), tmp_path / "out.csv"
    lines = run(capsys, file, "--horizon", str(horizon), "--output", str(output))
    assert f"no backtest: {reason}" in lines
    assert not any("backtest, forecasts of windows" in line for line in lines)
    frame = pd.read_csv(output)
    assert len(frame) == horizon * len(lengths) and np.isfinite(frame[["mean", "0.05", "0.95"]].to_numpy()).all()
    assert lines[-2] == "no network was trained: the series are too short for a training window"
    for asked in (["--backtest-windows", "1"], ["--backtest-windows", "2"]):
        assert main(["forecast", str(file), "--freq", "MS", "--horizon", str(horizon), *asked]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert "no series is long enough to backtest" in error
        assert "lower --horizon, or leave --backtest-windows out to forecast without a backtest" in error


def test_days_that_were_asked_for_are_an_error_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "days.csv"
    pd.DataFrame({"timestamp": pd.date_range("2024-01-01", periods=8), "target": range(8)}).to_csv(file, index=False)
    assert main(["forecast", str(file), "--horizon", "7", "--backtest-days", "7"]) == 1
    assert "leave --backtest-days out to forecast without a backtest" in capsys.readouterr().err


@pytest.mark.usefixtures("any_share")
def test_the_last_lines_tell_what_was_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output, model = monthly(tmp_path / "m.csv", 60, 60), tmp_path / "out.csv", tmp_path / "model"
    lines = run(capsys, file, "--horizon", "6", "--max-steps", "2", "--output", str(output), "--model", str(model))
    told = lines[lines.index(f"forecast  {output}") + 2 :]
    assert re.fullmatch(r"forecast by: \d+ % .*; held-out windows chose it", told[0])
    assert re.fullmatch(r"network: 2 steps in \d+\.\d s.*; (kept|left out): .*", told[1])
    best = [line for line in told if line.startswith("best row of the backtest: ")]
    table = [line for line in lines if re.match(r"(titans|seasonal naive|theta 12) ", line)]
    assert len(table) == 3 and len(best) == (0 if is_best(table[0]) else 1)
    assert told[-1].startswith("done in ")
    written = pd.read_csv(output)
    assert written.columns[-1] == "forecast_by" and written["forecast_by"].str.contains(" % ").all()
    assert written.groupby("item_id")["forecast_by"].nunique().tolist() == [1, 1]
    # A loaded model says what it forecasts by; it was trained before.
    lines = run(capsys, file, "--horizon", "6", "--model", str(model))
    assert lines[-2].startswith("forecast by: ") and lines[-1].startswith("done in ")
    assert any("forecast_by" in line for line in lines)


def test_a_spent_time_budget_is_no_worse_than_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = monthly(tmp_path / "m.csv", 60, 50)
    frames = {}
    for name, more in {"budget": ["--time-budget", "0.001"], "none": ["--max-steps", "0"]}.items():
        output = tmp_path / f"{name}.csv"
        lines = run(capsys, file, "--horizon", "6", "--backtest-windows", "1", "--output", str(output), *more)
        frames[name] = pd.read_csv(output)
    pd.testing.assert_frame_equal(frames["budget"], frames["none"])
    assert any("no network was trained: --max-steps 0" in line for line in lines)


@pytest.mark.parametrize(
    ("started", "ablation", "left"), [(100.0, False, 10.0), (96.0, False, 6.0), (96.0, True, 3.0), (80.0, False, 1e-3)]
)
def test_what_is_left_of_the_time_budget_is_passed_on(
    started: float, ablation: bool, left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: 100.0))
    job = command.ForecastJob(file="x", horizon=3, time_budget=10.0, ablation=ablation)
    assert command.make_forecaster(job, SeriesSchema(), started).params["time_budget"] == pytest.approx(left)


def test_time_counts_from_the_call_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, before = [], time.monotonic()
    monkeypatch.setattr(command, "forecast", lambda job, started: seen.append(started))
    # Reading options counts too.
    monkeypatch.setattr("titans_cli.main.parse", lambda argv, real=parse: seen.append(time.monotonic()) or real(argv))
    assert main(["forecast", "x.csv", "--horizon", "3"]) == 0
    parsed, started = seen
    assert before <= started <= parsed


@pytest.mark.usefixtures("any_share")
def test_progress_names_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = monthly(tmp_path / "m.csv", 60)
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    PROGRESS.addHandler(handler)
    try:
        with pytest.MonkeyPatch.context() as patch:
            # The first line is due at once.
            patch.setattr("titans_ts.support.progress.EVERY", -1e6)
            main(["forecast", str(file), "--freq", "MS", *QUICK, "--horizon", "6", "--max-steps", "2"])
            _, err = capsys.readouterr()
            main(["forecast", str(file), "--freq", "MS", *QUICK, "--horizon", "6", "--max-steps", "2", "--quiet"])
            quiet = capsys.readouterr().err
    finally:
        PROGRESS.removeHandler(handler)
    named = [
        f"reading {file}",
        "fitting the linear part",
        "weighing experts on held-out windows",
        "fitting the experts",
    ]
    places = [messages.index(name) for name in [*named, "backtest, forecasting 2 windows", "forecasting"]]
    assert places == sorted(places)
    assert any(re.match(r"training, step 1 of 2, held-out loss \d*\.\d+", message) for message in messages)
    lines = [line for line in err.splitlines() if re.match(r"titans-ts: \d+ s, [a-z]", line)]
    assert lines and quiet == ""


def test_the_table_of_a_backtest_fits_80_columns() -> None:
    random = np.random.default_rng(0)
    names = [
        *("titans", "attention instead of memory", "linear part alone", "expert mixture", "last value"),
        *("damped trend 12", "theta 12", "Holt-Winters 12", "fold 12", "phases and autoregression 24 480"),
        *("ridge regression", "seasonal naive"),
    ]
    for largest, terminal in itertools.product((9e3, 9e5), (True, False)):
        values = random.uniform(0.1, 1, size=(12, 6)) * [9, 0.1, largest, largest, 1, 1]
        metrics = pd.DataFrame(values, index=names, columns=list(METRICS))
        stream = io.StringIO()
        console = Console(file=stream, width=80 if terminal else 120, force_terminal=False)
        console.print(backtest_table(metrics, bold=terminal))
        lines = stream.getvalue().splitlines()
        assert max(map(len, (line.rstrip() for line in lines))) <= 80
        assert len(lines) == 2 + len(names) + (largest > 1e5)
        assert "…" not in stream.getvalue()


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ((9.8, 10.04, 10.26), ["9.8", "10.04", "10.26"]),
        ((120_000.0, 123_456.7, 130_000.0), ["120,000", "123,457", "130,000"]),
        ((1e9 - 1, 1e9 + 0.25, 1e9 + 1.5), ["999999999", "1000000000.25", "1000000001.5"]),
        ((7.0, 7.0, 7.0), ["7", "7", "7"]),
    ],
)
def test_numbers_of_the_forecast_are_told_apart(row: tuple[float, ...], shown: list[str]) -> None:
    frame = pd.DataFrame([("a", *row, "drift")], columns=["item_id", "0.1", "0.5", "0.9", "forecast_by"])
    console = Console(file=io.StringIO(), width=120)
    console.print(forecast_table(frame, ["0.1", "0.5", "0.9"]))
    assert console.file.getvalue().splitlines()[1].split() == ["a", *shown, "drift"]


def test_short_series_and_no_steps_in_the_words_of_the_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = monthly(tmp_path / "new.csv", 80, 80, 5)
    arguments = ["forecast", str(file), "--freq", "MS", *QUICK, "--horizon", "6", "--max-steps", "0"]
    assert main([*arguments, "--backtest-windows", "0"]) == 0
    out, err = capsys.readouterr()
    assert "left out of training (--option short_series=pad keeps them)" in err
    assert "fitting without gradient steps: --max-steps 0" in out


def test_dates_of_the_forecast_have_a_time_of_day_where_it_says_something() -> None:
    def shown(freq: str) -> str:
        stamps = pd.date_range("2024-03-01", periods=2, freq=freq)
        frame = pd.DataFrame({"timestamp": stamps, "0.5": [1.0, 2.0], "forecast_by": "drift"})
        console = Console(file=io.StringIO(), width=120)
        console.print(forecast_table(frame, ["0.5"]))
        return console.file.getvalue()

    assert "2024-03-02 " in shown("D") and ":" not in shown("D")
    assert "2024-03-01 00:00:00" in shown("h") and "2024-03-01 01:00:00" in shown("h")
