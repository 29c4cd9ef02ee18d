"""The file itself: self-contained, safe, readable without its pictures, written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.common import HOSTILE, data_of, read
from titans_ts.report import check_report, page
from titans_ts.report.elements import embedded, label, name, text
from titans_ts.report.page import HTMLReport, Page, library
from titans_ts.report.tables import best_rows, data_table, metric_table


def small(title: str = "Sales", item: str = "a") -> HTMLReport:
    made = Page(title, "one series")
    made.section("A section")
    axis = made.axis(["2024-01-01", "2024-01-02"])
    track = {"name": "history", "role": "history", "axis": axis, "at": 0, "values": [1, None]}
    made.add(made.chooser([{"name": item, "text": item, "tracks": [track]}], "Series", x="", y=label(item)))
    return made.finished()


def test_a_file_needs_nothing_from_outside() -> None:
    found = small().to_html()
    rest = found.replace(library(), "")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", rest)
    assert "http" not in rest.split('id="report-data"')[0].replace('http-equiv="Content-Security-Policy"', "")
    assert "@import" not in rest and "url(" not in rest
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', found)
    assert policy and policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy[1].split(";")[1]


def test_only_scripts_of_the_report_are_run() -> None:
    found = small().to_html()
    scripts = re.findall(r"<script>(.*?)</script>", found, flags=re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        named = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{named}'" in found
    assert "\r" not in "".join(scripts)


def test_a_page_without_charts_has_no_library() -> None:
    assert len(Page("Empty", "").finished().to_html()) < 60_000


@pytest.mark.parametrize("evil", HOSTILE)
def test_markup_in_names_is_text(evil: str) -> None:
    plain, found = read(small().to_html()), read(small(evil, evil).to_html())
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    for _, attributes in found.tags:
        assert not [key for key in attributes if key.startswith("on")]
    item = data_of(small(evil, evil).to_html())["charts"]["chart0"]["items"][0]
    assert item["name"] == evil


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_escaped_and_readable(value: str) -> None:
    written = text(value)
    assert not set(written) & set("<>\"'")
    assert "&" not in html.unescape(re.sub(r"&(#x?\w+|\w+);", "", written)) or "&" in value
    written.encode()
    inside = embedded({"x": value})
    assert not set(inside) & set("<>&\u2028\u2029")
    inside.encode()


def test_names_have_their_own_direction() -> None:
    assert name("متجر") == "<bdi>متجر</bdi>"


def test_a_page_can_be_read_aloud() -> None:
    found = read(small().to_html())
    tags = dict((tag, attributes) for tag, attributes in found.tags)
    assert tags["html"]["lang"] == "en"
    assert tags["meta"] and found.count("h1") == 1 and found.count("main") == 1 and found.count("noscript") == 1
    charts = [attributes for _, attributes in found.tags if attributes.get("role") == "img"]
    assert charts and all("aria-labelledby" in one or "aria-label" in one for one in charts)


def test_tables_have_captions_and_scopes() -> None:
    frame = pd.DataFrame({"shop": ["a", "b"], "MAE": [1.5, float("nan")], "when": pd.to_datetime(["2024-01-01"] * 2)})
    found = read(data_table(frame, "Errors."))
    heads = [attributes for tag, attributes in found.tags if tag == "th"]
    assert found.count("caption") == 1
    assert [one["scope"] for one in heads] == ["col"] * 3 + ["row"] * 2
    assert "Errors." in found.text and "–" in found.text


def test_long_tables_say_what_is_left_out() -> None:
    frame = pd.DataFrame({"shop": range(900), "MAE": 1.0})
    found = read(data_table(frame, "Errors.", most=50))
    assert found.count("tr") == 51 and "first 50 of 900 rows" in found.text


def test_best_scores_are_marked() -> None:
    frame = pd.DataFrame(
        {"MASE": [0.5, 0.4], "mcc": [0.9, 0.1], "coverage 90%": [0.91, 0.8]}, index=["titans", "theta"]
    )
    assert [best_rows(frame[column], column) for column in frame] == [{1}, {0}, {0}]
    assert metric_table(frame, "Scores.").count("★") == 3
    assert best_rows(pd.Series([float("nan")] * 2), "MASE") == set()


def test_a_report_replaces_a_file_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "out.html"
    returned = small().to_html(file)
    assert file.read_text(encoding="utf-8") == returned
    assert [one.name for one in file.parent.iterdir()] == ["out.html"]


def test_what_cannot_be_written_is_one_line_with_the_callers_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.html"
    file.write_text("old")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "somewhere")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError) as error:
        small().to_html(file)
    assert str(file) in str(error.value) and "cannot be written" in str(error.value) and "\n" not in str(error.value)
    assert file.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_paths_are_checked_before_time_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_report(None)
    check_report(tmp_path / "deep" / "er" / "out.HTM")
    with pytest.raises(ValueError, match=r"must end in \.html or \.htm, got '.*out\.pdf'"):
        check_report(tmp_path / "out.pdf")
    (tmp_path / "a.html").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        check_report(tmp_path / "a.html")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="not yours to write to"):
        check_report(tmp_path / "out.html")


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    library.cache_clear()
    try:
        with pytest.raises(ImportError, match="pip install plotly"):
            small().to_html()
    finally:
        library.cache_clear()
    monkeypatch.setattr(page, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install plotly"):
        check_report(tmp_path / "out.html")


def test_importing_reports_is_cheap() -> None:
    code = "import sys, titans_ts.report; print([m for m in ('torch', 'plotly', 'pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_paths())
    assert out.stdout.strip() == "[]"


def _paths() -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(str(root / part) for part in (".", "kernels", "datasets", "recipes", "cli"))
    return {**os.environ, "PYTHONPATH": paths}


def test_a_notebook_shows_a_report_in_a_frame_of_its_own() -> None:
    shown = small(item=HOSTILE[0])._repr_html_()
    found = read(shown)
    assert [tag for tag, _ in found.tags] == ["iframe"]
    attributes = found.tags[0][1]
    assert "allow-same-origin" not in (attributes["sandbox"] or "")
    assert (attributes["srcdoc"] or "").startswith("<!doctype html>")
