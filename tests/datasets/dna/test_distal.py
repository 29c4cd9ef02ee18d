"""Drawn sequences with motifs far apart: what decides the class, what does not, and where motifs lie."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.dna import distal_pairs, encode_all
from titans_datasets.dna.distal import BACKGROUND, CLASSES, MARKER, VARIANTS, Relation

LENGTH, COUNT = 600, 1200
WORDS = (*VARIANTS, MARKER)
SIZE = len(MARKER)


def motifs(text: str) -> list[tuple[int, int]]:
    """Start and number of each motif."""
    return [(one.start(), WORDS.index(one.group())) for one in re.finditer("|".join(WORDS), text)]


@pytest.fixture(scope="module", params=list(CLASSES))
def drawn(request: pytest.FixtureRequest) -> tuple[Relation, pd.DataFrame]:
    return request.param, distal_pairs(request.param, LENGTH, sequences=COUNT, test_sequences=2).train


def test_the_relation_decides_the_class(drawn: tuple[Relation, pd.DataFrame]) -> None:
    relation, table = drawn
    for text, label in zip(table["sequence"], table["label"], strict=True):
        kinds = [kind for _, kind in motifs(text)]
        if relation == "same":
            found = int(kinds[0] == kinds[1])
        else:
            assert len(kinds) == 3 and kinds.index(2) > 0
            found = kinds[kinds.index(2) - 1]
        assert label == CLASSES[relation][found]
    assert table["label"].value_counts().tolist() == [COUNT // 2] * 2


def test_composition_tells_nothing(drawn: tuple[Relation, pd.DataFrame]) -> None:
    _, table = drawn
    shares = [
        np.bincount(np.concatenate(encode_all(part["sequence"].tolist())), minlength=4) / (LENGTH * COUNT / 2)
        for _, part in table.groupby("label")
    ]
    assert np.abs(shares[0] - shares[1]).max() < 0.004
    assert {tuple(Counter(word)[letter] for letter in "ACGT") for word in WORDS} == {(SIZE // 4,) * 4}


def test_a_single_motif_tells_nothing_and_what_is_present_no_more_than_said(
    drawn: tuple[Relation, pd.DataFrame],
) -> None:
    relation, table = drawn
    first = (table["label"] == CLASSES[relation][1]).to_numpy()
    counts = np.array([[text.count(word) for word in VARIANTS] for text in table["sequence"]])
    starts = np.array([motifs(text)[0][1] for text in table["sequence"]])
    correlation = np.corrcoef(counts[:, 0], first)[0, 1]
    if relation == "same":
        # No sum of counts tells an exclusive or, although which variants are present does.
        assert abs(correlation) < 0.1 and abs(first[starts == 0].mean() - 0.5) < 0.06
        assert ((counts > 0).all(1) == ~first).all()
    else:
        # Equal copies tell the class, different ones leave it open.
        both = (counts > 0).all(1)
        assert 0.45 < both.mean() < 0.55 and abs(first[both].mean() - 0.5) < 0.06
        assert (first[~both] == (counts[~both, 1] == 2)).all()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.sampled_from(list(CLASSES)), st.integers(0, 40), st.integers(0, 30), st.integers(0, 9))
def test_motifs_keep_their_distance(relation: Relation, distance: int, spare: int, seed: int) -> None:
    length = 3 * SIZE + 2 * distance + spare
    task = distal_pairs(relation, length, sequences=6, test_sequences=3, distance=distance, seed=seed)
    for text in [*task.train["sequence"], *task.test["sequence"]]:
        found = motifs(text)
        assert len(text) == length and len(found) == (2 if relation == "same" else 3)
        # The bases beside a repeat go on with it now and then: by four in 256 cases, by eight in 65,536.
        assert all(b[0] - a[0] >= SIZE + distance - 4 for a, b in pairwise(found))


def test_motifs_lie_anywhere() -> None:
    table = distal_pairs("same", 2 * SIZE + 36, sequences=2000, distance=20).train
    places = Counter(tuple(start for start, _ in motifs(text)) for text in table["sequence"])
    # Two motifs, 20 bases apart, with 16 bases to spare: 18 · 17 / 2 places, each as likely as the others.
    often = [count for _, count in places.most_common(153)]
    assert sum(often) > 0.97 * 2000 and often[0] < 4 * 2000 / 153 and often[-1] > 0


def test_the_background_is_the_chain() -> None:
    ids = np.stack(encode_all(distal_pairs("same", 20_000, sequences=10, test_sequences=1).train["sequence"].tolist()))
    seen = np.zeros((4, 4))
    np.add.at(seen, (ids[:, :-1], ids[:, 1:]), 1)
    np.testing.assert_allclose(seen / seen.sum(1, keepdims=True), BACKGROUND, atol=0.02)


def test_seeds_and_parts_differ_and_repeat() -> None:
    one, again, other = (distal_pairs(length=200, sequences=8, test_sequences=8, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one.train, again.train)
    pd.testing.assert_frame_equal(one.test, again.test)
    everything = [*one.train["sequence"], *one.test["sequence"], *other.train["sequence"], *other.test["sequence"]]
    assert len(set(everything)) == 32
    assert "200 bases, motifs at least 25 apart" in one.protocol


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relation": "near"}, "relation must be one of"),
        ({"length": 50}, f"length must be ≥ {3 * SIZE + 40} bases for 3 motifs of {SIZE} bases, 20 apart, got 50"),
        ({"distance": -1}, "distance must be ≥ 0 bases, got -1"),
        ({"sequences": 0}, "sequences and test_sequences must be ≥ 1, got 0 and 500"),
    ],
)
def test_what_cannot_be_drawn(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distal_pairs(**{"length": 200, "distance": 20, **change})  # type: ignore[arg-type]
