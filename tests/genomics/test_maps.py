"""Counted features, logistic maps, blending, and what is held out."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from tests.genomics.common import codes, network, sequences
from titans_datasets.dna import encode_all, reverse_complement_text
from titans_ts.genomics.classifier.fitting import FittedModel
from titans_ts.genomics.linear.blend import blend, fit_blend, probabilities
from titans_ts.genomics.linear.features import KmerFeatures, PositionFeatures, features_from
from titans_ts.genomics.linear.logistic import (
    Targets,
    choose_logistic,
    fit_logistic,
    log_loss,
    positions,
    widest_kmers,
)
from titans_ts.genomics.training.holdout import hold_out, joined, related

TEXTS = ["ACGTTGCAAC", "TTTNACGTAC", "GGGCC", "N", "AC"]
DNA = st.lists(st.text("ACGTN", min_size=1, max_size=15), min_size=1, max_size=4)


def counted(text: str, features: KmerFeatures) -> Counter[tuple[tuple[int, ...], str]]:
    """The definition: every mask at every place."""
    found: Counter[tuple[tuple[int, ...], str]] = Counter()
    for mask in itertools.combinations(range(features.span), features.letters):
        if mask[0]:
            continue
        for start in range(len(text) - mask[-1]):
            word = "".join(text[start + offset] for offset in mask)
            if "N" not in word:
                mirrored = tuple(mask[-1] - offset for offset in reversed(mask))
                other = (mirrored, reverse_complement_text(word))
                found[min((mask, word), other) if features.strands == 2 else (mask, word)] += 1
    return found


@pytest.mark.parametrize("features", [KmerFeatures(3, 3, 1), KmerFeatures(4, 2, 1), KmerFeatures(4, 3, 2)])
@settings(max_examples=25, deadline=None)
@given(texts=DNA)
def test_words_are_counted_as_defined(features: KmerFeatures, texts: list[str]) -> None:
    found = features(encode_all(texts)).toarray()
    for row, text in zip(found, texts, strict=True):
        counts = np.array(sorted(counted(text, features).values()), dtype=np.float64)
        expected = counts / np.sqrt((counts**2).sum()) if len(counts) else counts
        np.testing.assert_allclose(np.sort(row[row > 0]), expected, rtol=1e-5)


@pytest.mark.parametrize("features", [KmerFeatures(5, 3, 1), KmerFeatures(5, 3, 2), PositionFeatures(12, 2)])
def test_products_need_no_matrix(features: KmerFeatures | PositionFeatures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titans_ts.genomics.linear.features.BASES_A_PIECE", 30)
    weight = np.random.default_rng(0).normal(size=(features.size, 2)).astype(np.float32)
    texts = ["ACGTTGCAACNA", "TTTTTTTTTTTT", "NNNNNNNNNNNN", "GGGCCATATACC", "ACGTTGCAACNC"]
    if isinstance(features, KmerFeatures):
        texts += ["A", "ACG", "GATTACA" * 20]
    codes = encode_all(texts)
    np.testing.assert_allclose(features.product(codes, weight), features(codes) @ weight, atol=1e-5)


def test_words_of_both_strands_are_one() -> None:
    features = KmerFeatures(6, 4, 2)
    other = [reverse_complement_text(text) for text in TEXTS]
    np.testing.assert_allclose(features(encode_all(TEXTS)).toarray(), features(encode_all(other)).toarray(), atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_letters_at_their_places(order: int) -> None:
    features = PositionFeatures(6, order)
    found = features(encode_all(["ACGTAC", "ACGTAN", "NNNNNN", "ACCTAC"])).toarray()
    assert found.shape[1] == features.size
    windows = sum(6 - run + 1 for run in range(1, order + 1))
    np.testing.assert_allclose(found[0][found[0] > 0], windows**-0.5, rtol=1e-6)
    # An unknown last letter takes one window of every length.
    assert (found[1] > 0).sum() == windows - order
    assert not found[2].any()
    shared = ((found[0] > 0) & (found[3] > 0)).sum()
    assert shared == sum(6 - run + 1 - min(run, 3) for run in range(1, order + 1))


def test_positions_need_one_length() -> None:
    assert positions(encode_all(TEXTS)) is None
    assert positions(encode_all(["ACGT", "CCCC"])) == PositionFeatures(4, 3)
    with pytest.raises(ValueError, match="sequence 1 must have 4 bases as those of training have, got 2"):
        PositionFeatures(4)(encode_all(["ACGT", "AC"]))


def test_features_survive_json() -> None:
    for features in (KmerFeatures(7, 5, 2), PositionFeatures(30, 2)):
        assert features_from(features.to_dict()) == features


def test_fewer_words_for_more_bases() -> None:
    sizes = [widest_kmers(bases, 2).size for bases in (10**4, 10**6, 10**7, 10**9)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_map_is_logistic_regression(classes: int) -> None:
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("ACGT"), 12)) for _ in range(120)]
    labels = random.integers(0, classes, 120)
    features, weight = PositionFeatures(12), random.random(120) + 0.5
    x = features(encode_all(texts))
    found = fit_logistic(features, x, Targets(labels, weight, classes, "classes"), 3.0).logits(x)
    # Two logits z/2 and −z/2 have one weight vector between them; scikit-learn penalises the one, we do too.
    theirs = LogisticRegression(C=3.0, max_iter=1000, tol=1e-8).fit(x, labels, sample_weight=weight)
    np.testing.assert_allclose(probabilities(found, "classes"), theirs.predict_proba(x), atol=2e-3)


def test_labels_are_maps_of_their_own() -> None:
    random = np.random.default_rng(0)
    x = PositionFeatures(10)(encode_all(["".join(random.choice(list("ACGT"), 10)) for _ in range(80)]))
    y = random.integers(0, 2, (80, 2))
    both = fit_logistic(PositionFeatures(10), x, Targets(y, np.ones(80), 2, "labels"), 6.0).logits(x)
    for k in range(2):
        theirs = LogisticRegression(C=3.0, max_iter=1000, tol=1e-8).fit(x, y[:, k])
        np.testing.assert_allclose(probabilities(both, "labels")[:, k], theirs.predict_proba(x)[:, 1], atol=5e-3)


def test_the_chosen_penalty_is_no_worse_than_the_first() -> None:
    texts, names = sequences(120)
    codes, labels = encode_all(texts), (names == "yes").astype(np.int64)
    features, rows = PositionFeatures(30), np.random.default_rng(0).permutation(120)
    x, targets = features(codes), Targets(labels, np.ones(120), 2, "classes")
    fit, held = rows[:90], rows[90:]
    chosen, loss = choose_logistic(features, x[fit], targets.take(fit), x[held], targets.take(held))
    assert loss == pytest.approx(log_loss(chosen.logits(x[held]), targets.take(held)))
    for inverse_penalty in (3.0, 10.0):
        other = fit_logistic(features, x[fit], targets.take(fit), inverse_penalty)
        assert loss <= log_loss(other.logits(x[held]), targets.take(held)) + 1e-4


def test_blend_calibrates_and_leaves_out_noise() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(4000, 2))
    labels = (random.random(4000) < probabilities(truth, "classes")[:, 1]).astype(np.int64)
    sources = np.stack([4 * truth, random.normal(size=(4000, 2))], axis=1)
    targets = Targets(labels, np.ones(4000), 2, "classes")
    scale = fit_blend(sources, targets)
    assert scale[0] == pytest.approx(0.25, abs=0.03)
    assert 0 <= scale[1] < 0.08
    assert log_loss(blend(sources, scale), targets) < log_loss(sources[:, 0], targets)


def test_related_sequences_and_groups() -> None:
    codes = encode_all(["ACGT", "AAAC", "GTTT", "acgt", "CCCC", "GGGG", "TATA"])
    alone = related(codes, None)
    assert alone[0] == alone[3]
    assert alone[1] == alone[2]
    assert alone[4] == alone[5]
    assert len(set(alone)) == 4
    # Row 6 shares its group with row 0, and by its copy with row 3.
    tied = related(codes, ["x", "y", "z", "w", "v", "u", "x"])
    assert tied[6] == tied[0] == tied[3]
    assert len(set(tied)) == 3


@pytest.mark.parametrize("parts", [1, 3])
def test_held_out_parts(parts: int) -> None:
    random = np.random.default_rng(0)
    clusters, strata = random.integers(0, 150, 400), random.choice(3, 400, p=[0.7, 0.2, 0.1])
    found = hold_out(clusters, strata, 0.1, parts, 5)
    assert len(found) == parts
    assert len(np.unique(np.concatenate(found))) == sum(map(len, found))
    for part in found:
        rest = np.setdiff1d(np.arange(400), part)
        assert not set(clusters[part]) & set(clusters[rest])
        assert 25 <= len(part) <= 55
        shares = np.bincount(strata[part], minlength=3) / len(part)
        np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.1)
    again = hold_out(clusters, strata, 0.1, parts, 5)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_joined_clusters() -> None:
    first, second = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])
    assert np.unique(joined(first, second), return_inverse=True)[1].tolist() == [0, 0, 0, 1, 2]


def test_sources_that_nobody_trusts_leave_all_classes_alike() -> None:
    model = FittedModel([network()], [], np.zeros(1))
    assert model.logits(codes(), torch.device("cpu")).tolist() == [[0.0] * 3] * 3
