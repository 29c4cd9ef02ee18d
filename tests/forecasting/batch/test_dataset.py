"""Partitioned Parquet data sets: the same numbers as in one process, file by file, resumable; wrong data reported."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.forecasting.common import ROLES, forecaster, frame, with_covariates
from titans_datasets.series import SeriesWarning, read_table
from titans_datasets.writing import in_place_of
from titans_ts.forecasting import TitansForecaster, predict_dataset
from titans_ts.forecasting.batch.files import series_batches
from titans_ts.forecasting.fitted import FittedForecaster

ITEMS = tuple(f"s{i}" for i in range(7))
FILES = {"a.parquet": ITEMS[:3], "b.parquet": ITEMS[3:4], "year=2024/c.parquet": ITEMS[4:]}


@pytest.fixture(scope="module")
def model() -> TitansForecaster:
    return forecaster().fit(frame(ITEMS))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Seven series in three files, one of them in a folder, beside files that are no part of the data."""
    folder, table = tmp_path / "data", frame(ITEMS)
    (folder / "year=2024").mkdir(parents=True)
    for name, items in FILES.items():
        table[table["item_id"].isin(items)].to_parquet(folder / name, index=False)
    (folder / "_SUCCESS").touch()
    table.to_parquet(folder / "_metadata.parquet", index=False)
    return folder


def read_all(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(folder / name) for name in FILES], ignore_index=True)


def stamp_of(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in FILES}


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-5)


