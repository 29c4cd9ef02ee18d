"""Series of the public archives as arrays: Monash .tsf, M4's pair of tables, tables with a column a series."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def monash(folder: Path, name: str) -> list[FloatArray]:
    """Series of monash/NAME_dataset.tsf.gz, "?" as NaN."""
    series = []
    with gzip.open(folder / "monash" / f"{name}_dataset.tsf.gz", "rt", encoding="latin-1") as file:
        lines = iter(file)
        for line in lines:
            if line.lower().startswith("@data"):
                break
        for line in lines:
            if line.strip():
                values = line.strip().split(":")[-1].split(",")
                series.append(np.array([float(v) if v not in ("?", "NaN") else np.nan for v in values]))
    return series


def m4(folder: Path, name: str) -> list[FloatArray]:
    """Series of m4/NAME-train.csv.gz, each followed by its part of NAME-test.csv.gz."""
    parts = []
    for part in ("train", "test"):
        with gzip.open(folder / "m4" / f"{name}-{part}.csv.gz", "rt") as file:
            rows = list(csv.reader(file))[1:]
        parts.append([np.array([float(v) for v in row[1:] if v]) for row in rows])
    return [np.concatenate(pair) for pair in zip(*parts, strict=True)]


def columns(path: Path, encoding: str = "utf-8") -> list[FloatArray]:
    """Columns of a table after the first, which holds the dates."""
    with gzip.open(path, "rt", encoding=encoding) as file:
        rows = list(csv.reader(file))[1:]
    return list(np.array([[float(v) for v in row[1:]] for row in rows]).T)


def block_means(series: FloatArray, steps: int) -> FloatArray:
    """Means of `steps` steps each; an incomplete last block is left out."""
    return series[: len(series) // steps * steps].reshape(-1, steps).mean(axis=1)


def by_month(series: FloatArray, first: dt.date, how: Callable[[FloatArray], float]) -> FloatArray:
    """A daily series by calendar month."""
    days = first.toordinal() + np.arange(len(series))
    months = np.array([(d := dt.date.fromordinal(int(day))).year * 12 + d.month for day in days])
    edges = np.flatnonzero(np.diff(months)) + 1
    return np.array([how(part) for part in np.split(series, edges)])
