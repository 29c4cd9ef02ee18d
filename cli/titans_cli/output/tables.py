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
    """Lines about the series: their number, span, time step and missing values."""
    records = panel.records
    first = min(record.start for record in records)
    last = max(record.index[-1] for record in records)
    lengths = [record.length for record in records]
    missing = sum(int(np.isnan(record.target).sum()) for record in records)
    total = sum(record.target.size for record in records)
    shortest, longest = min(lengths), max(lengths)
    steps = f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    items = [str(item) for item in panel.item_ids]
    listed = ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
    lines = [
        f"{name}: {target}",
        f"  series   {len(records):,} ({listed})",
        f"  span     {_moment(first)} – {_moment(last)}, {steps} steps of {_step(panel.frequency.offset_alias)} each",
        f"  missing  {missing:,} of {total:,} values ({100 * missing / total:.2g} %)" if missing else "  missing  none",
    ]
    return lines + [f"  note     {in_options(note)}" for note in panel.notes]


def _moment(stamp: pd.Timestamp) -> str:
    return f"{stamp:%Y-%m-%d}" if stamp == stamp.normalize() else f"{stamp:%Y-%m-%d %H:%M}"


def _step(alias: str) -> str:
    return alias if alias[:1].isdigit() else f"1 {alias}"


def backtest_table(metrics: pd.DataFrame, bold: bool) -> Table:
    """One row per model, one column per metric; the best value of each column is marked."""
    table = plain_table()
    table.add_column("", justify="left")
    for name in metrics.columns:
        table.add_column(str(name), justify="right")
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
    return f"{100 * value:.1f} %" if name.startswith("coverage") else f"{value:.4g}"


def forecast_table(frame: pd.DataFrame, levels: list[str]) -> Table:
    """The first rows of a forecast; of more than five quantile levels the lowest, the median and the highest."""
    if len(levels) > 5:
        shown = {levels[0], "0.5", levels[-1]}
        frame = frame.drop(columns=[name for name in levels if name not in shown])
    table = plain_table()
    for name in frame.columns:
        table.add_column(str(name), justify="right" if pd.api.types.is_float_dtype(frame[name]) else "left")
    for row in frame.head(MOST_ROWS).itertuples(index=False):
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    return table
