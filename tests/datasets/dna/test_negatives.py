"""GC-matched windows: where they lie, what they are alike in, and what is said where there are too few."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.dna import MemoryGenome, gc_matched
from titans_datasets.dna.alphabet import N


def genome(sizes: dict[str, int], seed: int = 0) -> MemoryGenome:
    """Random chromosomes whose GC content changes every 200 bases, with a stretch of N."""
    rng, found = np.random.default_rng(seed), {}
    for name, size in sizes.items():
        gc = np.repeat(rng.uniform(0.2, 0.8, size // 200 + 1), 200)[:size]
        strong = rng.random(size) < gc
        found[name] = np.where(strong, rng.integers(1, 3, size), 3 * rng.integers(0, 2, size)).astype(np.uint8)
        found[name][size // 2 : size // 2 + 100] = N
    return MemoryGenome(found)


def gc_of(of: MemoryGenome, frame: pd.DataFrame) -> np.ndarray:
    parts = [of.fetch(row.chrom, row.start, row.end) for row in frame.itertuples()]
    return np.array([np.isin(part, (1, 2)).sum() / (part < N).sum() for part in parts])


def drawn(sizes: dict[str, int], lengths: list[int], count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for name, size in sizes.items():
        for _ in range(count):
            length = int(rng.choice(lengths))
            start = int(rng.integers(0, size // 3 - length))
            rows.append((name, start, start + length, "+-"[int(rng.integers(2))]))
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "strand"])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([[40], [30, 50]]))
def test_windows_are_alike_and_lie_apart(seed: int, lengths: list[int]) -> None:
    sizes = {"one": 20_000, "two": 12_000}
    of, intervals = genome(sizes, seed), drawn(sizes, lengths, 6, seed)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = gc_matched(of, intervals, gc_bin=0.05, most_unknown=0.1, least_found=0.2, seed=seed)
    assert len(told) == (len(found) < len(intervals))
    for name in sizes:
        mine, theirs = found[found["chrom"] == name], intervals[intervals["chrom"] == name]
        for kind in (
            lambda table: (table["end"] - table["start"]).tolist(),
            lambda table: (gc_of(of, table) / 0.05).astype(int).tolist(),
            lambda table: table["strand"].tolist(),
        ):
            assert Counter(kind(mine)) <= Counter(kind(theirs))
        for row in mine.itertuples():
            assert row.start >= 0 and row.end <= sizes[name]
            assert not ((theirs["start"] < row.end) & (theirs["end"] > row.start)).any()
            assert ((mine["start"] < row.end) & (mine["end"] > row.start)).sum() == 1
            assert (of.fetch(name, row.start, row.end) == N).mean() <= 0.1


def test_seeds_repeat_and_differ() -> None:
    sizes = {"one": 30_000}
    of, intervals = genome(sizes), drawn(sizes, [50], 10, 1)
    first, again, other = (gc_matched(of, intervals, gc_bin=0.1, seed=seed) for seed in (3, 3, 4))
    assert first.equals(again) and not first.equals(other)
    assert list(gc_matched(of, intervals.drop(columns="strand"), gc_bin=0.1).columns) == ["chrom", "start", "end"]


def test_places_are_spread_over_a_long_chromosome() -> None:
    bases = np.random.default_rng(0).integers(0, 4, 3_000_000).astype(np.uint8)
    intervals = pd.DataFrame({"chrom": "one", "start": np.arange(200) * 1000, "end": np.arange(200) * 1000 + 200})
    found = gc_matched(MemoryGenome({"one": bases}), intervals)
    assert len(found) == 200 and found["start"].between(0, 3_000_000).all()
    counts = np.bincount(found["start"] // 500_000, minlength=6)
    assert (counts[1:] > 10).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("one", 0, 60)] * 3, r"found 0 places for 3 GC-matched windows; lacking are 3 on one with GC 1.00 to 1.00"),
        ([("one", 100, 160)], "must lie on 0-120"),
        ([("six", 0, 60)], "no chromosome 'six'"),
    ],
)
def test_what_is_lacking_is_said(rows: list[tuple[str, int, int]], message: str) -> None:
    of = MemoryGenome({"one": np.array([1] * 60 + [0] * 60, dtype=np.uint8)})
    with pytest.raises(ValueError, match=message):
        gc_matched(of, pd.DataFrame(rows, columns=["chrom", "start", "end"]))


def test_some_of_them_are_counted_too() -> None:
    of = MemoryGenome({"one": np.array([0] * 100, dtype=np.uint8)})
    intervals = pd.DataFrame({"chrom": "one", "start": [0, 20, 40], "end": [20, 40, 60]})
    with pytest.raises(ValueError, match=r"found [12] places for 3"):
        gc_matched(of, intervals)
    with pytest.raises(ValueError, match="gc_bin must be above 0"):
        gc_matched(of, intervals, gc_bin=0)
