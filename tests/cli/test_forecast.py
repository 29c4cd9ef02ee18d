"""`titans-ts forecast` from a small file to every kind of result."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_cli.commands.forecast import ForecastJob, backtest_windows
from titans_cli.input.series import Columns, loaded_schema, make_schema
from titans_cli.main import main
from titans_cli.output.tables import backtest_table
from titans_datasets.series import parse_frequency

HOURS = 400
QUICK = ["--horizon", "6", "--max-steps", "5", "--context", "48", "--block", "lmm", "--device", "cpu"]


def small_frame() -> pd.DataFrame:
    stamps = pd.date_range("2024-03-01", periods=HOURS, freq="h")
    noise = np.random.default_rng(0).normal(0, 0.1, (2, HOURS))
    frames = [
        pd.DataFrame(
            {
                "shop": name,
                "hour": stamps,
                "sales": 10 + 3 * np.sin(np.arange(HOURS) * 2 * np.pi / 24) + noise[i],
                "holiday": (stamps.dayofweek == 6).astype(float),
            }
        )
        for i, name in enumerate(("north", "south"))
    ]
    frames[0] = frames[0].drop(index=range(100, 104))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "sales.csv"
    small_frame().drop(columns="holiday").to_csv(file, index=False)
    return file


def arguments(table: Path, *more: str | Path) -> list[str]:
    named = ["--id", "shop", "--timestamp", "hour", "--target", "sales"]
    return ["forecast", str(table), *named, *QUICK, *map(str, more)]


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    code = main(argv)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out, err


def test_from_csv_to_every_result_and_again_from_the_model(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, model = tmp_path / "a" / "f.csv", tmp_path / "f.parquet", tmp_path / "model"
    picture = tmp_path / "a" / "f.png"
    options = ["--backtest-days", "1", "--output", first, "--plot", picture, "--model", model]
    out, err = run(arguments(table, *options), capsys)
    assert "2 (north, south)" in out
    assert "2024-03-01 – 2024-03-17 15:00, 400 steps of 1 h each" in out
    assert "4 of 800 values" in out
    for name in ("titans", "ridge regression", "seasonal naive", "MASE", "WQL", "MAE", "RMSE", "coverage", "90%"):
        assert name in out
    assert re.search(r"^done in \d+\.\d s$", out, flags=re.MULTILINE)
    assert str(first) in out and str(picture) in out and str(model) in out
    assert "\x1b" not in out and "\r" not in out
    assert "Traceback" not in err
    assert sorted(x.name for x in first.parent.iterdir()) == ["f.csv", "f.png"]
    frame = pd.read_csv(first)
    assert list(frame.columns[:3]) == ["shop", "hour", "mean"]
    assert {"0.05", "0.5", "0.95"} <= set(frame.columns)
    assert frame["shop"].tolist() == ["north"] * 6 + ["south"] * 6
    assert frame["hour"].iloc[0] == "2024-03-17 16:00:00"
    assert frame.drop(columns=["shop", "hour"]).notna().all(axis=None)

    # The arguments are the model's own: nothing but data and horizon is needed.
    out, _ = run(["forecast", str(table), "--horizon", "6", "--model", str(model), "--output", str(second)], capsys)
    assert "model loaded" in out and "backtest, " not in out
    again = pd.read_parquet(second)
    values = [name for name in frame.columns if name not in ("shop", "hour", "forecast_by")]
    np.testing.assert_allclose(again[values], frame[values], rtol=1e-5)


def test_a_loaded_model_refuses_other_columns(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    out, _ = run(arguments(table, "--backtest-windows", "0", "--model", model, "--quantiles", "0.1,0.9"), capsys)
    assert "backtest, " not in out
    assert "12 rows" in out
    base = ["forecast", str(table), "--horizon", "6", "--model", str(model)]
    assert main([*base, "--target", "other"]) == 1
    assert "--target is 'other', but the model" in capsys.readouterr().err
    assert main([*base, "--quantiles", "0.95"]) == 1
    assert "quantile level 0.95 lies beyond the trained ones, 0.1 to 0.9" in capsys.readouterr().err
    file = tmp_path / "between.csv"
    run([*base, "--quantiles", "0.3,0.9", "--output", str(file)], capsys)
    found = pd.read_csv(file)
    assert [name for name in found.columns if name[0] == "0"] == ["0.3", "0.9"]
    assert (found["0.3"] < found["0.9"]).all()


def test_only_the_requested_levels_are_written(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.csv"
    options = ["--backtest-windows", "0", "--quantiles", "0.1,0.9", "--output", file, "--quiet"]
    out, _ = run(arguments(table, *options), capsys)
    assert list(pd.read_csv(file).columns) == ["shop", "hour", "mean", "0.1", "0.9", "forecast_by"]
    assert out.splitlines() == [f"forecast  {file}"]


def test_an_ablation_is_a_row_of_the_backtest(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(arguments(table, "--backtest-windows", "1", "--ablation"), capsys)
    assert "titans" in out and "attention instead of memory" in out


def test_an_ablation_needs_a_backtest(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    for more in ((), ("--backtest-windows", "0")):
        assert main(arguments(table, "--ablation", *more)) == 1
        assert "give --backtest-windows K (at least 1) or --backtest-days D too" in capsys.readouterr().err
    run(arguments(table, "--backtest-windows", "0", "--model", model), capsys)
    assert main(arguments(table, "--ablation", "--backtest-windows", "1", "--model", model)) == 1
    assert "--ablation trains a second model for the backtest" in capsys.readouterr().err


def test_known_covariates_from_a_second_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = small_frame()
    cut = frame["hour"].max() - pd.Timedelta(hours=5)
    past, future, file = tmp_path / "past.csv", tmp_path / "future.csv", tmp_path / "f.csv"
    frame[frame["hour"] < cut].to_csv(past, index=False)
    frame[frame["hour"] >= cut].drop(columns="sales").to_csv(future, index=False)
    options = ["--covariates", "holiday", "--backtest-windows", "1"]
    run(arguments(past, *options, "--future", future, "--output", file), capsys)
    assert pd.read_csv(file)["hour"].min() == str(cut)
    assert main(arguments(past, *options)) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("titans-ts: error: ") and "Traceback" not in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "missing.csv"}, "missing.csv does not exist"),
        ({"--target": "load"}, "load"),
        ({"--output": "f.xlsx"}, "cannot write f.xlsx: use a name that ends in .csv"),
        ({"--output": "f.docx"}, "cannot tell the format of 'f.docx'"),
        ({"--output": "f.tsf"}, "cannot write f.tsf"),
        ({"--plot": "f.bmp"}, "path must end in one of .png"),
        ({"--backtest-days": "0.1"}, "--backtest-days must be at least one horizon, 0.25 days"),
        ({"--backtest-windows": "1", "--horizon": "398"}, "401 steps are needed (398 to forecast and 3 of history)"),
        ({"--model": "not_a_model"}, "not_a_model"),
        ({"--device": "tpu"}, "tpu"),
        ({"--freq": "fortnight"}, "--freq fortnight is not a frequency"),
        ({"--aggregate": "sum"}, "--aggregate sum needs a step to aggregate to: pass --freq too ('D', 'MS' …)"),
    ],
)
def test_errors_are_one_line(
    change: dict[str, str],
    message: str,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not_a_model").mkdir()
    change = dict(change)
    file = Path(change.pop("file", str(table)))
    assert main(arguments(file, *(part for pair in change.items() for part in pair))) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("titans-ts: error: ")
    assert message in err[-1]
    assert not any("Traceback" in line for line in err)
    assert [x.name for x in tmp_path.iterdir()] == ["not_a_model"]


def test_a_closed_pipe_is_no_traceback(table: Path) -> None:
    command = [sys.executable, "-m", "titans_cli.main", *arguments(table, "--backtest-windows", "0")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert "Traceback" not in err and "BrokenPipe" not in err


def test_columns_of_a_builtin_set_can_be_given_other_roles() -> None:
    schema = make_schema("builtin:weather", Columns(target="humid", covariates=("precip",)))
    assert schema.target_column == "humid"
    assert schema.known_covariates == ("precip",)
    assert set(schema.past_covariates) == {"dewp", "pressure"}
    assert make_schema("builtin:weather", Columns(past_covariates=())).past_covariates == ()


def test_days_become_windows() -> None:
    hour, month = parse_frequency("h"), parse_frequency("MS")
    assert backtest_windows(ForecastJob(file="x", horizon=24, backtest_days=14), hour) == 14
    assert backtest_windows(ForecastJob(file="x", horizon=48, backtest_days=7), hour) == 3
    assert backtest_windows(ForecastJob(file="x", horizon=24), hour) is None
    assert backtest_windows(ForecastJob(file="x", horizon=24, backtest_windows=0), hour) == 0
    with pytest.raises(ValueError, match="needs steps of fixed length, but the data's step is MS"):
        backtest_windows(ForecastJob(file="x", horizon=12, backtest_days=14), month)


def test_a_model_lends_its_columns() -> None:
    schema = make_schema("x.csv", Columns(target="load"))
    params = {"block": "mag", "holidays": "DE", "calendar": ("payday",)}
    forecaster: Any = SimpleNamespace(
        params=params, fitted=SimpleNamespace(schema=schema, frequency=parse_frequency("D"))
    )
    assert loaded_schema(Columns(), forecaster, "m").target_column == "load"
    with pytest.raises(ValueError, match="--block is 'mac', but"):
        loaded_schema(Columns(), forecaster, "m", block="mac")
    assert loaded_schema(Columns(holidays=("DE",), calendar=("payday",)), forecaster, "m").target_column == "load"
    for option, wanted in (("holidays", ("FR",)), ("calendar", ()), ("weekmask", "1111110")):
        with pytest.raises(ValueError, match=f"--{option} is .* but the model in m was trained with"):
            loaded_schema(Columns(**{option: wanted}), forecaster, "m")


def test_holidays_and_open_days_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = pd.date_range("2022-01-01", periods=500)
    values = np.random.default_rng(0).normal(10, 1, 500)
    file, output = tmp_path / "shop.csv", tmp_path / "out.csv"
    pd.DataFrame({"timestamp": days, "target": values})[days.dayofweek < 6].to_csv(file, index=False)
    named = ["--weekmask", "Mon,Tue,Wed,Thu,Fri,Sat", "--holidays", "DE-BY,FR", "--calendar", "payday,month_end"]
    options = ["--horizon", "9", "--max-steps", "0", "--backtest-windows", "2", "--output", str(output)]
    out, _ = run(["forecast", str(file), *options, *named, "--model", str(tmp_path / "m")], capsys)
    assert "missing  none" in out
    assert 6 not in pd.to_datetime(pd.read_csv(output)["timestamp"]).dt.dayofweek.tolist()
    assert main(["forecast", str(file), "--horizon", "9", "--holidays", "Germany"]) == 1
    assert "holidays of 'Germany' are unknown: did you mean 'DE'" in capsys.readouterr().err
    pd.DataFrame({"timestamp": days, "target": values}).to_csv(file, index=False)
    assert main(["forecast", str(file), "--horizon", "9", *named]) == 1
    assert "values on closed days: 'Sun 2022-01-02'" in capsys.readouterr().err


def test_the_best_of_each_column_stands_out() -> None:
    metrics = pd.DataFrame(
        {"MASE": [0.7, 0.8, 0.7], "WQL": [np.nan, np.nan, np.nan], "coverage 50%": [0.9, 0.45, 0.2]},
        index=["titans", "ridge regression", "seasonal naive"],
    )
    plain = [[cell.plain for cell in column.cells] for column in backtest_table(metrics, bold=False).columns]  # type: ignore[union-attr]
    assert plain[1] == ["0.7*", "0.8 ", "0.7*"]
    assert plain[2] == ["– ", "– ", "– "]
    assert plain[3] == ["90.0 % ", "45.0 %*", "20.0 % "]
    bold = [[str(cell.style) for cell in column.cells] for column in backtest_table(metrics, bold=True).columns]  # type: ignore[union-attr]
    assert bold[1] == ["bold", "", "bold"]
