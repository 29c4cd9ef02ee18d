"""Rows and the table of recipes that forecast public sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from titans_recipes.tables import Rows, Table, average, by_run, mean_of, number, spread

PAIRS = (("mse", "mae"), ("wql", "mase"))


@dataclass(frozen=True)
class ForecastRow:
    """One model on one data set; scores that a task does not have are None.

    Attributes:
        run, horizon, seed: which model.
        mse, mae, wql, mase: test errors; linear_mse … those of the model's closed-form linear part alone.
        validation: mean loss of the held-out windows (long horizon: squared error).
        best_step: gradient step of the weights that were kept; share: `network_weight`.
        parameters: of the network; cpu_seconds: of training.
    """

    run: str
    horizon: int
    seed: int
    mse: float | None = None
    mae: float | None = None
    wql: float | None = None
    mase: float | None = None
    linear_mse: float | None = None
    linear_mae: float | None = None
    linear_wql: float | None = None
    linear_mase: float | None = None
    validation: float | None = None
    best_step: int | None = None
    share: float | None = None
    parameters: int | None = None
    cpu_seconds: float | None = None


def label(row: ForecastRow) -> str:
    """The horizon, for the line of a row."""
    return f", horizon {row.horizon}"


def forecast_table(rows: Rows) -> Table:
    """A line for each run and horizon; of several horizons also their mean, over the seeds that have them all.

    "test" is MSE / MAE, or WQL / MASE, as mean ± standard deviation over seeds; "linear part alone" the same scores of
    the model's closed-form linear part without the network's correction.
    """
    pair = next(pair for pair in PAIRS if number(rows[0], pair[0]) is not None)
    lines = []
    for run, mine in by_run(rows).items():
        horizons = sorted({int(row["horizon"]) for row in mine})
        groups = [[row for row in mine if int(row["horizon"]) == horizon] for horizon in horizons]
        lines += [_line(run, str(h), [group], pair) for h, group in zip(horizons, groups, strict=True)]
        complete = _complete(groups)
        if len(horizons) > 1 and complete[0]:
            lines.append(_line(run, f"mean of {len(horizons)}", complete, pair))
    test = " / ".join(name.upper() for name in pair)
    return Table(("run", "horizon", "seeds", f"{test}, test", "linear part alone", "share kept", "CPU s"), lines)


def _complete(groups: Sequence[Rows]) -> list[Rows]:
    """The rows of those seeds that every group has: a mean over horizons needs all of them."""
    seeds = set.intersection(*({row["seed"] for row in rows} for rows in groups))
    return [[row for row in rows if row["seed"] in seeds] for rows in groups]


def _line(run: str, horizon: str, groups: Sequence[Rows], pair: tuple[str, str]) -> tuple[str, ...]:
    """One line over groups of rows, one for each horizon; the mean over horizons is taken within a seed."""
    rows = [row for group in groups for row in group]
    seeds = sorted({row["seed"] for row in rows})
    test = " / ".join(spread(_by_seed(rows, seeds, name)) for name in pair)
    linear = " / ".join(average(_by_seed(rows, seeds, f"linear_{name}")) for name in pair)
    rest = (mean_of(rows, "share", "{:.2f}"), mean_of(rows, "cpu_seconds", "{:.0f}"))
    return (run, horizon, str(len(seeds)), test, linear, *rest)


def _by_seed(rows: Rows, seeds: Sequence[Any], name: str) -> list[float]:
    """The mean of a column for each seed that has values."""
    found = []
    for seed in seeds:
        values = [value for row in rows if row["seed"] == seed and (value := number(row, name)) is not None]
        found += [mean(values)] if values else []
    return found
