"""Series of `neural_memory_study.py`: windows to train on, held-out synthetic ones, real ones."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from zero_pretraining import first_known, parts

from titans_datasets.series.generators.families.templates import templates

FloatArray = npt.NDArray[np.float64]
HORIZON = 48
# Steps of training windows before their horizon, and series of a batch.
SHORT, LONG = 2048, 4096
BATCH = {SHORT: 12, LONG: 6}
# Lengths of the generated series, and how many of each: motifs return after up to a third of a series.
RETURNING = {LONG + HORIZON: 256, 4 * LONG: 192}
LONGEST = 65_536
# Steps between two windows of a public series: 11 days of half-hours, other hours and days elsewhere.
APART = 528
# A history that is nearly as long counts as one of 65,536 steps.
ENOUGH = 0.75


@dataclass(frozen=True)
class RealSet:
    """A public set.

    Attributes:
        file: in the folder of data sets.
        columns: read from it; all but the first where none is named.
        season: a day, in steps.
        item: column that names the series; its rows are one below the other.
    """

    file: str
    columns: tuple[str, ...]
    season: int
    item: str = ""


# Columns that are constant for days on end, such as rain, would make ratios of errors of nothing.
WEATHER = ("p (mbar)", "T (degC)", "rh (%)", "VPdef (mbar)", "wv (m/s)", "wd (deg)", "OT")
SETS = {
    "aus_elec": RealSet("aus_elec/aus_elec.csv.gz", ("Demand",), 48, item="State"),
    "vic_elec": RealSet("fpp3_hourly/vic_elec.csv.gz", ("Demand",), 48),
    "ETTm1": RealSet("ett/ETTm1.csv.gz", (), 96),
    "weather": RealSet("weather/weather.csv.gz", WEATHER, 144),
    "bike": RealSet("uci_bike/bike_sharing_dataset_clean.csv.gz", ("users",), 24),
    "nyc_taxi": RealSet("nab/nyc_taxi.csv.gz", ("value",), 48),
}
# Victoria is a set of its own.
TWICE = "Victoria"


@dataclass(frozen=True)
class Held:
    """A series that nothing was trained on.

    Attributes:
        group: its set.
        name: of the series.
        values: (T,), NaN where missing.
        season: declared, in steps; 0 for none.
        ends: of the histories that are forecast from, the last ones of the series.
    """

    group: str
    name: str
    values: FloatArray
    season: int
    ends: tuple[int, ...]

    def history(self, end: int, length: int) -> FloatArray | None:
        """The last steps before an end, fewer where not much is missing; None otherwise."""
        steps = min(end, length)
        return self.values[end - steps : end] if steps >= ENOUGH * length else None


def real_series(folder: Path, windows: int) -> list[Held]:
    """Series of the sets in a folder, with so many windows each."""
    found = []
    for group, of in SETS.items():
        for name, values in _columns(folder / of.file, of).items():
            if name == TWICE:
                continue
            ends = tuple(len(values) - HORIZON - APART * back for back in range(windows - 1, -1, -1))
            found.append(Held(group, name, values, of.season, ends))
    return found


def synthetic_series(count: int, seed: int) -> list[Held]:
    """Templates and motifs of the longest history and a horizon, one window each; no period is declared."""
    made = templates(np.random.default_rng(seed), count, LONGEST + HORIZON)
    return [Held("synthetic", str(row), values, 0, (LONGEST,)) for row, values in enumerate(made)]


def _columns(path: Path, of: RealSet) -> dict[str, FloatArray]:
    """Values (T,) by column, or by item; -9999 is missing."""
    with gzip.open(path, "rt", encoding="latin-1", newline="") as file:
        rows = csv.DictReader(file)
        names = of.columns or tuple(rows.fieldnames or ())[1:]
        lists: dict[str, list[float]] = {}
        for row in rows:
            for name in names:
                lists.setdefault(row[of.item] if of.item else name, []).append(float(row[name] or "nan"))
    values = {name: np.array(column) for name, column in lists.items()}
    return {name: np.where(column <= -9999, np.nan, column) for name, column in values.items()}


class Windows:
    """Batches of training windows: half short ones of all pools, half long ones of the returning series.

    Args:
        pools: arrays (N, L) of at least `SHORT` + `HORIZON` steps, NaN in front of shorter series.
        seed: of the draws, and of the series that are generated.
    """

    def __init__(self, pools: Sequence[np.ndarray], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.returning = [
            templates(np.random.default_rng((seed, length)), count, length) for length, count in RETURNING.items()
        ]
        self.pools = [*pools, *self.returning]
        for pool in self.pools:
            if pool.shape[1] < SHORT + HORIZON:
                raise ValueError(f"series of a pool must have {SHORT + HORIZON} steps or more, got {pool.shape[1]}")
        first = [np.concatenate([first_known(part) for part in parts(pool)]) for pool in self.pools]
        # Series with a part that is long enough to be read.
        self.rows = [
            np.flatnonzero(known <= pool.shape[1] - SHORT // 4) for known, pool in zip(first, self.pools, strict=True)
        ]

    def batch(self) -> FloatArray:
        """Values (B, steps + `HORIZON`), NaN where missing; half of the batches upside down."""
        length = LONG if self.rng.random() < 0.5 else SHORT
        first = len(self.pools) - len(self.returning) if length == LONG else 0
        chosen = [first + at % (len(self.pools) - first) for at in range(BATCH[length])]
        rows = np.stack([self._window(number, length + HORIZON) for number in chosen])
        return np.asarray(rows if self.rng.random() < 0.5 else -rows)

    def _window(self, number: int, steps: int) -> FloatArray:
        series = self.pools[number][self.rng.choice(self.rows[number])]
        end = int(self.rng.integers(steps, len(series) + 1))
        return np.asarray(series[end - steps : end], dtype=np.float64)
