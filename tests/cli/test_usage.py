"""Arguments, help, versions and the doctor: all of it without a model."""

from __future__ import annotations

import re

import pytest

from titans_cli.main import main, parse
from titans_ts import __version__

FORECAST = ["forecast", "data.csv", "--horizon", "24"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "COMMAND"),
        (["forcast"], "invalid choice: 'forcast'"),
        (["forecast"], "FILE"),
        (["forecast", "data.csv"], "--horizon"),
        (["forecast", "data.csv", "--horizon", "0"], "expected a whole number ≥ 1, got '0'"),
        (["forecast", "data.csv", "--horizon", "1.5"], "expected a whole number ≥ 1, got '1.5'"),
        ([*FORECAST, "--quantiles", "0.1,1.5"], "expected numbers between 0 and 1"),
        ([*FORECAST, "--quantiles", "many"], "expected numbers between 0 and 1"),
        ([*FORECAST, "--block", "lstm"], "invalid choice: 'lstm'"),
        ([*FORECAST, "--time-budget", "-3"], "expected a number > 0"),
        ([*FORECAST, "--backtest-days", "3", "--backtest-windows", "3"], "not allowed with"),
        ([*FORECAST, "--colour", "red"], "unrecognized arguments"),
    ],
)
def test_usage_errors_exit_with_2(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert message in err and out == ""


def test_lists_of_names_and_levels() -> None:
    options = ["--covariates", "a, b", "--static", "", "--quantiles", "0.5,.1"]
    arguments = parse([*FORECAST, *options])
    assert arguments.covariates == ("a", "b")
    assert arguments.static == ()
    assert arguments.quantiles == (0.5, 0.1)
    assert arguments.past_covariates is None


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"titans-ts {__version__}"


def test_doctor_reports_what_is_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TITANS_TS_DATA", raising=False)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    names = {line.split("  ")[0].strip() for line in out.splitlines()}
    assert {"titans-ts", "python", "torch", "lightning", "pandas", "gluonts", "triton", "cpu", "cuda"} <= names
    assert re.search(r"memory backend  on cpu: (native|torch) \(", out)
    assert "builtin:weather" in out
    assert "TITANS_TS_DATA  not set" in out


def test_doctor_names_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from titans_cli.commands import doctor

    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setenv("TITANS_TS_DATA", "/no/such/folder")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "no-such-package not installed" in out
    assert "/no/such/folder (no such folder)" in out


@pytest.mark.parametrize("error", [ValueError("two\nlines"), TypeError("wrong"), FileNotFoundError("no file")])
def test_errors_of_the_user_are_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("titans_cli.main.run", fail)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"titans-ts: error: {str(error).replace(chr(10), ' ')}\n"


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_our_own_bugs_are_one_line_and_a_traceback_on_request(
    debug: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("titans_cli.main.run", fail)
    assert main(["doctor", *debug]) == 1
    err = capsys.readouterr().err
    assert err.endswith("error: ZeroDivisionError; this is not expected: --debug shows where, please report it\n")
    assert ("Traceback" in err) == bool(debug) and (err.count("\n") == 1) != bool(debug)


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("titans_cli.main.run", stop)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "titans-ts: interrupted; nothing was kept\n"
