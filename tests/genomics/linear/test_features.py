"""Counted features against their definition."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.dna import encode_all, reverse_complement_text
from titans_ts.genomics.linear.features import KmerFeatures, PositionFeatures, features_from
from titans_ts.genomics.linear.model import positions

TEXTS = ["ACGTTGCAAC", "TTTNACGTAC", "GGGCC", "N", "AC"]


DNA = st.lists(st.text("ACGTN", min_size=1, max_size=15), min_size=1, max_size=4)


def counted(text: str, features: KmerFeatures) -> Counter[tuple[tuple[int, ...], str]]:
    """The definition: every mask at every place."""
    found: Counter[tuple[tuple[int, ...], str]] = Counter()
    for mask in itertools.combinations(range(features.span), features.letters):
        if mask[0]:
            continue
        for start in range(len(text) - mask[-1]):
            kmer = "".join(text[start + offset] for offset in mask)
            if "N" not in kmer:
                mirrored = tuple(mask[-1] - offset for offset in reversed(mask))
                other = (mirrored, reverse_complement_text(kmer))
                found[min((mask, kmer), other) if features.strands == 2 else (mask, kmer)] += 1
    return found


@pytest.mark.parametrize("features", [KmerFeatures(3, 3, 1), KmerFeatures(4, 2, 1), KmerFeatures(4, 3, 2)])
@settings(max_examples=25, deadline=None)
@given(texts=DNA)
def test_kmers_are_counted_as_defined(features: KmerFeatures, texts: list[str]) -> None:
    found = features(encode_all(texts)).toarray()
    for row, text in zip(found, texts, strict=True):
        counts = np.array(sorted(counted(text, features).values()), dtype=np.float64)
        expected = counts / np.sqrt((counts**2).sum()) if len(counts) else counts
        np.testing.assert_allclose(np.sort(row[row > 0]), expected, rtol=1e-5)


@pytest.mark.parametrize("features", [KmerFeatures(5, 3, 1), KmerFeatures(5, 3, 2), PositionFeatures(12, 2)])
def test_products_need_no_matrix(features: KmerFeatures | PositionFeatures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titans_ts.genomics.linear.features.SEGMENT_BASES", 30)
    weight = np.random.default_rng(0).normal(size=(features.size, 2)).astype(np.float32)
    texts = ["ACGTTGCAACNA", "TTTTTTTTTTTT", "NNNNNNNNNNNN", "GGGCCATATACC", "ACGTTGCAACNC"]
    if isinstance(features, KmerFeatures):
        texts += ["A", "ACG", "GATTACA" * 20]
    codes = encode_all(texts)
    np.testing.assert_allclose(features.product(codes, weight), features(codes) @ weight, atol=1e-5)


def test_kmers_of_both_strands_are_one() -> None:
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
    with pytest.raises(ValueError, match="sequence 1 must have 4 bases, as in training, got 2"):
        PositionFeatures(4)(encode_all(["ACGT", "AC"]))


def test_features_survive_json() -> None:
    for features in (KmerFeatures(7, 5, 2), PositionFeatures(30, 2)):
        assert features_from(features.to_dict()) == features


@pytest.mark.parametrize(
    "features", [KmerFeatures(3, 3, 1), KmerFeatures(5, 3, 1), KmerFeatures(4, 2, 2), KmerFeatures(5, 3, 2)]
)
def test_dense_counts_are_those_of_the_matrix(features: KmerFeatures) -> None:
    codes = encode_all([*TEXTS, "ACGTTGCAACGGT"])
    whole = np.zeros((len(codes), features.size), dtype=np.float32)
    for first, counts in features.counts(codes):
        whole[:, first : first + counts.shape[1]] += counts
    length = np.sqrt((whole**2).sum(1, keepdims=True))
    np.testing.assert_allclose(whole / np.maximum(length, 1e-12), features(codes).toarray(), atol=1e-6)
