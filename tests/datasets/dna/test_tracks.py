"""bedGraph and bigWig of intervals, and tracks that cannot be."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titans_datasets.dna import write_track
from titans_datasets.dna.tracks import bases_of

LENGTHS = {"chr10": 50, "chr2": 90}
INTERVALS = pd.DataFrame({"chrom": ["chr2", "chr10", "chr2"], "start": [30, 0, 5], "end": [40, 50, 30]})


def test_a_bedgraph_is_sorted_and_without_missing_values(tmp_path: Path) -> None:
    write_track(tmp_path / "a.bedgraph", INTERVALS, [0.5, np.nan, 1 / 3], LENGTHS, name='a "b"')
    lines = (tmp_path / "a.bedgraph").read_text().splitlines()
    assert lines == ["track type=bedGraph name=\"a 'b'\"", "chr2\t5\t30\t0.333333", "chr2\t30\t40\t0.5"]


@pytest.mark.parametrize("name", ["a.bw", "a.bigWig"])
def test_a_bigwig_has_the_same_values(tmp_path: Path, name: str) -> None:
    pybigwig = pytest.importorskip("pyBigWig")
    write_track(tmp_path / name, INTERVALS, [0.5, 0.25, 1.0], LENGTHS)
    with pybigwig.open(str(tmp_path / name)) as file:
        assert file.chroms() == LENGTHS
        assert file.intervals("chr2") == ((5, 30, 1.0), (30, 40, 0.5))
        assert file.values("chr10", 0, 50) == [0.25] * 50
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.bw", "a.bedgraph"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end": [40, 50, 31]}, "chr2:5-31 and chr2:30-40 overlap, as 1 pairs"),
        ({"chrom": ["chr2", "chrX", "chr2"]}, "chrX of chrX:0-50 is not among the contigs"),
        ({"end": [40, 51, 30]}, "chr10 of chr10:0-51 has 50 bases"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str, change: dict[str, Any], message: str) -> None:
    if name == "a.bw":
        pytest.importorskip("pyBigWig")
    with pytest.raises(ValueError, match=message):
        write_track(tmp_path / name, INTERVALS.assign(**change), [1, 2, 3], LENGTHS)
    assert not [*tmp_path.iterdir()]


def test_values_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one value for each of 3 intervals"):
        write_track(tmp_path / "a.bedgraph", INTERVALS, [1, 2], LENGTHS)
    with pytest.raises(ValueError, match="no value to write"):
        write_track(tmp_path / "a.bedgraph", INTERVALS, [np.nan] * 3, LENGTHS)


def test_a_missing_package_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "pyBigWig":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ValueError, match=r'pip install "titans-ts\[bigwig\]"'):
        write_track(tmp_path / "a.bw", INTERVALS, [1, 2, 3], LENGTHS)


def test_bases_are_in_reading_order() -> None:
    frame = pd.DataFrame({"chrom": ["1", "2"], "start": [4, 0], "end": [6, 2], "strand": ["-", "+"]})
    found = bases_of(frame)
    assert found.to_dict("list") == {"chrom": ["1", "1", "2", "2"], "start": [5, 4, 0, 1], "end": [6, 5, 1, 2]}
    assert bases_of(frame.drop(columns="strand"))["start"].tolist() == [4, 5, 0, 1]
