"""Related sequences, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest

from titans_datasets.dna import encode_all
from titans_ts.genomics.training.holdout import hold_out, joined, related


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
