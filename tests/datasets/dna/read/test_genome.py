"""Whole genomes: in memory and by random access, intervals with both strands and both ends."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.dna import (
    DNAWarning,
    IndexedGenome,
    MemoryGenome,
    cut_intervals,
    decode,
    encode,
    genome_windows,
    read_genome,
)

BASES = "ACGTTGCAAC"


@pytest.fixture
def genome() -> MemoryGenome:
    return MemoryGenome({"c1": encode(BASES), "c2": encode("GGG")})


def bed(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "name", "strand"][: len(rows[0])])


def test_a_genome_from_a_file_with_its_soft_mask(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">c1 x\nACgt\nN\n>c2\nGGG\n")
    genome = read_genome(tmp_path / "a.fa", soft_masks=True)
    assert genome.lengths == {"c1": 5, "c2": 3}
    assert decode(genome.fetch("c1", 1, 5)) == "CGTN"
    mask = genome.soft_mask("c1", 1, 5)
    assert mask is not None and mask.tolist() == [False, True, True, False]
    assert read_genome(tmp_path / "a.fa").soft_mask("c1", 0, 1) is None
    assert read_genome("builtin:plasmid").lengths == {"NC_005816.1": 9609}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nAC\n>a\nG\n", r"record 2 \(a\) appears twice"),
        (">a\nAC\n>b\n", r"record 2 \(b\) is empty"),
        (">a\nAC\n>\nG\n", r"record 2 \(\?\) has no name"),
        (">a\nAC\n>b\nAEC\n", r"record b: position 2: letter 'E'"),
    ],
)
def test_genome_files_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.fa").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_genome(tmp_path / "a.fa")


@pytest.mark.parametrize("place", [("c3", 0, 1), ("c1", -1, 3), ("c1", 3, 3), ("c1", 5, 11)])
def test_places_off_the_genome_are_refused(genome: MemoryGenome, place: tuple[str, int, int]) -> None:
    with pytest.raises(ValueError, match=r"no chromosome 'c3' in the genome, there are c1, c2|must lie on 0-10"):
        genome.fetch(*place)


def test_intervals_of_both_strands(genome: MemoryGenome) -> None:
    records = cut_intervals(genome, bed(("c1", 1, 5, "a", "+"), ("c1", 1, 5, "b", "-"), ("c2", 0, 3, "", ".")))
    assert records == [("a", "CGTT", None), ("b", "AACG", None), ("c2:0-3(.)", "GGG", None)]
    assert cut_intervals(genome, bed(("c1", 0, 2)))[0].id == "c1:0-2(.)"


def test_intervals_past_the_end(genome: MemoryGenome) -> None:
    table = bed(("c1", 8, 99), ("c2", 0, 3))
    with pytest.raises(ValueError, match="interval c1:8-99 must lie on 0-10"):
        cut_intervals(genome, table)
    with pytest.warns(DNAWarning, match="intervals clipped at an end of their chromosome: 1"):
        assert [record.sequence for record in cut_intervals(genome, table, outside="clip")] == ["AC", "GGG"]
    with pytest.raises(ValueError, match="interval c1:10-12 must lie on 0-10"):
        cut_intervals(genome, bed(("c1", 10, 12)), outside="clip")
    with pytest.raises(ValueError, match="outside must be one of error, clip"):
        cut_intervals(genome, table, outside="pad")
    with pytest.raises(ValueError, match=r"strand of c1:0-2 must be \+, - or \., got '\?'"):
        cut_intervals(genome, bed(("c1", 0, 2, "a", "?")))


def test_random_access_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "pyfaidx":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'needs pyfaidx: pip install "titans-ts\[genomes\]"'):
        IndexedGenome(tmp_path / "a.fa")


def test_random_access_gives_what_memory_gives(tmp_path: Path) -> None:
    pytest.importorskip("pyfaidx")
    path = tmp_path / "a.fa"
    path.write_text(">c1 x\nACgt\nTGCA\nAC\n>c2\nGGG\n")
    with pytest.raises(FileNotFoundError, match=r"a\.fa\.fai does not exist: write it with `samtools faidx"):
        IndexedGenome(path)
    indexed, memory = IndexedGenome(path, build_index=True), read_genome(path, soft_masks=True)
    assert indexed.lengths == memory.lengths
    for one, other in zip(genome_windows(indexed, 4, 3), genome_windows(memory, 4, 3), strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.soft_mask, other.soft_mask)
    with pytest.raises(ValueError, match="must lie on 0-3"):
        indexed.fetch("c2", 0, 4)
