"""Intervals as labelled sequences: windows, strands, lines of what does not fit, classes, chromosomes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from titans_datasets.dna import DNAWarning, decode, read_genome, reverse_complement_text
from titans_datasets.dna.read.intervals import Places, is_bed, read_intervals
from titans_datasets.dna.read.labelled import Columns, Labelled, by_chromosome, read_labelled

COLUMNS = Columns("sequence", "label", None, None)
BED = "one\t100\t121\ta\t1.5\t+\ntwo\t40\t60\tb\t-2\t-\none\t300\t340\ta\t0\t.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    letters = {name: "".join(rng.choice(list("ACGT"), size)) for name, size in (("one", 4000), ("two", 3000))}
    (tmp_path / "g.fa").write_text("".join(f">{name}\n{text}\n" for name, text in letters.items()))
    (tmp_path / "a.bed").write_text(BED)
    return tmp_path


def read(folder: Path, source: str = "a.bed", columns: Columns = COLUMNS, **options: Any) -> Labelled:
    return read_labelled(str(folder / source), columns, Places(str(folder / "g.fa"), **options))


@pytest.mark.parametrize("window", [None, 1, 10, 51])
def test_letters_are_those_of_the_genome_on_their_strand(folder: Path, window: int | None) -> None:
    genome, found = read_genome(folder / "g.fa"), read(folder, window=window)
    for text, row in zip(found.sequences, found.intervals.itertuples(), strict=True):
        forward = decode(genome.fetch(row.chrom, row.start, row.end))
        assert text == (reverse_complement_text(forward) if row.strand == "-" else forward)
        assert window is None or len(text) == window
    if window == 51:
        assert found.ids == ["one:85-136(+)", "two:25-76(-)", "one:295-346(.)"]
    assert found.labels.tolist() == ["a", "b", "a"] and found.contigs == {"one": 4000, "two": 3000}
    assert read(folder, window=window, label="score").labels.tolist() == [1.5, -2, 0]


@pytest.mark.parametrize("packed", [1, 2, 1000])
def test_batches_are_the_whole_file_in_order(folder: Path, packed: int) -> None:
    placed = read_intervals(str(folder / "a.bed"), Places(str(folder / "g.fa")))
    batches = [*placed.batches(records=packed)]
    assert max(map(len, batches)) <= packed
    assert [one.sequence for batch in batches for one in batch] == [one.sequence for one in placed.records()]
    assert [len(batch) for batch in placed.batches(bases=1)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("\n#x\none\t0\t9\nthree\t1\t2\n", {}, "line 4: the genome has no chromosome 'three'; 1 of 2 intervals"),
        ("1\t0\t9\n", {}, "no name is shared: 1 here, one, two in the genome"),
        ("one\t3990\t4001\tx\n", {}, "line 1: one:3990-4001 reaches past an end of its chromosome of 4,000 bases"),
        ("one\t9\t11\tx\none\t0\t4\tx\n", {"window": 12}, "line 2: one:-4-8 reaches past"),
        ("one\t0\t4\tx\n", {"window": 12, "outside": "drop"}, "nothing is left"),
        ("one\t0\t4\tx\n", {"window": 0}, "window must be ≥ 1 base"),
        ("one\t0\t4\tx\n", {"outside": "cut"}, "outside must be one of error, drop"),
        ("one\t0\t4\n", {}, "has no column name, which holds the class: write it, or give GC-matched windows"),
        ("one\t0\t4\ta\none\t8\t9\tb\none\t9\t11\tc\n", {}, "all 3 names are different, such as 'a'"),
        ("one\t0\t4\ta\t1\none\t4\t8\tb\t.\n", {"label": "score"}, "line 2: expected a number as score, got '.'"),
        ("one\t0\t4\ta\t+\n", {}, "line 1: expected as score a number"),
        ("one\t0\t4\n", {"label": "score"}, "has no column score"),
        ("", {}, "is empty"),
        ("track name=x\n", {}, "has no interval"),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, text: str, options: dict[str, Any], message: str) -> None:
    (folder / "b.bed").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(folder, "b.bed", **options)


def test_what_reaches_past_an_end_is_left_out_on_request(folder: Path) -> None:
    (folder / "b.bed").write_text("one\t0\t4\ta\t0\t+\n" + BED)
    with pytest.warns(DNAWarning, match="line 1: one:-8-12 reaches past an end .* as 1 of 4 do: left out"):
        found = read(folder, "b.bed", window=20, outside="drop")
    assert found.sequences == read(folder, window=20).sequences


def test_negatives_are_a_second_class_on_the_same_chromosomes(folder: Path) -> None:
    found = read(folder, negatives=True, window=30, seed=3)
    assert found.labels.tolist() == ["positive"] * 3 + ["negative"] * 3
    assert sorted(found.intervals["chrom"][3:]) == ["one", "one", "two"]
    assert sorted(found.intervals["strand"][3:]) == ["+", "-", "."]
    assert found.ids != read(folder, negatives=True, window=30, seed=4).ids
    (folder / "b.bed").write_text("".join(f"one\t{i}\t{i + 30}\n" for i in range(0, 3900, 31)))
    with pytest.raises(ValueError, match=r"b.bed: found \d+ places for 126 GC-matched windows; lacking are"):
        read(folder, "b.bed", negatives=True)


def test_a_file_a_class_and_groups_by_chromosome(folder: Path) -> None:
    (folder / "b.bed").write_text("two\t7\t19\n")
    source = f"x={folder / 'a.bed'},y={folder / 'b.bed'}"
    places = Places(str(folder / "g.fa"), window=12)
    found = read_labelled(source, COLUMNS._replace(group="chrom"), places)
    assert found.labels.tolist() == ["x", "x", "x", "y"] and found.groups == ["one", "two", "one", "two"]
    with pytest.raises(ValueError, match="groups of intervals are their chromosomes"):
        read_labelled(source, COLUMNS._replace(group="gene"), places)
    with pytest.raises(ValueError, match="names its classes"):
        read_labelled(source, COLUMNS, places._replace(negatives=True))
    with pytest.raises(ValueError, match="has places, no letters: give the genome"):
        read_labelled(source, COLUMNS)
    with pytest.raises(ValueError, match="a genome is for intervals"):
        read_labelled(str(folder / "g.fa"), COLUMNS, places)


def test_parts_are_of_different_chromosomes(folder: Path) -> None:
    data = read(folder)
    train, test = by_chromosome(data, "two", 0)
    assert train.sequences == [data.sequences[0], data.sequences[2]] and test.sequences == [data.sequences[1]]
    assert test.name.endswith("a.bed on two") and len(train.intervals) == 2
    assert by_chromosome(data, "0.3", 0)[1].sequences == test.sequences
    with pytest.raises(ValueError, match="no interval lies on six"):
        by_chromosome(data, "six", 0)
    with pytest.raises(ValueError, match="is for intervals"):
        by_chromosome(data._replace(intervals=None), "two", 0)


def test_columns_of_zeros_and_ones(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sequence,x,y\nACGT,0,1\nGGTT,1,1\nCCCC,0,0\n")
    found = read_labelled(str(tmp_path / "a.csv"), COLUMNS._replace(label="x, y"))
    assert found.label_names == ["x", "y"] and found.labels.tolist() == [[0, 1], [1, 1], [0, 0]]
    assert found.take(np.array([2, 0])).targets().to_dict("list") == {"x": [0, 0], "y": [0, 1]}


def test_labels_of_bases_are_the_text_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sequence,label\nACGT,1000\nGGT,110\n")
    found = read_labelled(str(tmp_path / "a.csv"), COLUMNS)._replace(per_base=True)
    assert found.targets() == ["1000", "110"]


def peak(*cells: int) -> str:
    return "".join(f"one\t100\t140\tp\t5\t-\t1\t2\t3\t{cell}\n" for cell in cells)


@pytest.mark.parametrize(("window", "starts"), [(20, [103, 110]), (21, [103, 110]), (None, [100, 100])])
def test_windows_of_a_narrow_peak_have_its_summit_in_the_middle(
    folder: Path, window: int | None, starts: list[int]
) -> None:
    (folder / "a.narrowPeak").write_text(peak(13, -1))
    (folder / "a.narrowPeak.gz").write_bytes(gzip.compress(peak(13, -1).encode()))
    (folder / "peaks.txt").write_text(peak(13, -1))
    places = Places(str(folder / "g.fa"), window=window)
    found = [read_intervals(str(folder / name), places) for name in ("a.narrowPeak", "a.narrowPeak.gz")]
    found.append(read_intervals(str(folder / "peaks.txt"), places, format="narrowpeak"))
    assert [one.frame["start"].tolist() for one in found] == [starts] * 3
    if window is not None:
        genome = read_genome(folder / "g.fa")
        (first, _) = found[0].records()
        assert first.sequence[(window - 1) - window // 2] == reverse_complement_text(
            decode(genome.fetch("one", 113, 114))
        )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.narrowPeak", peak(0, 39, 40), r"line 3: expected as summit \(column 10\) a whole number from 0 to 39"),
        ("a.narrowPeak", peak(-2), "line 1: expected as summit .* or -1 for none, got '-2'"),
        ("a.narrowPeak", "one\t0\t9\ta\t5\t+\n", "line 1: expected the 10 columns of a narrowpeak file, got 6"),
        ("a.broadPeak", peak(1), "line 1: expected the 9 columns of a broadpeak file, got 10"),
        ("a.bed", "one\t0\t9\ta\none\t0\t9\t.\n", "line 2: the name is the label, got '.': fill it in"),
        ("a.bed", "one\tstart\tend\n", "got 'start' in line 1: a line of column names begins with '#'"),
    ],
)
def test_peaks_and_names_that_are_wrong(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read(folder, name)


def test_tabs_at_the_end_of_a_line_are_no_columns(folder: Path) -> None:
    (folder / "b.bed").write_text(BED.replace("\n", "\t\t\r\n", 1))
    assert read(folder, "b.bed").sequences == read(folder).sequences


def test_names_of_intervals() -> None:
    assert [is_bed(name) for name in ("a.BED.gz", "p.narrowPeak.bgz", "b.broadpeak", "bed", "a.bed.fa")] == [
        *(True, True, True, False, False)
    ]
