"""The table of alarms that `titans-ts detect` prints."""

from __future__ import annotations

import pandas as pd
from rich.table import Table

from titans_cli.output.tables import MOST_ROWS, plain_table
from titans_datasets.series import SeriesSchema
from titans_ts.report.alarms import alarm_segments


def alarm_table(found: pd.DataFrame, schema: SeriesSchema) -> Table:
    """Segments of consecutive alarms, those with the largest surprise first."""
    segments, table, numbers = alarm_segments(found, schema.timestamp_column), plain_table(), ("surprise", "threshold")
    for name in segments.columns:
        table.add_column(str(name), justify="right" if name in numbers else "left")
    for values in segments.head(MOST_ROWS).itertuples(index=False):
        cells = zip(segments.columns, values, strict=True)
        table.add_row(*(f"{value:.3g}" if name in numbers else str(value) for name, value in cells))
    if len(segments) > MOST_ROWS:
        table.caption = f"{len(segments) - MOST_ROWS:,} more segments (--output FILE writes all tokens)"
    return table
