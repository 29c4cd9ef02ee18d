"""`titans-ts detect` from a small file to a table and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_cli.main import main
from titans_ts.forecasting.streaming.detection import PARTS

HOURS = 24 * 60
# A day of noise in one shop.
STRANGE = pd.Timestamp("2024-04-20")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stamps = pd.date_range("2024-03-01", periods=HOURS, freq="h")
    random = np.random.default_rng(0)
    frames = []
    for shop in ("north", "south"):
        sales = 10 + 3 * np.sin(np.arange(HOURS) * 2 * np.pi / 24) + random.normal(0, 0.1, HOURS)
        if shop == "south":
            sales[(stamps >= STRANGE) & (stamps < STRANGE + pd.Timedelta("1D"))] += random.normal(0, 6, 24)
        frames.append(pd.DataFrame({"shop": shop, "hour": stamps, "sales": sales}))
    file = tmp_path_factory.mktemp("data") / "sales.csv"
    pd.concat(frames).drop(index=range(100, 104)).to_csv(file, index=False)
    return file


def arguments(table: Path, *more: str | Path) -> list[str]:
    named = ["--id", "shop", "--timestamp", "hour", "--target", "sales", "--context", "96", "--device", "cpu"]
    return ["detect", str(table), *named, "--false-alarm-rate", "0.05", *map(str, more)]


def test_table_picture_and_stretches(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, picture = tmp_path / "alarms.csv", tmp_path / "alarms.png"
    assert main(arguments(table, "--output", output, "--plot", picture)) == 0
    out = capsys.readouterr().out
    found = pd.read_csv(output, parse_dates=["hour"])
    assert list(found.columns) == ["shop", "hour", "surprise", "threshold", "alarm", *PARTS]
    assert set(found["shop"]) == {"north", "south"} and found["hour"].min() > pd.Timestamp("2024-04-06")
    top = found.loc[found["surprise"].idxmax()]
    assert top["shop"] == "south" and STRANGE < top["hour"] < STRANGE + pd.Timedelta("2D")
    assert (found["alarm"] == (found["surprise"] > found["threshold"])).all()
    first = next(line for line in out.splitlines() if line.startswith("south "))
    assert "2024-04-2" in first and f"{int(found['alarm'].sum())} alarms" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_start_of_what_is_judged_and_a_saved_model(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    train = ["forecast", str(table), *arguments(table)[2:-2], "--horizon", "6", "--max-steps", "0"]
    assert main([*train, "--backtest-windows", "0", "--model", str(model), "--quiet"]) == 0
    named = ["--id", "shop", "--timestamp", "hour", "--target", "sales", "--false-alarm-rate", "0.05"]
    output = tmp_path / "alarms.csv"
    more = ["--model", str(model), "--from", "2024-04-15", "--output", str(output), "--quiet"]
    assert main(["detect", str(table), *named, *more]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"alarms    {output}"
    found = pd.read_csv(output, parse_dates=["hour"])
    assert found["hour"].min() >= pd.Timestamp("2024-04-15")
    assert found["alarm"][(found["shop"] == "south") & found["hour"].between(STRANGE, "2024-04-21 05:00")].any()


def test_numbered_steps_and_a_series_that_begins_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pd.DataFrame(
        {"item_id": "old", "timestamp": np.arange(600), "target": np.random.default_rng(0).normal(size=600)}
    )
    file = tmp_path / "steps.csv"
    pd.concat([data, data[500:].assign(item_id="young")]).to_csv(file, index=False)
    assert main(["detect", str(file), "--context", "32", "--false-alarm-rate", "0.2", "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert "1 series without a value before 360 left out: 'young'" in err
    found = [line.split()[:3] for line in out.splitlines() if line.startswith("old ")]
    assert found and all(after.isdigit() and until.isdigit() for _, after, until in found)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--from", "2031-01-01"], "--from must lie in the data"),
        (["--from", "yesterday-ish"], "--from must be a timestamp"),
        (["--false-alarm-rate", "0.001"], "a rate of at least 0."),
        (["--plot", "alarms.gif"], "path must end in one of"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_messages(table: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(table, *more)) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_rate_outside_of_its_range(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments(table, "--false-alarm-rate", "1.5"))
    assert "between 0 and 1" in capsys.readouterr().err
