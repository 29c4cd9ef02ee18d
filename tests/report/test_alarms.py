"""The report of a detection, and the segments of alarms that it and the command line show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.report.common import COLUMNS, FOREIGN, HOSTILE, own_size, read
from titans_ts.report import AlarmRecord, alarm_report, alarm_segments


def found_in(names: list[str], tokens: int = 12, alarms: tuple[int, ...] = (3, 4, 9)) -> pd.DataFrame:
    """A token a day; its alarms are at the given places."""
    rows = []
    for name in names:
        surprise = np.where(np.isin(np.arange(tokens), alarms), 5.0 + np.arange(tokens), 1.0)
        one = {"shop": name, "day": pd.date_range("2024-01-01", periods=tokens), "surprise": surprise}
        parts = {part: 0.1 for part in ("patch", "step", "dynamics")} | {"season": -3.0}
        rows.append(pd.DataFrame({**one, "threshold": 2.0, "alarm": surprise > 2, **parts}))
    return pd.concat(rows, ignore_index=True)


def report_of(names: list[str], alarms: tuple[int, ...] = (3, 4, 9), **changes: Any) -> Any:
    found = found_in(names, alarms=alarms)
    series = found[["shop", "day"]].assign(units=1.0)
    given = {"name": "x.csv", "columns": COLUMNS, "series": series, "found": found, "rate": 0.01}
    return alarm_report(AlarmRecord(**(given | changes)))


def test_segments_are_alarms_in_a_row() -> None:
    segments = alarm_segments(found_in(["a", "b"]), "day")
    assert segments["surprise"].tolist() == [14, 14, 9, 9]
    first = segments[segments["shop"] == "a"].iloc[1]
    assert (first["after"], first["up to"]) == (pd.Timestamp("2024-01-03"), pd.Timestamp("2024-01-05"))
    assert set(segments["most unusual"]) == {"off its seasonal profile"}


def test_there_may_be_no_alarm() -> None:
    assert alarm_segments(found_in(["a"], alarms=()), "day").empty
    found = read(report_of(["a"], alarms=()).to_html())
    assert "There is no alarm" in found.text and found.count("table") == 0


def test_more_alarms_than_expected_are_told() -> None:
    report = report_of(["a", "b"])
    found = read(report.to_html()).text
    assert "25 times as many alarms as are expected" in found
    item = report.data["charts"]["chart0"]["items"][0]
    assert item["spans"] == [["2024-01-09", "2024-01-10"], ["2024-01-03", "2024-01-05"]]
    assert [track["role"] for track in item["tracks"]] == ["history", "surprise", "threshold"]


def test_nothing_that_was_read_is_nothing_to_show() -> None:
    found = found_in(["a"])
    report = report_of(["a"], found=found.iloc[:0])
    assert "no token was read" in read(report.to_html()).text


def test_series_with_alarms_come_first() -> None:
    names = [f"shop {i}" for i in range(80)]
    found = found_in(names)
    found.loc[found["shop"] != "shop 77", "alarm"] = False
    report = report_of(names, found=found)
    assert report.data["charts"]["chart0"]["items"][0]["name"] == "shop 77"
    assert "the 12 with most alarms" in read(report.to_html()).text


def test_long_series_are_cut_and_that_is_told() -> None:
    days = pd.date_range("1900-01-01", periods=30_000)
    series = pd.DataFrame({"shop": "a", "day": days, "units": np.arange(30_000.0)})
    found = found_in(["a"]).assign(day=pd.date_range(end=days[-1], periods=12))
    report = report_of(["a"], series=series, found=found)
    assert "Shown: the last 20,000 of 30,000 steps" in read(report.to_html()).text
    assert own_size(report) < 2_000_000


def test_hostile_and_foreign_names_are_text() -> None:
    names = [*HOSTILE, *FOREIGN]
    plain, found = read(report_of([str(i) for i in range(10)]).to_html()), read(report_of(names).to_html())
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert all(name in found.text for name in FOREIGN)


def test_series_without_names() -> None:
    found = found_in(["a"]).drop(columns="shop")
    series = found[["day"]].assign(units=1.0)
    assert "segments" in read(report_of(["a"], found=found, series=series).to_html()).text.lower()


def test_unknown_items_are_refused() -> None:
    with pytest.raises(ValueError, match="items must name series"):
        report_of(["a"], items=["b"])
