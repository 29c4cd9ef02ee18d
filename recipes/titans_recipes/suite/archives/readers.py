"""Series of the public archives with their first dates: Monash .tsf, M4's tables, tables with a column a series.

Shapes: T steps of a series.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]
# Where an archive tells no dates; yearly series, which may have some hundred values, end here.
NOMINAL = np.datetime64("2000-01-01", "s")


class Archive(NamedTuple):
    """Series in time order.

    Attributes:
        values: (T,) each, NaN where missing.
        starts: date of each first value.
    """

    values: list[FloatArray]
    starts: list[np.datetime64]


def monash(folder: Path, name: str) -> Archive:
    """Series of monash/NAME_dataset.tsf, "?" as NaN; where the file has no dates, they begin in 2000."""
    attributes, found = [], Archive([], [])
    with _open(folder / "monash" / f"{name}_dataset.tsf", "latin-1") as file:
        for line in file:
            text = line.strip()
            if text.lower().startswith("@attribute"):
                attributes.append(text.split()[1])
            if text.lower().startswith("@data"):
                break
        place = attributes.index("start_timestamp") if "start_timestamp" in attributes else None
        for line in filter(str.strip, file):
            *head, values = line.strip().split(":")
            found.values.append(np.array([np.nan if v in ("?", "NaN") else float(v) for v in values.split(",")]))
            found.starts.append(NOMINAL if place is None else _date(head[place]))
    return found


def m4(folder: Path, name: str) -> Archive:
    """Series of m4/NAME-train.csv, each followed by its part of NAME-test.csv; the files have no dates."""
    parts = []
    for part in ("train", "test"):
        with _open(folder / "m4" / f"{name}-{part}.csv") as file:
            rows = list(csv.reader(file))[1:]
        parts.append([np.array([float(v) for v in row[1:] if v]) for row in rows])
    values = [np.concatenate(pair) for pair in zip(*parts, strict=True)]
    return Archive(values, [NOMINAL] * len(values))


def m4_yearly(folder: Path) -> Archive:
    """M4's yearly series, of the pair of long tables m4/m4_1y_train.parquet and m4_1y_test.parquet."""
    paths = [_there(folder / "m4" / f"m4_1y_{part}.parquet") for part in ("train", "test")]
    rows = pd.concat([pd.read_parquet(path).dropna() for path in paths], keys=[0, 1], names=["part"])
    rows = rows.reset_index("part").sort_values(["series", "part", "time"], kind="stable")
    values = [part.to_numpy(np.float64) for _, part in rows.groupby("series", sort=False)["yearly"]]
    return Archive(values, [(NOMINAL.astype("M8[Y]") - len(x)).astype("M8[s]") for x in values])


def columns(path: Path, step: str, encoding: str = "utf-8") -> Archive:
    """Columns of a table after the first, which holds the dates.

    Args:
        path: of the table.
        step: of the dates. Missing ones become NaN, of repeated ones the first counts.
        encoding: of the file.
    """
    with _open(path, encoding) as file:
        table = pd.read_csv(file)
    table = table.set_index(pd.to_datetime(table.iloc[:, 0])).iloc[:, 1:].astype(np.float64)
    table = table[~table.index.duplicated()].asfreq(step)
    return _columns_of(table)


def resampled(archive: Archive, step: str, to: str) -> Archive:
    """Means by calendar, such as hours or days: of what is there, an incomplete last one left out.

    Args:
        archive: series that begin together, of the step `step`.
        step, to: pandas aliases.
    """
    index = pd.date_range(archive.starts[0], periods=len(archive.values[0]), freq=step)
    means = pd.DataFrame(dict(enumerate(archive.values)), index=index).resample(to).mean()
    after = pd.date_range(index[-1], periods=2, freq=step)[1], pd.date_range(means.index[-1], periods=2, freq=to)[1]
    complete = after[0] >= after[1]
    return _columns_of(means if complete else means[:-1])


def block_means(archive: Archive, steps: int) -> Archive:
    """Means of `steps` steps each; an incomplete last block is left out."""
    values = [x[: len(x) // steps * steps].reshape(-1, steps).mean(axis=1) for x in archive.values]
    return Archive(values, archive.starts)


def by_month(archive: Archive, how: str) -> Archive:
    """A daily series by calendar month; `how` is "sum" or "mean"."""
    index = pd.date_range(archive.starts[0], periods=len(archive.values[0]), freq="D")
    return _columns_of(pd.DataFrame({0: archive.values[0]}, index=index).resample("MS").agg(how))


def _columns_of(table: pd.DataFrame) -> Archive:
    start = np.datetime64(table.index[0], "s")
    return Archive(list(table.to_numpy(np.float64).T.copy()), [start] * table.shape[1])


def _date(text: str) -> np.datetime64:
    """A date of a .tsf file, such as "2000-01-01 00-00-00"."""
    day, _, clock = text.partition(" ")
    return np.datetime64(f"{day}T{clock.replace('-', ':') or '00:00:00'}", "s")


def _open(path: Path, encoding: str = "utf-8") -> IO[str]:
    """A text file, also compressed with .gz behind its name.

    Raises:
        FileNotFoundError: neither is there.
    """
    packed = path.with_name(f"{path.name}.gz")
    if packed.is_file():
        return gzip.open(packed, "rt", encoding=encoding)
    return _there(path).open(encoding=encoding)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not here, with or without .gz: recipes/README.md tells where each archive of the suites is "
            "from; put it there, or name other tasks in the recipe"
        )
    return path
