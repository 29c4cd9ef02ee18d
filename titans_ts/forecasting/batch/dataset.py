"""Forecasts of a partitioned Parquet data set that need not fit into memory: one file in, one file out."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple

from titans_datasets.series import SeriesWarning
from titans_datasets.text import counted, some
from titans_ts.forecasting.batch.files import Part, check_columns, check_whole_series, is_done, list_parts
from titans_ts.forecasting.batch.part import BatchJob, PartReport, fingerprint, forecast_part
from titans_ts.forecasting.fitted import FittedForecaster, HoldsFitted, fitted_of
from titans_ts.forecasting.forecaster.model_folder import load_forecaster, save_forecaster
from titans_ts.forecasting.forecaster.params import check_horizon

Engine = Literal["local", "ray"]
ROWS_PER_BATCH = 500_000
MODEL = ".titans-model"


class BatchResult(NamedTuple):
    """Where the forecasts of a data set are.

    Args:
        output: the folder.
        written: files forecast by this run; skipped: files whose forecast was there already.
        series, rows: forecast by this run.
        notes: corrections made in the data, "file: note".
    """

    output: Path
    written: list[str]
    skipped: list[str]
    series: int
    rows: int
    notes: list[str]


def predict_dataset(
    forecaster: HoldsFitted | FittedForecaster | str | PathLike[str],
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
        forecaster: a fitted `TitansForecaster`, or the folder of a saved one.
        source: folder of parquet files, at any depth; names that begin with "_" or "." are left out.
        output: folder for the forecasts, made if it is not there.
        engine: "local" forecasts file after file in this process; "ray" gives the files to Ray Data (`titans-ts[ray]`).
            A running or configured Ray (RAY_ADDRESS) is used; source and output must then be visible to all nodes.
            Without one, Ray is started here with `workers` CPUs and stopped at the end.
        workers: processes of "ray", one CPU each (and one GPU each for a forecaster with device="cuda"); 1 for "local".
        prediction_length: steps; see `TitansForecaster.predict`.
        quantiles: levels, the trained ones where None; see `TitansForecaster.predict_quantiles`.
        rows_per_batch: a larger file is read in tables of about so many rows; its series must then lie one after the
            other. Large enough tables make no difference in speed.
        on_part: called with the report of each file as it is done.

    Raises:
        ValueError: the model cannot be applied file by file, a series is split across files, files lack columns, or
            files could not be forecast; the forecasts of all other files are written.
        FileNotFoundError, NotADirectoryError: there is no data set or no model.
        ImportError: Ray is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from titans_ts import TitansForecaster, load_air_passengers
        >>> folder, table = Path(tempfile.mkdtemp()), load_air_passengers()
        >>> (folder / "source").mkdir()
        >>> table.to_parquet(folder / "source" / "air.parquet")
        >>> model = TitansForecaster(12, max_steps=0, options={"experts": False, "pretrained": None}).fit(table)
        >>> predict_dataset(model, folder / "source", folder / "forecasts").rows
        12
    """
    if isinstance(forecaster, (str, PathLike)):
        fitted, _ = load_forecaster(forecaster)
    else:
        fitted = fitted_of(forecaster, "call fit(X), or pass the folder of a saved one")
    _check_engine(engine, workers)
    job = _make_job(fitted, prediction_length, quantiles, rows_per_batch)
    target = Path(output).expanduser()
    parts = list_parts(Path(source).expanduser(), target)
    check_columns(parts, fitted.schema)
    check_whole_series(parts, fitted.schema.id_column)
    todo = [part for part in parts if not is_done(part.target, fingerprint(part, job))]
    reports: list[PartReport] = []
    for report in _run(fitted, todo, job, engine, target, workers):
        reports.append(report)
        if on_part is not None:
            on_part(report)
    return _summary(target, parts, reports)


def _check_engine(engine: str, workers: int) -> None:
    if engine not in ("local", "ray"):
        raise ValueError(f"engine must be 'local' or 'ray', got {engine!r}")
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be a whole number ≥ 1, got {workers!r}")
    if engine == "local" and workers > 1:
        raise ValueError(f"the local engine is one process, got workers={workers}: pass engine='ray' for more")


def _make_job(
    fitted: FittedForecaster, prediction_length: int | None, quantiles: Sequence[float] | None, rows: int
) -> BatchJob:
    if fitted.channels is not None or fitted.row_counts is not None:
        what = "mixes series, which it needs all at once" if fitted.row_counts is None else "was fitted with fit(X, y)"
        raise ValueError(f"the model {what}: fit one on a long table without channel_mixing between series")
    if rows < 1:
        raise ValueError(f"rows_per_batch must be ≥ 1, got {rows}")
    levels = fitted.levels if quantiles is None else sorted(float(level) for level in quantiles)
    fitted.levels_with(levels)  # refuses those beyond the trained ones
    horizon = check_horizon(prediction_length, fitted.network.config.prediction_length)
    return BatchJob(horizon, levels, rows, fitted.fingerprint())


def _run(
    fitted: FittedForecaster, todo: list[Part], job: BatchJob, engine: Engine, output: Path, workers: int
) -> Iterator[PartReport]:
    """Reports of the files as they are done."""
    if engine == "local" or not todo:
        yield from (forecast_part(fitted, part, job) for part in todo)
        return
    # Imported here: Ray is optional.
    from titans_ts.forecasting.batch.ray import run_on_ray

    # Among the forecasts, where every node can read it; actors that are started anew read it again.
    model = save_forecaster(output / MODEL, fitted, {})
    try:
        yield from run_on_ray(model, fitted.device, todo, job, min(workers, len(todo)))
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
            f". All other forecasts are in {output}; correct the data and run again"
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
