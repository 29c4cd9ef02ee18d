"""The suites' readers, windows, protocol, baseline and published rows on small files."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_recipes.suite import (
    SuiteTask,
    Window,
    check_baseline,
    evaluate,
    geometric_means,
    load_tasks,
    published_scores,
    seasonal_naive,
)
from titans_recipes.suite.archives.defaults import MOST
from titans_recipes.suite.archives.readers import Archive, FloatArray, block_means, by_month, columns, resampled
from titans_recipes.suite.protocol import LEVELS
from titans_recipes.suite.tasks import CHRONOS, FEV, GIFT
from titans_recipes.suite.windows import stamps, windows

START = np.datetime64("2021-01-30", "s")


def around(window: Window, width: float) -> FloatArray:
    """Quantiles that rise by `width` from level to level, with the value that comes as median."""
    return window.actual[..., None] + width * (np.arange(len(LEVELS)) - 5)


def write_monash(folder: Path, name: str, lines: list[str], dates: bool = True) -> None:
    (folder / "monash").mkdir(exist_ok=True)
    start = "@attribute start_timestamp date\n" if dates else ""
    text = f"# text\n@attribute series_name string\n{start}@data\n" + "\n".join(lines) + "\n"
    with gzip.open(folder / "monash" / f"{name}_dataset.tsf.gz", "wt") as file:
        file.write(text)


def test_monash_and_m4_tasks_are_read(tmp_path: Path) -> None:
    write_monash(tmp_path, "hospital", ["T1:2001-03-01 00-00-00:1,2,?,4", "", "T2:2000-01-01 12-00-00:5,6"])
    (tmp_path / "m4").mkdir()
    for part, row in (("train", '"H1",1,2,'), ("test", '"H1",3')):
        (tmp_path / "m4" / f"Hourly-{part}.csv").write_text("V1,V2,V3,V4\n" + row + "\n", encoding="utf-8")
    gift, chronos, fev = load_tasks(tmp_path, ["hospital"], (GIFT, CHRONOS, FEV))
    assert (gift.suite, chronos.suite, fev.suite) == (GIFT, CHRONOS, FEV) and fev.windows == 4
    np.testing.assert_array_equal(gift.series[0], [1, 2, np.nan, 4])
    assert [str(start) for start in gift.starts] == ["2001-03-01T00:00:00", "2000-01-01T12:00:00"]
    (hourly,) = load_tasks(tmp_path, ["m4_hourly"])
    assert hourly.series[0].tolist() == [1, 2, 3] and hourly.second_period == 168


def test_series_without_dates_begin_in_2000(tmp_path: Path) -> None:
    write_monash(tmp_path, "m1_yearly", ["T1:1,2,3"], dates=False)
    (task,) = load_tasks(tmp_path, ["m1_yearly"], (CHRONOS,))
    assert task.series[0].tolist() == [1, 2, 3] and str(task.starts[0])[:10] == "2000-01-01"


def test_yearly_series_of_m4_end_together_and_long_ones_have_dates(tmp_path: Path) -> None:
    (tmp_path / "m4").mkdir()
    lengths = {"Y2": 800, "Y1": 20}
    train = [(item, step, float(step)) for item, length in lengths.items() for step in range(length)]
    test = [(item, step, 7.0) for item in lengths for step in range(6)] + [("Y1", 6, None)]
    for part, rows in (("train", train), ("test", test)):
        frame = pd.DataFrame(rows, columns=["series", "time", "yearly"])
        frame.to_parquet(tmp_path / "m4" / f"m4_1y_{part}.parquet")
    (task,) = load_tasks(tmp_path, ["m4_yearly"], (CHRONOS,))
    assert [len(x) for x in task.series] == [26, 806] and task.series[1][798:].tolist() == [798, 799, *[7] * 6]
    (window,) = windows(task)
    last = window.frame().groupby("item_id")["timestamp"].agg(["min", "max"])
    assert last["max"].nunique() == 1 and last["min"].min().year == 1694


def test_tables_lie_on_their_grid_and_means_are_of_what_is_there(tmp_path: Path) -> None:
    stamps_ = pd.date_range("2020-01-01 00:10", periods=13, freq="10min").delete(3)
    frame = pd.DataFrame({"date": [*stamps_, stamps_[0]], "a": [*range(12), 99]})
    frame.to_csv(tmp_path / "weather.csv", index=False)
    found = columns(tmp_path / "weather.csv", "10min")
    assert len(found.values[0]) == 13 and np.isnan(found.values[0][3])
    hours = resampled(found, "10min", "h")
    np.testing.assert_allclose(hours.values[0], [np.mean([0, 1, 2, 3]), np.mean(range(4, 10))])
    assert str(hours.starts[0]) == "2020-01-01T00:00:00"


def test_blocks_and_months() -> None:
    archive = Archive([np.arange(7.0)], [START])
    assert block_means(archive, 3).values[0].tolist() == [1, 4]
    assert by_month(Archive([np.ones(60)], [np.datetime64("2021-01-01")]), "sum").values[0].tolist() == [31, 28, 1]


@pytest.mark.parametrize(
    ("freq", "expected"),
    [
        ("YS", ["2022-01-01", "2023-01-01"]),
        ("QS", ["2021-04-01", "2021-07-01"]),
        ("MS", ["2021-02-01", "2021-03-01"]),
        ("W", ["2021-02-06", "2021-02-13"]),
        ("B", ["2021-02-02", "2021-02-03"]),
        ("D", ["2021-01-31", "2021-02-01"]),
        ("15min", ["2021-01-30 00:15", "2021-01-30 00:30"]),
    ],
)
def test_dates_of_steps(freq: str, expected: list[str]) -> None:
    task = SuiteTask(GIFT, "test", [np.arange(4.0)], 1, 1, 1, freq, [START])
    assert (pd.DatetimeIndex(stamps(task, 0, 1, 3)) == pd.DatetimeIndex(expected)).all()


def test_a_window_sees_what_lies_before_it() -> None:
    known = [np.arange(40.0).reshape(20, 2)]
    task = SuiteTask(FEV, "test", [np.arange(20.0)], 3, 2, 2, "D", [START], known, ("load", "wind"))
    first, second = windows(task)
    assert first.histories[0].tolist() == list(range(14)) and second.actual[0].tolist() == [17, 18, 19]
    frame, future = second.frame(), second.future()
    assert future is not None and "target" not in future
    assert frame["target"].max() == 16 and frame["load"].tolist() == list(range(0, 34, 2))
    assert future["timestamp"].min() > frame["timestamp"].max() and future["wind"].tolist() == [35, 37, 39]


def test_short_series_are_left_out_and_none_long_enough_is_an_error() -> None:
    task = SuiteTask(GIFT, "test", [np.arange(9.0), np.arange(7.0)], 4, 4, 1)
    (window,) = windows(task)
    assert window.items == [0] and window.histories.shape == (1, 5)
    with pytest.raises(ValueError, match="no series has more than 4 steps before window 1 of 2"):
        list(windows(replace(task, windows=2)))


def test_windows_before_the_test_end_where_it_begins() -> None:
    task = SuiteTask(GIFT, "test", [np.arange(30.0), np.arange(9.0)], 4, 2, 3, starts=[START, START])
    before = task.before_test()
    assert [x.tolist() for x in before.series] == [list(range(18))] and before.windows == 1
    assert len(before.starts) == 1


def test_default_tables_hold_no_step_that_a_suite_scores(tmp_path: Path) -> None:
    steps = ",".join(map(str, range(84)))
    write_monash(tmp_path, "hospital", [f"T{i}:2000-01-01 00-00-00:{steps}" for i in range(MOST + 9)])
    (table,) = load_tasks(tmp_path, ["hospital"], ("defaults",))
    scored = min(
        task.series[0][-task.windows * task.horizon] for task in load_tasks(tmp_path, ["hospital"], (GIFT, FEV))
    )
    assert len(table.series) == MOST and max(x.max() for x in table.series) < scored


def test_every_task_has_a_published_baseline() -> None:
    for suite, count in ((GIFT, 24), (CHRONOS, 13), (FEV, 6)):
        assert len(published_scores(suite)["seasonal_naive"]) == count


def test_seasonal_naive_scores_one_where_errors_are_the_scale() -> None:
    task = SuiteTask(CHRONOS, "test", [np.arange(40.0), 10 * np.arange(30.0)], 4, 4, 2)
    score = evaluate(seasonal_naive, task)
    assert score.mase == pytest.approx(1.0) and (score.series, score.windows, score.forecasts) == (2, 2, 4)
    assert score.coverage == (0.0, 0.0, 0.0)
    total = sum(x[-8:].sum() for x in task.series)
    assert score.wql == pytest.approx((8 * 4 + 8 * 40) / total)


def test_seasonal_naive_intervals_widen_with_the_seasons_ahead_and_cover_a_random_walk() -> None:
    walks = list(np.random.default_rng(0).standard_normal((4000, 60)).cumsum(axis=1))
    task = SuiteTask(GIFT, "test", walks, 9, 1, 1)
    assert evaluate(seasonal_naive, task).coverage == pytest.approx((0.5, 0.8, 0.9), abs=0.015)


def test_seasonal_naive_goes_back_where_the_last_season_is_missing() -> None:
    values = np.array([[1.0, 2, 3, 4, np.nan, 6]])
    window = Window(SuiteTask(CHRONOS, "test", [np.append(values, [0, 0])], 2, 2, 1), 0, [0], [6])
    assert seasonal_naive(window)[0, :, 5].tolist() == [3, 6]


def test_coverage_is_of_the_central_50_80_and_90_per_cent() -> None:
    values = np.random.default_rng(1).uniform(size=(400, 12))
    task = SuiteTask(GIFT, "test", list(values), 10, 1, 1)
    levels = np.broadcast_to(np.array(LEVELS), (400, 10, 11))
    assert evaluate(lambda window: levels, task).coverage == pytest.approx((0.5, 0.8, 0.9), abs=0.03)
    unknown = np.where(np.isin(LEVELS, (0.05, 0.95)), np.nan, levels)
    assert evaluate(lambda window: unknown, task).coverage[2] is None


def test_missing_values_are_not_scored() -> None:
    series = np.arange(12.0)
    series[-1] = np.nan
    whole = SuiteTask(GIFT, "test", [series], 4, 1, 1)
    score = evaluate(
        lambda window: np.where(np.isnan(window.actual), 1e9, window.actual)[..., None] + np.zeros(11), whole
    )
    assert (score.mase, score.wql) == (0, 0) and score.coverage == (1, 1, 1)


def test_a_forecast_that_is_not_finite_or_of_another_shape_is_refused() -> None:
    task = SuiteTask(GIFT, "sales", [np.arange(40.0)], 4, 1, 1)
    with pytest.raises(ValueError, match="sales, window 1: the forecast of series 0 is not finite"):
        evaluate(lambda window: around(window, np.nan), task)
    with pytest.raises(ValueError, match=r"must be \(1, 4, 11\).*got \(1, 4, 9\)"):
        evaluate(lambda window: around(window, 1)[..., 1:-1], task)


def test_scores_by_window_are_means_of_each_windows_own() -> None:
    task = SuiteTask(FEV, "test", [np.array([1.0, 2, 1, 2, 1, 2, 10, 90])], 1, 1, 2)
    zero = lambda window: np.zeros((1, 1, 11))  # noqa: E731
    assert evaluate(zero, task).wql == pytest.approx(1)
    half = lambda window: np.full((1, 1, 11), 10.0)  # noqa: E731
    whole, each = (evaluate(half, replace(task, by_window=flag)).wql for flag in (False, True))
    assert whole == pytest.approx(80 / 100) and each == pytest.approx((0 + 80 / 90) / 2)


def test_scores_by_series_count_at_least_one_a_step() -> None:
    task = SuiteTask(FEV, "test", [np.array([1.0, 2, 1, 100]), np.array([1.0, 2, 1, 0])], 1, 1, 1)
    ten = lambda window: np.full((2, 1, 11), 10.0)  # noqa: E731
    whole, each = (evaluate(ten, replace(task, by_series=flag)).wql for flag in (False, True))
    assert whole == pytest.approx(100 / 100) and each == pytest.approx((90 / 100 + 10 / 1) / 2)


def test_the_baseline_must_be_the_published_one() -> None:
    task = SuiteTask(GIFT, "test", [np.arange(40.0)], 4, 4, 1)
    score = evaluate(seasonal_naive, task)
    check_baseline(task, score, (score.mase * 1.0009, score.wql))
    for wrong in ((score.mase * 1.002, score.wql), (score.mase, score.wql * 0.99)):
        with pytest.raises(ValueError, match=r"these are not the suite's series, so nothing was scored"):
            check_baseline(task, score, wrong)


def test_geometric_means_are_over_common_tasks() -> None:
    means = geometric_means({"a": (2.0, 1.0), "b": (0.5, 4.0), "c": (9.0, 9.0)}, {"a": (1.0, 1.0), "b": (1.0, 1.0)})
    assert means == pytest.approx((1.0, 2.0))
