"""Monthly data on any day of the month, half months, quarters on odd months."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesPanel, SeriesSchema, attach_future, to_gluonts, to_records

STARTS = pd.date_range("2015-01-01", periods=60, freq="MS")


def read(index: pd.DatetimeIndex, freq: str | None = None) -> SeriesPanel:
    return to_records(pd.Series(np.arange(float(len(index))), index=index), SeriesSchema(freq=freq))


def on_day(day: int, starts: pd.DatetimeIndex = STARTS) -> pd.DatetimeIndex:
    """The stamps on a day of their month, on the last one where the month is shorter."""
    return starts + pd.to_timedelta(np.minimum(day, starts.days_in_month) - 1, unit="D")


def continues(panel: SeriesPanel, index: pd.DatetimeIndex, after: pd.DatetimeIndex) -> bool:
    record = panel.records[0]
    assert record.length == len(index) and not np.isnan(record.target).any()
    assert list(panel.time.restore(record.index, panel.frequency)) == list(index)
    return list(panel.time.restore(record.future_index(len(after)), panel.frequency)) == list(after)


@pytest.mark.parametrize("day", [1, 2, 15, 28, 29, 30, 31])
def test_one_day_of_the_month(day: int) -> None:
    index = on_day(day)
    panel = read(index[:57])
    assert panel.frequency.seasonality == 12 and panel.notes == []
    assert continues(panel, index[:57], index[57:])


@pytest.mark.parametrize(("step", "alias"), [(3, "QS-FEB"), (12, "YS-MAY")])
def test_quarters_and_years_on_a_day_of_an_odd_month(step: int, alias: str) -> None:
    index = on_day(6, pd.date_range("2010-05-01", periods=100, freq="MS")[::step])
    panel = read(index[:-2])
    assert panel.frequency.offset_alias == alias
    assert continues(panel, index[:-2], index[-2:])


def test_a_day_of_the_month_with_gaps_and_a_time_of_day() -> None:
    index = on_day(15) + pd.Timedelta("08:00:00")
    panel = read(index.delete([4, 5, 30]))
    assert panel.records[0].length == 60 and panel.notes == ["1 item had 3 missing steps, now marked missing"]
    assert panel.time.restore(panel.records[0].future_index(1), panel.frequency)[0] == pd.Timestamp("2020-01-15 08:00")


def test_different_last_days_are_months() -> None:
    index = on_day(31) - pd.to_timedelta(np.arange(60) % 4, unit="D")
    panel = read(index)
    assert panel.frequency.seasonality == 12 and panel.records[0].length == 60
    assert "one timestamp a month, on different days" in panel.notes[0] and "the last day" in panel.notes[0]
    assert panel.time.restore(panel.records[0].future_index(1), panel.frequency)[0] == pd.Timestamp("2020-01-31")


def test_third_fridays_are_months() -> None:
    panel = read(pd.date_range("2020-01-01", periods=40, freq="WOM-3FRI"))
    assert panel.frequency.offset_alias == "MS" and "on different days" in panel.notes[0]


def test_the_series_of_a_table_may_have_different_days() -> None:
    frame = pd.DataFrame({"item_id": ["a"] * 60 + ["b"] * 60, "timestamp": on_day(1).append(on_day(20)), "target": 1.0})
    panel = to_records(frame)
    assert [record.length for record in panel.records] == [60, 60] and "the first day" in panel.notes[0]


@pytest.mark.parametrize("freq", ["28D", "30D", "14D", "4W-WED"])
def test_steps_of_one_length_are_no_months(freq: str) -> None:
    index = pd.date_range("2020-01-15", periods=40, freq=freq)
    panel = read(index[:-1])
    assert panel.frequency.unit == "ns" and continues(panel, index[:-1], index[-1:])


@pytest.mark.parametrize("days", [(1, 15), (15, 31), (5, 20), (10, 25), (14, 28)])
def test_half_months(days: tuple[int, int]) -> None:
    index = on_day(days[0]).append(on_day(days[1])).sort_values()
    for freq in (None, "SM", "SMS"):
        panel = read(index[:-3], freq)
        assert panel.frequency.offset_alias == "SMS-15" and panel.frequency.seasonality == 24
        assert continues(panel, index[:-3], index[-3:])


def test_half_months_are_no_periods_of_gluonts() -> None:
    with pytest.raises(ValueError, match="no half-monthly periods"):
        to_gluonts(read(on_day(1).append(on_day(15)).sort_values()).records[0])


def test_a_stated_month_is_any_day_of_it() -> None:
    index = on_day(15)
    for freq in ("M", "MS", "ME"):
        assert continues(read(index[:1], freq), index[:1], index[1:3])
    with pytest.raises(ValueError, match=r"off the regular grid of freq='MS' \(given\).*aggregate='mean'"):
        read(pd.date_range("2020-01-15", periods=40, freq="7D"), "MS")


def test_the_future_of_a_day_of_the_month() -> None:
    frame = pd.DataFrame({"item_id": "a", "timestamp": on_day(15), "target": 1.0, "x": np.arange(60.0)})
    schema = SeriesSchema(known_covariates=("x",))
    record = attach_future(to_records(frame[:58], schema), frame[58:], schema, 2).records[0]
    assert record.feat_dynamic_real is not None and record.feat_dynamic_real.shape == (1, 60)
