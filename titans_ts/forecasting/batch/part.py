"""One file of a partitioned data set: the job, its forecast and its report."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from titans_ts.forecasting.batch.files import Part, series_batches, source_mark, write_frames
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.forecaster.continuation import forecast_table
from titans_ts.forecasting.forecaster.frames import level_name
from titans_ts.forecasting.forecaster.model_folder import load_forecaster


class BatchJob(NamedTuple):
    """How every file is forecast, in values that travel to another process.

    Attributes:
        horizon: steps to forecast.
        levels: quantile levels to keep.
        rows_per_batch: a larger file is read in tables of about so many rows.
        model: fingerprint of the forecaster.
    """

    horizon: int
    levels: list[float]
    rows_per_batch: int
    model: str


class PartReport(NamedTuple):
    """The result of one file.

    Args:
        name: its path inside the data set.
        series, rows: forecast series and rows written.
        seconds: of reading, forecasting and writing.
        notes: corrections made in the data.
        error: why there is no forecast; empty when there is one.
    """

    name: str
    series: int = 0
    rows: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""


class FileForecast:
    """Forecast frames of a file, one table after the other, and the number of series in them."""

    def __init__(self, fitted: FittedForecaster, part: Part, job: BatchJob) -> None:
        self.fitted, self.part, self.job, self.series = fitted, part, job, 0

    def __iter__(self) -> Iterator[pd.DataFrame]:
        fitted, job = self.fitted, self.job
        levels = sorted({*fitted.levels, *job.levels})
        dropped = [level_name(level) for level in fitted.levels if level not in job.levels]
        for table in series_batches(self.part.source, fitted.schema, job.rows_per_batch):
            frame = forecast_table(fitted, table, levels, prediction_length=job.horizon)
            self.series += frame[fitted.schema.id_column].nunique()
            yield frame.drop(columns=dropped)


def forecast_part(fitted: FittedForecaster, part: Part, job: BatchJob) -> PartReport:
    """Forecast one file; errors in its data are reported, not raised."""
    started = time.monotonic()
    frames, mark = FileForecast(fitted, part, job), fingerprint(part, job)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rows = write_frames(frames, part.target, mark)
        except (ValueError, TypeError, OSError) as error:
            return PartReport(part.name, error=" ".join(str(error).split()))
    notes = tuple(dict.fromkeys(str(note.message) for note in caught if issubclass(note.category, UserWarning)))
    return PartReport(part.name, frames.series, rows, time.monotonic() - started, notes)


def fingerprint(part: Part, job: BatchJob) -> dict[str, Any]:
    """All that the forecast of a file depends on."""
    return {
        "model": job.model,
        "source": source_mark(part.source),
        "prediction_length": job.horizon,
        "quantiles": job.levels,
    }


def load_on(folder: str, device: str) -> FittedForecaster:
    """The saved forecaster, on another device than the one it was saved with."""
    return replace(load_forecaster(folder)[0], device=device)
