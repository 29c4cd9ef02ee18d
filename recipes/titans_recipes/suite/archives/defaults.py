"""Development tables: what a new user brings, made of windows that no public suite scores.

Panels of the public archives lose the steps that any suite scores, and keep at most `MOST` series, evenly spread; what
is forecast is the last window before. Choices about defaults may be made on these tables, never on the suites' windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from titans_datasets.series import to_records
from titans_recipes.suite.archives.public import Entry, public_entries
from titans_recipes.suite.archives.readers import monash
from titans_recipes.suite.tasks import CHRONOS, DEFAULTS, FEV, SuiteTask

MOST = 60
# Public panels, with the suite whose windows reach back furthest.
PANELS = (
    *((CHRONOS, f"monash_{name}") for name in ("m1_monthly", "m1_quarterly", "m3_monthly", "m3_quarterly")),
    *((CHRONOS, f"monash_{name}") for name in ("m3_yearly", "tourism_monthly", "tourism_quarterly")),
    (FEV, "hospital"),
)


@dataclass(frozen=True)
class DevelopmentTable:
    """A table before it is read."""

    name: str
    load: Callable[[], SuiteTask]


def default_tasks(data: Path) -> Iterator[DevelopmentTable]:
    """Development tables in their order."""
    entries = {(entry.suite, entry.name): entry for entry in public_entries(data)}
    for key in PANELS:
        name = key[1].removeprefix("monash_")
        yield DevelopmentTable(f"{name} (before the test)", _panel(name, entries[key]))
    for name in ("electricity_weekly", "traffic_weekly"):
        yield DevelopmentTable(name, _weekly(data, name))
    yield DevelopmentTable("builtin:weather", lambda: _builtin("weather", 24, 24, 14, "h"))
    yield DevelopmentTable("builtin:air_passengers", lambda: _builtin("air_passengers", 12, 12, 4, "MS"))


def _panel(name: str, entry: Entry) -> Callable[[], SuiteTask]:
    return lambda: _spread(replace(entry.load().before_test(), suite=DEFAULTS, name=f"{name} (before the test)"))


def _weekly(data: Path, name: str) -> Callable[[], SuiteTask]:
    """Eight weeks ahead; no suite here scores these sets."""

    def load() -> SuiteTask:
        found = monash(data, name)
        return _spread(SuiteTask(DEFAULTS, name, found.values, 8, 1, 1, "W", found.starts))

    return load


def _builtin(name: str, horizon: int, season: int, windows: int, freq: str) -> SuiteTask:
    records = to_records(f"builtin:{name}").records
    values = [record.target.astype(np.float64) for record in records]
    starts = [np.datetime64(record.start, "s") for record in records]
    return SuiteTask(DEFAULTS, f"builtin:{name}", values, horizon, season, windows, freq, starts)


def _spread(task: SuiteTask) -> SuiteTask:
    """At most `MOST` of its series, evenly spread."""
    kept = np.unique(np.linspace(0, len(task.series) - 1, MOST).astype(int))
    return replace(task, series=[task.series[i] for i in kept], starts=[task.starts[i] for i in kept])
