"""`titans-ts forecast`: bounds, heads and entries of the forecaster's options, given, refused and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_cli.main import main, parse
from titans_ts.forecasting import TitansForecaster
from titans_ts.forecasting.model.heads import HEADS

SMALL = ["--option", "width=8", "--option", "layers=1", "--option", "heads=2"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "falling.csv"
    days = pd.date_range("2024-01-01", periods=60)
    pd.DataFrame({"timestamp": days, "target": np.linspace(60, 1, 60).round(1)}).to_csv(file, index=False)
    return file


def arguments(table: Path, *more: str | Path) -> list[str]:
    quick = ["--horizon", "7", "--max-steps", "1", "--backtest-windows", "0", "--quiet", "--device", "cpu"]
    return ["forecast", str(table), *quick, *map(str, more)]


def test_every_option_reaches_the_forecaster(table: Path, tmp_path: Path) -> None:
    given = ["--head", "student_t", "--lower", "-5", "--upper", "1e3", "--option", "memory={kind: linear}"]
    given += ["--option", "learning_rate=1e-3", "--option", "cyclic=false", *SMALL]
    assert main(arguments(table, *given, "--model", tmp_path / "m")) == 0
    model = TitansForecaster.load(tmp_path / "m")
    config = model.network_.config
    assert (config.head, config.cyclic, config.backbone.width, config.backbone.memory.kind) == (
        *("student_t", False),
        *(8, "linear"),
    )
    assert (model.lower, model.upper) == (-5.0, 1000.0)
    assert model.options is not None and model.options["learning_rate"] == 1e-3
    # The same again is the same model; anything else is refused before anything is forecast.
    assert main(arguments(table, *given, "--model", tmp_path / "m")) == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (["--head", "point"], "--head is 'point', but the model"),
        (["--nonnegative"], "--nonnegative is 0.0, but the model"),
        (["--lower", "none"], "--lower is 'none', but the model"),
        (["--upper", "70"], "--upper is 70.0, but the model"),
        (["--option", "width=16"], "--option width is 16, but the model"),
        (["--option", "memory={kind: mlp}"], "was trained with {'kind': 'linear'}: leave --option memory out"),
        (["--option", "checks=3"], "--option checks is 3, but the model"),
        (["--option", "snap=true"], "--snap is True, but the model"),
    ],
)
def test_a_loaded_model_refuses_what_it_was_not_trained_with(
    other: list[str], message: str, trained: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(table, *other, "--model", trained)) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="module")
def trained(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "m"
    assert main(arguments(table, *SMALL, "--option", "memory={kind: linear}", "--model", folder)) == 0
    return folder


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--option", "widht=8"], "--option widht is unknown (did you mean 'width'?)"),
        (["--option", "memory={kindd: x}"], "memory option 'kindd' is unknown (did you mean 'kind'?)"),
        (["--option", "width=wide"], "width must be an integer, got 'wide'"),
        (["--option", "width=8", "--option", "width=16"], "--option width is given twice"),
        (["--option", "head=point", "--head", "quantile"], "--head is given twice"),
        (["--option", "head=magic"], "head must be one of"),
        (["--option", "time_budget=3"], "--option time_budget=3 is an option of its own: give --time-budget instead"),
        (["--upper", "50"], "--upper 50, but the series"),
        (["--upper", "50"], "change --upper, or correct the data"),
    ],
)
def test_wrong_options_are_one_line(
    more: list[str], message: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(table, *more)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("titans-ts: error: ") and message in lines[-1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--nonnegative", "--lower", "3"], "not allowed with"),
        (["--lower", "low"], "expected a number, auto or none, got 'low'"),
        (["--upper", "nan"], "expected a number, auto or none, got 'nan'"),
        (["--head", "studentt"], "unknown head 'studentt': did you mean 'student_t'? choose among"),
        (["--option", "width"], "expected NAME=VALUE such as width=32"),
        (["--option", "memory={kind:"], "expected NAME=VALUE such as width=32"),
    ],
)
def test_usage_errors(more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(["forecast", "x.csv", "--horizon", "3", *more])
    assert stop.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("head", HEADS)
def test_every_head_can_be_asked_for(head: str) -> None:
    assert parse(["forecast", "x.csv", "--horizon", "3", "--head", head]).head == head


def test_bounds_hold_in_what_is_written(table: Path, tmp_path: Path) -> None:
    """A line that falls to 1 goes below 0 where nothing forbids it."""
    found = {}
    for name, bounds in {"free": ["--lower", "none"], "zero": ["--nonnegative"], "both": ["--lower", "0.5"]}.items():
        output = tmp_path / f"{name}.csv"
        assert main(arguments(table, "--option", "experts=false", *SMALL, *bounds, "--output", output)) == 0
        found[name] = pd.read_csv(output)[["mean", "0.05", "0.5", "0.95"]].to_numpy()
    assert found["free"].min() < 0
    assert found["zero"].min() == 0
    assert found["both"].min() == 0.5


def test_a_folder_takes_no_such_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = str(tmp_path.parent / "o")
    argv = ["forecast", str(tmp_path), "--horizon", "3", "--model", str(tmp_path), "--output", outside]
    assert main([*argv, "--option", "width=8", "--nonnegative"]) == 1
    assert "--nonnegative, --option cannot be used with a folder" in capsys.readouterr().err
