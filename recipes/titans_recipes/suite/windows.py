"""The windows of a task: what a forecaster is given, and what it is compared with.

How windows are cut: the last `windows` × `horizon` steps of every series are forecast in `windows` pieces, the oldest
first; a piece sees everything before it and nothing else (covariates known ahead apart). Nothing is chosen on these
windows: forecasters get the same settings for all tasks, and those are decided on windows before the suites' (see
`archives.defaults`).

Shapes: N series, T steps, H horizon steps, K covariates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from titans_recipes.suite.archives.readers import FloatArray
from titans_recipes.suite.tasks import SuiteTask

# Steps of one unit of numpy's dates, by pandas alias; "B" counts working days.
UNITS = {"YS": ("Y", 1), "QS": ("M", 3), "MS": ("M", 1), "W": ("D", 7), "D": ("D", 1), "h": ("h", 1)}
UNITS |= {"15min": ("m", 15), "10min": ("m", 10)}
# Dates of pandas begin in 1677: of yearly series the latest values are enough.
MOST_YEARS = 300


@dataclass(frozen=True)
class Window:
    """One window of all series that are longer than a season before it.

    Attributes:
        task: the task.
        number: 0 for the oldest.
        items: places of the N series in the task.
        ends: steps before the window, of each of them.
    """

    task: SuiteTask
    number: int
    items: list[int]
    ends: list[int]

    @cached_property
    def histories(self) -> FloatArray:
        """What lies before the window (N, T), padded with NaN on the left."""
        longest = max(self.ends)
        found = np.full((len(self.items), longest), np.nan)
        for row, (item, end) in enumerate(zip(self.items, self.ends, strict=True)):
            found[row, longest - end :] = self.task.series[item][:end]
        return found

    @cached_property
    def actual(self) -> FloatArray:
        """The values that came (N, H)."""
        horizon = self.task.horizon
        pairs = zip(self.items, self.ends, strict=True)
        return np.stack([self.task.series[item][end : end + horizon] for item, end in pairs])

    @cached_property
    def scales(self) -> FloatArray:
        """Mean absolute seasonal difference of each history (N,)."""
        season, found = self.task.season, np.empty(len(self.items))
        for row, (item, end) in enumerate(zip(self.items, self.ends, strict=True)):
            difference = np.abs(self.task.series[item][season:end] - self.task.series[item][: end - season])
            found[row] = np.nanmean(difference) if np.isfinite(difference).any() else np.nan
        return found

    def frame(self, first: int = 0, last: int | None = None) -> pd.DataFrame:
        """The histories of some of the series as a long table: item_id, timestamp, target and known covariates."""
        pairs = list(zip(self.items, self.ends, strict=True))[first:last]
        return self._table([(item, self._begin(end), end) for item, end in pairs])

    def arrived(self) -> pd.DataFrame:
        """What has come since the window before, in the form of `frame`; of a series that was too short all of it."""
        horizon, season = self.task.horizon, self.task.season
        begins = [end - horizon if end - horizon > season else self._begin(end) for end in self.ends]
        return self._table(list(zip(self.items, begins, self.ends, strict=True)))

    def future(self, first: int = 0, last: int | None = None) -> pd.DataFrame | None:
        """Covariates of the window as a long table, None without any."""
        if not self.task.covariates:
            return None
        pairs = list(zip(self.items, self.ends, strict=True))[first:last]
        table = self._table([(item, end, end + self.task.horizon) for item, end in pairs])
        return table.drop(columns="target")

    def _begin(self, end: int) -> int:
        return max(0, end - MOST_YEARS) if self.task.freq == "YS" else 0

    def _table(self, parts: list[tuple[int, int, int]]) -> pd.DataFrame:
        """Steps first … last − 1 of series (item, first, last)."""
        task = self.task
        columns = {
            "item_id": np.repeat([item for item, _, _ in parts], [last - first for _, first, last in parts]),
            "timestamp": np.concatenate([stamps(task, item, first, last) for item, first, last in parts]),
            "target": np.concatenate([task.series[item][first:last] for item, first, last in parts]),
        }
        if task.covariates:
            known = np.concatenate([task.known[item][first:last] for item, first, last in parts])
            columns |= {name: known[:, place] for place, name in enumerate(task.covariates)}
        return pd.DataFrame(columns)


def windows(task: SuiteTask) -> Iterator[Window]:
    """Windows in order of time; a series that is no longer than a season before a window is not in it.

    Raises:
        ValueError: no series is long enough.
    """
    for number in range(task.windows):
        ends = [len(x) - task.horizon * (task.windows - number) for x in task.series]
        items = [item for item, end in enumerate(ends) if end > task.season]
        if not items:
            raise ValueError(
                f"{task.name}: no series has more than {task.season} steps before window {number + 1} of "
                f"{task.windows}; the longest has {max(map(len, task.series), default=0)} steps in all"
            )
        yield Window(task, number, items, [ends[item] for item in items])


def stamps(task: SuiteTask, item: int, first: int, last: int) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """Dates of the steps first … last − 1 of a series: of months, quarters and years their first days."""
    start = task.starts[item] if len(task.starts) else np.datetime64("2000-01-01", "s")
    steps = np.arange(first, last)
    if task.freq == "B":
        return np.busday_offset(start.astype("M8[D]"), steps, roll="forward").astype("M8[s]")
    unit, size = UNITS[task.freq]
    origin = start.astype(f"M8[{unit}]")
    if size == 3:
        origin = origin - origin.astype(int) % 3
    return (origin + size * steps).astype("M8[s]")
