"""Kernel models against their definition, and on a question that sums of k-mers cannot answer."""

from __future__ import annotations

import numpy as np
import pytest

from titans_datasets.dna import encode_all
from titans_ts.genomics.linear import kernel as kernels
from titans_ts.genomics.linear.features import Features, KmerFeatures, PositionFeatures
from titans_ts.genomics.linear.kernel import KernelCandidate, KernelModel
from titans_ts.genomics.linear.losses import Targets
from titans_ts.genomics.linear.selection import Candidate

MOTIFS = ("TGACTCA", "GGCCATG")
FEATURES = [KmerFeatures(6, 5, 2), PositionFeatures(20, 2)]


def pairs(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences with both motifs or neither (class 1), or with one of them (class 0)."""
    random = np.random.default_rng(seed)
    letters = random.choice(list("ACGT"), (count, 20))
    there = random.integers(0, 2, (count, 2)).astype(bool)
    for row, which in zip(letters, there, strict=True):
        for motif, wanted, first in zip(MOTIFS, which, (2, 11), strict=True):
            if wanted:
                row[first : first + 7] = list(motif)
    return encode_all(["".join(row) for row in letters]), (there[:, 0] == there[:, 1]).astype(np.int64)


@pytest.fixture(scope="module", params=FEATURES, ids=["k-mers", "positions"])
def fitted(request: pytest.FixtureRequest) -> tuple[Features, KernelModel]:
    codes, labels = pairs(300, 0)
    candidate = KernelCandidate(request.param, codes, Targets(labels, np.ones(300), 2, "classes"))
    return request.param, candidate.choose(np.arange(240), np.arange(240, 300))[0]


def test_outputs_are_sums_over_landmarks(fitted: tuple[Features, KernelModel]) -> None:
    features, model = fitted
    codes, _ = pairs(5, 1)
    products = (features(codes) @ features(model.codes).T).toarray()
    z = np.exp(model.gamma * (products - 1)) @ model.weight + model.bias
    np.testing.assert_allclose(model(codes), np.concatenate([-z / 2, z / 2], axis=1), atol=2e-3)


def test_bases_add_up_to_the_outputs(fitted: tuple[Features, KernelModel]) -> None:
    _, model = fitted
    codes = pairs(3, 2)[0] + encode_all(["N" * 10 + "TGACTCAGTA"])
    for one in codes:
        np.testing.assert_allclose(model.contributions(one).sum(0) + model.floor, model([one])[0], atol=2e-3)
    np.testing.assert_allclose(model(encode_all(["N" * 20]))[0], model.floor, atol=2e-3)


def test_learns_what_kmers_say_together() -> None:
    codes, labels = pairs(600, 3)
    test, truth = pairs(300, 4)
    targets, features = Targets(labels, np.ones(600), 2, "classes"), KmerFeatures(5, 5, 1)
    right = {}
    for kind in (Candidate, KernelCandidate):
        model, _ = kind(features, codes, targets).choose(np.arange(500), np.arange(500, 600))
        right[kind] = float((model(test).argmax(1) == truth).mean())
    assert right[KernelCandidate] > 0.9
    assert right[Candidate] < 0.75


def test_some_landmarks_span_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, labels = pairs(500, 5)
    targets, rows = Targets(labels, np.ones(500), 2, "classes"), np.arange(500)
    losses = {}
    for count in (500, 150):
        monkeypatch.setattr(kernels, "LANDMARKS", count)
        model, losses[count] = KernelCandidate(KmerFeatures(5, 5, 1), codes, targets).choose(rows[:400], rows[400:])
        assert len(model.codes) == min(count, 400)
    assert losses[500] < losses[150] < np.log(2)


def test_too_many_features_leave_too_few_landmarks() -> None:
    codes = encode_all(["ACGT" * 400] * 400)
    targets = Targets(np.arange(400) % 2, np.ones(400), 2, "classes")
    assert not KernelCandidate(PositionFeatures(1600, 4), codes, targets).worthwhile()
    assert KernelCandidate(PositionFeatures(1600, 1), codes, targets).worthwhile()
