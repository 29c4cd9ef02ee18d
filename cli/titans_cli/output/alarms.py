"""The table of alarms that `titans-ts detect` prints."""

from __future__ import annotations

import pandas as pd
from rich.table import Table

from titans_cli.output.tables import MOST_ROWS, plain_table
from titans_datasets.series import SeriesSchema

# The component of surprise that is most unusual, in words.
MEANINGS = {
    "patch": "unusual shape",
    "step": "unusual changes from step to step",
    "dynamics": "changes follow each other differently",
    "season": "off its seasonal profile",
}


def alarm_table(found: pd.DataFrame, schema: SeriesSchema) -> Table:
    """Segments of consecutive alarms, those with the largest surprise first."""
    names = [name for name in found.columns[: list(found.columns).index("surprise")] if name != schema.timestamp_column]
    stamps = found[schema.timestamp_column]
    series = [found[name] for name in names]
    before = stamps.astype(object).groupby(series, sort=False).shift(1)
    new = found["alarm"] & ~found.groupby(names, sort=False)["alarm"].shift(1, fill_value=False)
    rows = found.assign(after=before.where(before.notna(), stamps), segment=new.cumsum())[found["alarm"]]
    groups = rows.groupby("segment")
    peaks = rows.loc[groups["surprise"].idxmax()].set_index("segment")
    largest = peaks[list(MEANINGS)].abs().idxmax(axis=1)
    table = plain_table()
    for name in (*names, "after", "up to", "surprise", "threshold", "most unusual"):
        table.add_column(str(name), justify="right" if name in ("surprise", "threshold") else "left")
    for segment in peaks["surprise"].sort_values(ascending=False).index[:MOST_ROWS]:
        part, peak = groups.get_group(segment), peaks.loc[segment]
        span = str(part["after"].iloc[0]), str(part[schema.timestamp_column].iloc[-1])
        values = f"{peak['surprise']:.3g}", f"{peak['threshold']:.3g}"
        table.add_row(*(str(peak[name]) for name in names), *span, *values, MEANINGS[largest[segment]])
    if len(peaks) > MOST_ROWS:
        table.caption = f"{len(peaks) - MOST_ROWS:,} more segments (--output FILE writes all tokens)"
    return table
