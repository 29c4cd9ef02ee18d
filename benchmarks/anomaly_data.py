"""Series for `anomalies.py`: real ones with anomalies planted into them, and labelled ones of the Numenta benchmark.

Shapes: T steps of a series, L steps of an anomaly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from titans_ts import load_weather

FloatArray = npt.NDArray[np.float64]
DAYS = 7
SPIKES = 5


class Labelled(NamedTuple):
    """A series (T,), the kind of its anomaly, and where it is (T,)."""

    name: str
    kind: str
    values: pd.Series
    strange: npt.NDArray[np.bool_]


class Set(NamedTuple):
    """Clean series of one frequency; `history` steps come before anything is planted."""

    freq: str
    season: int
    history: int
    series: dict[str, pd.Series]


def folder() -> Path | None:
    """The folder of public data."""
    found = os.environ.get("TITANS_TS_DATA")
    return Path(found) if found else None


def weather() -> Set:
    """Temperature, humidity and dew point of three airports, 2013: ships with the package."""
    table = load_weather().set_index("timestamp")
    found = {
        f"{item} {column}": rows[column].asfreq("h").interpolate().bfill()
        for item, rows in table.groupby("item_id")
        for column in ("temp", "humid", "dewp")
    }
    return Set("h", 24, 5500, found)


def _columns(file: str, stamp: str, columns: list[str], rows: int, hours: bool = False) -> Callable[[], Set | None]:
    """A set from $TITANS_TS_DATA; None if it is not there."""

    def read() -> Set | None:
        path = (folder() or Path()) / file
        if not path.is_file():
            return None
        table = pd.read_csv(path, parse_dates=[stamp]).set_index(stamp)[columns]
        table = (table.resample("h").mean() if hours else table.asfreq("h")).interpolate().iloc[:rows]
        return Set("h", 24, 5500, {column: table[column] for column in columns})

    return read


SETS: dict[str, Callable[[], Set | None]] = {
    "weather": weather,
    "etth1": _columns("ett/ETTh1.csv.gz", "date", ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"], 9000),
    "vic_elec": _columns("fpp3_hourly/vic_elec.csv.gz", "Time", ["Demand", "Temperature"], 9000, hours=True),
    "bike": _columns("uci_bike/bike_sharing_dataset_clean.csv.gz", "date_time", ["users"], 9000),
}


def _amplitude(x: FloatArray, mean: FloatArray, at: slice, plan: Plan) -> FloatArray:
    """Deviations from the daily mean, 2 or .4 times as large."""
    return mean[at] + plan.random.choice([0.4, 2.0]) * (x - mean)[at]


def _period(x: FloatArray, mean: FloatArray, at: slice, plan: Plan) -> FloatArray:
    """Time of the deviations runs 1.5 or .75 times as fast."""
    steps = np.arange(at.stop - at.start) * plan.random.choice([0.75, 1.5])
    # They come from the days before, so that they end where the series goes on.
    return mean[at] + np.interp(at.stop - 1 - steps[::-1], np.arange(len(x)), x - mean)


def _phase(x: FloatArray, mean: FloatArray, at: slice, plan: Plan) -> FloatArray:
    """Deviations are delayed by a quarter to three quarters of a season."""
    late = int(plan.random.integers(plan.season // 4, 3 * plan.season // 4 + 1))
    return mean[at] + (x - mean)[at.start - late : at.stop - late]


def _dynamics(x: FloatArray, mean: FloatArray, at: slice, plan: Plan) -> FloatArray:
    """Daily mean and profile stay, the residual is shuffled: same level and variance, no memory."""
    phase = np.arange(len(x)) % plan.season
    rest = (x - mean)[: plan.history]
    profile = np.array([rest[phase[: plan.history] == one].mean() for one in range(plan.season)])[phase]
    return (mean + profile)[at] + plan.random.permutation((x - mean - profile)[at])


def _trend(x: FloatArray, mean: FloatArray, at: slice, plan: Plan) -> FloatArray:
    """A ramp to three spreads."""
    return x[at] + plan.random.choice([-1, 1]) * np.linspace(0, 3 * plan.spread, at.stop - at.start)


def _shift(x: FloatArray, mean: FloatArray, at: slice, plan: Plan) -> FloatArray:
    """Two spreads higher or lower."""
    return x[at] + plan.random.choice([-1, 1]) * 2 * plan.spread


def _flat(x: FloatArray, mean: FloatArray, at: slice, plan: Plan) -> FloatArray:
    """The value of the first step."""
    return np.full(at.stop - at.start, x[at.start])


class Plan(NamedTuple):
    """What a plant may use: spread is the standard deviation of the history around its daily mean."""

    random: np.random.Generator
    season: int
    history: int
    spread: float


REGIMES = {
    "amplitude": _amplitude,
    "period": _period,
    "phase": _phase,
    "dynamics": _dynamics,
    "trend": _trend,
}
KINDS = (*REGIMES, "spikes", "level shift", "flat line")


def planted(data: Set, kinds: tuple[str, ...], seed: int) -> Iterator[Labelled]:
    """Every series with every kind, one segment of seven days each (spikes: five single steps) after the history."""
    for place, (name, values) in enumerate(data.series.items()):
        x = values.to_numpy(np.float64)
        mean = values.rolling(data.season, center=True, min_periods=1).mean().to_numpy()
        spread = float((x - mean)[: data.history].std())
        for kind in kinds:
            random = np.random.default_rng([seed, place, KINDS.index(kind)])
            plan, steps = Plan(random, data.season, data.history, spread), DAYS * data.season
            first = data.history + 2 * data.season
            found, strange = x.copy(), np.zeros(len(x), dtype=np.bool_)
            if kind == "spikes":
                at = random.choice(np.arange(first, len(x) - data.season), SPIKES, replace=False)
                found[at] += random.choice([-1, 1], SPIKES) * 5 * spread
                strange[at] = True
            else:
                start = int(random.integers(first, len(x) - steps - data.season))
                part = slice(start, start + steps)
                change = {**REGIMES, "level shift": _shift, "flat line": _flat}[kind]
                found[part], strange[part] = change(x, mean, part, plan), True
            yield Labelled(name, kind, pd.Series(found, index=values.index), strange)


# Windows of labels/combined_windows.json of github.com/numenta/NAB (commit 07b379d9), for the ten series whose data
# folder is at hand.
NAB = {
    "nyc_taxi": (
        "30min",
        48,
        "2014-10-30 15:30/2014-11-03 22:30; 2014-11-25 12:00/2014-11-29 19:00; 2014-12-23 11:30/2014-12-27 18:30; "
        "2014-12-29 21:30/2015-01-03 04:30; 2015-01-24 20:30/2015-01-29 03:30",
    ),
    "ambient_temperature_system_failure": (
        "h",
        24,
        "2013-12-15 07:00/2013-12-30 09:00; 2014-03-29 15:00/2014-04-20 22:00",
    ),
    "machine_temperature_system_failure": (
        "5min",
        288,
        "2013-12-15 09:55/2013-12-18 00:55; 2014-01-27 06:25/2014-01-29 21:25; 2014-02-07 07:00/2014-02-09 22:00",
    ),
    "cpu_utilization_asg_misconfiguration": ("5min", 288, "2014-07-10 12:29/2014-07-15 17:19"),
    "ec2_network_in_257a54": ("5min", 288, "2014-04-14 23:59/2014-04-16 09:29"),
    "elb_request_count_8c0756": ("5min", 288, "2014-04-12 09:04/2014-04-13 01:44; 2014-04-22 11:14/2014-04-23 03:54"),
    "Twitter_volume_AAPL": ("5min", 288, "2015-03-14 17:52/2015-03-17 12:02; 2015-03-29 18:22/2015-04-01 12:32"),
    "Twitter_volume_GOOG": (
        "5min",
        288,
        "2015-03-12 22:22/2015-03-14 18:22; 2015-03-22 00:52/2015-03-23 20:52; 2015-03-31 07:27/2015-04-02 03:27",
    ),
    "occupancy_t4013": ("5min", 288, "2015-09-16 00:59/2015-09-16 13:19; 2015-09-17 00:20/2015-09-17 13:10"),
    "speed_t4013": ("5min", 288, "2015-09-16 00:44/2015-09-16 13:14; 2015-09-17 00:30/2015-09-17 13:30"),
}


def numenta() -> Iterator[tuple[Set, Labelled]]:
    """The labelled series; the first 15 % are the history, as in that benchmark. Empty if they are not there."""
    for name, (freq, season, windows) in NAB.items():
        path = (folder() or Path()) / "nab" / f"{name}.csv.gz"
        if not path.is_file():
            continue
        table = pd.read_csv(path, parse_dates=["timestamp"]).set_index("timestamp")["value"]
        values = table.resample(freq).mean()
        strange = np.zeros(len(values), dtype=np.bool_)
        for window in windows.split("; "):
            first, last = (pd.Timestamp(text) for text in window.split("/"))
            strange |= (values.index >= first) & (values.index <= last)
        yield Set(freq, season, int(0.15 * len(values)), {name: values}), Labelled(name, "NAB", values, strange)
