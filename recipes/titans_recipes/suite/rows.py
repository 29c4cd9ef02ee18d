"""Rows and the table of recipes of task `suite`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from titans_recipes.suite.baseline import BASELINE
from titans_recipes.suite.protocol import geometric_means
from titans_recipes.suite.published import published_scores
from titans_recipes.suite.tasks import DEFAULTS
from titans_recipes.tables import Rows, Table, by_run, number, numbers

SEASONAL_NAIVE = "seasonal naive"
Pair = tuple[float, float]


@dataclass(frozen=True)
class SuiteRow:
    """One forecaster on one task.

    Attributes:
        run, seed: which forecaster.
        suite, set: the task.
        mase, wql: scores; None where the forecaster failed.
        naive_mase, naive_wql: of the seasonal naive forecast, to which geometric means are relative.
        coverage_50, coverage_80, coverage_90: share of values within the central intervals; None without such levels.
        series, windows, forecasts: of the task; forecasts are windows of all series.
        cpu_seconds: of fitting and forecasting, children included.
        settings: what the forecaster was given; a stored row with the same ones is not computed again.
        note: why there are no scores.
        known: whether the row comes from a file of results; not stored.
    """

    run: str
    seed: int
    suite: str
    set: str
    mase: float | None
    wql: float | None
    naive_mase: float
    naive_wql: float
    coverage_50: float | None
    coverage_80: float | None
    coverage_90: float | None
    series: int
    windows: int
    forecasts: int
    cpu_seconds: float
    settings: str
    note: str = ""
    known: bool = field(default=False, metadata={"column": False})


def label(row: SuiteRow) -> str:
    """The task, and what happened to a row without scores, for the line of a row."""
    size = f"{row.series:,} series × {row.windows} window{'s' * (row.windows > 1)}"
    extra = f", {row.note}" * bool(row.note) + ", stored before" * row.known
    return f", {row.set} ({size}){extra}"


def suite_table(rows: Rows) -> Table:
    """A line for each forecaster, by WQL: geometric means over tasks relative to the seasonal naive forecast.

    Forecasters that have some of the tasks only come last: their means are not comparable with the others'.
    Lines marked "published" are means over the same tasks of scores that others have published. Coverages are means
    over tasks, CPU seconds sums. The tasks themselves are in the file of results.
    """
    tasks = {row["set"]: (float(row["naive_mase"]), float(row["naive_wql"])) for row in rows}
    every = len(tasks)
    lines = []
    for run, mine in by_run(rows).items():
        found = summary(mine)
        lines.append((found.tasks < every, found.wql, _own_line(run, mine, found, every)))
    for name, (means, count) in others(rows, tasks).items():
        lines.append((count < every, means[1], _published_line(name, means, _count(count, every))))
    header = ("forecaster", "tasks", "MASE", "WQL", "50 %", "80 %", "90 %", "CPU s")
    return Table(header, [line for *_, line in sorted(lines, key=lambda line: line[:2])])


@dataclass(frozen=True)
class Summary:
    """Of one forecaster: relative MASE and WQL, and the sum of CPU seconds over tasks."""

    mase: float
    wql: float
    cpu_seconds: float
    tasks: int


def summary(rows: Rows) -> Summary:
    """Of the rows of one forecaster; several seeds of a task are averaged."""
    scored = [row for row in rows if number(row, "mase") is not None]
    ours, naive, seconds = {}, {}, 0.0
    for name in dict.fromkeys(row["set"] for row in scored):
        mine = [row for row in scored if row["set"] == name]
        ours[name] = mean(numbers(mine, "mase")), mean(numbers(mine, "wql"))
        naive[name] = float(mine[0]["naive_mase"]), float(mine[0]["naive_wql"])
        seconds += mean(numbers(mine, "cpu_seconds"))
    return Summary(*geometric_means(ours, naive), seconds, len(ours))


def others(rows: Rows, tasks: Mapping[str, Pair]) -> dict[str, tuple[Pair, int]]:
    """Published relative MASE and WQL by name, and over how many of the tasks; the baseline itself left out."""
    suite = str(rows[0]["suite"])
    if suite == DEFAULTS:
        return {}
    found = {}
    for name, scores in published_scores(suite).items():
        mine = {task: scores[task] for task in tasks if task in scores}
        if mine and name != BASELINE:
            found[name] = geometric_means(mine, tasks), len(mine)
    return found


def _own_line(run: str, rows: Rows, found: Summary, every: int) -> tuple[str, ...]:
    shares = [_percent(numbers(rows, name), found.tasks) for name in ("coverage_50", "coverage_80", "coverage_90")]
    count = _count(found.tasks, every)
    return run, count, f"{found.mase:.3f}", f"{found.wql:.3f}", *shares, f"{found.cpu_seconds:,.0f}"


def _published_line(name: str, means: Pair, count: str) -> tuple[str, ...]:
    return (f"{name}, published", count, f"{means[0]:.3f}", f"{means[1]:.3f}", "–", "–", "–", "–")


def _count(mine: int, all_tasks: int) -> str:
    return str(mine) if mine == all_tasks else f"{mine} of {all_tasks}"


def _percent(values: Sequence[float], tasks: int) -> str:
    """The mean of shares; a dash where a task lacks it."""
    return f"{100 * mean(values):.0f}" if values and len(values) >= tasks else "–"


def stored_row(row: Mapping[str, Any]) -> SuiteRow:
    """A row of a file of results, where all values are text."""
    numbers_ = ("mase", "wql", "naive_mase", "naive_wql", "coverage_50", "coverage_80", "coverage_90", "cpu_seconds")
    values: dict[str, Any] = {name: number(row, name) for name in numbers_}
    values |= {name: int(row[name]) for name in ("seed", "series", "windows", "forecasts")}
    values |= {name: row[name] for name in ("run", "suite", "set", "settings", "note")}
    return SuiteRow(**values, known=True)
