"""Results of recipes as tables: a summary of one run, and the page that is made anew from recipes/results.csv.

Shapes: none.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

START, END = "<!-- results: start -->", "<!-- results: end -->"
PAIRS = (("mse", "mae"), ("wql", "mase"))
HEADER = ("run", "horizon", "seeds", "test", "memory off", "share kept", "CPU s")
Rows = Sequence[Mapping[str, Any]]


def summary(rows: Rows) -> list[tuple[str, ...]]:
    """A line a run and horizon, and where a run has several horizons one of their mean, over seeds that have them all.

    "test" is MSE / MAE, or WQL / MASE, as mean ± standard deviation over seeds; "memory off" the same scores of the
    closed-form linear map alone.
    """
    lines: list[tuple[str, ...]] = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == run]
        horizons = sorted({int(row["horizon"]) for row in mine})
        lines += [_line(run, str(h), [[row for row in mine if int(row["horizon"]) == h]]) for h in horizons]
        if len(horizons) > 1:
            groups = _complete([[row for row in mine if int(row["horizon"]) == h] for h in horizons])
            lines += [_line(run, f"mean of {len(horizons)}", groups)] if groups[0] else []
    return lines


def _complete(groups: Sequence[Rows]) -> list[Rows]:
    """The rows of those seeds that every group has: a mean over horizons needs all of them."""
    seeds = set.intersection(*({row["seed"] for row in rows} for rows in groups))
    return [[row for row in rows if row["seed"] in seeds] for rows in groups]


def _line(run: str, horizon: str, groups: Sequence[Rows]) -> tuple[str, ...]:
    """One line over groups of rows, a horizon each; the mean over horizons is taken within a seed."""
    first, second = next(pair for pair in PAIRS if _number(groups[0][0], pair[0]) is not None)
    seeds = sorted({row["seed"] for rows in groups for row in rows})
    test = " / ".join(_spread(_by_seed(groups, seeds, name)) for name in (first, second))
    off = " / ".join(_short(_by_seed(groups, seeds, f"linear_{name}")) for name in (first, second))
    rest = (_mean(groups, "share", "{:.2f}"), _mean(groups, "cpu_seconds", "{:.0f}"))
    return (run, horizon, str(len(seeds)), test, off, *rest)


def _by_seed(groups: Sequence[Rows], seeds: Sequence[Any], name: str) -> list[float]:
    found = []
    for seed in seeds:
        values = [_number(row, name) for rows in groups for row in rows if row["seed"] == seed]
        found += [mean(v for v in values if v is not None)] if any(v is not None for v in values) else []
    return found


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return None if value in (None, "") else float(str(value))


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f} ± {pstdev(values):.4f}" if len(values) > 1 else _short(values)


def _short(values: Sequence[float]) -> str:
    return f"{mean(values):.4f}" if values else "–"


def _mean(groups: Sequence[Rows], name: str, form: str) -> str:
    values = [value for rows in groups for row in rows if (value := _number(row, name)) is not None]
    return form.format(mean(values)) if values else "–"


def newest(rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The last row of each recipe, run, horizon and seed: results are appended, the newest one counts."""
    found: dict[tuple[str, ...], Mapping[str, str]] = {}
    for row in rows:
        found[tuple(row[name] for name in ("recipe", "run", "horizon", "seed"))] = row
    return list(found.values())


def table(rows: Rows) -> str:
    """Markdown: a section a recipe, with the commits and the machine its rows come from."""
    parts = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        mine = [row for row in rows if row["recipe"] == recipe]
        commits = ", ".join(dict.fromkeys(row["commit"] for row in mine if row["commit"]))
        score = "MSE / MAE" if any(_number(row, "mse") is not None for row in mine) else "WQL / MASE"
        head = [HEADER[0], HEADER[1], HEADER[2], f"{score}, {HEADER[3]}", *HEADER[4:]]
        lines = [" | ".join(head), " | ".join(["---"] * len(head)), *(" | ".join(line) for line in summary(mine))]
        parts.append(f"### {recipe}\n\n" + "\n".join(f"| {line} |" for line in lines))
        parts.append(
            f"{mine[-1]['machine']}, {mine[-1]['threads']} thread, torch {mine[-1]['torch']}; commit {commits}"
        )
    return "\n\n".join(parts)


def write_table(results: Path, page: Path) -> None:
    """Put the table of a results file between the two marks of a page, which is replaced as a whole.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: the page lacks the marks.
    """
    for file in (results, page):
        if not file.is_file():
            raise FileNotFoundError(f"{file} is not there: run this in the root of the repository, or name the files")
    text = page.read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} must have the lines {START!r} and {END!r} once each, between which the table goes")
    with results.open(encoding="utf-8") as stream:
        rows = newest(csv.DictReader(stream))
    before, after = text.split(START)[0], text.split(END)[1]
    beside = page.with_suffix(".partial")
    beside.write_text(f"{before}{START}\n\n{table(rows)}\n\n{END}{after}", encoding="utf-8")
    os.replace(beside, page)
