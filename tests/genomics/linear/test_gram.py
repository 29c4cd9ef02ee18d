"""Fits from inner products give the regression that fits from the features give."""

from __future__ import annotations

import numpy as np
import pytest

from tests.genomics.common import sequences
from titans_datasets.dna import encode_all
from titans_ts.genomics.linear import selection
from titans_ts.genomics.linear.features import KmerFeatures
from titans_ts.genomics.linear.gram import inner_products, worthwhile
from titans_ts.genomics.linear.losses import Targets
from titans_ts.genomics.linear.selection import Candidate


def problem(classes: int, count: int = 150) -> tuple[Candidate, Targets]:
    texts, _ = sequences(count, None)
    random = np.random.default_rng(0)
    labels = np.array([text.count("AC") + text.count("GT") for text in texts]) % classes
    targets = Targets(labels, random.random(count) + 0.5, classes, "classes")
    return Candidate(KmerFeatures(5, 4, 1), encode_all(texts), targets), targets


@pytest.mark.parametrize("share", [0.0, 0.04, 1.0])
def test_inner_products(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titans_ts.genomics.linear.gram.DENSE_SHARE", share)
    monkeypatch.setattr("titans_ts.genomics.linear.gram.BLOCK", 100)
    x = KmerFeatures(6, 4, 2)(encode_all(sequences(40, None)[0]))
    np.testing.assert_allclose(inner_products(x), (x @ x.T).toarray(), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 4])
def test_both_ways_give_the_same_regression(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, held = np.arange(120), np.arange(120, 150)
    found = []
    for way in (False, True):
        monkeypatch.setattr(selection, "worthwhile", lambda *_, way=way: way)
        candidate, _ = problem(classes)
        chosen, loss = candidate.choose(rows, held)
        again = candidate.refit(chosen, np.arange(150))
        found.append((chosen(candidate.codes), loss, again(candidate.codes), chosen.inverse_penalty))
    assert found[0][3] == found[1][3] and found[0][1] == pytest.approx(found[1][1], abs=2e-3)
    for one, other in zip(found[0][::2], found[1][::2], strict=True):
        centred = [logits - logits.mean(1, keepdims=True) for logits in (one, other)]
        np.testing.assert_allclose(*centred, atol=0.05)


def test_where_inner_products_are_worthwhile() -> None:
    few = KmerFeatures(8, 6, 1)(encode_all(sequences(60, 300)[0]))
    assert worthwhile(few, 20) and not worthwhile(few[:, :4], 1)


def test_a_deadline_keeps_the_best_so_far() -> None:
    candidate, targets = problem(3)
    found, loss = candidate.choose(np.arange(120), np.arange(120, 150), deadline=0.0)
    assert np.isfinite(loss) and found(candidate.codes).shape == (150, targets.outputs)
