"""Reports of classifiers of bases: metrics against scikit-learn's, draws of whole sequences, baselines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as theirs

from tests.genomics.common import classifier
from titans_datasets.dna.alphabet import encode
from titans_ts.genomics.classifier.classifier import DNAClassifier
from titans_ts.genomics.report import bases as ours

NAMES = ["f1 +", "f1 -", "f1 none"]


def coded(count: int = 24, length: int = 90, seed: int = 0) -> tuple[list[str], list[np.ndarray]]:
    """Random DNA with a stretch of G and C in the middle, whose bases are of another class."""
    random = np.random.default_rng(seed)
    found, labels = [], []
    for _ in range(count):
        letters, row = random.choice(list("ACGT"), length), np.array(["out"] * length)
        start = int(random.integers(10, 40))
        letters[start : start + 40], row[start : start + 40] = random.choice(list("GC"), 40), "in"
        found.append("".join(letters))
        labels.append(row)
    return found, labels


def scores(count: int, length: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Probabilities (T, 3) and truth of sequences in each of which all bases are of one class."""
    random = np.random.default_rng(seed)
    truth = [np.full(length, i % 3) for i in range(count)]
    shift = [random.normal(size=3) for _ in range(count)]
    p = [
        random.dirichlet(np.ones(3), length) + np.abs(s) + 0.8 * np.eye(3)[t] for s, t in zip(shift, truth, strict=True)
    ]
    return [one / one.sum(1, keepdims=True) for one in p], truth


def test_metrics_are_those_of_scikit_learn() -> None:
    each, truth = scores(9, 40)
    p, t = np.concatenate(each), np.concatenate(truth)
    found, guess = ours.base_metrics(p, t, NAMES), p.argmax(1)
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(t, guess))
    assert found["balanced_accuracy"] == pytest.approx(theirs.balanced_accuracy_score(t, guess))
    assert found["mcc"] == pytest.approx(theirs.matthews_corrcoef(t, guess))
    assert found["auroc"] == pytest.approx(theirs.roc_auc_score(t, p, multi_class="ovr"))
    assert found["log_loss"] == pytest.approx(theirs.log_loss(t, p))
    assert [found[name] for name in NAMES] == pytest.approx(theirs.f1_score(t, guess, average=None).tolist())


def test_intervals_draw_sequences() -> None:
    """Bases more in each sequence do not make intervals narrower, sequences more do."""
    widths = {}
    for count, length in ((20, 20), (20, 320), (320, 20)):
        each, truth = scores(count, length)
        low, high = ours.base_intervals(each, truth, NAMES)
        found = ours.base_metrics(np.concatenate(each), np.concatenate(truth), NAMES)
        for name, value in found.items():
            assert low[name] - 1e-3 <= value <= high[name] + 1e-3, name
        widths[count, length] = high["mcc"] - low["mcc"]
    assert widths[20, 320] > 0.6 * widths[20, 20]
    assert widths[320, 20] < 0.5 * widths[20, 20]


def test_drawn_ranks_are_close_to_exact_ones() -> None:
    each, truth = scores(12, 50)
    whole = np.ones((1, 12))
    for k in range(3):
        exact = theirs.roc_auc_score(np.concatenate(truth) == k, np.concatenate(each)[:, k])
        assert ours._drawn_auroc(whole, each, truth, k)[0] == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize("k", [1, 3])
def test_kmers_around_a_base_are_counted_as_defined(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "AROUND", 7)
    monkeypatch.setattr(ours, "SEGMENT", 11)
    text = "".join(np.random.default_rng(0).choice(list("ACGTN"), 40, p=[0.24] * 4 + [0.04]))
    features = ours.WindowCounts(k)
    found = np.concatenate(list(features(encode(text))))
    assert found.shape == (40, 4**k * features.frames)
    expected = np.zeros_like(found)
    for base in range(40):
        for start in range(max(base - 7, 0), min(base + 7, 40 - k) + 1):
            letters = text[start : start + k]
            if "N" not in letters:
                number = sum("ACGT".index(letter) * 4 ** (k - 1 - i) for i, letter in enumerate(letters))
                expected[base, (start - base) % features.frames * 4**k + number] += 1
    np.testing.assert_allclose(found * (14 // features.frames + 1), expected, atol=1e-5)
    some = np.array([0, 3, 21, 39])
    np.testing.assert_array_equal(features.at(encode(text), some), found[some])
    assert [x.shape for x in ours.WindowCounts(3)(encode("AC"))] == [(2, 192)]


@pytest.fixture(scope="module")
def fitted() -> DNAClassifier:
    return classifier(per_base=True, max_epochs=2, options={"learning_rate": 1e-2}).fit(*coded())


def test_report(fitted: DNAClassifier, tmp_path: Path) -> None:
    test, truth = coded(seed=1)
    seen, labels = coded()
    report = fitted.report([*test, *seen[:3]], [*truth, *labels[:3]])
    assert report.table.index.tolist() == ["DNAClassifier", "majority", "composition", "k-mers"]
    assert report.table.columns.tolist()[-2:] == ["f1 in", "f1 out"]
    assert report.table.at["composition", "mcc"] > 0.5
    assert report.table.at["majority", "mcc"] == 0
    assert report.leaked is not None
    assert report.leaked.verbatim.sum() == 3
    assert report.clean is not None
    assert report.clean.at["DNAClassifier", "accuracy"] == pytest.approx(fitted.score(test, truth))
    assert "clean part" in str(report) and "f1 out" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["models"]["majority"]["mcc"]["value"] == 0
    assert report.truth.shape == (27 * 90,)
    loaded = DNAClassifier.load(fitted.save(tmp_path / "model"))
    assert loaded.report(test, truth).table.index.tolist() == ["DNAClassifier"]
    again = loaded.report(test, truth, train=coded())
    assert again.table.equals(fitted.report(test, truth).table)


def test_one_test_sequence_has_no_intervals(fitted: DNAClassifier) -> None:
    test, truth = coded(1, seed=3)
    report = fitted.report(test, truth)
    assert report.low.loc["DNAClassifier"].isna().all()
    assert np.isfinite(report.table.loc["DNAClassifier"]).all()


def test_rows_of_another_length(fitted: DNAClassifier) -> None:
    test, truth = coded(2)
    with pytest.raises(ValueError, match=r"y\[1\] must have 90 labels, one per base, got 89"):
        fitted.report(test, [truth[0], truth[1][1:]])
