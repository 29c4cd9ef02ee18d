"""Long-horizon benchmark sets with their published splits; the files come from outside (``TITANS_TS_DATA``).

Shapes: T steps, M variables, W windows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from titans_datasets.series.records import SeriesRecord
from titans_datasets.series.windows import Windows, WindowSpec, WindowStore

VARIABLE = "TITANS_TS_DATA"


@dataclass(frozen=True)
class LongHorizonSet:
    """Where a set lies below ``$TITANS_TS_DATA``, its step, its split in steps, and where it comes from."""

    file: str
    freq: str
    split: tuple[int, int, int]
    source: str


_ETT = "https://github.com/zhouhaoyi/ETDataset (ETT-small, CC BY-ND 4.0)"
SETS = {
    "ETTh1": LongHorizonSet("ett/ETTh1.csv.gz", "h", (8640, 2880, 2880), _ETT),
    "ETTm1": LongHorizonSet("ett/ETTm1.csv.gz", "15min", (34560, 11520, 11520), _ETT),
}


@dataclass(frozen=True)
class LongHorizonTask:
    """Every window of a set as the published protocol cuts them: stride 1, nothing dropped.

    Values are standardised by the training rows. Validation and test windows may reach back over their left border.
    """

    store: WindowStore
    train: Windows
    validation: Windows
    test: Windows


def long_horizon(name: str, context_length: int, horizon: int, *, calendar: tuple[str, ...] = ()) -> LongHorizonTask:
    """Load a set and cut its windows, every variable a series of its own.

    Args:
        name: a key of ``SETS``.
        context_length: past steps.
        horizon: forecast steps.
        calendar: cycles of the time features; the protocol's models see values only.

    Raises:
        ValueError: an unknown set.
        FileNotFoundError: the file is not there; the message says where to get it and where to put it.
    """
    if name not in SETS:
        raise ValueError(f"unknown set {name!r}: choose among {sorted(SETS)}")
    entry = SETS[name]
    frame = _read(name, entry)
    train, validation, test = entry.split
    values = frame.iloc[: train + validation + test, 1:].to_numpy(dtype=np.float64)
    spread = values[:train].std(axis=0)
    values = (values - values[:train].mean(axis=0)) / np.where(spread == 0, 1.0, spread)
    start = pd.Timestamp(str(frame.iloc[0, 0]))
    records = [
        SeriesRecord(str(column), start, entry.freq, np.ascontiguousarray(values[:, i]))
        for i, column in enumerate(frame.columns[1:])
    ]
    spec = WindowSpec(context_length, horizon, min_history=context_length, calendar=calendar)
    store = WindowStore(records, spec, statistics_holdout=validation + test)
    borders = (context_length, train, train + validation, train + validation + test)
    parts = (_windows(len(records), first, last, horizon) for first, last in pairwise(borders))
    return LongHorizonTask(store, next(parts), next(parts), next(parts))


def _windows(items: int, first: int, last: int, horizon: int) -> Windows:
    """All windows of every item whose horizon lies in steps first … last − 1."""
    positions = torch.arange(first, last - horizon + 1)
    return Windows(torch.arange(items).repeat_interleave(len(positions)), positions.repeat(items))


def _read(name: str, entry: LongHorizonSet) -> pd.DataFrame:
    folder = os.environ.get(VARIABLE)
    plain = entry.file.removesuffix(".gz")
    tried = [Path(folder) / file for file in (entry.file, plain)] if folder else []
    for path in tried:
        if path.is_file():
            return pd.read_csv(path)
    where = f"looked for {tried[0]} and {tried[1]}" if folder else f"{VARIABLE} is not set"
    raise FileNotFoundError(
        f"{name} is not here ({where}): get it from {entry.source}, put it at {plain} below a folder of yours, and set "
        f"{VARIABLE} to that folder"
    )
