"""The public tasks whose data are at hand: how each is read, and the protocol its suite has for it.

GIFT-Eval: windows are a horizon apart at the end of every series, as many as a tenth of the shortest series holds (1 to
20). Hours and days of Jena are calendar means of the readings that are there, on a grid that begins with the table.
Chronos Benchmark II: the last window. fev-bench: its tasks whose series are here exactly as published; its
jena_weather_1D and solar_1W are not (their seasonal naive forecast comes out otherwise), so they are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from titans_datasets.series.public.benchmarks import electricity_price
from titans_recipes.suite.archives.readers import (
    Archive,
    block_means,
    by_month,
    columns,
    m4,
    m4_yearly,
    monash,
    resampled,
)
from titans_recipes.suite.tasks import CHRONOS, FEV, GIFT, SuiteTask

TERMS = (("short", 48), ("medium", 480), ("long", 720))
MARKETS = ("NP", "BE", "DE")


class Entry(NamedTuple):
    """A task before its series are read; windows None: as many as a tenth of the shortest series holds, 1 to 20."""

    suite: str
    name: str
    horizon: int
    season: int
    windows: int | None
    freq: str
    read: Callable[[], Archive]

    def load(self) -> SuiteTask:
        """The task with its series."""
        values, starts = self.read()
        windows = self.windows
        if windows is None:
            windows = min(max(1, math.ceil(0.1 * min(map(len, values)) / self.horizon)), 20)
        plan = (self.horizon, self.season, windows, self.freq)
        fev = self.suite == FEV
        by_series = fev and self.name.startswith("jena")
        return SuiteTask(self.suite, self.name, values, *plan, starts, by_window=fev, by_series=by_series)


def public_entries(data: Path) -> Iterator[Entry]:
    """Every task that needs no covariates, in the suites' order."""

    @cache
    def jena() -> Archive:
        return columns(data / "weather" / "weather.csv", "10min", "latin-1")

    yield from _gift(data, jena)
    yield from _chronos(data)
    yield Entry(FEV, "hospital", 12, 12, 4, "MS", lambda: monash(data, "hospital"))
    yield Entry(FEV, "jena_weather_10T", 144, 144, 20, "10min", jena)
    yield Entry(FEV, "jena_weather_1H", 24, 24, 20, "h", lambda: resampled(jena(), "10min", "h"))


def _gift(data: Path, jena: Callable[[], Archive]) -> Iterator[Entry]:
    yield Entry(GIFT, "m4_weekly/w/short", 13, 1, 1, "W", lambda: m4(data, "Weekly"))
    yield Entry(GIFT, "m4_hourly/h/short", 48, 24, 1, "h", lambda: m4(data, "Hourly"))
    yield Entry(GIFT, "hospital/m/short", 12, 12, 1, "MS", lambda: monash(data, "hospital"))
    births, saugeen = cache(lambda: monash(data, "us_births")), cache(lambda: monash(data, "saugeenday"))
    yield Entry(GIFT, "us_births/d/short", 30, 1, None, "D", births)
    yield Entry(GIFT, "us_births/w/short", 8, 1, None, "W", lambda: block_means(births(), 7))
    yield Entry(GIFT, "us_births/m/short", 12, 12, None, "MS", lambda: by_month(births(), "sum"))
    yield Entry(GIFT, "saugeen/d/short", 30, 1, None, "D", saugeen)
    yield Entry(GIFT, "saugeen/m/short", 12, 12, None, "MS", lambda: by_month(saugeen(), "mean"))
    ett = cache(lambda: columns(data / "ett" / "ETTm1.csv", "15min"))
    yield from _grid("ett1", ett, "15min", (("15t", "15min", 96), ("h", "h", 24)))
    yield Entry(GIFT, "ett1/d/short", 30, 1, None, "D", lambda: resampled(ett(), "15min", "D"))
    yield Entry(GIFT, "ett1/w/short", 8, 1, None, "W", lambda: block_means(ett(), 672))
    yield from _grid("jena_weather", jena, "10min", (("10t", "10min", 144), ("h", "h", 24)))
    yield Entry(GIFT, "jena_weather/d/short", 30, 1, None, "D", lambda: resampled(jena(), "10min", "D"))


def _grid(name: str, read: Callable[[], Archive], step: str, to: Sequence[tuple[str, str, int]]) -> Iterator[Entry]:
    """A table at two steps and three horizons."""
    for label, freq, season in to:
        for term, horizon in TERMS:
            yield Entry(GIFT, f"{name}/{label}/{term}", horizon, season, None, freq, _at_step(read, step, freq))


def _at_step(read: Callable[[], Archive], step: str, to: str) -> Callable[[], Archive]:
    return lambda: read() if to == step else resampled(read(), step, to)


def _chronos(data: Path) -> Iterator[Entry]:
    yield Entry(CHRONOS, "exchange_rate", 30, 5, 1, "B", lambda: _exchange(data))
    yield Entry(CHRONOS, "m4_yearly", 6, 1, 1, "YS", lambda: m4_yearly(data))
    for name, horizon, season, freq in (
        *(("m1_monthly", 18, 12, "MS"), ("m1_quarterly", 8, 4, "QS"), ("m1_yearly", 6, 1, "YS")),
        *(("m3_monthly", 18, 12, "MS"), ("m3_quarterly", 8, 4, "QS"), ("m3_yearly", 6, 1, "YS")),
        *(("tourism_monthly", 24, 12, "MS"), ("tourism_quarterly", 8, 4, "QS"), ("tourism_yearly", 4, 1, "YS")),
        *(("fred_md", 12, 12, "MS"), ("hospital", 12, 12, "MS")),
    ):
        yield Entry(CHRONOS, f"monash_{name}", horizon, season, 1, freq, _monash(data, name))


def _monash(data: Path, name: str) -> Callable[[], Archive]:
    return lambda: monash(data, name)


def _exchange(data: Path) -> Archive:
    """Rates of eight currencies on working days (the file numbers them as if there were no weekends)."""
    return columns(data / "exchange_rate" / "exchange_rate.csv", "D")


def price_task(market: str) -> SuiteTask:
    """Day-ahead prices of a market with their two covariates, from $TITANS_TS_DATA.

    Raises:
        FileNotFoundError: the file is missing; the message shows where to get it.
    """
    found = electricity_price(market)
    covariates = found.schema.known_covariates
    prices = found.frame["target"].to_numpy(np.float64)
    return SuiteTask(
        *(FEV, f"epf_{market.lower()}", [prices], found.horizon, found.season, found.windows, "h"),
        starts=[np.datetime64(found.frame["timestamp"].iloc[0], "s")],
        known=[found.frame[list(covariates)].to_numpy(np.float64)],
        covariates=covariates,
        by_window=True,
    )
