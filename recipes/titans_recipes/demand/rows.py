"""Rows and the table of recipes of task `demand`."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from titans_recipes.tables import Rows, Table, by_run, mean_of, numbers, spread

ALL = "all held out"


@dataclass(frozen=True)
class DemandRow:
    """One model on a segment of days of a held-out series.

    Attributes:
        run, seed: which model.
        item: the series, or all of them: the mean over series of a day's relative error.
        history: days of the series that the memory has read before the segment.
        days: of the segment.
        wape: mean absolute error over the series' mean demand (of all its days), in per cent.
        emptied: wape of the same weights with an empty memory; None where nothing is written anyway.
        against: the run that this one is compared with.
        gain: by how many per cent the error is below that of `against`; gain_low, gain_high: 95 % interval of a paired
            bootstrap over blocks of 14 days.
        parameters: of the network; cpu_seconds: of training.
    """

    run: str
    seed: int
    item: str
    history: int
    days: int
    wape: float
    emptied: float | None
    against: str
    gain: float
    gain_low: float
    gain_high: float
    parameters: int
    cpu_seconds: float


def label(row: DemandRow) -> str:
    """Series and segment, for the line of a row."""
    return f", {row.item}, from day {row.history:,}"


def demand_table(rows: Rows) -> Table:
    """A line for each run: errors of each series on the last segment, and of all series with the gain of memory."""
    last = max(int(row["history"]) for row in rows)
    rows = [row for row in rows if int(row["history"]) == last]
    items = list(dict.fromkeys(row["item"] for row in rows))
    lines = []
    for run, mine in by_run(rows).items():
        errors = [spread(numbers([row for row in mine if row["item"] == item], "wape"), 2) for item in items]
        total = [row for row in mine if row["item"] == items[-1]]
        gain, low, high = (f"{mean(numbers(total, name)):+.1f}" for name in ("gain", "gain_low", "gain_high"))
        emptied, spent = mean_of(total, "emptied", "{:.2f}"), mean_of(total, "cpu_seconds", "{:.0f}")
        lines.append((run, str(len(total)), *errors, emptied, f"{gain} %", f"{low} to {high} %", spent))
    errors = [f"WAPE %, {item}" for item in items]
    return Table(("run", "seeds", *errors, "memory emptied", "gain", "95 %", "CPU s"), lines)
