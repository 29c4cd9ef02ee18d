"""`titans-ts forecast FOLDER/`: a trained model over a folder of parquet files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_cli.main import main
from titans_ts.forecasting import TitansForecaster

HOURS, ITEMS = 60, ("north", "south", "east")


def table() -> pd.DataFrame:
    stamps = pd.date_range("2024-03-01", periods=HOURS, freq="h")
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"shop": name, "hour": stamps, "sales": 10 + place + rng.normal(size=HOURS)})
        for place, name in enumerate(ITEMS)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    columns = {"id_column": "shop", "timestamp_column": "hour", "target_column": "sales"}
    options = {"width": 8, "layers": 1, "heads": 2, "progress": False}
    forecaster = TitansForecaster(4, context_length=16, max_steps=0, device="cpu", options=options, **columns)
    return forecaster.fit(table()).save(tmp_path_factory.mktemp("models") / "shops")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder, frame = tmp_path / "data", table()
    folder.mkdir()
    for name, items in (("one.parquet", ITEMS[:2]), ("two.parquet", ITEMS[2:])):
        frame[frame["shop"].isin(items)].to_parquet(folder / name, index=False)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["forecast", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_folder_becomes_a_folder_and_again_only_what_is_missing(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = [data, "--horizon", 4, "--model", model, "--output", out, "--id", "shop", "--quantiles", "0.1,0.5"]
    code, said, err = run(capsys, *given)
    assert code == 0, err
    assert "one.parquet: 2 series, 8 rows" in said and "two.parquet: 1 series, 4 rows" in said
    assert "3 series forecast" in said and f"forecast  {out}" in said
    found = pd.concat([pd.read_parquet(out / name) for name in ("one.parquet", "two.parquet")], ignore_index=True)
    expected = TitansForecaster.load(model).predict(table())[["shop", "hour", "mean", "0.1", "0.5"]]
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-5)
    (out / "two.parquet").unlink()
    code, said, err = run(capsys, *given)
    assert code == 0, err
    assert "two.parquet: 1 series" in said and "one.parquet" not in said
    assert "1 of 2 files were there already" in said
    code, said, err = run(capsys, *given, "--quiet")
    assert (code, said) == (0, f"forecast  {out}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "is a folder: give --model and --output too"),
        (("--output", "out"), "give --model too. A folder is forecast with a trained model"),
        (("--output", "out", "--model", "nowhere"), "none is trained on a folder: train one on a file"),
    ],
)
def test_training_on_a_folder_is_not_guessed(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, data, "--horizon", 4, *arguments)
    assert code == 1 and message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-steps", "5"), "--max-steps cannot be used with a folder"),
        (("--ablation",), "--ablation cannot be used with a folder"),
        (
            ("--future", "f.csv"),
            "--future cannot be used with a folder of parquet files: leave it out (append",
        ),
        (("--plot", "f.png", "--backtest-windows", "0"), "--backtest-windows, --plot cannot be used"),
        (("--seed", "3"), "--seed cannot be used"),
        (("--target", "price"), "--target is 'price', but the model"),
        (("--freq", "D"), "--freq is 'D', but the model"),
        (("--quantiles", "0.99"), "quantile level 0.99 lies beyond the trained ones"),
        (("--engine", "local", "--workers", "2"), "local engine is one process"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    model: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    out = tmp_path / "out"
    code, _, err = run(capsys, data, "--horizon", 4, "--model", model, "--output", out, *arguments)
    assert code == 1 and message in err
    assert not out.exists()


def test_workers_are_for_folders(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, data / "one.parquet", "--horizon", 4, "--workers", 2)
    assert code == 1 and "--engine and --workers are for folders" in err
