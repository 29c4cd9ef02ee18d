"""The HTML report of a regressor."""

from __future__ import annotations

import numpy as np
import pytest

from tests.report.common import HOSTILE, read
from titans_ts.genomics.regression.web_page import MOST_POINTS, value_report
from titans_ts.genomics.report.values import pooled, scored

TRUTH = np.random.default_rng(0).normal(5, 2, (60, 2))
NOISE = np.random.default_rng(1).normal(0, 1, (60, 2))
FOUND = {"DNARegressor": TRUTH + NOISE, "mean": np.full((60, 2), 5.0), "k-mer ridge": TRUTH + 3 * NOISE}


def test_scores_stand_beside_the_baselines() -> None:
    one = {name: values[:, :1] for name, values in FOUND.items()}
    report = value_report(scored(one, TRUTH[:, :1], ["y"], None, ["mind this"]), "a.csv", settings={"loss": "mse"})
    page = read(report.to_html())
    for text in ("Regression: a.csv", "60", "k-mer ridge", "Spearman".lower(), "mind this", "loss = 'mse'", "Errors"):
        assert text in page.text
    assert "is above that of the best baseline, k-mer ridge" in page.text
    equal, points = report.data["charts"]["chart0"]["data"]
    assert points["x"][0] == pytest.approx(TRUTH[0, 0], rel=1e-3) and len(points["x"]) == 60
    assert equal["x"] == equal["y"]


def test_names_are_text_and_targets_have_pictures() -> None:
    found = scored(FOUND, TRUTH, [HOSTILE[0], "b"])
    report = value_report(found, HOSTILE[0])
    text = report.to_html()
    assert HOSTILE[0] not in text and len(report.data["charts"]) == 2
    assert found.to_html() and found._repr_html_()


def test_many_points_are_an_even_share() -> None:
    truth = np.arange(2.0 * MOST_POINTS)[:, None]
    report = value_report(scored({"DNARegressor": truth}, truth, ["y"]))
    points = report.data["charts"]["chart0"]["data"][1]["x"]
    assert len(points) == MOST_POINTS and points[0] == 0 and points[-1] == 2 * MOST_POINTS - 1
    assert f"{MOST_POINTS:,} of {2 * MOST_POINTS:,} points" in read(report.to_html()).text


def test_folds_of_bases_are_pooled_in_order() -> None:
    truth = np.arange(10.0)[:, None]
    parts = [np.array([2, 0]), np.array([1])]
    rows = [truth[[5, 6, 7, 8, 9, 0, 1]], truth[[2, 3, 4]]]
    reports = [
        scored({"DNARegressor": row}, row, ["y"], sizes) for row, sizes in zip(rows, [(5, 2), (3,)], strict=True)
    ]
    found = pooled(reports, parts)
    assert found.lengths == (2, 3, 5) and found.truth[:, 0].tolist() == truth[:, 0].tolist()
    frame = found.to_frame(["a", "b", "c"])
    assert frame["id"].tolist() == list("aabbbccccc") and frame["position"].tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 3, 4]
