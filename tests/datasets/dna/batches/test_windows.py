"""Windows along genomes that cover every base, windows around a place, labels of bases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.builtin import load_dna
from titans_datasets.dna import (
    DNAWarning,
    MemoryGenome,
    around,
    coding_labels,
    decode,
    encode,
    genome_windows,
    interval_labels,
    reverse_complement,
    reverse_labels,
)
from titans_datasets.dna.batches.windows import window_starts

BASES = "ACGTTGCAAC"


@pytest.fixture
def genome() -> MemoryGenome:
    return MemoryGenome({"c1": encode(BASES), "c2": encode("GGG")})


def bed(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "name", "strand"][: len(rows[0])])


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 20), st.sampled_from(["short", "overlap", "drop"]))
def test_windows_cover_every_base(length: int, size: int, stride: int, last: str) -> None:
    stride = min(stride, size)
    starts = list(window_starts(length, size, stride, last))
    covered = np.zeros(length, dtype=int)
    for start in starts:
        covered[start : start + size] += 1
    assert starts == sorted(set(starts)) and all(0 <= start < length for start in starts)
    if last == "drop":
        assert all(start + size <= length for start in starts)
        assert (covered == 0).sum() < stride if length >= size else not starts
    else:
        assert (covered > 0).all()
    if last == "overlap" and length >= size:
        assert all(start + size <= length for start in starts)
    if last == "short":
        assert all(start % stride == 0 for start in starts)
        assert sum(start + size > length for start in starts) <= 1


def test_windows_with_labels(genome: MemoryGenome) -> None:
    labels = {"c1": np.arange(10, dtype=np.uint8), "c2": np.arange(3, dtype=np.uint8)}
    found = list(genome_windows(genome, 4, labels=labels))
    assert [(w.name, w.start, w.end) for w in found] == [("c1", 0, 4), ("c1", 4, 8), ("c1", 8, 10), ("c2", 0, 3)]
    assert "".join(decode(w.ids) for w in found) == BASES + "GGG"
    assert all(w.labels is not None and w.labels.tolist() == list(range(w.start, w.end)) for w in found)
    with pytest.warns(DNAWarning, match="bases left out at chromosomes' ends: 5"):
        assert len(list(genome_windows(genome, 4, last="drop"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "1 ≤ stride ≤ size"),
        ({"size": 2, "stride": 3}, "1 ≤ stride ≤ size, got size=2, stride=3"),
        ({"size": 2, "last": "pad"}, "last must be one of short, overlap, drop, got 'pad'"),
        ({"size": 2, "names": ["c9"]}, "no chromosome 'c9'"),
        ({"size": 2, "labels": {"c1": np.zeros(9, np.uint8)}}, "labels of c1 must be 10, got 9"),
    ],
)
def test_bad_windows_are_refused_at_once(genome: MemoryGenome, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        genome_windows(genome, **arguments)


def test_a_window_around_a_place_is_filled_with_n_beyond_both_ends(genome: MemoryGenome) -> None:
    assert decode(around(genome, "c1", 4, 4).ids) == BASES[2:6]
    assert decode(around(genome, "c1", 4, 5).ids) == BASES[2:7]
    with pytest.warns(DNAWarning, match="window c2:-3-5 reaches past 0-3: 5 bases are read as N"):
        window = around(genome, "c2", 1, 8)
    assert decode(window.ids) == "NNNGGGNN" and (window.start, window.end) == (-3, 5)
    with pytest.raises(ValueError, match="must lie on 0-3"):
        around(genome, "c2", 3, 4)


@pytest.mark.filterwarnings("ignore:NC_000932.1")
def test_labels_of_the_chloroplast_are_its_coding_sequences() -> None:
    (record,) = load_dna("chloroplast")
    labels = coding_labels(record)
    bases = encode(record.seq)
    forward, reverse = np.zeros(len(bases), dtype=bool), np.zeros(len(bases), dtype=bool)
    for feature in record.features:
        if feature.type == "CDS":
            for place in feature.location:
                (reverse if feature.location.strand == -1 else forward)[place] = True
    mixed = {f.qualifiers["gene"][0] for f in record.features if f.type == "CDS" and f.location.strand is None}
    assert mixed == {"rps12"}
    differs = labels != np.where(forward, 1, np.where(reverse, 2, 0))
    assert differs.sum() < 400 and set(labels[differs]) <= {1, 2}
    whole = next(f for f in record.features if f.type == "CDS" and f.qualifiers["gene"] == ["rbcL"])
    assert set(labels[int(whole.location.start) : int(whole.location.end)]) == {1}
    assert str(whole.extract(record.seq).translate(table=11, to_stop=True)) == whole.qualifiers["translation"][0]
    other = coding_labels(record.reverse_complement(id=True))
    both = np.flatnonzero(reverse_labels(labels) != other)
    assert len(both) <= 39
    np.testing.assert_array_equal(reverse_complement(bases), encode(record.seq.reverse_complement()))


def test_bases_on_both_strands_are_counted() -> None:
    table = bed(("c1", 0, 4, "a", "+"), ("c1", 3, 6, "b", "-"), ("c2", 0, 9, "c", "+"))
    with pytest.warns(DNAWarning, match=r"c1: bases on both strands, read as \+: 1"):
        assert interval_labels(table, "c1", 8).tolist() == [1, 1, 1, 1, 2, 2, 0, 0]
    assert interval_labels(bed(("c1", 1, 2)), "c1", 3).tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="interval c2:0-9 must lie on 0-5"):
        interval_labels(table, "c2", 5)
    with pytest.raises(ValueError, match="has no feature 'exon', only"):
        coding_labels(load_dna("plasmid")[0], "exon")
    with pytest.raises(ValueError, match="labels must be 0, 1 or 2, got 0 … 3"):
        reverse_labels([0, 3])
