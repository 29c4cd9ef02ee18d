"""Calendar covariates and public holidays as features, of any step and time zone."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore, parse_frequency, time_features, to_records
from titans_datasets.series.calendar.covariates import CALENDAR
from titans_datasets.series.calendar.holidays import holiday_features
from titans_datasets.series.time.calendar_features import covariate_columns, covariate_names

BERLIN = ZoneInfo("Europe/Berlin")


def column(name: str, index: pd.DatetimeIndex, freq: str) -> np.ndarray:
    return time_features(index, freq, (name,))


def flagged(name: str, index: pd.DatetimeIndex, freq: str = "D", place: int = 0) -> list[str]:
    """The stamps at which a column is 1."""
    return [f"{stamp:%m-%d}" for stamp in index[column(name, index, freq)[:, place] == 1]]


def test_daily_covariates_are_those_of_the_calendar() -> None:
    days = pd.date_range("2024-03-01", "2024-04-30")
    assert flagged("month_start", days) == ["03-01", "04-01"]
    assert flagged("month_end", days) == flagged("month_end", days, "h") == ["03-31", "04-30"]
    assert (flagged("quarter_start", days), flagged("quarter_end", days)) == (["04-01"], ["03-31"])
    # 31 March is a Sunday; 15 April is a Monday.
    assert flagged("payday", days, place=0) == ["03-15", "04-15"]
    assert flagged("payday", days, place=1) == ["03-29", "04-30"]
    np.testing.assert_array_equal(column("weekend", days, "D")[:, 0], days.dayofweek >= 5)
    np.testing.assert_array_equal(column("trading_days", days, "D")[:, 0], days.dayofweek < 5)
    np.testing.assert_array_equal(column("weekday", days, "D").argmax(axis=1), days.dayofweek)


def test_edges_of_the_month_are_open_days() -> None:
    open_days = pd.date_range("2024-03-01", "2024-04-30", freq="B")
    assert flagged("month_end", open_days, "B") == ["03-29", "04-30"]
    assert flagged("month_start", pd.date_range("2024-06-01", periods=20, freq="B"), "B") == ["06-03"]


@pytest.mark.parametrize("freq", ["MS", "ME", "BMS", "QS", "QE", "QE-NOV", "YE", "2MS"])
def test_longer_steps_count_their_days(freq: str) -> None:
    index = pd.date_range("2019-01-01", periods=12, freq=freq)
    months = {"M": 1, "Q": 3, "Y": 12}[parse_frequency(freq).rule.removeprefix("B")[0]] * (2 if freq == "2MS" else 1)
    periods = [pd.Period(stamp, "M") for stamp in index]
    spans = [(p, p + months - 1) if "S" in freq else (p - months + 1, p) for p in periods]
    expected = [
        float((pd.date_range(first.start_time, last.end_time.normalize()).dayofweek < 5).sum()) for first, last in spans
    ]
    found = column("trading_days", index, freq)[:, 0]
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0], atol=1e-5)
    assert abs(found.mean()) < 1.5
    assert column("days_in_step", index, freq).shape == (12, 1)


@pytest.mark.parametrize(
    ("freq", "first", "covered"),
    [
        ("W-MON", "2024-05-06", ["2024-05-06", "2024-05-12"]),
        ("W-SUN", "2024-05-12", ["2024-05-06", "2024-05-12"]),
        ("W-FRI", "2024-05-10", ["2024-05-04", "2024-05-10"]),
        ("7D", "2024-05-06", ["2024-05-06", "2024-05-12"]),
        ("MS", "2024-05-01", ["2024-05-01", "2024-05-31"]),
        ("ME", "2024-05-31", ["2024-05-01", "2024-05-31"]),
    ],
)
def test_holidays_are_counted_in_the_step(freq: str, first: str, covered: list[str]) -> None:
    index = pd.date_range(first, periods=30, freq=freq)
    days = pd.date_range(covered[0], covered[1])
    daily = holiday_features(days, "DE", parse_frequency("D"))[:, 0]
    found = holiday_features(index, "DE", parse_frequency(freq))
    assert (found.shape, found[0, 0]) == ((30, 1), daily.sum())
    assert daily.sum() > 0
    every = holiday_features(pd.date_range("2023-01-01", "2027-12-31"), "DE", parse_frequency("D"))[:, 0]
    whole = pd.date_range("2023-01-31", periods=60, freq="ME")
    assert holiday_features(whole, "DE", parse_frequency("ME")).sum() == every.sum()


def test_holidays_with_the_days_beside_them() -> None:
    days = pd.date_range("2024-12-20", "2025-01-03")
    found = pd.DataFrame(holiday_features(days, "DE-BY", parse_frequency("D")), index=days.strftime("%m-%d"))
    assert list(found.index[found[0] == 1]) == ["12-25", "12-26", "01-01"]
    assert list(found.index[found[1] == 1]) == ["12-24", "12-31"]
    assert list(found.index[found[2] == 1]) == ["12-27", "01-02"]
    # Friday after two holidays; Epiphany, a holiday of Bavaria alone, comes later.
    assert list(found.index[found[3] == 1]) == ["12-27"]
    epiphany = pd.date_range("2025-01-06", periods=1)
    assert [holiday_features(epiphany, c, parse_frequency("D"))[0, 0] for c in ("DE", "DE-BY")] == [0, 1]


def test_days_beside_a_holiday_are_open_ones() -> None:
    # Easter Monday is 1 April; neither Saturday nor Sunday are days of this grid, Good Friday is a holiday itself.
    days = pd.DatetimeIndex(["2024-03-28", "2024-03-29", "2024-04-01", "2024-04-02"])
    found = holiday_features(days, "DE", parse_frequency("B"))
    assert found[:, :3].tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]]


def test_holidays_of_hours_are_those_of_the_local_day() -> None:
    local = pd.date_range("2024-12-24", periods=72, freq="h", tz=BERLIN)
    zoned = to_records(pd.Series(np.arange(72.0), index=local)).records
    naive = to_records(pd.Series(np.arange(72.0), index=local.tz_localize(None))).records
    spec = WindowSpec(48, 24, calendar=("day", "week", "holidays:DE", "weekday"))
    one, two = (WindowStore(records, spec) for records in (zoned, naive))
    for name in ("past_time_feat", "future_time_feat"):
        np.testing.assert_array_equal(one.batch(one.last_window())[name], two.batch(two.last_window())[name])
    assert one.batch(one.last_window())["past_time_feat"][0, :, 4].tolist() == [1.0] * 48


def test_phases_follow_local_clocks_across_a_change() -> None:
    local = pd.date_range("2023-03-20", periods=24 * 14, freq="h", tz=BERLIN)
    record = to_records(pd.Series(np.arange(len(local), dtype=float), index=local)).records[0]
    store = WindowStore([record], WindowSpec(len(local), 24, calendar=("day",)))
    phases = store.batch(store.last_window())["past_time_feat"][0].numpy()
    expected = 2 * np.pi * local.hour.to_numpy() / 24
    np.testing.assert_allclose(phases, np.stack([np.sin(expected), np.cos(expected)], axis=1), atol=1e-6)


def test_series_of_other_time_zones_do_not_share_a_store() -> None:
    records = [
        SeriesRecord(name, pd.Timestamp("2024-01-01"), "h", np.zeros(50), timezone=ZoneInfo(zone))
        for name, zone in (("a", "Europe/Berlin"), ("b", "Asia/Tokyo"))
    ]
    with pytest.raises(ValueError, match=r"item 'b' differs from item 'a'.*time zone"):
        WindowStore(records, WindowSpec(8, 4))


@pytest.mark.parametrize("name", sorted(CALENDAR))
@pytest.mark.parametrize("freq", ["15min", "D", "B", "C-1111110", "2D", "W-SUN", "2W-TUE", "MS", "QE-FEB", "YE", "5YS"])
def test_every_covariate_has_its_columns_or_says_that_it_is_constant(name: str, freq: str) -> None:
    try:
        names = covariate_names(freq, [name])
    except ValueError as error:
        assert "the same in every step" in str(error)
        return
    frequency = parse_frequency(freq)
    index = pd.date_range("2000-01-01", periods=40, freq="D" if freq.startswith("C") else freq)
    found = time_features(index, frequency, names)
    assert found.shape == (40, covariate_columns(freq, names))
    assert time_features(index[:0], frequency, names).shape == (0, found.shape[1])
    # Any part of the stamps has the features of the whole, to rounding.
    np.testing.assert_allclose(time_features(index[17:23], frequency, names), found[17:23], atol=1e-5)


def test_sundays_are_no_holidays() -> None:
    sundays = pd.date_range("2024-01-07", periods=50, freq="W-SUN")
    assert holiday_features(sundays, "SE", parse_frequency("D"))[:, 0].sum() < 4


def test_far_future_steps_have_holidays() -> None:
    christmas = pd.DatetimeIndex(["2099-12-25"])
    assert holiday_features(christmas, "US", parse_frequency("D"))[0, 0] == 1


def test_holidays_observed_on_another_day_count() -> None:
    # New Year's Day 2022, a Saturday, was observed on 31 December 2021.
    days = pd.DatetimeIndex(["2021-12-30", "2021-12-31", "2022-01-01"])
    assert holiday_features(days, "US", parse_frequency("D"))[:, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"holidays": "Germany"}, "holidays of 'Germany' are unknown: did you mean 'DE'"),
        ({"holidays": ("US", "DEE")}, "holidays of 'DEE' are unknown: did you mean 'EE' or 'DE'"),
        ({"holidays": "United States"}, "did you mean 'US'"),
        ({"holidays": "DE-BYY"}, "did you mean 'DE-BY'.*choose among BB, BE"),
        ({"holidays": "LU-X"}, "holidays of 'LU-X' are unknown.*use 'LU'"),
        ({"holidays": ("DE", "DE")}, "holidays has a name twice"),
        ({"calendar": ("weekends",)}, "unknown calendar covariate 'weekends': did you mean 'weekend'.*payday"),
        ({"calendar": ("payday", "payday")}, "calendar has a name twice"),
        ({"calendar": "days_in_step"}, "'days_in_step' is the same in every step of D"),
    ],
)
def test_unknown_names_are_refused(given: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        covariate_names("D", **given)
