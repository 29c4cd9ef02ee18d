"""Finding and downloading benchmark files, against a server on this machine."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from titans_datasets.data_folder import cache_folder
from titans_datasets.series import fetch
from titans_datasets.series.public.catalogue import FILES, DataFile
from titans_datasets.series.public.fetching import shape_of

CSV = b"date,a,b\r\n2020-01-01,1,2\r\n2020-01-02,3,4\r\n"
TSF = b"@attribute series_name string\n@data\n# comment\nT1:1,2\n\nT2:3,4\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TITANS_TS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TITANS_TS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Address of a server, and what it serves by path."""
    pages: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            # The promise of a longer body than is sent is what a broken connection looks like.
            self.send_header("Content-Length", str(len(page or b"") + 100 * self.path.endswith("broken.csv")))
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", pages
        http.shutdown()
        thread.join()


def entry(monkeypatch: pytest.MonkeyPatch, address: str, place: str = "set/small.csv", **fields: object) -> DataFile:
    file = DataFile(address, (place, place.partition("/")[2]), "https://example.org", "nobody, CC0")._replace(**fields)
    monkeypatch.setitem(FILES, "small", file)
    return file


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("place", ["data/set/small.csv", "data/small.csv.gz", "cache/set/small.csv"])
def test_accepted_places(folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    entry(monkeypatch, "http://127.0.0.1:1/never")
    path = folder / place
    path.parent.mkdir(parents=True)
    path.write_bytes(CSV)
    assert fetch("small", download=True) == path


def test_the_data_folder_comes_before_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(monkeypatch, "http://127.0.0.1:1/never")
    for place in ("cache/set/small.csv", "data/small.csv"):
        (folder / place).parent.mkdir(parents=True)
        (folder / place).write_bytes(CSV)
    assert fetch("small") == folder / "data" / "small.csv"


def test_a_missing_file_says_everything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        fetch("ETTh1")
    said = str(caught.value)
    for part in (
        "get it from https://github.com/zhouhaoyi/ETDataset",
        FILES["ETTh1"].address,
        "CC BY-ND 4.0",
        f"put it at {folder / 'data' / 'ett' / 'ETTh1.csv'}",
        f"downloaded to {folder / 'cache' / 'ett' / 'ETTh1.csv'}",
        "fetch('ETTh1', download=True)",
        "ett/ETTh1.csv, ETT-small/ETTh1.csv, ETTh1.csv, each also with .gz",
        "which is no folder",
    ):
        assert part in said
    monkeypatch.delenv("TITANS_TS_DATA")
    with pytest.raises(FileNotFoundError, match=r"<folder>/ett/ETTh1\.csv and set TITANS_TS_DATA to <folder>"):
        fetch("ETTh1")


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"unknown file 'm4:Hourly': did you mean 'm4:Hourly-t.*choose among ETTh1, "):
        fetch("m4:Hourly")


def test_cache_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == folder / "cache"
    monkeypatch.delenv("TITANS_TS_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    assert cache_folder() == folder / "titans-ts"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(folder / "local"))
    assert cache_folder() == folder / "local" / "titans-ts"


def test_shape_of(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV + b"\n")
    (tmp_path / "a.tsf").write_bytes(TSF)
    assert shape_of(tmp_path / "a.csv") == (2, 2) and shape_of(tmp_path / "a.tsf") == (2, None)


def test_without_pooch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'needs pooch: pip install "titans-ts\[data\]", or get it from https://'):
        fetch("ETTh1", download=True)
    assert files_below(folder) == []


Server = tuple[str, dict[str, bytes]]


def test_download_with_a_checksum(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    pytest.importorskip("pooch")
    address, pages = server
    pages["/a.csv"] = CSV
    # With a checksum the shape is not looked at.
    entry(monkeypatch, f"{address}/a.csv", sha256=hashlib.sha256(CSV).hexdigest(), rows=99)
    path = fetch("small", download=True)
    assert path == folder / "cache" / "set" / "small.csv" and path.read_bytes() == CSV
    assert files_below(folder) == ["cache/set/small.csv"]
    pages.clear()
    assert fetch("small") == path


def test_download_of_an_archive(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    pytest.importorskip("pooch")
    address, pages = server
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside.tsf", TSF)
    pages["/a.zip"] = packed.getvalue()
    entry(monkeypatch, f"{address}/a.zip", "monash/small.tsf", rows=2)
    assert fetch("small", download=True).read_bytes() == TSF
    assert files_below(folder) == ["cache/monash/small.tsf"]


@pytest.mark.parametrize(
    ("page", "fields", "message"),
    [
        ("a.csv", {"sha256": "0" * 64}, rf"small: .*expected {'0' * 64} but got {hashlib.sha256(CSV).hexdigest()}"),
        ("a.csv", {"rows": 3, "columns": 2}, "expected 3 rows × 2 value columns, got 2 rows × 2 value columns"),
        ("a.csv", {"rows": 2, "columns": 5}, "expected 2 rows × 5 value columns, got 2 rows × 2 value columns"),
        ("empty.csv", {}, "sent no data; the download was discarded"),
        ("fake.zip", {}, "sent no zip archive"),
        ("two.zip", {}, "should hold one .tsf file"),
        ("broken.csv", {}, r"could not download small from .*broken.csv: .*by hand and put it at .*small.csv"),
        ("absent.csv", {}, r"could not download small from .*404"),
    ],
)
def test_a_wrong_download_leaves_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    page: str,
    fields: dict[str, object],
    message: str,
) -> None:
    pytest.importorskip("pooch")
    address, pages = server
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1.tsf", TSF)
        archive.writestr("2.tsf", TSF)
    pages.update({"/a.csv": CSV, "/empty.csv": b"", "/fake.zip": CSV, "/two.zip": packed.getvalue()})
    pages["/broken.csv"] = CSV
    entry(monkeypatch, f"{address}/{page}", **fields)
    with pytest.raises((ValueError, OSError), match=message):
        fetch("small", download=True)
    assert files_below(folder) == []
