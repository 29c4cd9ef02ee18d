"""All kinds of data give the same records, whatever their order; gaps, time zones, step numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesPanel, SeriesSchema, SeriesWarning, to_records, write_table
from titans_datasets.series.read.panel import warn

INDEX = pd.date_range("2000-01-01", periods=12, freq="D")
VALUES = np.random.default_rng(0).normal(size=(3, 12))


def long_frame(values: np.ndarray = VALUES, index: pd.Index[Any] = INDEX, ids: list[Any] | None = None) -> pd.DataFrame:
    ids = ids or list(range(len(values)))
    parts = [pd.DataFrame({"item_id": i, "timestamp": index, "target": v}) for i, v in zip(ids, values, strict=True)]
    return pd.concat(parts, ignore_index=True)


def same(one: SeriesPanel, two: SeriesPanel, ids: bool = True) -> None:
    assert len(one.records) == len(two.records)
    for left, right in zip(one.records, two.records, strict=True):
        assert not ids or left.item_id == right.item_id
        assert (left.start, left.freq, left.target.dtype) == (right.start, right.freq, right.target.dtype)
        np.testing.assert_array_equal(left.target, right.target)
        for field in ("past_feat_dynamic_real", "feat_dynamic_real", "feat_static_cat", "feat_static_real"):
            a, b = getattr(left, field), getattr(right, field)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b)


def forms(folder: Path) -> dict[str, Any]:
    frame = long_frame()
    wide = pd.DataFrame(VALUES.T, index=INDEX)
    write_table(frame, folder / "a.csv")
    write_table(frame, folder / "a.csv.gz")
    write_table(frame, folder / "a.parquet")
    return {
        "long, strings": frame.assign(timestamp=frame.timestamp.dt.strftime("%Y-%m-%d")),
        "long, periods": frame.assign(timestamp=frame.timestamp.dt.to_period("D")),
        "long, step numbers": frame.assign(timestamp=np.tile(np.arange(12), 3)),
        "long, time index": frame.set_index("timestamp"),
        "long, coarse stamps": frame.assign(timestamp=frame.timestamp.astype("datetime64[s]")),
        "long, categories": frame.assign(item_id=frame.item_id.astype("category")),
        "wide": wide,
        "wide, periods": wide.to_period("D"),
        "list of series": [wide[column] for column in wide],
        "list of unnamed series": [wide[column].rename(None) for column in wide],
        "dict": {column: wide[column] for column in wide},
        "array": VALUES,
        "list of arrays": list(VALUES),
        "csv": folder / "a.csv",
        "csv.gz": str(folder / "a.csv.gz"),
        "parquet": folder / "a.parquet",
    }


def test_every_form_gives_identical_records(tmp_path: Path) -> None:
    expected = to_records(long_frame())
    assert expected.frequency.offset_alias == "D" and expected.notes == []
    np.testing.assert_array_equal(np.stack([record.target for record in expected.records]), VALUES)
    for name, data in forms(tmp_path).items():
        try:
            same(expected, to_records(data))
        except AssertionError as error:
            raise AssertionError(name) from error


def test_one_series_in_every_form() -> None:
    frame = long_frame(VALUES[:1]).drop(columns="item_id")
    expected = to_records(frame)
    same(expected, to_records(pd.Series(VALUES[0], index=INDEX)))
    same(expected, to_records(VALUES[0]))
    assert to_records(pd.Series(VALUES[0], index=INDEX, name="sales")).item_ids == ["sales"]


def test_order_of_rows_does_not_matter_and_item_order_is_kept() -> None:
    frame = long_frame(ids=["b", "a", "c"])
    shuffled = frame.sample(frac=1, random_state=1)
    before = shuffled.copy()
    panel = to_records(shuffled)
    pd.testing.assert_frame_equal(shuffled, before)
    assert panel.item_ids == list(shuffled.item_id.unique())
    assert panel.notes == ["rows were not in time order and were sorted"]
    by_name = {record.item_id: record for record in to_records(frame).records}
    for record in panel.records:
        np.testing.assert_array_equal(record.target, by_name[record.item_id].target)
    grouped = frame.sort_values("timestamp", kind="stable")
    same(to_records(frame), to_records(grouped))
    assert to_records(grouped).notes == []


def test_gaps_become_missing_values() -> None:
    panel = to_records(long_frame().drop(index=[3, 4, 17]))
    assert panel.notes == ["2 items had 3 missing steps, now marked missing"]
    expected = VALUES.copy()
    expected[0, 3:5] = expected[1, 5] = np.nan
    np.testing.assert_array_equal(np.stack([record.target for record in panel.records]), expected)


def test_a_series_starts_at_its_first_value_and_keeps_its_missing_end() -> None:
    values = VALUES.copy()
    values[0, :2] = values[1, -2:] = np.nan
    first, second, _ = to_records(long_frame(values)).records
    assert first.start == INDEX[2] and first.length == 10
    assert second.length == 12 and second.observed_length() == 10
    assert list(second.future_index(2)) == list(pd.date_range("2000-01-13", periods=2, freq="D"))


def test_ragged_wide_frame() -> None:
    wide = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [np.nan, np.nan, 5, 6]}, index=INDEX[:4])
    a, b = to_records(wide).records
    assert (a.length, b.length, b.start) == (4, 2, INDEX[2])


def test_several_target_columns_are_channels() -> None:
    frame = long_frame().assign(other=lambda data: 2 * data.target)
    panel = to_records(frame, SeriesSchema(target_column=("target", "other")))
    assert panel.records[0].target.shape == (2, 12)
    np.testing.assert_allclose(panel.records[1].target, np.stack([VALUES[1], 2 * VALUES[1]]))


def test_own_column_names() -> None:
    frame = long_frame().rename(columns={"item_id": "shop", "timestamp": "day", "target": "sales"})
    same(to_records(long_frame()), to_records(frame, SeriesSchema("shop", "day", "sales")))


def test_hourly_zone_is_utc_over_the_clock_change() -> None:
    index = pd.date_range("2023-10-28 12:00", periods=48, freq="h", tz="Europe/Berlin")
    panel = to_records(pd.Series(np.arange(48.0), index=index))
    assert panel.frequency.offset_alias == "h" and panel.records[0].length == 48
    assert panel.records[0].start == pd.Timestamp("2023-10-28 10:00")
    assert "converted to UTC" in panel.notes[0]
    assert list(panel.time.restore(panel.records[0].index, panel.frequency)) == list(index)


def test_daily_zone_is_local_days_over_the_clock_change() -> None:
    index = pd.date_range("2023-10-20", periods=20, freq="D", tz="Europe/Berlin")
    panel = to_records(pd.Series(np.arange(20.0), index=index))
    assert panel.frequency.offset_alias == "D" and panel.records[0].length == 20
    assert "local calendar days" in panel.notes[0]
    assert list(panel.time.restore(panel.records[0].index, panel.frequency)) == list(index)


def test_strings_with_changing_utc_offsets() -> None:
    index = pd.date_range("2023-10-28 12:00", periods=48, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"timestamp": [stamp.isoformat() for stamp in index], "target": np.arange(48.0)})
    record = to_records(frame).records[0]
    assert (record.start, record.length, record.freq) == (pd.Timestamp("2023-10-28 10:00"), 48, "h")


@pytest.mark.parametrize("freq", ["D", "h", "MS", "W-MON"])
def test_step_numbers_are_restored(freq: str) -> None:
    frame = pd.DataFrame({"timestamp": np.arange(5, 25), "target": np.arange(20.0)})
    panel = to_records(frame, SeriesSchema(freq=freq))
    assert panel.frequency.offset_alias == freq
    assert panel.time.restore(panel.records[0].future_index(3), panel.frequency).tolist() == [25, 26, 27]


def test_years_are_step_numbers_and_years() -> None:
    frame = pd.DataFrame({"timestamp": np.arange(1950, 1990), "target": np.arange(40.0)})
    panel = to_records(frame, SeriesSchema(freq="Y"))
    assert panel.records[0].start.year == 1950
    assert panel.time.restore(panel.records[0].future_index(2), panel.frequency).tolist() == [1990, 1991]


@pytest.mark.parametrize(
    ("period", "offset"), [("M", "MS"), ("W", "W-MON"), ("Q", "QS-JAN"), ("D", "D"), ("Y-JUN", "YS-JUL")]
)
def test_periods_are_restored(period: str, offset: str) -> None:
    index = pd.period_range("2020-01", periods=20, freq=period)
    panel = to_records(pd.Series(np.arange(20.0), index=index))
    assert panel.frequency.offset_alias == offset and panel.notes == []
    assert list(panel.time.restore(panel.records[0].index, panel.frequency)) == list(index)


@pytest.mark.parametrize("first", [1, 12])
def test_days_and_months_are_told_apart_for_all_rows_alike(first: int) -> None:
    index = pd.date_range(f"2024-02-{first:02d}", periods=20, freq="D")
    panel = to_records(pd.DataFrame({"timestamp": index.strftime("%d/%m/%Y"), "target": np.arange(20.0)}))
    assert panel.records[0].start == index[0] and panel.records[0].length == 20
    assert f"were read as {first:02d} February 2024" in panel.notes[0]


def test_dates_with_and_without_a_time() -> None:
    frame = pd.DataFrame({"timestamp": ["2024-01-01", "2024-01-01 12:00:00", "2024-01-02"], "target": [1, 2, 3]})
    assert to_records(frame).records[0].freq == "12h"


def test_a_very_long_array_finds_a_step_that_fits_the_calendar() -> None:
    panel = to_records(np.arange(200_000.0))
    assert panel.frequency.offset_alias == "h" and panel.records[0].length == 200_000


def test_series_of_missing_values_can_be_skipped() -> None:
    values = VALUES.copy()
    values[1] = np.nan
    with pytest.raises(ValueError, match=r"item 1 has no observed value at all"):
        to_records(long_frame(values), all_missing="error")
    panel = to_records(long_frame(values))
    assert panel.item_ids == [0, 2] and "1 item without any value skipped: 1" in panel.notes


def test_notes_become_one_warning() -> None:
    with pytest.warns(SeriesWarning, match="one; two") as caught:
        warn(["one", "two"])
    assert len(caught) == 1


def test_known_covariates_end_where_the_caller_has_none() -> None:
    frame = long_frame().assign(promo=1.0, load=np.arange(36.0))
    frame.loc[frame.timestamp >= INDEX[9], "target"] = np.nan
    frame.loc[11, "promo"] = np.nan
    schema = SeriesSchema(known_covariates=("promo",), past_covariates=("load",))
    first, second, _ = to_records(frame, schema).records
    assert first.length == second.length == 9
    assert first.feat_dynamic_real is not None and second.feat_dynamic_real is not None
    assert first.feat_dynamic_real.shape[1] == 11 and second.feat_dynamic_real.shape[1] == 12
    assert first.past_feat_dynamic_real is not None and first.past_feat_dynamic_real.shape == (1, 9)


def test_a_time_column_and_numbers_are_a_wide_table(tmp_path: Path) -> None:
    wide = pd.DataFrame({"date": INDEX, "shop A": VALUES[0], "shop B": VALUES[1]})
    schema = SeriesSchema(timestamp_column="date")
    panel = to_records(wide, schema)
    same(panel, to_records(wide.set_index("date")))
    assert panel.notes == [
        "no column 'target': 2 columns of numbers read as a series each: 'shop A', 'shop B'; for one of them alone "
        "pass target_column="
    ]
    assert to_records(wide.drop(columns="shop B"), schema).notes == [
        "no column 'target': 'shop A', the only column of numbers, is the series"
    ]
    wide.to_csv(tmp_path / "wide.csv")  # with pandas' row numbers, which are no series
    same(to_records(tmp_path / "wide.csv", schema), panel)
    same(to_records(wide.rename(columns={"date": "timestamp"})), panel)


@pytest.mark.parametrize("extra", [{"target": 1.0}, {"item_id": "a"}, {"region": "north"}])
def test_other_columns_make_no_wide_table(extra: dict[str, Any]) -> None:
    frame = pd.DataFrame({"date": INDEX, "sales": VALUES[0], **extra})
    schema = SeriesSchema(timestamp_column="date")
    if "target" in extra:
        assert to_records(frame, schema).item_ids == ["series"]
        return
    with pytest.raises(ValueError, match="'target' not found"):
        to_records(frame, schema)


def test_a_panel_of_mostly_empty_series() -> None:
    values = np.full((4, 12), np.nan)
    values[1], values[3, 5] = VALUES[0], 7.0
    panel = to_records(long_frame(values))
    assert panel.item_ids == [1, 3] and panel.notes == ["2 items without any value skipped: 0, 2"]
    assert panel.records[1].length == 7 and panel.records[1].observed_length() == 1
    with pytest.raises(ValueError, match="item 0, 1 has no observed value"):
        to_records(long_frame(np.full((2, 12), np.nan)))


def test_one_and_two_points() -> None:
    one, two = long_frame(VALUES[:1, :1], INDEX[:1]), long_frame(VALUES[:1, :2], INDEX[:2])
    with pytest.raises(ValueError, match="pass freq="):
        to_records(one)
    assert to_records(one, SeriesSchema(freq="D")).records[0].length == 1
    assert to_records(two).records[0].length == 2
    # The step of another series is that of a single point too.
    assert to_records(pd.concat([one, long_frame(ids=list("abc"))])).records[0].length == 1


def test_texts_of_several_series_are_read_together() -> None:
    months = pd.date_range("2020-01-01", periods=24, freq="MS").strftime("%d/%m/%Y")
    panel = to_records({"a": pd.Series(1.0, months), "b": pd.Series(1.0, months[:2]), "c": pd.Series(dtype=float)})
    assert [record.length for record in panel.records] == [24, 2]
    assert panel.notes[-1] == "1 item without any value skipped: 'c'"
