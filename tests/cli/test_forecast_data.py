"""`titans-ts forecast` and `detect` on files as people have them; messages in the words of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_cli.main import main
from titans_cli.output.notes import in_options

DAYS = pd.date_range("2022-01-01", periods=150)
VALUES = 1000 + 200 * np.sin(np.arange(150) * 2 * np.pi / 7)
QUICK = ["--max-steps", "0", "--backtest-windows", "0", "--context", "28", "--device", "cpu"]


def forecast(file: Path, *options: str, horizon: int = 3) -> pd.DataFrame:
    """The forecast of a file."""
    output = file.with_name("out.csv")
    argv = ["forecast", str(file), "--horizon", str(horizon), *QUICK, "--output", str(output), *options]
    assert main(argv) == 0
    return pd.read_csv(output)


def error(capsys: pytest.CaptureFixture[str], file: Path, *options: str) -> str:
    """The message about a file."""
    assert main(["forecast", str(file), "--horizon", "3", *QUICK, *options]) == 1
    return capsys.readouterr().err


def test_a_german_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        f"{day:%d.%m.%Y};{value:.2f}".replace(".", ",").replace(",", ".", 2)
        for day, value in zip(DAYS, VALUES, strict=True)
    ]
    (tmp_path / "de.csv").write_text("\n".join(["Datum;Besuche", *rows]) + "\n")
    frame = forecast(tmp_path / "de.csv", "--timestamp", "Datum", "--target", "Besuche")
    assert frame["Datum"].str[:10].tolist() == ["2022-05-31", "2022-06-01", "2022-06-02"]
    np.testing.assert_allclose(frame["mean"], 1000 + 200 * np.sin(np.arange(150, 153) * 2 * np.pi / 7), atol=20)
    out, err = capsys.readouterr()
    assert "note     de.csv was read as values separated by semicolons" in out and "decimal commas" in out
    # What the summary says is not said again.
    assert err == ""


def test_a_wide_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"date": DAYS, "shop A": VALUES, "shop B": 2 * VALUES}).to_csv(tmp_path / "wide.csv", index=False)
    frame = forecast(tmp_path / "wide.csv", "--timestamp", "date")
    assert frame["item_id"].tolist() == ["shop A"] * 3 + ["shop B"] * 3
    assert "read as a series each: 'shop A', 'shop B'; for one of them alone pass --target" in capsys.readouterr().out


@pytest.mark.parametrize(("write", "ahead"), [("%Y%m%d", [20220531, 20220601, 20220602]), ("%d/%m/%Y", None)])
def test_dates_of_other_kinds(write: str, ahead: list[int] | None, tmp_path: Path) -> None:
    pd.DataFrame({"day": DAYS.strftime(write), "y": VALUES}).to_csv(tmp_path / "a.csv", index=False)
    frame = forecast(tmp_path / "a.csv", "--timestamp", "day", "--target", "y", "--plot", str(tmp_path / "a.png"))
    if ahead is None:
        assert frame["day"].str[:10].tolist() == ["2022-05-31", "2022-06-01", "2022-06-02"]
    else:
        assert frame["day"].tolist() == ahead
    assert (tmp_path / "a.png").stat().st_size > 0


def test_jitter_is_snapped_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stamps = DAYS[0] + pd.to_timedelta(np.arange(150) * 60 + np.arange(150) * 7 % 20, unit="s")
    pd.DataFrame({"timestamp": stamps, "target": VALUES}).to_csv(tmp_path / "a.csv", index=False)
    message = error(capsys, tmp_path / "a.csv")
    assert "looks like 1 min with up to 19 s of jitter: pass --freq 1min and --snap to move each" in message
    frame = forecast(tmp_path / "a.csv", "--freq", "1min", "--snap")
    assert frame["timestamp"].tolist() == ["2022-01-01 02:30:00", "2022-01-01 02:31:00", "2022-01-01 02:32:00"]
    assert "timestamps moved by up to 19 s to the steps of min" in capsys.readouterr().out


def test_rows_are_added_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hours = pd.date_range("2024-01-01 06:00", periods=24 * 60, freq="h")
    table = pd.DataFrame({"timestamp": hours, "target": 1.0 + (hours.day_of_week == 6)})
    table.to_csv(tmp_path / "a.csv", index=False)
    model, options = tmp_path / "model", ("--freq", "D", "--aggregate", "sum")
    frame = forecast(tmp_path / "a.csv", *options, "--model", str(model), horizon=7)
    assert frame["timestamp"].iloc[0] == "2024-03-01" and np.abs(frame["mean"] - [24, 24, 48, 24, 24, 24, 24]).max() < 2
    out = capsys.readouterr().out
    assert "1,440 rows became 59 rows of D: their sum; 2 periods at the ends of 1 item not covered and left out" in out
    # The model aggregates what it is given.
    argv = ["forecast", str(tmp_path / "a.csv"), "--horizon", "7", "--model", str(model), "--output"]
    assert main([*argv, str(tmp_path / "again.csv")]) == 0
    np.testing.assert_allclose(pd.read_csv(tmp_path / "again.csv")["mean"], frame["mean"], rtol=1e-5)
    for message, given in (
        ("--aggregate is 'mean', but the model", ("--model", str(model), "--aggregate", "mean")),
        ("--aggregate sum needs a step to aggregate to: pass --freq", ("--aggregate", "sum")),
        ("with --aggregate mean (or 'sum')", ("--freq", "D")),
    ):
        assert message in error(capsys, tmp_path / "a.csv", *given)


def test_detect_takes_the_same_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hours = pd.date_range("2024-01-01", periods=24 * 300, freq="h")
    values = np.random.default_rng(0).normal(size=len(hours))
    pd.DataFrame({"timestamp": hours, "target": values}).to_csv(tmp_path / "a.csv", index=False)
    options = ["--freq", "D", "--aggregate", "mean", "--context", "14", "--false-alarm-rate", "0.1"]
    assert main(["detect", str(tmp_path / "a.csv"), *options]) == 0
    assert "300 steps of 1 D each" in capsys.readouterr().out


def test_messages_are_in_the_words_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = pd.DataFrame({"item_id": "a", "timestamp": DAYS, "target": 1.0})
    weeks = days.assign(item_id="b", timestamp=pd.date_range("2022-01-02", periods=150, freq="7D"))
    pd.concat([days, weeks]).to_csv(tmp_path / "steps.csv", index=False)
    message = error(capsys, tmp_path / "steps.csv")
    assert "(D: 'a'; W-SUN: 'b')" in message and "with --freq W-SUN and --aggregate sum" in message
    pd.concat([days, days]).to_csv(tmp_path / "twice.csv", index=False)
    assert "add them up with --freq and --aggregate sum (or 'mean'), or name the right --id;" in error(
        capsys, tmp_path / "twice.csv"
    )
    assert "name yours with --id, --timestamp, --target (" in error(capsys, tmp_path / "steps.csv", "--target", "y")
    days[:1].to_csv(tmp_path / "one.csv", index=False)
    assert "cannot be inferred: pass --freq (" in error(capsys, tmp_path / "one.csv")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pass freq='1min' and snap=True, or target_column=(…)", "pass --freq 1min and --snap, or --target (…)"),
        ("name another timestamp_column; freq ME is MS", "name another --timestamp; freq ME is MS"),
        ("at freq=MS leave, id_column=, known_covariates", "at --freq MS leave, --id, --covariates"),
    ],
)
def test_names_of_options(text: str, shown: str) -> None:
    assert in_options(text) == shown


def test_a_future_file_is_read_in_its_own_dialect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"timestamp": DAYS, "target": VALUES, "kind": ["low", "high"] * 75})
    frame[:147].to_csv(tmp_path / "past.csv", index=False)
    ahead = frame[147:].drop(columns="target").assign(kind="High", item_id="the only one")
    ahead.to_csv(tmp_path / "future.csv", sep=";", index=False)
    found = forecast(tmp_path / "past.csv", "--covariates", "kind", "--future", str(tmp_path / "future.csv"))
    assert len(found) == 3
    err = capsys.readouterr().err
    assert "note: future.csv was read as values separated by semicolons" in err
    assert err.count("'kind' has levels not seen at fit: 'High' (in --future)") == 1
