"""The files of the public benchmark sets: found in a folder of yours, in the cache, or downloaded into it.

Shapes: none.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

from titans_datasets.series.public.catalogue import FILES, DataFile
from titans_datasets.text import counted, lookup

VARIABLE = "TITANS_TS_DATA"
CACHE_VARIABLE = "TITANS_TS_CACHE"
_SECONDS = 60  # without an answer


def fetch(name: str, download: bool = False) -> Path:
    """The file of a benchmark set: in $TITANS_TS_DATA, else in the cache folder, else downloaded into the cache folder.

    Args:
        name: a key of `catalogue.FILES`: "ETTh1", "epf:NP", "m4:Hourly-train", "monash:hospital" …
        download: get a missing file from its official address; needs pooch (pip install "titans-ts[data]").

    A download is kept only when its checksum is right or, for files whose checksum this library does not know, when its
    rows and columns are; files that are already there are checked when they are read.

    Raises:
        ValueError: an unknown name, or the download is not the expected file.
        FileNotFoundError: the file is not there; the message says where to get it and where to put it.
        ImportError: a download without pooch.
        OSError: the download failed.
    """
    file = lookup(FILES, name, "file")
    found = find_place(file.places)
    if found is not None:
        return found
    if not download:
        raise FileNotFoundError(_missing(name, file))
    return _download(name, file, cache_folder() / file.places[0])


def data_folders() -> list[Path]:
    """Where files of public sets are looked for: $TITANS_TS_DATA, where it is set, and the cache folder."""
    return [folder for folder in (data_folder(), cache_folder()) if folder is not None]


def find_place(places: Sequence[str]) -> Path | None:
    """The first of some relative places, plain or with .gz, that is a file in one of `data_folders`."""
    candidates = (
        path for folder in data_folders() for place in places for path in (folder / place, folder / f"{place}.gz")
    )
    return next((path for path in candidates if path.is_file()), None)


def data_folder() -> Path | None:
    """The folder that $TITANS_TS_DATA names, None where it is not set."""
    folder = os.environ.get(VARIABLE)
    return Path(folder).expanduser() if folder else None


def cache_folder() -> Path:
    """$TITANS_TS_CACHE, else titans-ts in the platform's folder for caches; it need not exist."""
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "titans-ts"


def open_plain(path: Path) -> IO[bytes]:
    """The file's plain bytes, decompressed where its name ends in .gz."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def shape_of(path: Path) -> tuple[int, int | None]:
    """Rows and value columns of a csv, or series of a .tsf and None, counted without parsing a number."""
    with open_plain(path) as stream:
        if path.name.removesuffix(".gz").endswith(".tsf"):
            lines = iter(stream)
            for line in lines:
                if line.strip().lower() == b"@data":
                    break
            return sum(1 for line in lines if line.strip() and not line.startswith(b"#")), None
        columns = stream.readline().count(b",")
        return sum(1 for line in stream if line.strip()), columns


def different(name: str, file: DataFile, path: Path, rows: int, columns: int | None) -> str | None:
    """What is wrong with the shape of a file, None where nothing is."""
    if file.rows in (None, rows) and (file.columns is None or file.columns == columns):
        return None

    def shape(rows: int | None, columns: int | None) -> str:
        if file.places[0].endswith(".tsf"):
            return f"{rows:,} series"
        height = "any number of rows" if rows is None else counted(rows, "row")
        width = "" if file.columns is None or columns is None else f" × {counted(columns, 'value column')}"
        return height + width

    return (
        f"{path} is not the file of {name}: expected {shape(file.rows, file.columns)}, got {shape(rows, columns)}; "
        f"get it from {file.home} ({file.address})"
    )


def _missing(name: str, file: DataFile) -> str:
    folder, cache = data_folder(), cache_folder()
    if folder is None:
        state, put = f"{VARIABLE} is not set", f"<folder>/{file.places[0]} and set {VARIABLE} to <folder>"
    else:
        state, put = f"{VARIABLE} is {folder}", str(folder / file.places[0])
        state += "" if folder.is_dir() else ", which is no folder"
    return (
        f"{name} is not here: get it from {file.home} ({file.address}; {file.credit}) and put it at {put}; or let it "
        f"be downloaded to {cache / file.places[0]} with fetch({name!r}, download=True). Looked for "
        f"{', '.join(file.places)}, each also with .gz, in the data folder ({state}) and in the cache folder ({cache}; "
        f"{CACHE_VARIABLE} changes it)"
    )


def _download(name: str, file: DataFile, target: Path) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            f'downloading {name} needs pooch: pip install "titans-ts[data]", or get it from {file.home} '
            f"({file.address}) and put it at {target}"
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    with _beside(target) as partial:
        try:
            pooch.HTTPDownloader(timeout=_SECONDS)(file.address, str(partial), None)
        except OSError as error:
            raise OSError(
                f"could not download {name} from {file.address}: {error}; check the connection, or get it from "
                f"{file.home} by hand and put it at {target}"
            ) from error
        if file.address.endswith(".zip"):
            _unpack(name, file, partial)
        _check_download(name, file, partial)
        os.replace(partial, target)
    return target


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A path next to the target, with its suffix, that is gone afterwards: nobody ever sees half a file."""
    partial = target.with_name(f".{uuid.uuid4().hex}.{target.name}")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _unpack(name: str, file: DataFile, partial: Path) -> None:
    """Put the .tsf member of an archive in the archive's place."""
    try:
        with ZipFile(partial) as archive:
            members = [member for member in archive.namelist() if member.endswith(".tsf")]
            if len(members) != 1:
                raise ValueError(f"{file.address} should hold one .tsf file of {name}, got {archive.namelist()}")
            with _beside(partial) as plain:
                with archive.open(members[0]) as source, plain.open("wb") as sink:
                    while chunk := source.read(1 << 20):
                        sink.write(chunk)
                os.replace(plain, partial)
    except BadZipFile as error:
        raise ValueError(f"{file.address} sent no zip archive for {name} ({error}): try again later") from error


def _check_download(name: str, file: DataFile, partial: Path) -> None:
    if file.sha256 is None:
        wrong = different(name, file, partial, *shape_of(partial))
        if wrong or not shape_of(partial)[0]:
            raise ValueError(f"{wrong or f'{file.address} sent no data'}; the download was discarded")
        return
    digest = hashlib.sha256()
    with partial.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != file.sha256:
        raise ValueError(
            f"{file.address} sent another file than the known {name}: expected sha256 {file.sha256}, got "
            f"{digest.hexdigest()}; the download was discarded. If the official file has changed, get it from "
            f"{file.home} and put it at {file.places[0]} below ${VARIABLE} yourself"
        )
