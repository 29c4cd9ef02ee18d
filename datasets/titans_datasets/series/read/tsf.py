"""The .tsf format of the Monash forecasting archive.

@attribute series_name string
@attribute start_timestamp date
@frequency half_hourly
@missing true
@data
T1:2012-01-01 00-00-00:1.0,?,3.5
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from titans_datasets.series.time.frequency import parse_frequency

FREQUENCIES = {
    **{"yearly": "YS", "quarterly": "QS", "monthly": "MS", "weekly": "7D", "daily": "D", "hourly": "h"},
    **{"half_hourly": "30min", "minutely": "min", "secondly": "s"},
}
_UNITS = {"minutes": "min", "seconds": "s", "hours": "h", "days": "D"}


def read_tsf(file: Path) -> tuple[dict[str, pd.Series[Any]], str | None, list[str]]:
    """Series by name, the frequency that the header states, and notes; the file may be gzipped (.tsf.gz).

    Series without a start_timestamp attribute get step numbers instead of dates. Monthly, quarterly and yearly starts,
    which the archive gives at any day, are moved to the first day of their period.

    Raises:
        ValueError: a line is not in the format.
    """
    text, notes = _read_text(file)
    attributes: list[tuple[str, str]] = []
    freq: str | None = None
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        words = line.split()
        if not words or not line.startswith("@"):
            continue
        tag = words[0].lower()
        if tag == "@data":
            break
        if tag == "@attribute" and len(words) == 3:
            attributes.append((words[1], words[2]))
        elif tag == "@attribute":
            raise ValueError(f"{file}, line {number}: expected '@attribute name type', got {line!r}")
        elif tag == "@frequency":
            freq = _frequency(words[-1].lower(), file, number)
    series: dict[str, pd.Series[Any]] = {}
    for number, line in lines:
        if line.strip() and not line.startswith("#"):
            name, values = _series(line, attributes, freq, f"{file}, line {number}", str(len(series)))
            if name in series:
                raise ValueError(f"{file}, line {number}: series {name!r} came before: each name must be unique")
            series[name] = values
    if not series:
        raise ValueError(f"{file} holds no series: expected lines of values after a line '@data'")
    return series, freq, notes


def _read_text(file: Path) -> tuple[str, list[str]]:
    raw = file.read_bytes()
    if file.suffix == ".gz":
        raw = gzip.decompress(raw)
    try:
        return raw.decode("utf-8"), []
    except UnicodeDecodeError:
        return raw.decode("latin-1"), [f"{file.name} is not UTF-8 and was read as latin-1"]


def _frequency(word: str, file: Path, number: int) -> str:
    count, _, unit = word.partition("_")
    if word in FREQUENCIES:
        return FREQUENCIES[word]
    if count.isdigit() and unit in _UNITS:
        return f"{count}{_UNITS[unit]}"
    raise ValueError(
        f"{file}, line {number}: frequency {word!r} is unknown: expected {', '.join(FREQUENCIES)} or such as 10_minutes"
    )


def _series(
    line: str, attributes: list[tuple[str, str]], freq: str | None, place: str, unnamed: str
) -> tuple[str, pd.Series[Any]]:
    parts = line.strip().split(":")
    if len(parts) != len(attributes) + 1:
        names = ", ".join(name for name, _ in attributes)
        raise ValueError(
            f"{place}: expected {len(attributes)} attributes ({names}) and the values, separated by colons, got "
            f"{len(parts)} parts"
        )
    given = dict(zip((name for name, _ in attributes), parts, strict=False))
    try:
        values = np.array([np.nan if word.strip() == "?" else float(word) for word in parts[-1].split(",")])
    except ValueError as error:
        raise ValueError(f"{place}: values must be numbers or '?', {error}") from error
    dates = [name for name, kind in attributes if kind == "date"]
    index = _index(given[dates[0]], freq, len(values), place) if dates and freq else pd.RangeIndex(len(values))
    return given.get("series_name", unnamed), pd.Series(values, index=index)


def _index(start: str, freq: str, length: int, place: str) -> pd.DatetimeIndex:
    try:
        moment = pd.Timestamp(pd.to_datetime(start, format="%Y-%m-%d %H-%M-%S"))
    except ValueError as error:
        raise ValueError(f"{place}: a start must look like 2012-01-31 00-00-00, got {start!r}") from error
    frequency = parse_frequency(freq)
    if frequency.unit == "month":
        moment = moment.to_period(frequency.period_alias).start_time
    return frequency.range(moment, length)
