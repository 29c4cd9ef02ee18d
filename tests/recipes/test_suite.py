"""The suites' readers, protocol and published rows on small files."""

import datetime as dt
import gzip

import numpy as np
import pytest

from titans_recipes.suite import SuiteTask, evaluate, geometric_means, load_tasks, published_scores, seasonal_naive
from titans_recipes.suite.readers import block_means, by_month


def test_monash_and_m4_tasks_are_read(tmp_path):
    (tmp_path / "monash").mkdir()
    (tmp_path / "m4").mkdir()
    with gzip.open(tmp_path / "monash" / "hospital_dataset.tsf.gz", "wt") as file:
        file.write("# text\n@attribute series_name string\n@data\nT1:2000-01-01:1,2,?,4\n\nT2:2000-01-01:5,6\n")
    for part, row in (("train", '"H1",1,2,'), ("test", '"H1",3')):
        with gzip.open(tmp_path / "m4" / f"Hourly-{part}.csv.gz", "wt") as file:
            file.write("V1,V2,V3,V4\n" + row + "\n")
    hospital, again = load_tasks(tmp_path, ["hospital"])
    assert (hospital.suite, again.suite) == ("gift_eval", "chronos_benchmark_ii")
    np.testing.assert_array_equal(hospital.series[0], [1, 2, np.nan, 4])
    (hourly,) = load_tasks(tmp_path, ["m4_hourly"])
    assert hourly.series[0].tolist() == [1, 2, 3] and hourly.second_period == 168


def test_every_task_has_a_published_baseline():
    for suite, count in (("gift_eval", 24), ("chronos_benchmark_ii", 13)):
        assert len(published_scores(suite)["seasonal_naive"]) == count


def test_seasonal_naive_scores_one_where_errors_are_the_scale():
    task = SuiteTask("gift_eval", "test", [np.arange(40.0), 10 * np.arange(30.0)], 4, 4, 2)
    score = evaluate(seasonal_naive, task)
    assert score.mase == pytest.approx(1.0) and score.forecasts == 4
    assert score.coverage == (0.0, 0.0, 0.0, 0.0)
    total = sum(x[-8:].sum() for x in task.series)
    assert score.wql == pytest.approx((8 * 4 + 8 * 40) / total)


def test_perfect_quantiles_cover_everything():
    task = SuiteTask("gift_eval", "test", [np.arange(40.0)], 4, 1, 1)
    offsets = np.arange(-4, 5)

    def perfect(histories, task):
        ahead = histories[:, -1:] + np.arange(1, task.horizon + 1)
        return ahead[..., None] + offsets

    score = evaluate(perfect, task)
    assert score.mase == 0 and score.coverage == (1.0, 1.0, 1.0, 1.0)


def test_geometric_means_are_over_common_tasks():
    means = geometric_means({"a": (2.0, 1.0), "b": (0.5, 4.0), "c": (9.0, 9.0)}, {"a": (1.0, 1.0), "b": (1.0, 1.0)})
    assert means == pytest.approx((1.0, 2.0))


def test_blocks_and_months():
    assert block_means(np.arange(7.0), 3).tolist() == [1, 4]
    assert by_month(np.ones(60), dt.date(2021, 1, 1), np.sum).tolist() == [31, 28, 1]
