"""Jittered stamps, snapped when asked; series of different steps; rows aggregated to a longer step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesPanel, SeriesSchema, to_records

RNG = np.random.default_rng(0)
MINUTES = pd.date_range("2024-03-01", periods=300, freq="min")
HOURS = pd.date_range("2024-01-01", periods=24 * 20, freq="h")
DAYS = pd.date_range("2023-01-01", periods=60)
WEEKS = pd.date_range("2023-01-01", periods=60, freq="W")


def rows(index: Any, item: str = "a", values: Any = None) -> pd.DataFrame:
    target = np.arange(float(len(index))) if values is None else values
    return pd.DataFrame({"item_id": item, "timestamp": index, "target": target})


def jittered(index: pd.DatetimeIndex, low: int, high: int) -> pd.DatetimeIndex:
    return index + pd.to_timedelta(RNG.integers(low, high + 1, len(index)), unit="s")


def refuse(frame: pd.DataFrame, message: str, **schema: Any) -> None:
    with pytest.raises(ValueError, match=message):
        to_records(frame, SeriesSchema(**schema))


def test_jitter_is_named_and_snapped() -> None:
    index = jittered(MINUTES, 0, 19)
    hint = r"looks like 1 min with up to 19 s of jitter: pass freq='1min' and snap=True"
    refuse(rows(index), hint)
    refuse(rows(index), hint, freq="1min")
    for freq in ("1min", None):
        panel = to_records(rows(index), SeriesSchema(freq=freq, snap=True))
        assert list(panel.records[0].index) == list(MINUTES) and panel.records[0].observed_length() == 300
        assert "of 300 timestamps moved by up to 19 s to the steps of min" in panel.notes[0]


def test_gaps_between_jittered_stamps_stay_missing() -> None:
    kept = np.delete(np.arange(300), [5, *range(100, 150)])
    panel = to_records(rows(jittered(MINUTES, -20, 20)[kept]), SeriesSchema(freq="min", snap=True))
    assert np.flatnonzero(np.isnan(panel.records[0].target)).tolist() == [5, *range(100, 150)]


def test_the_later_of_two_readings_of_a_step_is_kept() -> None:
    index = MINUTES[:20].append(pd.DatetimeIndex([MINUTES[3] + pd.Timedelta("7s"), MINUTES[9] - pd.Timedelta("9s")]))
    panel = to_records(rows(index).sample(frac=1, random_state=0), SeriesSchema(freq="min", snap=True))
    expected = np.arange(20.0)
    expected[3] = 20
    np.testing.assert_array_equal(panel.records[0].target, expected)
    assert "2 rows dropped for a later one of the same step" in panel.notes[0]


@pytest.mark.parametrize(
    ("freq", "start", "spread"),
    [
        ("10s", "2024-01-01", 3),
        ("15min", "2024-01-01 00:05", 100),
        ("h", "2024-01-01 00:20", 300),
        ("D", "2024-01-01 08:00", 3000),
    ],
)
def test_other_steps_and_their_phase(freq: str, start: str, spread: int) -> None:
    index = pd.date_range(start, periods=100, freq=freq)
    panel = to_records(rows(jittered(index, -spread, spread)), SeriesSchema(snap=True))
    assert list(panel.records[0].index) == list(index)


def test_jittered_weeks_and_months_go_to_the_nearest() -> None:
    for freq in ("W", "MS", "ME"):
        index = pd.date_range("2020-01-20", periods=40, freq=freq)
        near = index + pd.to_timedelta(RNG.integers(-2, 3, 40), unit="D")
        panel = to_records(rows(near), SeriesSchema(freq=freq, snap=True))
        assert list(panel.records[0].index) == list(index)


def test_events_are_not_snapped() -> None:
    index = MINUTES[0] + pd.to_timedelta(np.sort(RNG.uniform(0, 86400, 300)), unit="s")
    refuse(rows(index), "snap=True: the timestamps lie near no usual step", snap=True)


def test_one_odd_stamp_is_no_jitter() -> None:
    index = MINUTES.to_series().reset_index(drop=True)
    index[7] += pd.Timedelta("5s")
    refuse(rows(index), r"off the regular grid of freq='min'.*00:07:05")


def test_different_steps_are_named() -> None:
    many = pd.concat([*(rows(DAYS, f"d{number}") for number in range(5)), rows(WEEKS, "w")])
    refuse(many, r"different time steps \(D: 'd0', 'd1', 'd2' and 2 more; W-SUN: 'w'\)")
    refuse(many, "freq='W-SUN' and aggregate='sum'")
    refuse(pd.concat([rows(HOURS, "h"), rows(DAYS, "d")]), r"\(h: 'h'; D: 'd'\)")
    months, quarters = (pd.date_range("2020-01-01", periods=20, freq=freq) for freq in ("MS", "QS"))
    refuse(pd.concat([rows(months, "m"), rows(quarters, "q")]), r"\(MS: 'm'; QS-JAN: 'q'\)")
    panel = to_records(pd.concat([rows(DAYS, "d"), rows(WEEKS, "w")]), SeriesSchema(freq="D"))
    assert panel.records[1].observed_length() == 60 and panel.records[1].length == 414


def test_sparse_rows_have_the_step_of_the_others() -> None:
    sparse = [rows(DAYS[np.sort(RNG.choice(60, 25, replace=False))], str(number)) for number in range(30)]
    assert to_records(pd.concat(sparse)).frequency.offset_alias == "D"


def aggregated(frame: pd.DataFrame, freq: str, aggregate: str) -> SeriesPanel:
    return to_records(frame, SeriesSchema(freq=freq, aggregate=aggregate))


@pytest.mark.parametrize("aggregate", ["mean", "sum", "min", "max", "median", "first", "last"])
def test_hours_become_days_as_in_pandas(aggregate: str) -> None:
    values = RNG.normal(size=len(HOURS))
    frame = pd.concat([rows(HOURS, "a", values), rows(HOURS[48:], "b", values[48:] + 1)])
    panel = aggregated(frame.sample(frac=1, random_state=1).sort_values("item_id", kind="stable"), "D", aggregate)
    expected = pd.Series(values, index=HOURS).resample("D").agg(aggregate)
    assert list(panel.records[0].index) == list(expected.index)
    np.testing.assert_allclose(panel.records[0].target, expected)
    assert panel.records[1].start == pd.Timestamp("2024-01-03") and panel.records[1].length == 18


def test_periods_that_are_not_covered_are_left_out_and_said() -> None:
    panel = aggregated(rows(HOURS[5:-1], values=1.0), "D", "sum")
    assert panel.records[0].start == pd.Timestamp("2024-01-02") and (panel.records[0].target == 24).all()
    assert panel.notes == [
        "474 rows became 18 rows of D: their sum; 2 periods at the ends of 1 item not covered and left out"
    ]


def test_opening_hours_are_whole_days() -> None:
    index = HOURS[(HOURS.hour >= 9) & (HOURS.hour < 18)]
    assert (aggregated(rows(index, values=1.0), "D", "sum").records[0].target == 9).all()
    assert aggregated(rows(index[3:], values=1.0), "D", "sum").records[0].start == pd.Timestamp("2024-01-02")


@pytest.mark.parametrize(
    ("freq", "first", "sums"),
    [
        ("MS", "2023-02-01", [28, 31, 30, 31]),
        ("ME", "2023-02-28", [28, 31, 30, 31]),
        ("QS", "2023-04-01", [91, 92]),
        ("QE", "2023-06-30", [91, 92]),
        ("W", "2023-01-22", [7, 7, 7]),  # Monday to Sunday, named by the Sunday
        ("W-MON", "2023-01-16", [7, 7, 7]),  # the same week, named by its Monday
        ("SMS", "2023-01-15", [17, 14, 14, 14]),
    ],
)
def test_periods_are_named_by_the_stamps_of_their_frequency(freq: str, first: str, sums: list[int]) -> None:
    days = pd.date_range("2023-01-10", periods=300)
    record = aggregated(rows(days, values=1.0), freq, "sum").records[0]
    assert record.start == pd.Timestamp(first) and record.target[: len(sums)].tolist() == sums


def test_missing_values_of_an_aggregate() -> None:
    values = np.ones(len(HOURS))
    values[30] = np.nan
    total, mean = (aggregated(rows(HOURS, values=values), "D", how) for how in ("sum", "mean"))
    assert np.isnan(total.records[0].target[1]) and np.isnan(total.records[0].target).sum() == 1
    assert "1 sum with a missing value among its rows now missing" in total.notes[0]
    assert (mean.records[0].target == 1).all()
    gap = aggregated(rows(HOURS, values=1.0).drop(index=range(48, 72)), "D", "sum")
    assert np.flatnonzero(np.isnan(gap.records[0].target)).tolist() == [2]
    few = aggregated(rows(HOURS, values=1.0).drop(index=range(48, 60)), "D", "sum")
    assert few.records[0].target[2] == 12 and "1 period with fewer rows than usual" in few.notes[0]


def test_events_are_added_up() -> None:
    index = pd.DatetimeIndex(["2024-01-01 08:00"] * 3 + ["2024-01-02 09:30", "2024-01-02 09:30", "2024-01-04 07:00"])
    index = index.append(pd.date_range("2024-01-05 08:00", periods=20, freq="8h"))
    record = aggregated(rows(index, values=1.0), "D", "sum").records[0]
    assert record.target[record.index == "2024-01-02"].tolist() == [2]
    assert np.isnan(record.target[record.index == "2024-01-03"]).all()


def test_days_of_a_time_zone_are_its_own() -> None:
    index = pd.date_range("2023-03-20", "2023-04-03", freq="h", tz="Europe/Berlin", inclusive="left")
    record = aggregated(rows(index, values=1.0), "D", "sum").records[0]
    assert record.start == pd.Timestamp("2023-03-20") and record.target.tolist() == [24.0] * 6 + [23.0] + [24.0] * 7


def test_static_covariates_stay() -> None:
    frame = pd.concat([rows(HOURS, "a").assign(region="n"), rows(HOURS, "b").assign(region="s")])
    panel = to_records(frame, SeriesSchema(freq="D", aggregate="mean", static_covariates=("region",)))
    assert [int(record.feat_static_cat[0]) for record in panel.records] == [1, 2]  # type: ignore[index]


def test_what_cannot_be_aggregated() -> None:
    refuse(rows(range(30)), "timestamps are step numbers such as 0", freq="W", aggregate="sum")
    refuse(rows(DAYS[:9]), "no series covers a whole period of MS", freq="MS", aggregate="sum")
    for message, schema in (
        ("pass freq= too", {"aggregate": "sum"}),
        ("one of mean, sum, min, max, median, first, last, got 'total'", {"aggregate": "total", "freq": "D"}),
        (r"the covariates \['x'\]", {"aggregate": "sum", "freq": "D", "known_covariates": ("x",)}),
    ):
        with pytest.raises(ValueError, match=message):
            SeriesSchema(**schema)  # type: ignore[arg-type]


def test_a_coarser_step_alone_is_refused_with_the_way_out() -> None:
    refuse(rows(HOURS), r"freq='D' \(given\).*aggregate='mean' \(or 'sum'\)", freq="D")
    refuse(pd.concat([rows(DAYS), rows(DAYS)]), "several rows for the same timestamp.*aggregate='sum'")
