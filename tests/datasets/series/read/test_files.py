"""Reading and writing files; the Monash format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_datasets.series import read_series, read_table, to_records, write_table

TSF = """# a comment
@relation Small
@attribute series_name string
@attribute start_timestamp date
@frequency half_hourly
@horizon 2
@missing true
@equallength false
@data
T1:2012-01-01 00-00-00:1.0,?,3.5,4
T2:2012-02-01 12-30-00:7,8
"""


def test_tsf(tmp_path: Path) -> None:
    (tmp_path / "a.tsf").write_text(TSF)
    first, second = to_records(tmp_path / "a.tsf").records
    np.testing.assert_array_equal(first.target, [1, np.nan, 3.5, 4])
    assert (first.item_id, first.freq, first.start) == ("T1", "30min", pd.Timestamp("2012-01-01"))
    assert (second.item_id, second.length, second.start) == ("T2", 2, pd.Timestamp("2012-02-01 12:30"))


def test_tsf_monthly_and_undated(tmp_path: Path) -> None:
    (tmp_path / "m.tsf").write_text(TSF.replace("half_hourly", "monthly"))
    assert [r.start.day for r in read_series(tmp_path / "m.tsf").records] == [1, 1]
    undated = TSF.replace("@attribute start_timestamp date\n", "").replace("2012-01-01 00-00-00:", "")
    (tmp_path / "u.tsf").write_text(undated.replace("2012-02-01 12-30-00:", ""))
    panel = read_series(tmp_path / "u.tsf")
    assert panel.time.kind == "ordinal" and panel.records[0].length == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("half_hourly", "lunar", "line 5: frequency 'lunar' is unknown"),
        ("T1:2012-01-01 00-00-00:", "T1:", "line 10: expected 2 attributes"),
        ("3.5", "x", "line 10: values must be numbers"),
        ("2012-01-01 00-00-00", "first", "line 10: a start must look like"),
        ("T2", "T1", "series 'T1' came before"),
        ("@data", "", "holds no series"),
    ],
)
def test_tsf_errors(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "a.tsf").write_text(TSF.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_series(tmp_path / "a.tsf")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_tables_round_trip_and_leave_nothing_behind(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"item_id": ["a", "b"], "target": np.random.default_rng(0).normal(size=2)})
    write_table(frame, tmp_path / "deep" / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / "deep" / name), frame, check_exact=True)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == [name]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = write_table(pd.DataFrame({"a": [1]}), tmp_path / "a.parquet")
    before = path.read_bytes()
    with pytest.raises(Exception, match=r"not|Conversion|convert"):
        write_table(pd.DataFrame({"a": [1, object()]}), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_latin_1_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        "item_id,timestamp,target\nCafé,2024-01-01,1\nCafé,2024-01-02,2\n".encode("latin-1")
    )
    panel = read_series(tmp_path / "a.csv")
    assert panel.item_ids == ["Café"] and panel.notes == ["a.csv is not UTF-8 and was read as latin-1"]


def test_file_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/no\.csv does not exist.*builtin:weather"):
        read_table(tmp_path / "no.csv")
    with pytest.raises(ValueError, match=r"expected a name ending in \.csv"):
        read_table(tmp_path / "a.docx")
    for name in ("a.docx", "a.xlsx", "a.feather", "a.tsv"):
        with pytest.raises(ValueError, match=r"a name (ending|that ends) in \.csv"):
            write_table(pd.DataFrame(), tmp_path / name)
    for content, message in (
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("\n", "no columns"),
        ("a\n1,2\n1,2,3\n", "not a table"),
    ):
        (tmp_path / "bad.csv").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_table(tmp_path / "bad.csv")


def test_importing_is_cheap() -> None:
    code = (
        "import sys, titans_datasets.series, titans_datasets.builtin;"
        "assert not {'torch', 'lightning', 'pandas'} & {*sys.modules}, sorted(sys.modules);"
        "from titans_datasets.series import WindowStore, to_records; assert 'lightning' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
