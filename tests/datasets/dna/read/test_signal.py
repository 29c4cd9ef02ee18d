"""Numbers of sequences and of bases: tracks over intervals, lists in tables, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.dna.read.intervals import Places, read_intervals
from titans_datasets.dna.read.labelled import Columns
from titans_datasets.dna.read.measured import Tracks, read_measured
from titans_datasets.dna.read.signal import open_signal
from titans_datasets.dna.tracks import write_track

COLUMNS = Columns("sequence", "target", None, None)
VALUES = {"one": np.arange(60) / 4, "two": -np.arange(40.0)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "g.fa").write_text(">one\n" + "ACGTT" * 12 + "\n>two\n" + "GGATC" * 8 + "\n")
    (tmp_path / "a.bed").write_text("one\t5\t15\t.\t1\t+\ntwo\t30\t40\t.\t2\t-\n")
    lines = [f"{name}\t{i}\t{i + 1}\t{x}" for name, row in VALUES.items() for i, x in enumerate(row.tolist())]
    (tmp_path / "s.bedGraph").write_text("track type=bedGraph\n#x\n" + "\n".join(lines[::-1]) + "\n")
    return tmp_path


def tracked(folder: Path, *files: str, uncovered: str = "error", per_base: bool = True) -> Any:
    tracks = Tracks(tuple(str(folder / file) for file in files), uncovered)
    return read_measured(str(folder / "a.bed"), COLUMNS, Places(str(folder / "g.fa")), per_base=per_base, tracks=tracks)


def test_values_follow_the_strand(folder: Path) -> None:
    found = tracked(folder, "s.bedGraph")
    assert found.names == ["s"] and found.numbers[0][:, 0].tolist() == VALUES["one"][5:15].tolist()
    assert found.numbers[1][:, 0].tolist() == VALUES["two"][30:40][::-1].tolist()
    whole = tracked(folder, "s.bedGraph", per_base=False)
    assert whole.numbers.tolist() == [[VALUES["one"][5:15].mean()], [VALUES["two"][30:40].mean()]]
    train, test = found.by_chromosome("two", 0)
    assert train.data.ids == ["one:5-15(+)"] and test.numbers[0].tolist() == found.numbers[1].tolist()
    assert test.data.name.endswith("a.bed on two") and list(test.targets()[0].columns) == ["s"]


def test_a_bigwig_has_the_values_of_its_bedgraph(folder: Path) -> None:
    pytest.importorskip("pyBigWig")
    placed = read_intervals(str(folder / "a.bed"), Places(str(folder / "g.fa")))
    write_track(folder / "s.bw", placed.frame, [0.5, 2.0], {"one": 60, "two": 40})
    write_track(folder / "s.bg", placed.frame, [0.5, 2.0], {"one": 60, "two": 40})
    both = [open_signal(folder / name, ["one"]).values("one", 3, 18) for name in ("s.bw", "s.bg")]
    np.testing.assert_array_equal(*both)
    assert np.isnan(both[0][:2]).all() and both[0][2] == 0.5
    write_track(folder / "t.bw", placed.frame.iloc[:1], [0.5], {"one": 61})
    with pytest.raises(ValueError, match=r"no values on two, where 1 of 2 intervals of .*a.bed lie"):
        tracked(folder, "t.bw")
    with pytest.raises(ValueError, match="one has 61 bases, in the genome it has 60: the track is of another assembly"):
        tracked(folder, "t.bw", uncovered="zero")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one 1 2 NA", "line 1: expected chrom, start, end .* and a number, got 'one 1 2 NA'"),
        ("one 1 2 inf", "got 'one 1 2 inf'"),
        ("one 2 2 1", "got 'one 2 2 1'"),
        ("one 1 9 1\n\none 8 10 2", "lines 1 and 3: two values for one:8-9"),
        ("one 0 60 1", "no values on two"),
        ("chrone 0 60 1", "no name is shared: one, two here, chrone in the track: write both with 'chr'"),
        ("one 0 12 1\ntwo 0 40 1", "line 1: 3 of the 10 bases of one:5-15 have no value"),
    ],
)
def test_tracks_that_do_not_fit(folder: Path, text: str, message: str) -> None:
    (folder / "b.bg").write_text(text.replace(" ", "\t") + "\n")
    with pytest.raises(ValueError, match=message):
        tracked(folder, "b.bg")


def test_bases_without_a_value_are_zeros_on_request(folder: Path) -> None:
    (folder / "b.bdg").write_text("one\t0\t12\t2\n")
    found = tracked(folder, "b.bdg", uncovered="zero")
    assert found.numbers[0][:, 0].tolist() == [2.0] * 7 + [0.0] * 3 and not found.numbers[1].any()


def table(path: Path, *cells: str, per_base: bool = True) -> Any:
    rows = "\n".join(f'ACGT,"{cell}"' for cell in cells)
    path.write_text(f"sequence,target\n{rows}\n")
    return read_measured(str(path), COLUMNS, per_base=per_base)


def test_lists_of_a_table(tmp_path: Path) -> None:
    found = table(tmp_path / "a.csv", "1,2,3,4", "[0.5, -1, 1e3, .5]", "1 2;3 4")
    assert [one[:, 0].tolist() for one in found.numbers] == [[1, 2, 3, 4], [0.5, -1, 1000, 0.5], [1, 2, 3, 4]]
    pd.DataFrame({"sequence": ["ACGT"], "target": [[1.0, 2, 3, 4]]}).to_parquet(tmp_path / "a.parquet")
    assert read_measured(str(tmp_path / "a.parquet"), COLUMNS, per_base=True).numbers[0][3, 0] == 4


@pytest.mark.parametrize(
    ("cells", "per_base", "message"),
    [
        (("1,2,3,4", "1,2,3"), True, "row 2: expected 4 numbers, one per base, got 3"),
        (("1,2,3,NA",), True, "row 1: expected numbers of bases as in 0.5,1,0, got 'NA' at base 3"),
        (("1", "TRUE"), False, "column 'target', row 2: expected a number, got 'TRUE': fill it in"),
        (("1", "nan"), False, "row 2: expected a number, got 'nan'"),
        (("0,5", "1"), False, "row 1: expected a number, got '0,5': write a decimal point, or give --per-base"),
    ],
)
def test_numbers_that_are_none(tmp_path: Path, cells: tuple[str, ...], per_base: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(tmp_path / "a.csv", *cells, per_base=per_base)


def test_intervals_have_one_number_or_tracks(folder: Path) -> None:
    source, places = str(folder / "a.bed"), Places(str(folder / "g.fa"), label="score")
    assert read_measured(source, COLUMNS, places).numbers.tolist() == [[1.0], [2.0]]
    with pytest.raises(ValueError, match="numbers of its bases come from a track"):
        read_measured(source, COLUMNS, places, per_base=True)
    with pytest.raises(ValueError, match="intervals have one number, the score, got the columns a, b"):
        read_measured(source, COLUMNS._replace(label="a,b"), places)
    with pytest.raises(ValueError, match="two are s, s: rename a file"):
        tracked(folder, "s.bedGraph", "s.bedGraph")
    with pytest.raises(ValueError, match="has places, no letters"):
        read_measured(source, COLUMNS, tracks=Tracks(("s.bg",)))
