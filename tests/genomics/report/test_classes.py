"""Metrics against scikit-learn's, and what a report says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as theirs

from tests.genomics.common import classifier, sequences
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.report import metrics as ours


@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_are_those_of_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(classes)
    truth = random.integers(0, classes, 200)
    # Rounded, so that scores tie.
    p = random.dirichlet(np.ones(classes), 200) + np.eye(classes)[truth] * 0.4
    p = np.round(p / p.sum(1, keepdims=True), 2) + 1e-9
    p /= p.sum(1, keepdims=True)
    found, guess = ours.class_metrics(p, truth), p.argmax(1)
    positive, average = p[:, 1] if classes == 2 else p, "binary" if classes == 2 else "macro"
    expected = {
        "accuracy": theirs.accuracy_score(truth, guess),
        "balanced_accuracy": theirs.balanced_accuracy_score(truth, guess),
        "mcc": theirs.matthews_corrcoef(truth, guess),
        "f1": theirs.f1_score(truth, guess, average=average),
        "auroc": theirs.roc_auc_score(truth, positive, multi_class="ovr"),
        "auprc": np.mean(
            [theirs.average_precision_score(truth == k, p[:, k]) for k in ([1] if classes == 2 else range(classes))]
        ),
        "log_loss": theirs.log_loss(truth, p),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def test_calibration_error() -> None:
    right = np.array([True] * 8 + [False] * 2)
    assert ours.calibration_error(right, np.full(10, 0.8)) == pytest.approx(0, abs=1e-12)
    assert ours.calibration_error(right, np.full(10, 1.0)) == pytest.approx(0.2)


def test_one_class_in_the_test_gives_no_ranking() -> None:
    found = ours.class_metrics(np.tile([0.3, 0.7], (5, 1)), np.ones(5, dtype=np.int64))
    assert np.isnan(found["auroc"])
    assert found["accuracy"] == 1
    assert found["mcc"] == 0


def test_intervals_hold_the_value_and_shrink() -> None:
    random = np.random.default_rng(0)
    widths = []
    for count in (100, 1600):
        truth = random.integers(0, 2, count)
        p = np.clip(0.5 + 0.25 * (2 * truth - 1) + 0.3 * random.normal(size=count), 0.01, 0.99)
        p = np.stack([1 - p, p], axis=1)
        low, high = ours.intervals(ours.class_metrics, p, truth, 200)["mcc"]
        assert low < ours.class_metrics(p, truth)["mcc"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_means_over_labels() -> None:
    random = np.random.default_rng(0)
    p, truth = random.random((50, 3)), random.integers(0, 2, (50, 3))
    found = ours.label_metrics(p, truth)
    assert found["accuracy"] == ((p > 0.5) == truth).all(1).mean()
    assert found["auroc"] == pytest.approx(theirs.roc_auc_score(truth, p))


@pytest.fixture(scope="module")
def fitted() -> DNAClassifier:
    return classifier(max_epochs=0).fit(*sequences(120))


def test_report(fitted: DNAClassifier) -> None:
    test, truth = sequences(80, seed=1)
    seen, classes = sequences(120)
    report = fitted.report([*test, *seen[:10]], [*truth, *classes[:10]])
    assert report.table.index.tolist() == [
        "DNAClassifier",
        "linear part alone",
        "majority",
        "length",
        "composition",
        "k-mers",
        "positions",
    ]
    assert report.table.at["DNAClassifier", "mcc"] > 0.8
    assert report.table.at["majority", "mcc"] == 0
    assert (report.low <= report.table + 1e-9).loc["DNAClassifier"].drop("calibration_error").all()
    assert report.leaked is not None
    assert report.leaked.verbatim.sum() == 10
    assert report.clean is not None
    assert report.clean.at["DNAClassifier", "accuracy"] == fitted.score(test, truth)
    assert any("10 of 90 test sequences share" in note for note in report.notes)
    assert any(note.startswith("positions (MCC ") for note in report.notes)
    assert "clean part" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["models"]["majority"]["mcc"]["value"] == 0


def test_report_of_a_loaded_classifier(fitted: DNAClassifier, tmp_path: object) -> None:
    loaded = DNAClassifier.load(fitted.save(f"{tmp_path}/model"))
    test, truth = sequences(60, seed=1)
    report = loaded.report(test, truth)
    assert report.table.index.tolist() == ["DNAClassifier", "linear part alone"]
    assert report.clean is None
    assert any("pass train=(X, y)" in note for note in report.notes)
    again = loaded.report(test, truth, train=sequences(120))
    assert again.table.equals(fitted.report(test, truth).table)


def test_report_of_several_labels() -> None:
    test, truth = sequences(80)
    y = np.stack([truth == "yes", [one[0] in "AG" for one in test]], axis=1).astype(int)
    report = classifier(max_epochs=0).fit(test, y).report(test, y)
    assert np.isfinite(report.table.loc["DNAClassifier"]).all()
    assert report.clean is None


def test_the_linear_part_alone_is_the_classifier_without_training(fitted: DNAClassifier) -> None:
    test, truth = sequences(60, seed=1)
    trained = classifier().fit(*sequences(120))
    assert trained.model_.weights[0] > 0
    alone = trained.report(test, truth).probabilities["linear part alone"]
    np.testing.assert_array_equal(alone, fitted.predict_proba(test))
    assert (alone != trained.predict_proba(test)).any()


@pytest.mark.parametrize("params", [{"linear": False}, {"validation_fraction": 0}])
def test_without_a_linear_part_there_is_no_such_row(params: dict[str, float]) -> None:
    test, truth = sequences(60, seed=1)
    report = classifier(max_epochs=1, **params).fit(*sequences(60)).report(test, truth)
    assert "linear part alone" not in report.table.index
