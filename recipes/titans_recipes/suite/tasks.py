"""Tasks of GIFT-Eval and Chronos Benchmark II whose data lie in $TITANS_TS_DATA: arrays and protocol of each."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from titans_recipes.suite.readers import FloatArray, block_means, by_month, columns, m4, monash

GIFT, CHRONOS = "gift_eval", "chronos_benchmark_ii"
TERMS = (("short", 48), ("medium", 480), ("long", 720))
# What the calendar knows where the suite scores with season 1, and the longer season beside a season.
CALENDAR = {"us_births/d": 7, "saugeen/d": 7, "us_births/w": 52, "m4_weekly": 52, "ett1/d": 7, "ett1/w": 52}
CALENDAR |= {"jena_weather/d": 7}
SECOND = {24: 168, 96: 672, 144: 1008, 7: 365}


@dataclass(frozen=True)
class SuiteTask:
    """Series and protocol of a task.

    Attributes:
        suite: "gift_eval" or "chronos_benchmark_ii".
        name: as the suite's result files have it.
        series: arrays in time order.
        horizon: steps of a window.
        season: of the naive forecast and of the scale of MASE.
        windows: at the end of every series, one horizon apart.
    """

    suite: str
    name: str
    series: Sequence[FloatArray]
    horizon: int
    season: int
    windows: int

    @property
    def period(self) -> int:
        """The season that a forecaster is told: the calendar's where the suite scores with 1."""
        return next((p for key, p in CALENDAR.items() if self.name.startswith(key)), self.season)

    @property
    def second_period(self) -> int:
        """A longer season by the calendar, 0 for none."""
        return SECOND.get(self.period, 0)


def load_tasks(data: Path, names: Sequence[str] = (), suites: Sequence[str] = (GIFT, CHRONOS)) -> Iterator[SuiteTask]:
    """Tasks in the suites' order, read as they are asked for.

    Args:
        data: folder of the public archives.
        names: parts of names; none for all.
        suites: of the tasks.

    Raises:
        FileNotFoundError: a file of a task is not in the folder.
    """
    for suite, name, horizon, season, windows, read in _catalogue(data):
        if suite in suites and (not names or any(part in name for part in names)):
            series = read()
            if windows is None:
                # GIFT-Eval: as many windows as a tenth of the shortest series holds, 1 to 20.
                windows = min(max(1, math.ceil(0.1 * min(map(len, series)) / horizon)), 20)
            yield SuiteTask(suite, name, series, horizon, season, windows)


Read = Callable[[], Sequence[FloatArray]]


def _catalogue(data: Path) -> Iterator[tuple[str, str, int, int, int | None, Read]]:
    yield GIFT, "m4_weekly/w/short", 13, 1, 1, lambda: m4(data, "Weekly")
    yield GIFT, "m4_hourly/h/short", 48, 24, 1, lambda: m4(data, "Hourly")
    yield GIFT, "hospital/m/short", 12, 12, 1, lambda: monash(data, "hospital")
    births, saugeen = cache(lambda: monash(data, "us_births")[0]), cache(lambda: monash(data, "saugeenday")[0])
    yield GIFT, "us_births/d/short", 30, 1, None, lambda: [births()]
    yield GIFT, "us_births/w/short", 8, 1, None, lambda: [block_means(births(), 7)]
    yield GIFT, "us_births/m/short", 12, 12, None, lambda: [by_month(births(), dt.date(1969, 1, 1), np.sum)]
    yield GIFT, "saugeen/d/short", 30, 1, None, lambda: [saugeen()]
    yield GIFT, "saugeen/m/short", 12, 12, None, lambda: [by_month(saugeen(), dt.date(1915, 1, 1), np.mean)]
    ett = cache(lambda: columns(data / "ett" / "ETTm1.csv.gz"))
    jena = cache(lambda: columns(data / "weather" / "weather.csv.gz", "latin-1"))
    yield from _grid("ett1", ett, (("15t", 1, 96), ("h", 4, 24)))
    yield GIFT, "ett1/d/short", 30, 1, None, lambda: [block_means(x, 96) for x in ett()]
    yield GIFT, "ett1/w/short", 8, 1, None, lambda: [block_means(x, 672) for x in ett()]
    yield from _grid("jena_weather", jena, (("10t", 1, 144), ("h", 6, 24)))
    yield GIFT, "jena_weather/d/short", 30, 1, None, lambda: [block_means(x, 144) for x in jena()]
    for name, horizon, season in (
        *(("m1_monthly", 18, 12), ("m1_quarterly", 8, 4), ("m1_yearly", 6, 1)),
        *(("m3_monthly", 18, 12), ("m3_quarterly", 8, 4), ("m3_yearly", 6, 1)),
        *(("tourism_monthly", 24, 12), ("tourism_quarterly", 8, 4), ("tourism_yearly", 4, 1)),
        *(("fred_md", 12, 12), ("hospital", 12, 12)),
    ):
        yield CHRONOS, f"monash_{name}", horizon, season, 1, _monash(data, name)


def _monash(data: Path, name: str) -> Read:
    return lambda: monash(data, name)


def _grid(
    name: str, read: Read, steps: Sequence[tuple[str, int, int]]
) -> Iterator[tuple[str, str, int, int, int | None, Read]]:
    """A table at two steps and three horizons."""
    for label, block, season in steps:
        for term, horizon in TERMS:
            yield GIFT, f"{name}/{label}/{term}", horizon, season, None, _blocks(read, block)


def _blocks(read: Read, block: int) -> Read:
    return lambda: [block_means(x, block) for x in read()]
