"""Reports of scores: classifiers of two classes and of more, cross-validations, several labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.report.common import HOSTILE, read
from titans_ts.genomics.report.metrics import class_metrics, label_metrics
from titans_ts.genomics.report.web_page import class_report
from titans_ts.report import ScoreRecord, score_report


@dataclass
class Scores:
    """What a `ClassificationReport` holds."""

    table: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    probabilities: dict[str, Any]
    truth: Any
    classes: Any
    clean: pd.DataFrame | None = None
    notes: tuple[str, ...] = field(default=("k-mer counts are enough for this score",))


def scores(classes: list[str], count: int = 80, labels: bool = False) -> Scores:
    rng = np.random.default_rng(0)
    size = len(classes)
    truth = rng.integers(0, 2, (count, size)) if labels else np.arange(count) % size
    right = truth if labels else np.eye(size)[truth]
    raw = rng.random((count, size)) + right
    ours = raw / 2 if labels else raw / raw.sum(1, keepdims=True)
    found = {"DNAClassifier": ours, "majority": np.full((count, size), 1 / size)}
    metrics = label_metrics if labels else class_metrics
    table = pd.DataFrame.from_dict({name: metrics(p, truth) for name, p in found.items()}, orient="index")
    return Scores(table, table - 0.05, table + 0.05, found, truth, np.array(classes, dtype=object))


def test_two_classes_have_curves_counts_and_reliability() -> None:
    one = scores(["other", "promoter"])
    one.clean = one.table
    report = class_report(one, "test.csv", settings={"block": "mag"})
    found = read(report.to_html())
    assert list(report.data["charts"]) == ["chart0", "chart1", "chart2", "chart3"]
    for text in ("Classification: test.csv", "ROC", "Precision and recall", "Counts", "Reliability", "without leaked"):
        assert text in found.text
    assert "k-mer counts are enough" in found.text and "block = 'mag'" in found.text
    assert "is above that of the best baseline, majority" in found.text
    assert report.data["charts"]["chart0"]["data"][0]["x"][-1] == 1


@pytest.mark.parametrize(
    ("classes", "labels"), [(list("abc"), False), ([str(i) for i in range(50)], False), (list("ab"), True)]
)
def test_more_classes_and_several_labels(classes: list[str], labels: bool) -> None:
    report = class_report(scores(classes, 200, labels))
    assert len(report.data["charts"]) == (1 if labels else 3)
    read(report.to_html())


def test_a_cross_validation_tells_means_over_folds() -> None:
    one = scores(["other", "promoter"])

    class Folds:
        """Two folds."""

        def means(self) -> tuple[pd.DataFrame, pd.DataFrame]:
            return one.table, one.table * 0 + 0.125

        def notes(self) -> list[str]:
            return ["leakage: none"]

        def probabilities(self) -> dict[str, Any]:
            return one.probabilities

    text = read(class_report(one, folds=Folds(), truth=one.truth).to_html()).text
    assert "Mean over the folds" in text and "leakage: none" in text
    value = one.table["accuracy"].iloc[0]
    assert f"({value - 0.125:.4g} to {value + 0.125:.4g})" in text


def test_class_names_with_markup_are_text() -> None:
    plain, hostile = scores(["other", "promoter"]), scores(list(HOSTILE[:2]))
    pages = [read(class_report(one).to_html()) for one in (plain, hostile)]
    assert [tag for tag, _ in pages[0].tags] == [tag for tag, _ in pages[1].tags]
    report = class_report(hostile)
    ticks = report.data["charts"]["chart2"]["data"][0]["x"]
    assert all("<" not in tick for tick in ticks)


def test_no_scores_are_said_to_be_none() -> None:
    report = score_report(ScoreRecord(title="Regression", lead="0 sequences", table=pd.DataFrame(), caption=""))
    assert "nothing was tested" in read(report.to_html()).text
