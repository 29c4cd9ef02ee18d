"""The picture of a report: its curves are scikit-learn's, and it is drawn for two classes and for many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as theirs

from titans_ts.genomics.report.plot import plot_report, precision_points, roc_points


def scores(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(classes)
    truth = random.integers(0, classes, count)
    # Rounded, so that scores tie.
    p = np.round(random.dirichlet(np.ones(classes), count) + 0.4 * np.eye(classes)[truth], 1)
    return truth, p / p.sum(1, keepdims=True)


def test_curves_are_those_of_scikit_learn() -> None:
    truth, p = scores(200, 2)
    positive, score = truth == 1, p[:, 1]
    expected = theirs.roc_curve(positive, score, drop_intermediate=False)[:2]
    assert all(np.allclose(ours, found) for ours, found in zip(roc_points(positive, score), expected, strict=True))
    recall, precision = precision_points(positive, score)
    their_precision, their_recall, _ = theirs.precision_recall_curve(positive, score)
    assert np.allclose(recall, their_recall[:-1][::-1]) and np.allclose(precision, their_precision[:-1][::-1])


@pytest.mark.parametrize(("classes", "panels"), [(2, 3), (3, 4), (30, 4)])
def test_pictures(classes: int, panels: int, tmp_path: Path) -> None:
    truth, p = scores(120, classes)
    models = {"DNAClassifier": p, "k-mers": p, "majority": np.full_like(p, 1 / classes)}
    names = [f"class {k} with a long name" for k in range(classes)]
    figure = plot_report(models, truth, names, title="a title", path=tmp_path / "a.png")
    assert len(figure.axes) == panels and [path.name for path in tmp_path.iterdir()] == ["a.png"]
    if classes == 2:
        left = figure.axes[0].get_legend()
        assert left is not None and len(left.get_texts()) == 2


def test_one_class_only_is_drawn_too() -> None:
    plot_report({"DNAClassifier": np.tile([0.2, 0.8], (5, 1))}, np.ones(5, dtype=np.int64), ["a", "b"])


def test_what_is_no_report() -> None:
    truth, p = scores(10, 3)
    with pytest.raises(ValueError, match=r"probabilities of x must be \(10, 2\), got shape \(10, 3\)"):
        plot_report({"x": p}, truth, ["a", "b"])
    with pytest.raises(ValueError, match=r"truth must be \(n,\) class numbers"):
        plot_report({"x": p}, np.eye(3)[truth], ["a", "b", "c"])
    with pytest.raises(ValueError, match="got none"):
        plot_report({}, truth, ["a", "b", "c"])
    with pytest.raises(ValueError, match="path must end in one of"):
        plot_report({"x": p}, truth, ["a", "b", "c"], path="a.txt")
