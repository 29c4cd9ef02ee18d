"""BED, VCF and tables of intervals: names as text, true lines, strands that are not lost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from titans_datasets.dna import (
    DNAWarning,
    MemoryGenome,
    chromosome_split,
    cut_intervals,
    encode,
    interval_labels,
    interval_overlap,
    read_bed,
    read_genome,
    read_vcf,
)

GENOME = MemoryGenome({"1": encode("ACGTTTGGGCCC"), "track1": encode("GGATC")})
HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def put(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\t0\t3\ta\t0\t-\n\n1\t4\t7\tb\t0\n", "line 3: expected 6 columns as in line 1, got 5"),
        ("1\t0\t3\n1\t4\t7\tb\n", "line 2: expected 3 columns as in line 1, got 4"),
        (
            "1\t0\t3\ta\t.\n1\t0\t3\ta\t-\n",
            "line 2: expected as score a number .* sixth column, after the score, got '-'",
        ),
        ("#x\n1\t0\t3\ta\t+\t7\n", "line 2: expected as score"),
        ("1\t0\t3\ta\t0\tx\n", r"line 1: expected as strand \+, - or \., got 'x'"),
        ("1\t٣\t9\n", "start must be a whole number, got '٣' in line 1"),
    ],
)
def test_lines_that_are_wrong_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_bed(put(tmp_path / "a.bed", text))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_contigs_of_every_name(tmp_path: Path, end: str) -> None:
    lines = [
        "track name=x",
        "browser position chr1:1-2",
        "track1\t0\t3\tNA\t.\t-",
        "",
        "track\t1\t2\t\t.\t+",
        "1\t0\t2\t7\t0\t.",
    ]
    found = read_bed(put(tmp_path / "a.bed", end.join(lines) + end))
    assert found["chrom"].tolist() == ["track1", "track", "1"] and found["strand"].tolist() == ["-", "+", "."]
    assert found["name"].tolist() == ["NA", "", "7"]


def test_chromosomes_that_are_numbers() -> None:
    table = pd.DataFrame({"chrom": [1, 1], "start": [0, 4], "end": [3, 7], "strand": ["-", "+"], "name": [None, "b"]})
    assert cut_intervals(GENOME, table) == [("1:0-3(-)", "CGT", None), ("b", "TTG", None)]
    assert interval_labels(table, "1", 12).tolist() == [2, 2, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0]
    assert interval_overlap(table, table.assign(chrom="1")).tolist() == [1.0, 1.0]
    both = pd.concat([table, table.assign(chrom="X")])
    assert chromosome_split(both, ["1"]).test.tolist() == [0, 1]


def test_names_with_and_without_chr() -> None:
    table = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [3]})
    said = "no name is shared: chr1 here, 1(, track1)? in .*: write both with 'chr' or both without it"
    with pytest.raises(ValueError, match=said):
        cut_intervals(GENOME, table)
    with pytest.warns(DNAWarning, match=said):
        assert interval_overlap(table.assign(chrom="1"), table).tolist() == [0]
    with pytest.warns(DNAWarning, match=said):
        assert not interval_labels(table, "1", 5).any()


def test_intervals_are_clipped_at_both_ends() -> None:
    table = pd.DataFrame(
        {"chrom": ["1", "1", "1"], "start": [-5, 10, -2], "end": [5, 20, 99], "strand": ["-", "+", "."]}
    )
    with pytest.warns(DNAWarning, match="intervals clipped at an end of their chromosome: 3"):
        found = cut_intervals(GENOME, table, outside="clip")
    assert [record.sequence for record in found] == ["AACGT", "CC", "ACGTTTGGGCCC"]
    with pytest.raises(ValueError, match="interval 0: expected 0 ≤ start < end, got start -5"):
        cut_intervals(GENOME, table)
    for start, end in ((-5, 0), (-5, -2), (12, 15)):
        with pytest.raises(ValueError, match="must lie on 0-12"):
            cut_intervals(GENOME, pd.DataFrame({"chrom": ["1"], "start": [start], "end": [end]}), outside="clip")


@pytest.mark.parametrize("column", ["start", "end"])
@pytest.mark.parametrize("value", [1.5, None, "x"])
def test_places_that_are_no_whole_numbers(column: str, value: object) -> None:
    table = pd.DataFrame({"chrom": ["1"], "start": [0], "end": [5]}).astype(object)
    table.loc[0, column] = value
    with pytest.raises(ValueError, match="interval 0: expected 0 ≤ start < end"):
        cut_intervals(GENOME, table)
    with pytest.raises(ValueError, match="row 0: the name of the chromosome is missing"):
        cut_intervals(GENOME, pd.DataFrame({"chrom": [None], "start": [0], "end": [5]}))
    with pytest.raises(ValueError, match=r"strands of intervals on 1 must be \+, - or \., got 'x'"):
        interval_labels(pd.DataFrame({"chrom": ["1"], "start": [0], "end": [5], "strand": ["x"]}), "1", 9)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_and_blank_lines_of_a_vcf(tmp_path: Path, end: str) -> None:
    sites = ['1\t5\t"x\tA\tC\t.\tPASS\t"DP=1', "", '1\t6\tNA\tC\tG\t.\tPASS\tDP=1"', "X\t7\t007\tG\tT"]
    found = read_vcf(put(tmp_path / "a.vcf", (HEADER + "\n".join(sites) + "\n").replace("\n", end)))
    assert found["id"].tolist() == ['"x', "NA", "007"] and found["pos"].tolist() == [5, 6, 7]
    assert found["chrom"].tolist() == ["1", "1", "X"]
    for bad, message in (
        ("1\tx\t.\tA\tC", "got 'x' in line 7"),
        ("1\t5\t.\tA", "line 7: expected #CHROM POS ID REF ALT"),
    ):
        with pytest.raises(ValueError, match=message):
            read_vcf(put(tmp_path / "b.vcf", HEADER + "\n".join([*sites, bad])))


def test_ambiguity_codes_of_a_genome(tmp_path: Path) -> None:
    path = put(tmp_path / "a.fa", ">1\nACmTR\n")
    with pytest.warns(DNAWarning, match="2 bases are given by an IUPAC code"):
        genome = read_genome(path)
    assert genome.letters("1", 1, 5) == "CMTR" and genome.fetch("1", 1, 5).tolist() == [1, 4, 3, 4]
    assert GENOME.letters("1", 0, 4) == "ACGT"
