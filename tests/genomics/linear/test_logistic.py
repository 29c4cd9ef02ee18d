"""Logistic regressions against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.genomics.common import sequences
from titans_datasets.dna import encode_all
from titans_ts.genomics.linear.blend import probabilities
from titans_ts.genomics.linear.choice import choose_linear
from titans_ts.genomics.linear.features import PositionFeatures
from titans_ts.genomics.linear.logistic import fit_logistic
from titans_ts.genomics.linear.losses import Targets, mean_loss
from titans_ts.genomics.linear.model import widest_kmers


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_logistic_regression(classes: int) -> None:
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("ACGT"), 12)) for _ in range(120)]
    labels = random.integers(0, classes, 120)
    features, weight = PositionFeatures(12), random.random(120) + 0.5
    x = features(encode_all(texts))
    found = fit_logistic(features, x, Targets(labels, weight, classes, "classes"), 3.0).outputs(x)
    # Two logits z/2 and −z/2 have one weight vector between them; scikit-learn penalises the one, we do too.
    theirs = LogisticRegression(C=3.0, max_iter=1000, tol=1e-8).fit(x, labels, sample_weight=weight)
    np.testing.assert_allclose(probabilities(found, "classes"), theirs.predict_proba(x), atol=2e-3)


def test_labels_have_models_of_their_own() -> None:
    random = np.random.default_rng(0)
    x = PositionFeatures(10)(encode_all(["".join(random.choice(list("ACGT"), 10)) for _ in range(80)]))
    y = random.integers(0, 2, (80, 2))
    both = fit_logistic(PositionFeatures(10), x, Targets(y, np.ones(80), 2, "labels"), 6.0).outputs(x)
    for k in range(2):
        theirs = LogisticRegression(C=3.0, max_iter=1000, tol=1e-8).fit(x, y[:, k])
        np.testing.assert_allclose(probabilities(both, "labels")[:, k], theirs.predict_proba(x)[:, 1], atol=5e-3)


def test_the_chosen_penalty_is_no_worse_than_the_first() -> None:
    texts, names = sequences(120)
    codes, labels = encode_all(texts), (names == "yes").astype(np.int64)
    features, rows = PositionFeatures(30), np.random.default_rng(0).permutation(120)
    x, targets = features(codes), Targets(labels, np.ones(120), 2, "classes")
    fit, held = rows[:90], rows[90:]
    chosen, loss = choose_linear(features, x[fit], targets.take(fit), x[held], targets.take(held))
    assert loss == pytest.approx(mean_loss(chosen.outputs(x[held]), targets.take(held)))
    for inverse_penalty in (3.0, 10.0):
        other = fit_logistic(features, x[fit], targets.take(fit), inverse_penalty)
        assert loss <= mean_loss(other.outputs(x[held]), targets.take(held)) + 1e-4


def test_fewer_kmers_for_more_bases() -> None:
    sizes = [widest_kmers(bases, 2).size for bases in (10**4, 10**6, 10**7, 10**9)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
