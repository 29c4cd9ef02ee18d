"""Metrics of numbers against SciPy's and scikit-learn's, intervals, and what a report says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_squared_error, r2_score

from tests.genomics.common import measured, regressor
from titans_ts.genomics.report.values import METRICS, pooled, value_intervals, value_metrics

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.normal(5, 2, 300)
FOUND = np.round(TRUTH + RANDOM.normal(0, 1, 300), 1)


def test_metrics_are_those_of_scipy_and_scikit_learn() -> None:
    found = value_metrics(FOUND, TRUTH)
    assert found["pearson"] == pytest.approx(pearsonr(FOUND, TRUTH)[0])
    assert found["spearman"] == pytest.approx(spearmanr(FOUND, TRUTH)[0])
    assert found["r2"] == pytest.approx(r2_score(TRUTH, FOUND))
    assert found["mse"] == pytest.approx(mean_squared_error(TRUTH, FOUND))
    assert np.isnan(value_metrics(np.ones(300), TRUTH)["pearson"])


def test_intervals_hold_the_value_and_shrink() -> None:
    widths = []
    for count in (60, 300):
        low, high = value_intervals(FOUND[:count, None], TRUTH[:count, None], np.arange(count))
        found = value_metrics(FOUND[:count], TRUTH[:count])
        assert all(low[name] < found[name] < high[name] for name in METRICS)
        widths.append(high["pearson"] - low["pearson"])
    assert widths[1] < widths[0]


def test_bases_of_one_sequence_are_drawn_together() -> None:
    """Copies of every row in one sequence add no information."""
    once = value_intervals(FOUND[:, None], TRUTH[:, None], np.arange(300))
    twice = value_intervals(np.repeat(FOUND, 5)[:, None], np.repeat(TRUTH, 5)[:, None], np.repeat(np.arange(300), 5))
    assert twice[0]["pearson"] == pytest.approx(once[0]["pearson"], abs=1e-9)
    nothing = value_intervals(FOUND[:5, None], TRUTH[:5, None], np.zeros(5, dtype=np.int64))
    assert all(np.isnan(value) for value in nothing[0].values())


def test_a_report_has_baselines_notes_and_plain_values(tmp_path: Path) -> None:
    texts, y = measured(150)
    new, truth = measured(60, seed=1)
    table = pd.DataFrame({"a": y, "b": -y})
    model = regressor(max_epochs=0).fit(texts, table)
    report = model.report([*new, texts[0]], pd.DataFrame({"a": [*truth, y[0]], "b": [*-truth, -y[0]]}))
    rows = ["DNARegressor", "linear part alone", "mean", "length", "GC", "k-mer ridge"]
    assert list(report.table.index) == rows and list(report.table.columns) == list(METRICS)
    assert report.table.loc["k-mer ridge", "pearson"] > report.table.loc["mean"].fillna(0)["pearson"]
    assert report.by_target.loc[("b", "DNARegressor"), "pearson"] > 0.5
    assert "DNARegressor, b" in str(report) and "95 % from" in str(report)
    assert any("linear part alone" in note and "the network adds little" in note for note in report.notes)
    assert set(json.loads(json.dumps(report.to_dict()))["targets"]) == {"a", "b"}
    assert list(report.to_frame(["x"] * 61).columns) == ["id", "a", "b", "predicted a", "predicted b"]
    report.plot(tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 1000
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    assert list(again.report(new, np.stack([truth, -truth], 1)).table.index) == rows[:2]
    assert "k-mer ridge" in again.report(new, np.stack([truth, -truth], 1), train=(texts, table)).table.index


def test_folds_are_pooled_in_order() -> None:
    texts, y = measured(90)
    parts = [np.arange(0, 90, 2), np.arange(1, 90, 2)]
    reports = [
        regressor(max_epochs=0).fit([texts[i] for i in rest], y[rest]).report([texts[i] for i in part], y[part])
        for part, rest in (parts, parts[::-1])
    ]
    found = pooled(reports, parts)
    np.testing.assert_array_equal(found.truth[:, 0], y)
    assert len(found.predictions["DNARegressor"]) == 90


def test_exact_and_flat_predictions() -> None:
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    exact = value_metrics(truth, truth)
    assert (exact["r2"], exact["mse"]) == (1, 0) and exact["pearson"] == pytest.approx(1)
    flat = value_metrics(np.full(4, 2.5), truth)
    assert flat["r2"] == 0 and np.isnan(flat["spearman"]) and flat["mse"] == 1.25
