"""Groups, chromosomes and intervals: nothing of a test part is in its training part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.dna import (
    choose_chromosomes,
    chromosome_split,
    decode,
    groups,
    interval_overlap,
    reverse_complement_text,
)
from titans_datasets.dna.leakage import leakage

INTERVALS = st.lists(st.tuples(st.sampled_from("12"), st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=8)


def plainly(texts: list[str], k: int) -> list[set[int]]:
    def words(text: str) -> set[str]:
        found = [text[i : i + k] for i in range(len(text) - k + 1)]
        return {min(w, reverse_complement_text(w)) for w in found if "N" not in w} | {
            "=" + min(text, reverse_complement_text(text))
        }

    parts: list[tuple[set[int], set[str]]] = []
    for row, text in enumerate(texts):
        rows, mine = {row}, words(text)
        for part in [part for part in parts if part[1] & mine]:
            parts.remove(part)
            rows, mine = rows | part[0], mine | part[1]
        parts.append((rows, mine))
    return [rows for rows, _ in parts]


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=12), min_size=1, max_size=15), st.integers(2, 6))
def test_groups_are_what_shared_words_join(texts: list[str], k: int) -> None:
    found = groups(texts, k=k)
    expected = plainly(texts, k)
    assert {frozenset(np.flatnonzero(found == g).tolist()) for g in set(found.tolist())} == {*map(frozenset, expected)}
    first = [found.tolist().index(g) for g in range(found.max() + 1)]
    assert first == sorted(first)


def test_a_long_chain_is_one_group_and_splits_by_groups_leak_nothing() -> None:
    bases = np.random.default_rng(0).integers(0, 4, 40_000)
    chain = [decode(bases[i : i + 100]) for i in range(0, 20_000, 60)]
    alone = [decode(bases[i : i + 100]) for i in range(20_100, 39_900, 100)]
    order = np.random.default_rng(1).permutation(len(chain) + len(alone))
    texts = [(chain + alone)[i] for i in order]
    found = groups(texts)
    assert len(set(found[order < len(chain)].tolist())) == 1
    assert found.max() == len(alone)
    test = found % 5 == 0
    train = [text for text, held in zip(texts, test, strict=True) if not held]
    assert leakage(train, [text for text, held in zip(texts, test, strict=True) if held]).clean.all()


def table(rows: list[tuple[str, int, int]]) -> pd.DataFrame:
    return pd.DataFrame([(c, s, s + n) for c, s, n in rows], columns=["chrom", "start", "end"])


@settings(deadline=None)
@given(INTERVALS, INTERVALS)
def test_overlap_is_the_share_of_covered_bases(
    train: list[tuple[str, int, int]], test: list[tuple[str, int, int]]
) -> None:
    covered = {(c, i) for c, s, n in train for i in range(s, s + n)}
    expected = [np.mean([(c, i) in covered for i in range(s, s + n)]) for c, s, n in test]
    np.testing.assert_allclose(interval_overlap(table(train), table(test)), expected)


def test_overlap_refuses_what_is_no_table_of_intervals() -> None:
    good = table([("1", 0, 5)])
    with pytest.raises(ValueError, match="train has no column 'end', only chrom, start"):
        interval_overlap(good[["chrom", "start"]], good)
    with pytest.raises(ValueError, match="test, interval 0: expected 0 ≤ start < end, got start 5, end 5"):
        interval_overlap(good, good.assign(start=5))


def test_whole_chromosomes_go_to_the_test_set() -> None:
    intervals = table([("chr1", 0, 5), ("chr8", 0, 5), ("chr2", 0, 5), ("chr8", 9, 5)])
    split = chromosome_split(intervals, ["chr8"])
    assert split.train.tolist() == [0, 2] and split.test.tolist() == [1, 3]
    with pytest.raises(ValueError, match="no interval lies on 8: the chromosomes are chr1, chr2, chr8"):
        chromosome_split(intervals, ["8"])
    with pytest.raises(ValueError, match="must leave others for training"):
        chromosome_split(intervals, ["chr1", "chr2", "chr8"])
    with pytest.raises(TypeError, match=r"got 'chr8': give a list, \['chr8'\]"):
        chromosome_split(intervals, "chr8")


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=60), st.floats(0.05, 0.9), st.integers(0, 9))
def test_chosen_chromosomes_hold_about_the_share(names: list[str], fraction: float, seed: int) -> None:
    table = pd.DataFrame({"chrom": names})
    if len(set(names)) == 1:
        with pytest.raises(ValueError, match="needs two or more"):
            choose_chromosomes(table, fraction, seed=seed)
        return
    chosen = choose_chromosomes(table, fraction, seed=seed)
    split = chromosome_split(table, chosen)
    assert len(split.train) and len(split.test)
    assert abs(len(split.test) - fraction * len(names)) <= max(np.unique(names, return_counts=True)[1])
