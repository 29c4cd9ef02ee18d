"""Surprise and alarms of series as tables, and their picture.

Shapes: C columns, K tokens, N memories, H heads.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from titans_datasets.series import SeriesSchema
from titans_datasets.series.read.panel import warn
from titans_datasets.text import counted, some
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.frames import one_series_a_channel
from titans_ts.forecasting.forecaster.inputs import CHANNEL_COLUMN, check_keys, read_history, table_of
from titans_ts.forecasting.streaming.detection import PARTS, score
from titans_ts.forecasting.streaming.session import TitansStream, start_stream
from titans_ts.forecasting.streaming.state import Read

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = ("surprise", "threshold", "alarm", *PARTS)


def surprise_table(fitted: FittedForecaster, data: object) -> pd.DataFrame:
    """Surprise of every token of the data; see `TitansForecaster.surprise`."""
    check_keys(fitted.schema, RESULTS)
    stream, reads = start_stream(fitted, read_history(fitted, data))
    return surprise_frame(stream, [*reads, *stream.catch_up()])


def alarm_table(fitted: FittedForecaster, data: object, false_alarm_rate: float, history: object) -> pd.DataFrame:
    """Surprise, threshold and alarm of every token of the data; see `TitansForecaster.detect`."""
    schema = fitted.schema
    check_keys(schema, RESULTS)
    stream, _ = start_stream(fitted, read_history(fitted, history))
    threshold = stream.threshold(false_alarm_rate).numpy()
    stream.catch_up()
    reads = [*stream.observe_table(table_of(data, schema)), *stream.catch_up()]
    if not reads:
        raise ValueError("X completes no token: pass at least patch_stride steps")
    names = [schema.id_column, *([CHANNEL_COLUMN] if schema.multichannel else [])]
    found = surprise_frame(stream, reads)
    found["threshold"] = np.repeat(threshold, len(found) // len(threshold))
    found["alarm"] = found["surprise"] > found["threshold"]
    return found[[*names, schema.timestamp_column, "surprise", "threshold", "alarm", *PARTS]]


def draw_alarms(
    fitted: FittedForecaster,
    data: object,
    found: pd.DataFrame,
    *,
    items: Sequence[Hashable] | None,
    path: str | PathLike[str] | None,
) -> Figure:
    """Draw the data with their `alarm_table`; see `plot_surprise` for the other arguments."""
    # Imported here: a table needs no matplotlib.
    from titans_ts.forecasting.streaming.plot import plot_surprise

    schema, series = fitted.schema, table_of(data, fitted.schema)
    if schema.id_column not in series.columns:
        series = series.assign(**{schema.id_column: found[schema.id_column].iloc[0]})
    if schema.multichannel:
        series, found = one_series_a_channel(series, found, schema)
    return plot_surprise(
        series,
        found,
        id_column=schema.id_column,
        timestamp_column=schema.timestamp_column,
        target_column=CHANNEL_COLUMN if schema.multichannel else schema.targets[0],
        items=items,
        path=path,
    )


def surprise_frame(stream: TitansStream, reads: list[Read]) -> pd.DataFrame:
    """Surprise of tokens, one row a column and token."""
    if not reads:
        raise ValueError(
            "there is no surprise: the model has no memory (block 'attention'), or the series are shorter than its "
            "context_length"
        )
    departure = torch.cat([read.departure for read in reads], dim=1)
    losses, gradients = (torch.cat([read.surprise[place].cpu() for read in reads], dim=1) for place in (0, 1))
    ends = np.array([end for read in reads for end in read.ends])
    schema, names = stream.schema, stream.columns
    rows = len(ends)
    columns: dict[str, Any] = {schema.id_column: pd.Index([item for item, _ in names], dtype=object).repeat(rows)}
    if schema.multichannel:
        columns[CHANNEL_COLUMN] = pd.Index([target for _, target in names], dtype=object).repeat(rows)
    stamps = stream.timestamps(int(ends[0]) - 1, int(ends[-1]))
    stamps = stamps[ends - ends[0]]
    columns[schema.timestamp_column] = stamps.append([stamps] * (len(names) - 1))
    columns["surprise"] = score(departure).numpy().reshape(-1)
    columns |= {name: departure[:, :, 0, place].numpy().reshape(-1) for place, name in enumerate(PARTS)}
    for name, numbers in (("loss", losses), ("gradient", gradients)):
        for memory in range(numbers.shape[2]):
            for head in range(numbers.shape[3]):
                columns[f"{name}.{memory}.{head}"] = numbers[:, :, memory, head].double().numpy().reshape(-1)
    frame = pd.DataFrame(columns)
    frame[schema.id_column] = frame[schema.id_column].infer_objects()
    return frame


def before_and_after(table: pd.DataFrame, schema: SeriesSchema, first: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of a long table before a timestamp, and those from it on.

    Series without a value before it are left out, and a warning names them.
    """
    stamps = table[schema.timestamp_column]
    history, later = table[stamps < first], table[stamps >= first]
    if schema.id_column in table.columns:
        seen = history[schema.id_column][history[list(schema.targets)].notna().any(axis=1)].unique()
        history, later = (part[part[schema.id_column].isin(seen)] for part in (history, later))
        absent = [item for item in table[schema.id_column].unique() if item not in set(seen)]
        if absent and len(seen):
            warn([f"{counted(len(absent), 'series')} without a value before {first} left out: {some(absent)}"])
    return history, later
