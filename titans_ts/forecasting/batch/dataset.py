"""Forecasts of a partitioned Parquet data set that need not fit into memory: one file in, one file out.

Shapes: none.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from titans_datasets.series import SeriesWarning
from titans_datasets.text import counted, some
from titans_ts.forecasting.batch.files import (
    Part,
    check_columns,
    check_whole_series,
    is_done,
    list_parts,
    series_batches,
    source_mark,
    write_frames,
)
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster
from titans_ts.forecasting.forecaster.frames import level_name
from titans_ts.support.model_folder import CONFIG

Engine = Literal["local", "ray"]
ROWS_PER_BATCH = 500_000
MODEL = ".titans-model"
# What a forecast does not depend on: how the model was trained, and where it is computed.
_WITHOUT_EFFECT = ("params", "training")


class BatchJob(NamedTuple):
    """What is done with every file, in values that travel to another process."""

    horizon: int
    levels: list[float]
    rows_per_batch: int
    model: str


class PartReport(NamedTuple):
    """What became of one file.

    Args:
        name: its path inside the data set.
        series, rows: forecast series and rows written.
        seconds: of reading, forecasting and writing.
        notes: what was put right in the data.
        error: why there is no forecast, empty when there is one.
    """

    name: str
    series: int = 0
    rows: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""


class BatchResult(NamedTuple):
    """Where the forecasts of a data set are.

    Args:
        output: the folder.
        written: files forecast by this run; skipped: files whose forecast was there already.
        series, rows: forecast by this run.
        notes: what was put right in the data, "file: note".
    """

    output: Path
    written: list[str]
    skipped: list[str]
    series: int
    rows: int
    notes: list[str]


def predict_dataset(
    forecaster: TitansForecaster | str | PathLike[str],
    source: str | PathLike[str],
    output: str | PathLike[str],
    *,
    engine: Engine = "local",
    workers: int = 1,
    prediction_length: int | None = None,
    quantiles: Sequence[float] | None = None,
    rows_per_batch: int = ROWS_PER_BATCH,
    on_part: Callable[[PartReport], None] | None = None,
) -> BatchResult:
    """Forecast every series of a folder of parquet files into a folder of the same shape.

    Each file becomes one file of forecasts, as `TitansForecaster.predict` gives them, written beside its place and
    renamed: a run that is killed leaves whole files only, and the next run computes those that are missing. A file is
    computed again when its source (size, time of change), the model, the horizon or the levels have changed. Known
    covariates of the steps to be forecast are rows of the same file, after the last value, with a missing target.

    Memory: a worker holds about ``rows_per_batch`` rows at a time; the driver holds 12 bytes a series, to see that no
    series is split across files.

    Args:
        forecaster: a fitted forecaster, or the folder of a saved one.
        source: folder of parquet files, at any depth; names that begin with "_" or "." are left out.
        output: folder for the forecasts, made if it is not there.
        engine: "local" forecasts file after file in this process; "ray" gives the files to Ray Data (`titans-ts[ray]`).
            A running or configured Ray (RAY_ADDRESS) is used; source and output must then be visible to all nodes.
            Without one, Ray is started here with `workers` CPUs and stopped at the end.
        workers: processes of "ray", one CPU each (and one GPU each for a forecaster with device="cuda"); 1 for "local".
        prediction_length: steps; see `TitansForecaster.predict`.
        quantiles: trained levels to keep, all of them where None.
        rows_per_batch: a larger file is read in tables of about so many rows; its series must then lie one after the
            other. Large enough tables make no difference in speed.
        on_part: called with the report of each file as it is done.

    Raises:
        ValueError: the model cannot be applied file by file, a series is split across files, files lack columns, or
            files could not be forecast; the forecasts of all other files are written.
        FileNotFoundError, NotADirectoryError: there is no data set or no model.
        ImportError: Ray is not installed.
    """
    if not isinstance(forecaster, TitansForecaster):
        forecaster = TitansForecaster.load(forecaster)
    _check_engine(engine, workers)
    job = _make_job(forecaster, prediction_length, quantiles, rows_per_batch)
    target = Path(output).expanduser()
    parts = list_parts(Path(source).expanduser(), target)
    check_columns(parts, forecaster.schema_)
    check_whole_series(parts, forecaster.schema_.id_column)
    todo = [part for part in parts if not is_done(part.target, fingerprint(part, job))]
    reports: list[PartReport] = []
    for report in _run(forecaster, todo, job, engine, target, workers):
        reports.append(report)
        if on_part is not None:
            on_part(report)
    return _summary(target, parts, reports)


def forecast_part(forecaster: TitansForecaster, part: Part, job: BatchJob) -> PartReport:
    """Forecast one file; what is wrong with its data is reported, not raised."""
    started = time.monotonic()
    mark, series = fingerprint(part, job), 0

    def frames() -> Iterator[pd.DataFrame]:
        nonlocal series
        for table in series_batches(part.source, forecaster.schema_, job.rows_per_batch):
            frame = forecaster.predict(table, prediction_length=job.horizon)
            assert isinstance(frame, pd.DataFrame), "a model of series forecasts a frame"
            series += frame[forecaster.schema_.id_column].nunique()
            dropped = [level_name(level) for level in forecaster.levels_ if level not in job.levels]
            yield frame.drop(columns=dropped)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rows = write_frames(frames(), part.target, mark)
        except (ValueError, TypeError, OSError) as error:
            return PartReport(part.name, error=" ".join(str(error).split()))
    notes = tuple(dict.fromkeys(str(note.message) for note in caught if issubclass(note.category, UserWarning)))
    return PartReport(part.name, series, rows, time.monotonic() - started, notes)


def fingerprint(part: Part, job: BatchJob) -> dict[str, Any]:
    """What the forecast of a file depends on."""
    return {
        "model": job.model,
        "source": source_mark(part.source),
        "prediction_length": job.horizon,
        "quantiles": job.levels,
    }


def load_model(folder: str, device: str) -> TitansForecaster:
    """The saved forecaster, on another device than the one it was saved with."""
    return TitansForecaster.load(folder).set_params(device=device)


def _check_engine(engine: str, workers: int) -> None:
    if engine not in ("local", "ray"):
        raise ValueError(f"engine must be 'local' or 'ray', got {engine!r}")
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be a whole number ≥ 1, got {workers!r}")
    if engine == "local" and workers > 1:
        raise ValueError(f"the local engine is one process, got workers={workers}: pass engine='ray' for more")


def _make_job(
    forecaster: TitansForecaster, prediction_length: int | None, quantiles: Sequence[float] | None, rows: int
) -> BatchJob:
    if not hasattr(forecaster, "network_"):
        raise ValueError("the forecaster is not fitted: call fit(X), or pass the folder of a saved one")
    if forecaster.channels_ is not None or forecaster.rows_ is not None:
        what = "mixes series, which must all be at hand" if forecaster.rows_ is None else "was fitted with fit(X, y)"
        raise ValueError(f"the model {what}: fit one on a long table without channel_mixing between series")
    if rows < 1:
        raise ValueError(f"rows_per_batch must be ≥ 1, got {rows}")
    trained = list(forecaster.levels_)
    levels = trained if quantiles is None else sorted(float(level) for level in quantiles)
    if not set(levels) <= set(trained):
        raise ValueError(f"quantiles {some(set(levels) - set(trained))} were not trained: the model has {trained}")
    horizon = forecaster.network_.config.prediction_length if prediction_length is None else prediction_length
    if not isinstance(horizon, int) or horizon < 1:
        raise ValueError(f"prediction_length must be a whole number ≥ 1, got {horizon!r}")
    return BatchJob(horizon, levels, rows, _digest(forecaster))


def _digest(forecaster: TitansForecaster) -> str:
    """Tells models with different forecasts apart; the weights are in it by their checksum."""
    with tempfile.TemporaryDirectory() as folder:
        saved = json.loads((forecaster.save(Path(folder) / "model") / CONFIG).read_text(encoding="utf-8"))
    config = {name: value for name, value in saved.items() if name not in _WITHOUT_EFFECT}
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _run(
    forecaster: TitansForecaster, todo: list[Part], job: BatchJob, engine: Engine, output: Path, workers: int
) -> Iterator[PartReport]:
    """Reports of the files as they are done."""
    if engine == "local" or not todo:
        yield from (forecast_part(forecaster, part, job) for part in todo)
        return
    from titans_ts.forecasting.batch.ray import run_on_ray

    # Among the forecasts, where every node can read it; actors that are started anew read it again.
    model = forecaster.save(output / MODEL)
    try:
        yield from run_on_ray(model, forecaster.device, todo, job, min(workers, len(todo)))
    finally:
        shutil.rmtree(model)


def _summary(output: Path, parts: list[Part], reports: list[PartReport]) -> BatchResult:
    """The result of a run; its notes become one warning.

    Raises:
        ValueError: files could not be forecast.
    """
    done = {report.name: report for report in reports if not report.error}
    failed = [report for report in reports if report.error]
    notes = [f"{report.name}: {note}" for report in done.values() for note in report.notes]
    if notes:
        shown = "; ".join(notes[:3]) + (f" and {counted(len(notes) - 3, 'more note')}" if len(notes) > 3 else "")
        warnings.warn(shown, SeriesWarning, stacklevel=3)
    if failed:
        first = sorted(failed)[0]
        others = "" if len(failed) == 1 else f" (also failed: {some([report.name for report in sorted(failed)[1:]])})"
        raise ValueError(
            f"{counted(len(failed), 'file')} of {len(parts)} could not be forecast: {first.name}: {first.error}{others}"
            f". All other forecasts are in {output}; mend the data and run again"
        )
    tried = {report.name for report in reports}
    return BatchResult(
        output,
        [part.name for part in parts if part.name in tried],
        [part.name for part in parts if part.name not in tried],
        sum(report.series for report in reports),
        sum(report.rows for report in reports),
        notes,
    )
