"""The report of a forecast: what it tells, of few series, many, none, and with odd names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.report.common import COLUMNS, FOREIGN, HOSTILE, data_of, forecast_frame, own_size, read, record
from titans_ts.report import forecast_report
from titans_ts.report.errors import errors_of
from titans_ts.report.series import moments, numbers, plan, rounder


def test_the_first_screen_tells_how_good_it_was() -> None:
    found = read(forecast_report(record(["a", "b"])).to_html()).text
    assert "Forecast of units: sales.csv" in found
    assert "33 % below that of the seasonal naive forecast: MASE 0.6 against 0.9" in found
    places = [
        found.index(x) for x in ("How good it was", "The forecast", "Where the errors lie", "made of", "The data")
    ]
    assert places == sorted(places)
    assert "prediction_length = 7" in found and "titans-ts" in found and "best row of the backtest" in found


def test_a_worse_forecast_is_not_praised() -> None:
    one = record(["a"])
    assert one.backtest is not None
    one.backtest.metrics.loc["titans", "MASE"] = 1.8
    assert "100 % above that of the seasonal naive" in read(forecast_report(one).to_html()).text


def test_tracks_are_where_their_timestamps_are() -> None:
    one = record(["a"], steps=5, length=40)
    data = data_of(forecast_report(one).to_html())
    item, axes = data["charts"]["chart0"]["items"][0], data["axes"]
    assert len(axes) == 1 and axes[0][39:41] == ["2024-02-29", "2024-03-01"]
    roles = [track["role"] for track in item["tracks"]]
    assert roles == ["wide", "narrow", "past", "backtest", "past", "backtest", "history", "forecast"]
    for track in item["tracks"]:
        assert track["at"] + len(track.get("values") or track["low"]) <= len(axes[0])
    median = next(track for track in item["tracks"] if track["role"] == "forecast")
    assert np.allclose(median["values"], one.forecast["0.5"], atol=1e-2)
    window = next(track for track in item["tracks"] if track["role"] == "backtest")
    assert one.earlier is not None
    assert axes[0][window["at"]] == str(one.earlier["day"].min().date())


def test_errors_are_those_of_the_frame() -> None:
    frame = forecast_frame(["a", "b"], 4)
    actual = frame["0.5"] + np.where(frame["shop"] == "a", 1.0, -3.0)
    actual.iloc[0] = np.nan
    found = errors_of(frame.assign(cutoff=pd.Timestamp("2024-02-29"), actual=actual), COLUMNS)
    assert found is not None
    assert found.by_step["MAE"].tolist() == pytest.approx([3, 2, 2, 2])
    assert found.by_series.set_index("shop")["MAE"].to_dict() == pytest.approx({"a": 1, "b": 3})
    assert found.by_series.set_index("shop")["bias"].to_dict() == pytest.approx({"a": -1, "b": 3})
    assert found.worst == ["b", "a"]
    assert found.by_step["90 %"].tolist() == pytest.approx([1, 1, 1, 1])
    assert found.levels[0.5] == pytest.approx(4 / 7)


def test_errors_need_actual_values() -> None:
    frame = forecast_frame(["a"], 4).assign(cutoff=pd.Timestamp("2024-02-29"), actual=np.nan)
    assert errors_of(frame, COLUMNS) is None
    assert "Where the errors lie" not in read(forecast_report(record(["a"], earlier=frame)).to_html()).text


def test_fifty_series_are_less_than_two_megabytes() -> None:
    one = record([f"shop {i}" for i in range(50)], steps=28, length=1500, windows=10)
    report = forecast_report(one)
    assert len(report.data["charts"]["chart0"]["items"]) == 50
    assert own_size(report) < 2_000_000


def test_of_two_thousand_series_some_have_a_picture_and_the_report_says_so() -> None:
    names = [f"shop {i}" for i in range(2000)]
    one = record(names, steps=3, length=20, windows=1)
    report = forecast_report(one)
    items = [item["name"] for item in report.data["charts"]["chart0"]["items"]]
    assert len(items) == len(set(items)) == 50
    found = read(report.to_html())
    assert "50 of 2,000 series have a picture: the 12 with the largest errors in the backtest" in found.text
    assert "first 500 of 2,000 rows" in found.text
    assert own_size(report) < 2_000_000
    chosen = forecast_report(record(names, steps=3, length=20, windows=1, items=["shop 7", "shop 1999"]))
    assert [item["name"] for item in chosen.data["charts"]["chart0"]["items"]] == ["shop 7", "shop 1999"]


@pytest.mark.parametrize("horizon", [1, 30, 1000, 100_000])
def test_plans_stay_within_bounds(horizon: int) -> None:
    found = plan([str(i) for i in range(300)], horizon, ["299"])
    assert 1 <= len(found.items) <= 50 and 60 <= found.steps <= 1500
    if len(found.items) >= 4:
        assert found.items[0] == "299"


def test_unknown_items_are_refused() -> None:
    for wanted in (["nowhere"], []):
        with pytest.raises(ValueError, match="items must name series of the forecast"):
            forecast_report(record(["a"], items=wanted))


def test_there_may_be_no_backtest_and_no_forecast() -> None:
    one = record(["a"], backtest=None, earlier=None, weights=pd.DataFrame(), data=[])
    assert "no backtest: nothing here tells how good" in read(forecast_report(one).to_html()).text
    frame = forecast_frame(["a"], 3)
    none = record(["a"], forecast=frame.iloc[:0], backtest=None, earlier=None, weights=pd.DataFrame())
    assert "no series was left" in read(forecast_report(none).to_html()).text


def test_a_series_without_values_has_a_picture_that_says_so() -> None:
    frame = forecast_frame(["a"], 3)
    frame[["mean", "0.05", "0.25", "0.5", "0.75", "0.95"]] = np.nan
    one = record(["a"], forecast=frame, backtest=None, earlier=None)
    one.history["units"] = np.nan
    assert "There is no forecast." in read(forecast_report(one).to_html()).text


def test_one_series_needs_no_column_of_names() -> None:
    one = record(["a"])
    frames = {name: getattr(one, name).drop(columns="shop") for name in ("history", "forecast", "earlier")}
    found = forecast_report(record(["a"], **frames))
    assert len(found.data["charts"]["chart0"]["items"]) == 1


@pytest.mark.parametrize("kind", ["dates", "numbers", "periods", "zoned", "integers"])
def test_timestamps_of_every_kind_are_drawn(kind: str) -> None:
    one = record(["a"], backtest=None, earlier=None)
    days = {"history": one.history["day"], "forecast": one.forecast["day"]}
    if kind == "numbers":
        days = {"history": pd.Series(range(60)), "forecast": pd.Series(range(60, 67))}
    elif kind == "integers":
        days = {name: x.dt.strftime("%Y%m%d").astype(int) for name, x in days.items()}
    elif kind == "periods":
        days = {name: x.dt.to_period("D") for name, x in days.items()}
    elif kind == "zoned":
        days = {name: x.dt.tz_localize("Asia/Tokyo") for name, x in days.items()}
    frames = {name: getattr(one, name).assign(day=x.to_numpy() if kind == "numbers" else x) for name, x in days.items()}
    data = forecast_report(record(["a"], backtest=None, earlier=None, **frames)).data
    axis = data["axes"][0]
    assert len(axis) == 67
    assert axis[-1] == (66 if kind == "numbers" else "2024-03-07")


def test_hostile_and_foreign_names_are_text() -> None:
    names = [*HOSTILE, *FOREIGN, "x" * 5000]
    plain = read(forecast_report(record([str(i) for i in range(len(names))])).to_html())
    hostile = forecast_report(record(names, name=HOSTILE[0], settings={"id": HOSTILE[1]}, data=[HOSTILE[2]]))
    found = read(hostile.to_html())
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert all(not key.startswith("on") for _, attributes in found.tags for key in attributes)
    assert all(name in found.text for name in FOREIGN)


def test_a_hostile_target_is_escaped_where_plotly_reads_tags() -> None:
    evil = "<a href='javascript:alert(1)'>x</a>"
    one = record(["a"])
    columns = COLUMNS._replace(target=evil)
    report = forecast_report(record(["a"], columns=columns, history=one.history.rename(columns={"units": evil})))
    assert report.data["charts"]["chart0"]["y"].startswith("&lt;a href")


def test_numbers_keep_what_tells_them_apart() -> None:
    values = np.array([1_000_000.123, 1_000_000.456, np.nan, np.inf])
    found = numbers(values, rounder(values))
    assert found[2:] == [None, None]
    assert found[:2] == pytest.approx([1_000_000.123, 1_000_000.456], abs=1e-4)
    assert numbers([0.0, 1e-30], rounder(np.array([0.0, 1e-30]))) != [None, None]
    assert rounder(np.array([np.nan])) == 4 and numbers([5.0], rounder(np.array([5.0]))) == [5]


def test_times_of_day_are_kept() -> None:
    assert moments(pd.Series(pd.to_datetime(["2024-01-01 06:30"]))) == ["2024-01-01 06:30:00"]
