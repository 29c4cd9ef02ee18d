"""Dates as numbers, weeks, quarters, months, and with the day first: read by the whole column and by its step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesPanel, SeriesSchema, attach_future, to_records

DAYS = pd.date_range("2022-01-01", periods=500, freq="D")
MONTHS = pd.date_range("2015-01-01", periods=60, freq="MS")
QUARTERS = pd.date_range("2010-01-01", periods=20, freq="QS")
WEEKS = pd.date_range("2019-12-02", periods=120, freq="7D")
HOURS = pd.date_range("2023-01-30 12:00", periods=60, freq="h")


def read(stamps: Any, freq: str | None = None, items: Any = "a") -> SeriesPanel:
    frame = pd.DataFrame({"item_id": items, "timestamp": list(stamps), "target": np.arange(float(len(stamps)))})
    return to_records(frame, SeriesSchema(freq=freq))


def is_regular(panel: SeriesPanel, index: pd.DatetimeIndex) -> bool:
    record = panel.records[0]
    return list(record.index) == list(index) and not np.isnan(record.target).any()


@pytest.mark.parametrize(
    ("index", "spelling", "freq"),
    [
        (DAYS, "%Y%m%d", "D"),
        (MONTHS, "%Y%m", "MS"),
        (WEEKS, "%G%V", "W-MON"),
        (HOURS, "%Y%m%d%H", "h"),
        (HOURS, "%Y%m%d%H%M", "h"),
        (HOURS, "%Y%m%d%H%M%S", "h"),
        (pd.date_range("1949-01-01", periods=30, freq="YS"), "%Y", "YS-JAN"),
    ],
)
def test_numbers_that_are_dates(index: pd.DatetimeIndex, spelling: str, freq: str) -> None:
    numbers = index.strftime(spelling).astype("int64")
    panel = read(numbers)
    assert panel.frequency.offset_alias == freq and is_regular(panel, index)
    assert len(panel.notes) == 1 and f"whole numbers such as {numbers[0]} were read as" in panel.notes[0]
    assert list(panel.time.restore(panel.records[0].index, panel.frequency)) == list(numbers)
    # As text, which a column of a table often is, they are dates too.
    assert is_regular(read(numbers.astype(str)), index)


def test_german_months_and_numbers_with_a_point() -> None:
    names = ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November"]
    texts = [f"{name} {year}" for year in (2020, 2021) for name in [*names, "Dezember"]]
    assert is_regular(read(texts), pd.date_range("2020-01-01", periods=24, freq="MS"))
    assert is_regular(read(DAYS.strftime("%Y%m%d").astype(float)), DAYS)


def test_the_step_after_december_is_january() -> None:
    panel = read(MONTHS.strftime("%Y%m").astype(int))
    ahead = panel.time.restore(panel.records[0].future_index(2), panel.frequency)
    assert ahead.tolist() == [202001, 202002]


def test_numbered_quarters() -> None:
    panel = read([10 * stamp.year + stamp.quarter for stamp in QUARTERS])
    assert is_regular(panel, QUARTERS)
    assert panel.time.restore(panel.records[0].future_index(2), panel.frequency).tolist() == [20151, 20152]


@pytest.mark.parametrize(
    "numbers",
    [
        range(5, 40),
        range(1600, 2400),  # some are no years
        range(201495, 201530),  # some are no months
        range(20230120, 20230160),  # some are no days
        range(0, 3000),
    ],
)
def test_step_numbers_stay_step_numbers(numbers: range) -> None:
    panel = read(numbers)
    assert panel.time.kind == "ordinal" and panel.notes == []
    assert panel.time.restore(panel.records[0].future_index(1), panel.frequency).tolist() == [numbers.stop]


def test_the_given_step_decides_between_years_and_step_numbers() -> None:
    assert read(range(1950, 1990), "Y").records[0].start.year == 1950
    assert read(range(1950, 1990), "h").time.kind == "ordinal"
    assert read([20230516], "D").records[0].start == pd.Timestamp("2023-05-16")


def test_gaps_do_not_make_dates_step_numbers() -> None:
    panel = read(np.delete(DAYS.strftime("%Y%m%d").astype(int), [3, 40, 41, 300]))
    assert panel.frequency.offset_alias == "D" and panel.records[0].length == 500


def test_the_series_of_a_table_may_begin_on_different_days() -> None:
    numbers = [*MONTHS[:30].strftime("%Y%m").astype(int), *MONTHS[7:40].strftime("%Y%m").astype(int)]
    one, two = read(numbers, items=["a"] * 30 + ["b"] * 33).records
    assert (one.length, two.length, two.start) == (30, 33, MONTHS[7])


@pytest.mark.parametrize(
    ("index", "write", "what"),
    [
        (WEEKS, lambda t: f"{t:%G-W%V}", "ISO weeks"),
        (WEEKS, lambda t: f"{t:%GW%V}", "ISO weeks"),
        (WEEKS, lambda t: f"W{t:%V %G}", "ISO weeks"),
        (DAYS, lambda t: f"{t:%G-W%V-%u}", "ISO weeks"),
        (QUARTERS, lambda t: f"{t.year}Q{t.quarter}", "quarters"),
        (QUARTERS, lambda t: f"{t.year}-Q{t.quarter}", "quarters"),
        (QUARTERS, lambda t: f"Q{t.quarter} {t.year}", "quarters"),
        (QUARTERS[::2], lambda t: f"{t.year}H{t.quarter // 2 + 1}", "half years"),
        (MONTHS, lambda t: f"{t:%YM%m}", "months"),
        (MONTHS, lambda t: f"{t:%b %Y}", "months"),
        (MONTHS, lambda t: f"{t:%B %Y}", "months"),
        (MONTHS, lambda t: f"{t:%Y-%b}", "months"),
        (MONTHS, lambda t: f"{t:%b-%y}", "months"),
        (MONTHS, lambda t: f"{t:%m/%Y}", "months"),
    ],
)
def test_weeks_quarters_and_names_of_months(index: pd.DatetimeIndex, write: Any, what: str) -> None:
    panel = read([write(stamp) for stamp in index])
    assert is_regular(panel, index)
    assert panel.notes == [
        f"timestamps were read as the first days of {what}: {write(index[0])!r} as {index[0]:%Y-%m-%d}"
    ]


@pytest.mark.parametrize("bad", ["2023-W54", "2021-W53", "2023Q5", "13/2020"])
def test_weeks_and_months_that_there_are_not(bad: str) -> None:
    with pytest.raises(ValueError, match="not timestamps"):
        read([bad, bad[:-1] + "1"])


@pytest.mark.parametrize("write", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d/%m/%Y %H:%M"])
@pytest.mark.parametrize("index", [MONTHS, DAYS[:40], WEEKS], ids=["monthly", "daily", "weekly"])
def test_the_order_of_day_and_month_gives_a_regular_grid(write: str, index: pd.DatetimeIndex) -> None:
    panel = read(index.strftime(write))
    assert is_regular(panel, index)
    order = "day/month/year" if write.startswith("%d") else "month/day/year"
    assert len(panel.notes) == 1 and order in panel.notes[0] and "fits as well" not in panel.notes[0]


def test_years_of_two_digits_may_come_first() -> None:
    assert is_regular(read(DAYS[:25].strftime("%y/%m/%d")), DAYS[:25])


def test_a_note_shows_a_date_that_other_orders_change() -> None:
    assert read(MONTHS.strftime("%d/%m/%Y")).notes == [
        "dates such as '01/02/2015' were read as 01 February 2015 (day/month/year)"
    ]


def test_what_fits_both_ways_is_said_and_the_step_decides() -> None:
    texts = DAYS[:12].strftime("%d/%m/%Y")
    panel = read(texts)
    assert panel.frequency.offset_alias == "MS"
    assert "'day/month/year' fits as well: pass freq='D' for day/month/year" in panel.notes[0]
    assert is_regular(read(texts, "D"), DAYS[:12])
    # Points are not written between month and day.
    assert is_regular(read(DAYS[:12].strftime("%d.%m.%Y")), DAYS[:12])


@pytest.mark.parametrize("write", ["%d/%m/%Y", "%Y%m"])
def test_a_future_frame_is_read_as_the_past_was(write: str) -> None:
    texts = MONTHS.strftime(write)
    stamps = texts.astype(int) if write == "%Y%m" else texts
    frame = pd.DataFrame({"item_id": "a", "timestamp": stamps, "target": 1.0, "x": np.arange(60.0)})
    schema = SeriesSchema(known_covariates=("x",))
    past = to_records(frame[:58], schema)
    features = attach_future(past, frame[58:], schema, 2).records[0].feat_dynamic_real
    assert features is not None and features.shape == (1, 60)
    with pytest.raises(ValueError, match="missing for item 'a'"):
        attach_future(past, frame[57:59], schema, 2)


@pytest.mark.parametrize("freq", ["D", "B", "W-SUN", "2W-TUE", "SMS", "MS", "ME", "QS-FEB", "QE", "YS"])
def test_no_order_of_dates_is_chosen_in_silence(freq: str) -> None:
    """Dates in any spelling are what they were, with gaps too; else the note says what fits as well."""
    random = np.random.default_rng(0)
    for write in ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%y", "%y/%m/%d", "%Y%m%d"):
        for length in (4, 10, 30):
            start = pd.Timestamp("2001-01-01") + pd.Timedelta(days=int(random.integers(0, 6000)))
            index = pd.date_range(start, periods=length, freq=freq)
            index = index[np.sort(random.choice(length, length - length // 8, replace=False))]
            written, expected = read(index.strftime(write)), read(index)
            same = list(written.records[0].index) == list(expected.records[0].index)
            assert same or "fits as well" in written.notes[0], (write, list(index))
