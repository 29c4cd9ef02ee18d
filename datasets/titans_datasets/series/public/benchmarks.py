"""Public benchmark sets with their published splits; the files are not part of the package (`fetching.fetch`).

Shapes: T steps, M variables, W windows, I series, P horizon.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from titans_datasets.series.batches.windows import Windows, WindowSpec, WindowStore
from titans_datasets.series.public.catalogue import FILES, LONG_HORIZON, M4, MARKETS, MONASH, DataFile
from titans_datasets.series.public.fetching import different, fetch, open_plain
from titans_datasets.series.read.inputs import to_records
from titans_datasets.series.read.records import FloatArray, SeriesRecord, SeriesWarning
from titans_datasets.series.read.tsf import read_tsf
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.series.time.frequency import seasonality
from titans_datasets.text import counted, lookup, some

# M4's files hold no dates: steps are counted from here. Yearly series begin early and keep their last 500 values, since
# pandas' stamps end in 2262.
_M4_START = {"Yearly": pd.Timestamp("1700-01-01")}
_M4_LONGEST = 500


@dataclass(frozen=True)
class LongHorizonTask:
    """Every window of a set as the published protocol cuts them: stride 1, nothing dropped.

    Values are standardised by the training rows. Validation and test windows may reach back over their left border.
    """

    store: WindowStore
    train: Windows
    validation: Windows
    test: Windows


@dataclass(frozen=True)
class RollingTask:
    """One series whose last `windows` × `step` steps are forecast window by window.

    `forecaster.backtest(task.frame, windows=task.windows, step=task.step)` runs it.

    Args:
        frame: a long table with the columns of `schema`, one row per step.
        schema: what its columns mean; the covariates are known in the future.
        horizon, windows, step: of the protocol.
        season: of the seasonal naive forecast and of MASE.
        quantiles: levels that are scored.

    Example:
        >>> frame = pd.DataFrame({"target": range(100)})
        >>> RollingTask(frame, SeriesSchema(), horizon=24, windows=2, step=24, season=24, quantiles=(0.5,)).cutoffs
        (52, 76)
    """

    frame: pd.DataFrame
    schema: SeriesSchema
    horizon: int
    windows: int
    step: int
    season: int
    quantiles: tuple[float, ...]

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """Row of the first forecast step of each window."""
        first = len(self.frame) - self.horizon - (self.windows - 1) * self.step
        return tuple(first + self.step * window for window in range(self.windows))


class HoldoutTask(NamedTuple):
    """Series whose last values are held out.

    Args:
        train: I records, each up to its test part.
        test: (I, P) the P values after it.
        horizon: P.
        season: of the seasonal naive forecast and of MASE.
        notes: what was corrected or left out.
    """

    train: list[SeriesRecord]
    test: FloatArray
    horizon: int
    season: int
    notes: list[str]


def long_horizon(
    name: str, context_length: int, horizon: int, *, calendar: tuple[str, ...] = (), download: bool = False
) -> LongHorizonTask:
    """Load a long-horizon set (LTSF) and cut its windows, every variable a series of its own.

    Args:
        name: ETTh1, ETTh2, ETTm1, ETTm2 (split 12/4/4 months), Weather, Exchange, ECL, Traffic or ILI (70/10/20 %).
        context_length: past steps.
        horizon: forecast steps.
        calendar: cycles of the time features; by default none, as in the protocol.
        download: see `fetch`.

    An ETT file with other rows or columns than the official one is accepted with a `SeriesWarning` where it covers the
    split: that split is given in steps, so the windows lie in the right place.

    Raises:
        ValueError: an unknown set, other rows or columns than the official file has, or values that are no numbers.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.

    Example:
        >>> task = long_horizon("ETTh1", context_length=336, horizon=96)  # doctest: +SKIP
        >>> len(task.test)  # doctest: +SKIP
        19495
    """
    entry = lookup(LONG_HORIZON, name, "set")
    path = fetch(name, download)
    frame = _read_csv(path)
    _check_shape(name, FILES[name], path, frame, sum(entry.split) if entry.split else None)
    train, validation, test = entry.split or _by_ratio(len(frame))
    values = _numbers(frame.iloc[: train + validation + test, 1:], path)
    spread = values[:train].std(axis=0)
    values = (values - values[:train].mean(axis=0)) / np.where(spread == 0, 1.0, spread)
    start = pd.Timestamp(str(frame.iloc[0, 0]))
    records = [
        SeriesRecord(str(column), start, entry.freq, np.ascontiguousarray(values[:, i]))
        for i, column in enumerate(frame.columns[1:])
    ]
    spec = WindowSpec(context_length, horizon, min_history=context_length, calendar=calendar)
    store = WindowStore(records, spec, statistics_holdout=validation + test)
    # The protocol's units: of the training part, for all windows.
    store.fix_units(store.item_loc, store.item_scale)
    borders = (context_length, train, train + validation, train + validation + test)
    parts = [_windows(len(records), first, last, horizon) for first, last in pairwise(borders)]
    empty = [part for part, windows in zip(("train", "validation", "test"), parts, strict=True) if not len(windows)]
    if empty:
        raise ValueError(
            f"{name} has {train}/{validation}/{test} steps to train, validate and test on: no {empty[0]} window fits "
            f"context_length = {context_length} and horizon = {horizon}, lower them"
        )
    return LongHorizonTask(store, *parts)


def electricity_price(market: str, *, download: bool = False) -> RollingTask:
    """Hourly day-ahead prices of a market with two covariates that are known in the future (epftoolbox; fev's `epf_*`).

    Args:
        market: NP (Nord Pool), PJM, BE, FR or DE.
        download: see `fetch`.

    Returns:
        Horizon 24, the last 20 windows, step 24, season 24, quantiles 0.1 … 0.9; the frame has item_id, timestamp,
        target and two named covariates. The price is the column "OT" or the one that has "price" in its name.

    Raises:
        ValueError: an unknown market, or a file with other rows or columns than the official one.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.

    Example:
        >>> task = electricity_price("NP")  # doctest: +SKIP
        >>> task.horizon, task.windows, task.season  # doctest: +SKIP
        (24, 20, 24)
    """
    entry, name = lookup(MARKETS, market, "market"), f"epf:{market}"
    path = fetch(name, download)
    table = _read_csv(path)
    _check_shape(name, FILES[name], path, table)
    texts = {column: str(column).strip().lower() for column in table.columns[1:]}
    prices = [column for column, text in texts.items() if text == "ot" or "price" in text]
    found = [[c for c, text in texts.items() if word in text and c not in prices] for _, word in entry.covariates]
    if [len(columns) for columns in (prices, *found)] != [1, 1, 1]:
        words = " and ".join(repr(word) for _, word in entry.covariates)
        raise ValueError(
            f"{path} is not the file of {name}: expected one column 'OT' or with 'price' in its name, and one each "
            f"with {words}, got {some(table.columns[1:], 10)}"
        )
    names = tuple(covariate for covariate, _ in entry.covariates)
    values = _numbers(table[[prices[0], *(columns[0] for columns in found)]], path)
    frame = pd.DataFrame(values, columns=["target", *names])
    frame.insert(0, "timestamp", pd.to_datetime(table.iloc[:, 0]))
    frame.insert(0, "item_id", market)
    levels = tuple(level / 10 for level in range(1, 10))
    return RollingTask(frame, SeriesSchema(freq="h", known_covariates=names), 24, 20, 24, 24, levels)


def m4(frequency: str, *, download: bool = False) -> HoldoutTask:
    """A frequency of the M4 competition with its own test values and horizon.

    The files hold no dates: every series starts at 2000-01-01 (Yearly at 1700-01-01, the last 500 values at most). The
    season is the competition's (1 for weekly and daily series), which is not always the frequency's.

    Args:
        frequency: Yearly, Quarterly, Monthly, Weekly, Daily or Hourly.
        download: see `fetch`.

    Raises:
        ValueError: an unknown frequency, or a file that is not the official one.
        FileNotFoundError: a file is missing; the message shows where to get it and where to put it.

    Example:
        >>> task = m4("Hourly", download=True)  # doctest: +SKIP
        >>> len(task.train), task.horizon, task.season  # doctest: +SKIP
        (414, 48, 24)
    """
    entry = lookup(M4, frequency, "M4 frequency")
    train, test = (_read_ragged(f"m4:{frequency}-{part}", download) for part in ("train", "test"))
    if train.keys() != test.keys():
        raise ValueError(f"m4:{frequency}: train and test differ in series {some(sorted(train.keys() ^ test.keys()))}")
    start, records, cut = _M4_START.get(frequency, pd.Timestamp("2000-01-01")), [], 0
    for item, values in train.items():
        keep = values[-_M4_LONGEST:] if frequency in _M4_START else values
        cut += len(keep) < len(values)
        records.append(SeriesRecord(item, start, entry.freq, keep))
    notes = [f"{cut:,} series cut to their last {_M4_LONGEST} values"] if cut else []
    return HoldoutTask(records, np.stack([test[item] for item in train]), entry.horizon, entry.season, notes)


def monash(name: str, *, download: bool = False) -> HoldoutTask:
    """A set of the Monash archive; the last values of each series are held out, as in the archive's evaluation.

    Args:
        name: a key of `catalogue.MONASH`: "hospital", "tourism_monthly", "electricity_hourly" …
        download: see `fetch`.

    Returns:
        Horizon of the archive, season of the frequency; series no longer than the horizon are left out with a note.

    Raises:
        ValueError: an unknown set, or a file with another number of series than the official one.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.

    Example:
        >>> task = monash("hospital", download=True)  # doctest: +SKIP
        >>> len(task.train), task.horizon  # doctest: +SKIP
        (767, 12)
    """
    horizon = lookup(MONASH, name, "Monash set").horizon
    key = f"monash:{name}"
    path = fetch(key, download)
    series, freq, notes = read_tsf(path)
    wrong = different(key, FILES[key], path, len(series), None)
    if wrong:
        raise ValueError(wrong)
    panel = to_records(series, SeriesSchema(freq=freq), all_missing="skip")
    long = [record for record in panel.records if record.length > horizon]
    short = len(panel.records) - len(long)
    if not long:
        raise ValueError(f"{path} has no series longer than the horizon, {horizon} steps")
    notes = [*notes, *panel.notes, *([f"{short:,} series of at most {horizon} steps left out"] * bool(short))]
    train = [replace(record, target=record.target[:-horizon]) for record in long]
    test = np.stack([record.target[-horizon:] for record in long])
    return HoldoutTask(train, test, horizon, seasonality(panel.frequency), notes)


def _by_ratio(rows: int) -> tuple[int, int, int]:
    """70/10/20 % as the published loaders round them: train and test down, validation takes the rest."""
    train, test = int(rows * 0.7), int(rows * 0.2)
    return train, rows - train - test, test


def _windows(items: int, first: int, last: int, horizon: int) -> Windows:
    """All windows of every item whose horizon lies in steps first … last − 1."""
    positions = torch.arange(first, max(last - horizon + 1, first))
    return Windows(torch.arange(items).repeat_interleave(len(positions)), positions.repeat(items))


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except UnicodeDecodeError:
        # The header of Weather has "µmol" and "m²" in latin-1.
        return pd.read_csv(path, encoding="latin-1")
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is not a table of comma-separated values: {error}") from error


def _check_shape(name: str, file: DataFile, path: Path, frame: pd.DataFrame, enough: int | None = None) -> None:
    wrong = different(name, file, path, len(frame), frame.shape[1] - 1)
    if wrong is None:
        return
    if enough is None or len(frame) < enough or frame.shape[1] < 2:
        raise ValueError(wrong)
    warnings.warn(f"{wrong}; scores are not comparable with published ones", SeriesWarning, stacklevel=3)


def _numbers(frame: pd.DataFrame, path: Path) -> FloatArray:
    """Values (T, M); a cell that is no finite number is an error."""
    text = [column for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column].dtype)]
    if text:
        raise ValueError(f"{path}: expected numbers in every column, got text in {some(text)}")
    values: FloatArray = frame.to_numpy(dtype=np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = (int(x) for x in bad[0])
        raise ValueError(
            f"{path}: expected a number in every cell, got {values[row, column]} in data row {row + 1}, column "
            f"{str(frame.columns[column])!r} ({counted(len(bad), 'such cell')})"
        )
    return values


def _read_ragged(name: str, download: bool) -> dict[str, FloatArray]:
    """Series by name from a file with one series per line, quoted, padded with empty cells."""
    path = fetch(name, download)
    series: dict[str, FloatArray] = {}
    with open_plain(path) as stream:
        columns = stream.readline().count(b",")
        for number, line in enumerate(stream, start=2):
            item, *cells = line.decode("latin-1").replace('"', "").rstrip(" ,\r\n").split(",")
            try:
                values = np.array([float(cell) for cell in cells])
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: values must be numbers, {error}") from error
            if item and (not len(values) or item in series):
                fault = "comes up twice" if item in series else "has no values"
                raise ValueError(f"{path}, line {number}: series {item!r} {fault}")
            if item:
                series[item] = values
    wrong = different(name, FILES[name], path, len(series), columns)
    short = [item for item, values in series.items() if name.endswith("-test") and len(values) != columns]
    if wrong or short:
        raise ValueError(wrong or f"{path}: expected {columns} values per series, got another number in {some(short)}")
    return series
