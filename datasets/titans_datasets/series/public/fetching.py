"""The files of the public benchmark sets: found in your data folder or in the cache, or downloaded into the cache."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from zipfile import BadZipFile

from titans_datasets.data_folder import CACHE_VARIABLE, VARIABLE, cache_folder, data_folder, find_place
from titans_datasets.series.public.catalogue import FILES, DataFile
from titans_datasets.text import counted, lookup
from titans_datasets.writing import in_place_of

_SECONDS = 60  # timeout without an answer


def fetch(name: str, download: bool = False) -> Path:
    """The file of a benchmark set: in $TITANS_TS_DATA, else in the cache folder, else downloaded into the cache folder.

    Args:
        name: a key of `catalogue.FILES`: "ETTh1", "epf:NP", "m4:Hourly-train", "monash:hospital" …
        download: download a missing file from its official address; needs pooch (pip install "titans-ts[data]").

    A download is kept only when its checksum is right or, for files without a known checksum, when its numbers of rows
    and columns are; files that are already there are checked when they are read.

    Raises:
        ValueError: an unknown name, or the download is not the expected file.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.
        ImportError: a download without pooch.
        OSError: the download failed.

    Example:
        >>> fetch("ETTh1", download=True).is_file()  # doctest: +SKIP
        True
    """
    file = lookup(FILES, name, "file")
    found = find_place(file.places)
    if found is not None:
        return found
    if not download:
        raise FileNotFoundError(_missing(name, file))
    return _download(name, file, cache_folder() / file.places[0])


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
        """The size in words."""
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
    """Get the official file; nothing is put at `target` unless the file is whole and the expected one."""
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            f'downloading {name} needs pooch: pip install "titans-ts[data]", or get it from {file.home} '
            f"({file.address}) and put it at {target}"
        ) from error
    # Its messages name temporary files and suggest adding checksums, which a user cannot do.
    pooch.get_logger().setLevel("WARNING")
    packed = file.address.endswith(".zip")
    with in_place_of(target) as beside, TemporaryDirectory(prefix=".", dir=beside.parent) as folder:
        try:
            found = pooch.retrieve(
                file.address,
                known_hash=file.sha256,
                fname=f"{target.name}.zip" if packed else target.name,
                path=folder,
                processor=pooch.Unzip() if packed else None,
                downloader=pooch.HTTPDownloader(timeout=_SECONDS),
            )
        except OSError as error:
            raise OSError(
                f"could not download {name} from {file.address}: {error}; check the connection, or get it from "
                f"{file.home} by hand and put it at {target}"
            ) from error
        except BadZipFile as error:
            raise ValueError(f"{file.address} sent no zip archive for {name} ({error}): try again later") from error
        except ValueError as error:
            raise ValueError(
                f"{file.address} sent another file than the known {name}: {error} If the official file has changed, "
                f"get it from {file.home} and put it at {file.places[0]} below ${VARIABLE} yourself"
            ) from error
        plain = _only_tsf(name, file, found) if packed else Path(found)
        if file.sha256 is None:
            _check_shape(name, file, plain)
        # A copy, because pooch's files can be read by their owner only.
        shutil.copyfile(plain, beside)
    return target


def _only_tsf(name: str, file: DataFile, members: list[str]) -> Path:
    """The one .tsf file among the unpacked members of an archive."""
    found = [Path(member) for member in members if member.endswith(".tsf")]
    if len(found) != 1:
        names = sorted(Path(member).name for member in members)
        raise ValueError(f"{file.address} should hold one .tsf file of {name}, got {names}")
    return found[0]


def _check_shape(name: str, file: DataFile, path: Path) -> None:
    """Refuse a download without a known checksum that has no rows, or other rows or columns than expected."""
    rows, columns = shape_of(path)
    wrong = different(name, file, path, rows, columns)
    if wrong or not rows:
        raise ValueError(f"{wrong or f'{file.address} sent no data'}; the download was discarded")
