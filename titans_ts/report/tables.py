"""Tables of a report: with a caption, headers for screen readers, rows that can be sorted and marks of the best values.

Shapes: n rows.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import pandas as pd

from titans_ts.report.elements import name, text

# Most rows of a table; more are left out, which its caption says.
MOST_ROWS = 500
# Rows from which a table gets a window of its own.
TALL = 16
# Metrics of which more is better; of the others less is, and coverages are best near their nominal share.
RISING = {
    *("accuracy", "balanced_accuracy", "mcc", "auroc", "auprc", "f1"),
    *("pearson", "spearman", "r2", "kendall"),
}


def metric_table(
    frame: pd.DataFrame, caption: str, *, ours: str | None = None, ends: tuple[pd.DataFrame, pd.DataFrame] | None = None
) -> str:
    """A table of scores, one row a model and one column a metric; the best of each column is marked.

    Args:
        frame: the scores; its index names the models.
        caption: above it.
        ours: the row to be set off.
        ends: low and high ends of intervals, shaped as `frame`.
    """
    best = {column: best_rows(frame[column], str(column)) for column in frame.columns}
    rows = []
    for place, model in enumerate(frame.index):
        cells = []
        for column in frame.columns:
            value = float(frame[column].iloc[place])
            shown = text(metric(value, str(column)))
            if ends is not None:
                low, high = (float(end[column].iloc[place]) for end in ends)
                if math.isfinite(low) and math.isfinite(high):
                    shown += f" <small>({metric(low, str(column))} to {metric(high, str(column))})</small>"
            mark = place in best[column]
            shown += ' <span title="best of its column" aria-label="best of its column">★</span>' if mark else ""
            cells.append(f'<td data-value="{_sorted_by(value)}"{" class=best" if mark else ""}>{shown}</td>')
        kind = ' class="ours"' if str(model) == ours else ""
        rows.append(f'<tr{kind}><th scope="row">{name(model)}</th>{"".join(cells)}</tr>')
    return _table([str(column) for column in frame.columns], rows, caption, "model")


def best_rows(values: pd.Series, metric: str) -> set[int]:
    """Places of the best values of a metric's column."""
    loss = values.to_numpy(np.float64)
    if metric.startswith("coverage"):
        loss = np.abs(loss - float(metric.split()[-1].rstrip("%")) / 100)
    elif metric.lower() in RISING or metric.startswith("f1 "):
        loss = -loss
    if len(loss) < 2 or np.isnan(loss).all():
        return set()
    return set(np.flatnonzero(loss <= np.nanmin(loss) + 1e-12).tolist())


def metric(value: float, column: str) -> str:
    """A score: shares as percentages, other numbers with four digits."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if column.startswith("coverage") else number(value)


def number(value: float) -> str:
    """A number as it is read: thousands and millions without an exponent.

    Example:
        >>> number(0.123), number(1234567.8), number(3.0), number(float("nan"))
        ('0.123', '1,234,568', '3', '–')
    """
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def data_table(
    frame: pd.DataFrame,
    caption: str,
    *,
    percent: Collection[str] = (),
    left: Collection[str] = (),
    most: int = MOST_ROWS,
) -> str:
    """A table of a frame's columns; the first one names the rows.

    Args:
        frame: n rows; text, numbers or timestamps.
        caption: above it; where rows are left out it says so.
        percent: columns that are shares.
        left: columns of text.
        most: rows that are written, the first ones.
    """
    if len(frame) > most:
        caption += f" The first {most:,} of {len(frame):,} rows."
    first, *others = frame.columns
    rows = []
    for values in frame.head(most).itertuples(index=False):
        cells = [_cell(x, str(c) in percent, str(c) in left) for x, c in zip(values[1:], others, strict=True)]
        rows.append(f'<tr><th scope="row">{name(values[0])}</th>{"".join(cells)}</tr>')
    return _table([str(column) for column in others], rows, caption, str(first), left)


def _cell(value: object, percent: bool, left: bool) -> str:
    if isinstance(value, (bool, np.bool_)):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, (int, np.integer)):
        return f'<td data-value="{value}">{value:,}</td>'
    if isinstance(value, (float, np.floating)):
        shown = f"{100 * value:.0f} %" if percent and math.isfinite(value) else number(float(value))
        return f'<td data-value="{_sorted_by(float(value))}">{shown}</td>'
    shown = "–" if value is None or value is pd.NaT or value is pd.NA else str(value)
    return f"<td{' class=left' if left else ''}>{name(shown)}</td>"


def _sorted_by(value: float) -> str:
    return f"{value:.12g}" if math.isfinite(value) else "NaN"


def _table(columns: list[str], rows: list[str], caption: str, first: str, left: Collection[str] = ()) -> str:
    heads = "".join(
        f'<th scope="col"{" class=left" if column in left else ""}>{name(column)}</th>' for column in columns
    )
    head = f'<thead><tr><th scope="col">{name(first)}</th>{heads}</tr></thead>'
    kind = "scroll tall" if len(rows) > TALL else "scroll"
    region = f'class="{kind}" tabindex="0" role="region" aria-label="{text(caption)}"'
    title = f"<caption><span>{text(caption)}</span></caption>"
    return f'<div {region}><table class="sortable">{title}{head}<tbody>{"".join(rows)}</tbody></table></div>'
