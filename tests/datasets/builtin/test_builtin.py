"""The data sets inside the package: their files, their sources, what they hold."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pandas as pd
import pytest

from titans_datasets import builtin
from titans_datasets.builtin import load_dna, load_orchids
from titans_datasets.series import SeriesSchema, read_table, to_records

FOLDER = Path(builtin.__file__).parent


def test_weather_is_three_airports_with_gaps() -> None:
    frame = builtin.load_weather()
    assert len(frame) == 26_115 and list(frame.item_id.unique()) == ["EWR", "JFK", "LGA"]
    panel = to_records("builtin:weather")
    assert panel.frequency.offset_alias == "h" and [record.length for record in panel.records] == [8730] * 3
    assert panel.notes == ["3 items had 75 missing steps, now marked missing"]
    assert sum(record.length - record.observed_length() for record in panel.records) == 76
    assert panel.records[0].past_feat_dynamic_real is not None


def test_air_passengers() -> None:
    frame = builtin.load_air_passengers()
    assert len(frame) == 144 and frame.target.iloc[[0, -1]].tolist() == [112, 432]
    record = to_records("builtin:air_passengers").records[0]
    assert (record.freq, record.length, record.start) == ("MS", 144, pd.Timestamp("1949-01-01"))


@pytest.mark.parametrize("name", builtin.names())
def test_series_are_those_of_the_sources(name: str) -> None:
    found = builtin.describe(name)
    content = (FOLDER / found.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == found.sha256 and len(content) < 1_000_000
    assert found.sha256 in (FOLDER / "SOURCES.md").read_text(encoding="utf-8")
    pd.testing.assert_frame_equal(read_table(f"builtin:{name}"), builtin.load(name))


def test_another_target_of_a_builtin_set() -> None:
    assert to_records("builtin:weather", SeriesSchema(target_column="humid")).records[0].past_feat_dynamic_real is None


def test_unknown_builtin_set() -> None:
    with pytest.raises(ValueError, match="there are weather, air_passengers"):
        builtin.load("sunspots")


@pytest.mark.parametrize("name", builtin.names("dna"))
def test_dna_files_are_those_of_the_sources(name: str) -> None:
    path = builtin.dna_file(name)
    plain = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    sources = (FOLDER / "SOURCES.md").read_text(encoding="utf-8")
    assert any(path.name in line and plain in line for line in sources.splitlines())


def test_dna_sets_are_what_their_titles_say() -> None:
    assert [len(load_dna(name)[0]) for name in ("chloroplast", "phix174", "plasmid")] == [154_478, 5_386, 9_609]
    orchids = load_orchids()
    assert orchids["label"].value_counts().to_dict() == {
        "Paphiopedilum": 61,
        "Cypripedium": 17,
        "Phragmipedium": 15,
        "Mexipedium": 1,
    }
    assert orchids["sequence"].str.len().agg(["min", "max"]).tolist() == [572, 789]
    with pytest.raises(ValueError, match="there are chloroplast, phix174, plasmid, orchids"):
        load_dna("yeast")
    with pytest.raises(ValueError, match="no built-in DNA 'weather'"):
        load_dna("builtin:weather")


def test_an_altered_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titans_datasets.builtin.shipped._FOLDER", tmp_path)
    (tmp_path / "air_passengers.csv").write_text("item_id,timestamp,target\na,1949-01-01,1\n")
    with pytest.raises(ValueError, match="is not the file that was shipped"):
        builtin.load("air_passengers")
