"""Daily series of the open days of a week."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_datasets.series import SeriesSchema, parse_frequency, seasonality, to_gluonts, to_records
from titans_datasets.series.calendar.weekmask import masked_frequency, parse_weekmask

SIX = "C-1111110"


@pytest.mark.parametrize(
    "weekmask",
    ["Mon Tue Wed Thu Fri Sat", "Mon,Tue,Wed,Thu,Fri,Sat", "mon tue wed thu fri sat", "1111110", [1] * 6 + [0]],
)
def test_every_spelling_is_one_frequency(weekmask: str) -> None:
    assert masked_frequency(weekmask, None) == masked_frequency(weekmask, "D") == SIX
    assert masked_frequency(weekmask, SIX) == SIX


def test_known_weeks_are_known_frequencies() -> None:
    assert (masked_frequency("1111100", None), masked_frequency("1111111", None)) == ("B", "D")
    assert (seasonality(SIX), seasonality("C-0110000"), seasonality("2C-1111110")) == (6, 2, 3)


@pytest.mark.parametrize(
    ("weekmask", "freq", "message"),
    [
        ("Foo", None, "weekmask must name the open days, such as 'Mon Tue Wed Thu Fri Sat' or '1111110', got 'Foo'"),
        ("0000000", None, "weekmask must name the open days"),
        (7, None, "weekmask must name the open days"),
        ("1111110", "h", "a weekmask is for daily data, but freq is 'h'"),
        ("1111110", "B", "a weekmask is for daily data, but freq is 'B'"),
    ],
)
def test_other_weekmasks_are_refused(weekmask: str, freq: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        masked_frequency(weekmask, freq)


@given(
    st.integers(1, 127).map(lambda number: f"{number:07b}"),
    st.integers(0, 6),
    st.integers(1, 3),
    st.sampled_from(["00:00", "17:30"]),
)
def test_stamps_are_those_of_pandas(weekmask: str, day: int, count: int, time: str) -> None:
    offset = pd.offsets.CustomBusinessDay(count, weekmask=weekmask)
    expected = pd.date_range(f"2023-12-{25 + day} {time}", periods=20, freq=offset)
    alias = str(masked_frequency(weekmask, None))
    frequency = parse_frequency(f"{count}{alias}" if count > 1 else alias)
    assert parse_frequency(frequency.offset_alias) == frequency
    assert list(frequency.range(expected[0], 20)) == list(expected)
    assert (frequency.shift(expected[5], 7), frequency.shift(expected[5], -5)) == (expected[12], expected[0])
    stamps = expected.as_unit("ns").to_numpy().astype(np.int64)
    positions, on_grid = frequency.positions(stamps, np.full(20, stamps[0]))
    assert on_grid.all()
    assert positions.tolist() == list(range(20))
    every = pd.date_range(expected[0], expected[-1]).as_unit("ns").to_numpy().astype(np.int64)
    assert frequency.positions(every, np.full(len(every), stamps[0]))[1].sum() == 20


def test_no_stamps_after_the_year_2261() -> None:
    with pytest.raises(ValueError, match="leave the years 1678 to 2261"):
        parse_frequency(SIX).range(pd.Timestamp("2262-04-01"), 30)


def shop(days: pd.DatetimeIndex, item: str = "a") -> pd.DataFrame:
    return pd.DataFrame({"item_id": item, "timestamp": days, "target": np.arange(1.0, len(days) + 1)})


def test_closed_days_are_no_steps() -> None:
    days = pd.date_range("2024-01-01", periods=60)
    table = shop(days)
    table = table[table["timestamp"].dt.dayofweek < 6].drop(index=[9])
    record = to_records(table, SeriesSchema(freq=SIX)).records[0]
    assert (record.freq, record.length, int(np.isnan(record.target).sum())) == (SIX, 52, 1)
    assert (record.index.dayofweek < 6).all()
    assert record.future_index(7).strftime("%a").tolist() == ["Fri", "Sat", "Mon", "Tue", "Wed", "Thu", "Fri"]


def test_rows_without_a_value_on_closed_days_are_left_out() -> None:
    table = shop(pd.date_range("2024-01-01", periods=60)).assign(price=1.0)
    closed = table["timestamp"].dt.dayofweek == 6
    table["target"] = table["target"].mask(closed)
    schema = SeriesSchema(freq=SIX, known_covariates=("price",))
    panel, expected = to_records(table, schema), to_records(table[~closed], schema)
    assert panel.notes == ["8 rows without a value on closed days left out"]
    np.testing.assert_array_equal(panel.records[0].target, expected.records[0].target)
    assert panel.records[0].feat_dynamic_real.shape == (1, 52)  # type: ignore[union-attr]


def test_values_on_closed_days_are_named_and_counted() -> None:
    days = pd.date_range("2024-01-01", periods=60)
    table = pd.concat([shop(days[days.dayofweek < 6], "fine"), shop(days, "open"), shop(days[:20], "also")])
    message = (
        r"'open' has values on closed days: 'Sun 2024-01-07'.*10 values in 2 items \(Sun 10\), the open days are M"
    )
    with pytest.raises(ValueError, match=message):
        to_records(table, SeriesSchema(freq=SIX))
    with pytest.raises(ValueError, match="'x' has rows on closed days only"):
        to_records(pd.concat([table[:20], shop(days[6:7], "x").assign(target=np.nan)]), SeriesSchema(freq=SIX))


def test_days_of_the_week_that_never_occur_are_named() -> None:
    days = pd.date_range("2024-01-01", periods=60)
    notes = to_records(shop(days[days.dayofweek < 6])).notes
    assert notes == [
        "1 item had 8 missing steps, now marked missing (Sun never occur: the weekmask 'Mon Tue Wed Thu Fri Sat' makes "
        "series of the open days only)"
    ]
    assert parse_weekmask("Mon Tue Wed Thu Fri Sat") == "1111110"
    # A Sunday among them, or too short a time, says nothing.
    assert "weekmask" not in to_records(shop(days[(days.dayofweek < 6) | (days.day == 7)])).notes[0]
    assert "weekmask" not in to_records(shop(days[days.dayofweek < 6][:12])).notes[0]


def test_gluonts_has_no_weekmask() -> None:
    record = to_records(shop(pd.date_range("2024-01-01", periods=6)), SeriesSchema(freq=SIX)).records[0]
    with pytest.raises(ValueError, match="gluonts has no periods of a weekmask"):
        to_gluonts(record)
