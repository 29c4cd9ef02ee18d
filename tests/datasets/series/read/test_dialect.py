"""Text tables with other separators and decimal marks, and other kinds of files."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import SeriesSchema, SeriesWarning, read_series, read_table, to_records
from titans_datasets.series.read import files
from titans_datasets.series.read.files import read_table_with_notes

DAYS = pd.date_range("2022-01-01", periods=40)
VALUES = np.random.default_rng(0).uniform(-9999, 9999, 40).round(2)


def german(value: float, thousands: str = "") -> str:
    return f"{value:,.2f}".replace(",", "t").replace(".", ",").replace("t", thousands)


def written(folder: Path, text: str, name: str = "a.csv", encoding: str = "utf-8") -> tuple[pd.DataFrame, list[str]]:
    (folder / name).write_bytes(text.encode(encoding))
    return read_table_with_notes(folder / name)


def column(folder: Path, *texts: str, separator: str = ";") -> tuple[list[float], str]:
    """Numbers of a column with these texts, and the notes."""
    lines = [f"2022-01-{day + 1:02d}{separator}{text}" for day, text in enumerate(texts)]
    frame, notes = written(folder, "\n".join([f"d{separator}y", *lines]) + "\n")
    return frame["y"].tolist(), "; ".join(notes)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("thousands", ["", ".", "'", " ", "\u00a0"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_decimal_commas(tmp_path: Path, separator: str, thousands: str, encoding: str) -> None:
    rows = [f"{day:%d.%m.%Y}{separator}{german(value, thousands)}" for day, value in zip(DAYS, VALUES, strict=True)]
    frame, notes = written(tmp_path, "\r\n".join([f"Tag{separator}Größe", *rows]) + "\r\n", encoding=encoding)
    assert frame.columns.tolist() == ["Tag", "Größe"]
    np.testing.assert_array_equal(frame["Größe"], VALUES)
    assert any("separated by" in note for note in notes) and any("decimal commas: 'Größe'" in note for note in notes)


def test_a_german_file_gives_the_series_of_an_international_one(tmp_path: Path) -> None:
    frame = pd.DataFrame({"Tag": DAYS.strftime("%d.%m.%Y"), "Besuche": VALUES, "Ort": "Ulm"})
    frame.to_csv(tmp_path / "de.csv", sep=";", decimal=",", index=False)
    schema = SeriesSchema(timestamp_column="Tag", target_column="Besuche")
    panel = read_series(tmp_path / "de.csv", schema)
    np.testing.assert_array_equal(panel.records[0].target, VALUES)
    assert panel.records[0].start == DAYS[0] and len(panel.notes) == 3


def test_a_comma_separated_file_is_read_as_ever(tmp_path: Path) -> None:
    frame, notes = written(tmp_path, 'd,y,note\n2022-01-01,1.234,"a; b"\n2022-01-02,5,"c; d"\n')
    assert notes == [] and frame["y"].tolist() == [1.234, 5.0] and frame["note"].tolist() == ["a; b", "c; d"]


@pytest.mark.parametrize(
    ("texts", "numbers", "said"),
    [
        (["1,5", "2.000,25"], [1.5, 2000.25], "decimal commas"),
        (["1,000.5", "2,000.25"], [1000.5, 2000.25], "decimal points"),
        (["1.234.567", "2.345.678"], [1234567, 2345678], "decimal commas"),
        (["1,234,567", "2,345,678"], [1234567, 2345678], "decimal points"),
        # One mark before three digits: thousands where smaller numbers have none, or zeros lead.
        (["1.234", "345", "12.345"], [1234, 345, 12345], "'1.234' as 1234, not 1.234"),
        (["1.234", "0.345"], [1.234, 0.345], "separated by semicolons"),
        (["0,345", "1,234"], [0.345, 1.234], "decimal commas"),
        (["1.234", "2.345"], [1.234, 2.345], "'1.234' as 1.234, not 1234"),
        (["1,234", "2,345"], [1.234, 2.345], "'1,234' as 1.234, not 1234"),
        (["1,234", "1234"], [1.234, 1234], "'1,234' as 1.234, not 1234"),
        (["-1,5", "+2,5", "3"], [-1.5, 2.5, 3], "decimal commas"),
        (["1 234", "12'345", "7"], [1234, 12345, 7], "'1 234' as 1234"),
        (["1,5", "", "n/a", "-"], [1.5, np.nan, np.nan, np.nan], "'-' in 'y' was read as a missing value"),
    ],
)
def test_marks_are_decided_by_the_whole_column(
    tmp_path: Path, texts: list[str], numbers: list[float], said: str
) -> None:
    found, notes = column(tmp_path, *texts)
    np.testing.assert_array_equal(found, numbers)
    assert said in notes


def test_marks_are_decided_by_the_whole_file(tmp_path: Path) -> None:
    frame, notes = written(tmp_path, "d;y;z\n2022-01-01;1.234;1,5\n2022-01-02;2.345;2,5\n")
    assert frame["y"].tolist() == [1234, 2345] and "'y' ('1.234' as 1234)" in notes[1]
    frame, notes = written(tmp_path, "d;y\n01.01.2022;1.234\n02.01.2022;2.345\n")
    assert frame["y"].tolist() == [1234, 2345] and "the dates have points" in notes[1]


def test_contradicting_marks_stay_text(tmp_path: Path) -> None:
    frame, _ = written(tmp_path, "timestamp;target\n2022-01-01;1,5\n2022-01-02;2.5\n")
    with pytest.raises(TypeError, match=r"target 'target' must be numeric.*'1,5', '2.5'"):
        to_records(frame)


def test_quoted_numbers_of_a_comma_separated_file(tmp_path: Path) -> None:
    assert column(tmp_path, '"1.234,5"', '"0,5"', separator=",")[0] == [1234.5, 0.5]
    assert column(tmp_path, '"1,234.5"', '"0.5"', separator=",")[0] == [1234.5, 0.5]
    assert column(tmp_path, "1'234.5", "0.5", separator=",")[0] == [1234.5, 0.5]
    assert column(tmp_path, "1.234.567", "2.345", separator=",")[0] == [1234567, 2345]
    found, notes = column(tmp_path, '"1,234"', '"2,345"', separator=",")
    assert found == [1234, 2345] and "not 1.234" in notes


def test_spaces_around_names_are_left_out(tmp_path: Path) -> None:
    frame, notes = written(tmp_path, "d, y\n2022-01-01, 1.5\n")
    assert frame.columns.tolist() == ["d", "y"] and notes == [
        "spaces around the names of columns of a.csv were left out"
    ]
    frame, notes = written(tmp_path, "d ; y \n2022-01-01 ; 1,5 \n")
    assert frame["y"].tolist() == [1.5] and len(notes) == 3


def test_cells_with_separators_and_lines(tmp_path: Path) -> None:
    frame, _ = written(tmp_path, 'd;n;y\n2022-01-01;"a; b\nc";1,5\n2022-01-02;d, e;2,5\n')
    assert frame["n"].tolist() == ["a; b\nc", "d, e"] and frame["y"].tolist() == [1.5, 2.5]
    frame, _ = written(tmp_path, "sep=;\nd;y\n2022-01-01;1,5\n")
    assert frame.columns.tolist() == ["d", "y"] and frame["y"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("d;y\n2022-01-01;1,5\n2022-01-02\n", "looks separated by semicolons, but row 3 has 1 fields and the header 2"),
        ("d|y\n2022-01-01|1|2\n", "looks separated by pipes, but row 2 has 3 fields"),
        ("d,y\n2022-01-01,1,5\n2022-01-02,2,5\n", "more fields than its header.*decimal commas need semicolons"),
    ],
)
def test_a_file_is_not_read_wrongly(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        written(tmp_path, text)


def test_read_table_warns_of_what_it_decided(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("d;y\n2022-01-01;1,5\n")
    with pytest.warns(SeriesWarning, match="separated by semicolons; numbers were read with decimal commas"):
        assert read_table(tmp_path / "a.csv")["y"].tolist() == [1.5]


def test_other_kinds_of_files(tmp_path: Path) -> None:
    frame = pd.DataFrame({"item_id": "a", "timestamp": DAYS, "target": VALUES})
    numbered = frame.assign(timestamp=DAYS.strftime("%Y%m%d").astype(int))
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "a.txt", sep="|", index=False)
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress((tmp_path / "a.tsv").read_bytes()))
    frame.to_feather(tmp_path / "a.feather")
    numbered.to_feather(tmp_path / "a.arrow")
    numbered.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    for name in ("a.tsv", "a.txt", "a.tsv.gz", "a.feather", "a.arrow", "a.jsonl"):
        record = read_series(tmp_path / name).records[0]
        np.testing.assert_array_equal(record.target, VALUES)
        assert list(record.index) == list(DAYS)


def test_excel(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    frame = pd.DataFrame({"item_id": "a", "timestamp": DAYS, "target": VALUES})
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        frame.to_excel(book, sheet_name="sales", index=False)
        frame.to_excel(book, sheet_name="more", index=False)
    panel = read_series(tmp_path / "a.xlsx")
    np.testing.assert_array_equal(panel.records[0].target, VALUES)
    assert panel.notes == ["of a.xlsx the sheet 'sales' was read, not 'more'"]
    (tmp_path / "b.xlsx").write_text("no workbook")
    with pytest.raises(ValueError, match=r"b\.xlsx is not an Excel file"):
        read_table(tmp_path / "b.xlsx")


def test_excel_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'titans-ts\[excel\]'"):
        read_table(tmp_path / "a.xlsx")


def test_excel_is_not_imported_for_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("d,y\n2022-01-01,1.5\n")
    code = (
        "import sys; from titans_datasets.series import read_table; read_table(sys.argv[1]);"
        "assert not {'openpyxl', 'polars'} & {*sys.modules}"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.csv")]
    subprocess.run(command, check=True, env={"PYTHONPATH": ":".join(sys.path)})
