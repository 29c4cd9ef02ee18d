"""Tables of sequences: cells as the file has them, rows with their lines, nothing guessed."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_datasets.dna import read_records, record_batches
from titans_datasets.dna.read.cells import numbers_or_text


def put(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("ids", [["007", "008"], ["1.10", "1.1"], ["1E5", "2E7"], ["NA", "x"], ["1", "", "3"], ["nan"]])
def test_names_are_the_text_of_the_file(tmp_path: Path, ids: list[str]) -> None:
    table = put(tmp_path / "a.csv", "id,sequence\n" + "".join(f"{name},ACGT\n" for name in ids))
    assert [record.id for record in read_records(table, id_column="id", label_column=None)] == ids
    assert [record.id for batch in record_batches(table, id_column="id", records=1) for record in batch] == ids


@pytest.mark.parametrize("label", ["NA", "None", "null", "nan", "n/a", "NaN", "01", "1E5", "+1", "-0", "1.0"])
def test_labels_that_look_like_something_else(tmp_path: Path, label: str) -> None:
    table = put(tmp_path / "a.csv", f"sequence,label\nACGT,HA\nACGG,{label}\n")
    assert [record.label for record in read_records(table)] == ["HA", label]


@given(st.lists(st.one_of(st.integers(-99, 99).map(str), st.floats(0, 9).map(str), st.text("019.eENa-", max_size=4))))
def test_labels_keep_their_spelling(cells: list[str]) -> None:
    found = numbers_or_text(cells)
    assert [str(value) for value in found] == cells and len({type(value) for value in found}) <= 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
def test_separators_and_line_ends(tmp_path: Path, name: str, separator: str, end: str) -> None:
    rows = [["id", "sequence", "label"], ["a b", "ACGT", "x"], [], ["b", " GG ", "y"], []]
    table = put(tmp_path / name, end.join(separator.join(row) for row in rows))
    assert read_records(table, id_column="id") == [("a b", "ACGT", "x"), ("b", "GG", "y")]
    bad = put(tmp_path / f"bad_{name}", end.join(separator.join(row) for row in [*rows, [], ["c", "", "z"]]))
    with pytest.raises(ValueError, match="line 7: column 'sequence' is empty"):
        read_records(bad)


def test_quotes(tmp_path: Path) -> None:
    table = put(tmp_path / "a.csv", '"id","sequence",note\n"a ""b"", c",ACGT,"two\nlines"\n5\'"UTR,GG,\n')
    assert read_records(table, id_column="id", label_column=None) == [
        ('a "b", c', "ACGT", None),
        ("5'\"UTR", "GG", None),
    ]
    for name, text, message in (
        (
            "b.csv",
            'sequence,label,note\nAC,1,"x\nGG,0,y\nTT,1,z"\nAA,0,\n',
            "line 2: a cell begins with a quote that ends in line 4",
        ),
        (
            "c.tsv",
            'sequence\tlabel\tnote\n\nAC\t1\t"x\nGG\t0\ty"\n',
            "line 3: a cell begins with a quote that ends in line 4",
        ),
        ("d.csv", 'sequence,label\nAC,1\n"GG,0\nTT,1\n', "line 4: unexpected end of data: close a quote"),
    ):
        with pytest.raises(ValueError, match=message):
            read_records(put(tmp_path / name, text))


def test_rows_of_another_width_and_columns_that_come_twice(tmp_path: Path) -> None:
    for text, message in (
        ("sequence,label\nAC,1\n\nGG\n", "line 4: expected 2 cells as in the header, got 1"),
        ("sequence,label\nx,AC,1\ny,GG,0\n", "line 2: expected 2 cells as in the header, got 3"),
        ("sequence,label,label\nAC,1,2\n", "has 2 columns 'label'"),
    ):
        with pytest.raises(ValueError, match=message):
            read_records(put(tmp_path / "a.csv", text))
    assert read_records(put(tmp_path / "b.csv", "sequence,label\nAC,1,\nGG,0,,\n"))[1] == ("1", "GG", 0)


def test_encodings(tmp_path: Path) -> None:
    text = "id,sequence,label\né,ACGT,ü\nè,GG,ö\n"
    expected = [("é", "ACGT", "ü"), ("è", "GG", "ö")]
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        (tmp_path / "a.csv").write_bytes(text.encode(encoding))
        assert read_records(tmp_path / "a.csv", id_column="id") == expected


def test_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["007", "NA"], "sequence": ["ACGT", "NA"], "label": ["NA", "HA"], "more": [1, 2]})
    frame.to_parquet(tmp_path / "a.parquet")
    expected = [("007", "ACGT", "NA"), ("NA", "NA", "HA")]
    assert read_records(tmp_path / "a.parquet", id_column="id") == expected
    (tmp_path / "a.parquet").rename(tmp_path / "hidden")
    assert read_records(tmp_path / "hidden", id_column="id") == expected
    assert [len(batch) for batch in record_batches(tmp_path / "hidden", records=1)] == [1, 1]
    with pytest.raises(ValueError, match="has no column 'seq', only id, sequence, label, more"):
        read_records(tmp_path / "hidden", sequence_column="seq")
    frame.assign(label=["a", None]).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="row 2: column 'label' is empty"):
        read_records(tmp_path / "b.parquet")
    frame.assign(sequence=[1, 2]).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="row 1: column 'sequence' must hold text, got 1"):
        read_records(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="is not a Parquet file"):
        read_records(put(tmp_path / "c.parquet", "sequence,label\n"))


def test_a_long_sequence(tmp_path: Path) -> None:
    table = put(tmp_path / "a.csv", f"sequence,label\n{'ACGT' * 50_000},1\n")
    assert len(read_records(table)[0].sequence) == 200_000


@pytest.mark.parametrize("text", [">x one\nACGT\n", "sequence;label\nACGT;1\n", "@x\nACGT\n+\nIIII\n"])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert [record.sequence for record in read_records("-")] == ["ACGT"]
    assert [record.sequence for batch in record_batches("-") for record in batch] == ["ACGT"]
