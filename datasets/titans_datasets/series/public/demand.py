"""Half-hourly electricity demand of five Australian states with temperature and holidays, by days.

Shapes: S states, N days.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from titans_datasets.series.public.catalogue import FILES
from titans_datasets.series.public.fetching import different, fetch
from titans_datasets.series.read.records import FloatArray
from titans_datasets.text import some

PER_DAY = 48
_COLUMNS = ("State", "Demand", "Temperature", "Holiday")


class DemandPanel(NamedTuple):
    """States side by side, whole days.

    Attributes:
        names: of the S states.
        start: the first day.
        demand: (S, N, 48) MW.
        temperature: (S, N, 48) °C.
        holiday: (S, N), 1 on public holidays.
    """

    names: tuple[str, ...]
    start: pd.Timestamp
    demand: FloatArray
    temperature: FloatArray
    holiday: FloatArray


def electricity_demand() -> DemandPanel:
    """The set `aus_elec` of tsibbledata: 2012 to 2014, 1,096 days of 48 half-hours of each state.

    A day is a holiday when most of its half-hours are.

    Raises:
        ValueError: the file has other rows or columns than the official one, or gaps.
        FileNotFoundError: the file is missing; the message shows where to get it and where to put it.
    """
    path = fetch("aus_elec")
    frame = pd.read_csv(path)
    wrong = different("aus_elec", FILES["aus_elec"], path, len(frame), frame.shape[1] - 1)
    lacking = sorted(set(_COLUMNS) - set(frame.columns))
    if wrong or lacking:
        raise ValueError(wrong or f"{path} lacks the columns {lacking}: expected {_COLUMNS}, got {list(frame.columns)}")
    groups = list(frame.groupby("State", sort=True))
    steps = len(frame) // len(groups)
    uneven = [name for name, part in groups if len(part) != steps or steps % PER_DAY]
    if uneven or frame[list(_COLUMNS)].isna().any(axis=None):
        raise ValueError(
            f"{path}: expected {steps:,} half-hours of each state without gaps, got others in {some(uneven)} or empty "
            "cells"
        )

    def days(name: str) -> FloatArray:
        return np.stack([part[name].to_numpy(np.float64).reshape(-1, PER_DAY) for _, part in groups])

    stamp = next(column for column in frame.columns if column not in _COLUMNS)
    holiday = (days("Holiday").mean(-1) > 0.5).astype(np.float64)
    names = tuple(str(name) for name, _ in groups)
    return DemandPanel(names, pd.Timestamp(frame[stamp].iloc[0]), days("Demand"), days("Temperature"), holiday)
