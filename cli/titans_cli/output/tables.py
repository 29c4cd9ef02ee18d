"""What the command line prints: a summary of the data, the backtest table, the first rows of a forecast.

On a terminal the best value of a column is bold; in a pipe, where there is no bold, it has a star.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from titans_cli.output.notes import in_options
from titans_datasets.series import SeriesPanel
from titans_ts.forecasting.forecaster.continuation import FORECAST_BY

PIPE_WIDTH = 120
MOST_ROWS = 12


def make_console(quiet: bool) -> Console:
    """A console on stdout; in a pipe without colours and not wrapped at 80 columns."""
    console = Console(file=sys.stdout, highlight=False, quiet=quiet, soft_wrap=not sys.stdout.isatty())
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def plain_table() -> Table:
    """A table without lines."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))


def print_written(console: Console, lines: list[str]) -> None:
    """Print which files were written, also with --quiet."""
    console.print()
    print("".join(f"{line}\n" for line in lines), end="")


def data_summary(name: str, target: str, panel: SeriesPanel) -> list[str]:
    """Lines about the series: their number, span, time step, missing values, and how they were read."""
    notes = [f"note     {in_options(note)}" for note in panel.notes]
    return [f"{name}: {target}", *(f"  {line}" for line in [*panel.summary(), *notes])]


def backtest_table(metrics: pd.DataFrame, bold: bool) -> Table:
    """One row per model, one column per metric; the best value of each column is marked.

    It fits 80 columns where errors are below a million: long names of models are broken, numbers are not.
    """
    table = plain_table()
    table.padding = (0, 2 if bold else 1, 0, 0)
    table.add_column("", justify="left")
    for name in metrics.columns:
        # "coverage 90%" in two lines.
        table.add_column(str(name).replace(" ", "\n"), justify="right", no_wrap=True)
    best = {name: _best(metrics[name], str(name)) for name in metrics.columns}
    for place, (model, row) in enumerate(metrics.iterrows()):
        cells = [Text(str(model), style="bold" if place == 0 else "")]
        for name in metrics.columns:
            text = _number(float(row[name]), str(name))
            is_best = place in best[name]
            star = "" if bold else "*" if is_best else " "
            cells.append(Text(text + star, style="bold" if is_best and bold else ""))
        table.add_row(*cells)
    return table


def score_table(scores: dict[str, dict[str, float]], bold: bool) -> Table:
    """`backtest_table` from name of the model → name of the metric → value."""
    return backtest_table(pd.DataFrame(scores).T, bold)


def _best(values: pd.Series, name: str) -> set[int]:
    """Places of the smallest error, or of the coverage nearest to the nominal one."""
    loss = values.to_numpy(np.float64)
    if name.startswith("coverage"):
        loss = np.abs(loss - float(name.split()[-1].rstrip("%")) / 100)
    return set() if np.isnan(loss).all() else set(np.flatnonzero(loss <= np.nanmin(loss) + 1e-12).tolist())


def _number(value: float, name: str) -> str:
    if np.isnan(value):
        return "–"
    if name.startswith("coverage"):
        return f"{100 * value:.1f} %"
    size = abs(value)
    return f"{value:,.0f}" if 1e4 <= size < 1e6 else f"{value:.3g}" if size < 1 else f"{value:.4g}"


def forecast_table(frame: pd.DataFrame, levels: list[str]) -> Table:
    """The first rows of a forecast; of more than five quantile levels the lowest, the median and the highest."""
    if len(levels) > 5:
        shown = {levels[0], "0.5", levels[-1]}
        frame = frame.drop(columns=[name for name in levels if name not in shown])
    table = plain_table()
    for name in frame.columns:
        right = pd.api.types.is_float_dtype(frame[name])
        table.add_column(str(name), justify="right" if right else "left", no_wrap=name != FORECAST_BY)
    for row in frame.head(MOST_ROWS).itertuples(index=False):
        cells = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row]
        # What does not fit into a narrow terminal is cut from the last column.
        table.add_row(*cells[:-1], Text(cells[-1], no_wrap=True, overflow="ellipsis"))
    return table
