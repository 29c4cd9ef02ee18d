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

PIPE_WIDTH, NARROW = 120, 80
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
    """Print which files were written, also with --quiet; nothing where there are none."""
    if lines:
        console.print()
    print("".join(f"{line}\n" for line in lines), end="")


def data_summary(name: str, target: str, panel: SeriesPanel) -> list[str]:
    """Lines about the series: their number, span, time step, missing values, and how they were read."""
    notes = [f"note     {in_options(note)}" for note in panel.notes]
    return [f"{name}: {target}", *(f"  {line}" for line in [*panel.summary(), *notes])]


def backtest_table(metrics: pd.DataFrame, bold: bool) -> Table:
    """One row per model, one column per metric; the best value of each column is marked.

    It fits `NARROW` columns: long names of models are broken where numbers leave no room.
    """
    table = plain_table()
    table.padding = (0, 1, 0, 0)
    best = {name: _best(metrics[name], str(name)) for name in metrics.columns}
    numbers = {}
    for name in metrics.columns:
        marks = ["*" if place in best[name] and not bold else " " for place in range(len(metrics))]
        values = zip(metrics[name].astype(float), marks, strict=True)
        numbers[name] = [_number(value, str(name)) + mark for value, mark in values]
    # "coverage 90%" in two lines.
    heads = {name: str(name).replace(" ", "\n") for name in metrics.columns}
    taken = sum(1 + max(map(len, [*heads[name].split("\n"), *numbers[name]])) for name in metrics.columns)
    table.add_column("", justify="left", max_width=max(20, NARROW - taken))
    for name in metrics.columns:
        table.add_column(heads[name], justify="right", no_wrap=True)
    for place, model in enumerate(metrics.index):
        style = {name: "bold" if bold and place in best[name] else "" for name in metrics.columns}
        cells = [Text(numbers[name][place], style=style[name]) for name in metrics.columns]
        table.add_row(Text(str(model), style="bold" if place == 0 else ""), *cells)
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
    # Imported here: it brings PyTorch, and the data's summary is printed by this module before it is needed.
    from titans_ts.forecasting.forecaster.inputs import FORECAST_BY

    if len(levels) > 5:
        shown = {levels[0], "0.5", levels[-1]}
        frame = frame.drop(columns=[name for name in levels if name not in shown])
    table = plain_table()
    for name in frame.columns:
        right = pd.api.types.is_float_dtype(frame[name])
        table.add_column(str(name), justify="right" if right else "left", no_wrap=name != FORECAST_BY)
    for name in frame.select_dtypes(["datetime", "datetimetz"]).columns:
        if (frame[name] == frame[name].dt.normalize()).all():
            frame = frame.assign(**{str(name): frame[name].dt.strftime("%Y-%m-%d")})
    for row in frame.head(MOST_ROWS).itertuples(index=False):
        digits = _digits([value for value in row if isinstance(value, float)])
        cells = [_plain(value, digits) if isinstance(value, float) else str(value) for value in row]
        # What does not fit into a narrow terminal is cut from the last column.
        table.add_row(*cells[:-1], Text(cells[-1], no_wrap=True, overflow="ellipsis"))
    return table


def _digits(values: list[float]) -> int:
    """Significant digits, at least 4, that tell the values of a row apart by three."""
    finite = [value for value in values if np.isfinite(value)]
    width = max(finite, default=0.0) - min(finite, default=0.0)
    if width <= 0:
        return 4
    return int(np.clip(3 + np.ceil(np.log10(max(map(abs, finite)) / width)), 4, 15))


def _plain(value: float, digits: int) -> str:
    """A number without an exponent where it is large: thousands and millions are read, not counted."""
    return f"{value:,.0f}" if 10**digits <= abs(value) < 1e15 else f"{value:.{digits}g}"