def test_same_numbers_and_columns_as_in_one_process(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    result = predict_dataset(model, data, tmp_path / "out")
    assert result.written == list(FILES) and not result.skipped
    assert (result.series, result.rows) == (7, 42)
    assert_same(read_all(tmp_path / "out"), model.predict(frame(ITEMS)))
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert found == sorted(FILES)


def test_a_saved_model_gives_the_same_and_counts_as_the_same(
    model: TitansForecaster, data: Path, tmp_path: Path
) -> None:
    predict_dataset(model, data, tmp_path / "out")
    saved = model.save(tmp_path / "model")
    assert predict_dataset(saved, data, tmp_path / "out").skipped == list(FILES)
    predict_dataset(saved, data, tmp_path / "other")
    pd.testing.assert_frame_equal(read_all(tmp_path / "other"), read_all(tmp_path / "out"))


@pytest.mark.parametrize("rows", [1, 100, 161, 320, 500])
def test_large_files_are_read_a_few_series_at_a_time(
    model: TitansForecaster, data: Path, tmp_path: Path, rows: int
) -> None:
    tables = list(series_batches(data / "a.parquet", model.schema_, rows))
    assert len(tables) == (1 if rows == 500 else 3)
    pd.testing.assert_frame_equal(pd.concat(tables, ignore_index=True), frame(ITEMS[:3]))
    if rows in (100, 320):
        predict_dataset(model, data, tmp_path / "out", rows_per_batch=rows)
        assert_same(read_all(tmp_path / "out"), model.predict(frame(ITEMS)))


def test_only_what_is_missing_or_changed_is_computed_again(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_dataset(model, data, out)
    before = stamp_of(out)
    (out / "b.parquet").unlink()
    changed = pd.read_parquet(data / "a.parquet").assign(target=lambda table: table["target"] + 1)
    changed.to_parquet(data / "a.parquet", index=False)
    os.utime(data / "a.parquet", ns=(time.time_ns(), time.time_ns() + 10**9))
    result = predict_dataset(model, data, out)
    assert result.written == ["a.parquet", "b.parquet"] and result.skipped == ["year=2024/c.parquet"]
    assert stamp_of(out)["year=2024/c.parquet"] == before["year=2024/c.parquet"]
    assert_same(read_all(out), model.predict(data))


def test_another_model_horizon_or_levels_compute_all_again(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_dataset(model, data, out)
    assert predict_dataset(model, data, out, prediction_length=3).written == list(FILES)
    assert predict_dataset(model, data, out, prediction_length=3, quantiles=(0.9, 0.5)).written == list(FILES)
    found = read_all(out)
    assert list(found.columns) == ["item_id", "timestamp", "mean", "0.5", "0.9"] and len(found) == 21
    other = forecaster(random_state=1).fit(frame(ITEMS))
    assert predict_dataset(other, data, out, prediction_length=3, quantiles=(0.9, 0.5)).written == list(FILES)


def test_a_damaged_file_is_named_and_the_others_are_done(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", pd.read_parquet(data / "b.parquet")
    whole.assign(target=np.inf).to_parquet(data / "b.parquet", index=False)
    with pytest.raises(ValueError, match=r"1 file of 3 could not be forecast: b.parquet: item 's3' has an infinite"):
        predict_dataset(model, data, out)
    assert (out / "a.parquet").exists() and not (out / "b.parquet").exists()
    whole.to_parquet(data / "b.parquet", index=False)
    seen = []
    result = predict_dataset(model, data, out, on_part=lambda report: seen.append(report.name))
    assert result.written == seen == ["b.parquet"]
    assert_same(read_all(out), model.predict(frame(ITEMS)))


def test_a_run_that_dies_leaves_whole_files_only(
    model: TitansForecaster, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real, calls = tmp_path / "out", FittedForecaster.combined, []

    def dying(self: FittedForecaster, *args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(FittedForecaster, "combined", dying)
    # The third call is in the middle of the first file's second half: nothing of it may be left.
    with pytest.raises(KeyboardInterrupt):
        predict_dataset(model, data, out, rows_per_batch=100)
    assert [path for path in out.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    with in_place_of(out / "a.parquet") as beside:
        beside.write_bytes(b"")
    (out / "a.parquet").unlink()
    # The name tells the process that writes: this one is gone, the other one at work.
    left, at_work = out / f"{beside.name[:13]}{2**31:08x}{beside.name[21:]}", beside
    for path in (left, at_work):
        path.write_bytes(b"half a file")
    assert predict_dataset(model, data, out).written == list(FILES)
    assert not left.exists() and at_work.exists()
    at_work.unlink()
    assert_same(read_all(out), model.predict(frame(ITEMS)))


def test_a_series_in_two_files_is_refused_by_name(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    frame(("s1", "s9")).to_parquet(data / "z.parquet", index=False)
    with pytest.raises(ValueError, match=r"item 's1' lies in two files, a.parquet and z.parquet"):
        predict_dataset(model, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_large_file_with_series_side_by_side_is_refused(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    mixed = pd.read_parquet(data / "a.parquet").sort_values("timestamp", kind="stable")
    mixed.to_parquet(data / "a.parquet", index=False)
    with pytest.raises(ValueError, match=r"a.parquet: item 's\d' goes on after other items.*sort the file by item"):
        predict_dataset(model, data, tmp_path / "out", rows_per_batch=100)
    assert predict_dataset(model, data, tmp_path / "out").written == ["a.parquet"]
    assert_same(read_all(tmp_path / "out"), model.predict(frame(ITEMS)))


def test_known_covariates_of_the_future_are_rows_of_the_file(tmp_path: Path) -> None:
    table = with_covariates(ahead=6)
    with pytest.warns(SeriesWarning, match="read as known future"):
        model = forecaster(**ROLES).fit(table)
    (tmp_path / "data").mkdir()
    table.to_parquet(tmp_path / "data" / "a.parquet", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeriesWarning)
        predict_dataset(model, tmp_path / "data", tmp_path / "out")
        assert_same(pd.read_parquet(tmp_path / "out" / "a.parquet"), model.predict(table))


def test_notes_about_the_data_are_passed_on_with_the_file(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(data / "b.parquet")
    table["timestamp"] = table["timestamp"].dt.tz_localize("UTC")
    table.to_parquet(data / "b.parquet", index=False)
    with pytest.warns(SeriesWarning, match="b.parquet: timestamps in time zone UTC"):
        result = predict_dataset(model, data, tmp_path / "out")
    assert len(result.notes) == 1


def test_wrong_arguments_and_folders(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="engine must be 'local' or 'ray', got 'spark'"):
        predict_dataset(model, data, out, engine="spark")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="local engine is one process, got workers=2"):
        predict_dataset(model, data, out, workers=2)
    with pytest.raises(ValueError, match="not fitted"):
        predict_dataset(forecaster(), data, out)
    with pytest.raises(ValueError, match=r"0\.99 lies beyond the trained ones"):
        predict_dataset(model, data, out, quantiles=[0.99])
    with pytest.raises(NotADirectoryError, match="no folder of parquet files"):
        predict_dataset(model, data / "a.parquet", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no parquet file"):
        predict_dataset(model, tmp_path / "empty", out)
    with pytest.raises(ValueError, match="must lie outside the data set"):
        predict_dataset(model, data, data / "out")
    assert not out.exists()


def test_foreign_files_in_the_output_stay(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    frame(("x",)).to_parquet(tmp_path / "out" / "a.parquet")
    with pytest.raises(ValueError, match="was not written by a batch forecast"):
        predict_dataset(model, data, tmp_path / "out")
    assert pq.read_metadata(tmp_path / "out" / "a.parquet").num_rows == 160


def test_a_missing_column_and_an_empty_file_are_named(model: TitansForecaster, data: Path, tmp_path: Path) -> None:
    frame(("y",)).iloc[:0].to_parquet(data / "y.parquet", index=False)
    with pytest.raises(ValueError, match=r"y.parquet: the file holds no rows"):
        predict_dataset(model, data, tmp_path / "out")
    (data / "item_id=z").mkdir()
    frame(("z",)).drop(columns="item_id").to_parquet(data / "item_id=z" / "z.parquet", index=False)
    with pytest.raises(ValueError, match=r"lacks the columns \['item_id'\].*folder's name only"):
        predict_dataset(model, data, tmp_path / "other")


def test_models_that_need_all_series_at_once_are_refused(data: Path, tmp_path: Path) -> None:
    mixing = forecaster(options={"channel_mixing": True}).fit(frame(ITEMS))
    with pytest.raises(ValueError, match="mixes series, which it needs all at once"):
        predict_dataset(mixing, data, tmp_path / "out")


def test_predict_takes_a_folder_too(model: TitansForecaster, data: Path) -> None:
    pd.testing.assert_frame_equal(model.predict(data), model.predict(frame(ITEMS)))
    pd.read_parquet(data / "b.parquet").drop(columns="timestamp").to_parquet(data / "b.parquet", index=False)
    with pytest.raises(ValueError, match=r"b.parquet has the columns"):
        read_table(data)
