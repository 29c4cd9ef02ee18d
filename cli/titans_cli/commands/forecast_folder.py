"""`titans-ts forecast FOLDER/`: a partitioned Parquet data set through a trained model, file by file."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path

from titans_cli.commands.forecast import ForecastJob, loaded_schema
from titans_cli.output.notes import notes_on_stderr
from titans_cli.output.tables import make_console
from titans_datasets.series import parse_frequency
from titans_ts.forecasting import TitansForecaster
from titans_ts.forecasting.batch.dataset import Engine, predict_dataset
from titans_ts.forecasting.batch.part import PartReport

# What a folder's forecast can be told; the columns are checked against those of the model.
_USED = {"file", "horizon", "id", "timestamp", "target", "freq", "past_covariates", "covariates", "static", "model"}
_USED |= {"quantiles", "block", "device", "output", "quiet"}


def forecast_folder(job: ForecastJob, engine: Engine | None, workers: int) -> None:
    """Run the command; a line a file goes to stdout, warnings to stderr.

    Args:
        job: the arguments of `titans-ts forecast`.
        engine: None takes "local" for one worker and "ray" for more.
        workers: processes.

    Raises:
        ValueError, TypeError, OSError: what the user can mend, in one sentence.
    """
    model, output = _check(job)
    started = time.monotonic()
    console = make_console(job.quiet)
    forecaster = TitansForecaster.load(model)
    if job.device is not None:
        forecaster.set_params(device=job.device)
    _check_columns(job, forecaster)
    console.print(f"model loaded from {model}; forecasting the files of {job.file}", markup=False)

    def show(report: PartReport) -> None:
        what = report.error or f"{report.series:,} series, {report.rows:,} rows, {report.seconds:.1f} s"
        console.print(f"  · {report.name}: {what}", markup=False, soft_wrap=True)

    with notes_on_stderr(shown=[]):
        result = predict_dataset(
            forecaster,
            job.file,
            output,
            engine=engine or ("local" if workers == 1 else "ray"),
            workers=workers,
            prediction_length=job.horizon,
            quantiles=job.quantiles,
            on_part=show,
        )
    there = f"; {len(result.skipped)} of {len(result.skipped) + len(result.written)} files were there already"
    console.print(f"{result.series:,} series forecast{there if result.skipped else ''}", markup=False)
    # Said also with --quiet.
    print(f"forecast  {result.output}")
    console.print(f"done in {time.monotonic() - started:.1f} s")


def _check(job: ForecastJob) -> tuple[Path, Path]:
    """Folders of the model and of the forecasts.

    Raises:
        ValueError: one is not given, or an argument has no meaning for a folder.
        FileNotFoundError: there is no such model.
    """
    if job.model is None or job.output is None:
        missing = " and ".join(
            name for name, value in (("--model", job.model), ("--output", job.output)) if value is None
        )
        raise ValueError(
            f"{job.file} is a folder: give {missing} too. A folder is forecast with a trained model, file by file: "
            "train one on a file that holds a sample of the series (titans-ts forecast SAMPLE.parquet --model DIR …), "
            "then give --model DIR and --output FOLDER"
        )
    model = Path(job.model).expanduser()
    if not model.exists():
        raise FileNotFoundError(
            f"there is no model in {model.absolute()}, and a folder is not trained on: train one on a file that holds "
            f"a sample of the series first (titans-ts forecast SAMPLE.parquet --model {job.model} …)"
        )
    unused = [
        f"--{field.name.replace('_', '-')}"
        for field in fields(job)
        if field.name not in _USED and getattr(job, field.name) != field.default
    ]
    if unused:
        hint = " (append the rows of the future to the files instead)" if "--future" in unused else ""
        raise ValueError(f"{', '.join(unused)} cannot be used with a folder of parquet files: leave it out{hint}")
    return model, Path(job.output).expanduser()


def _check_columns(job: ForecastJob, forecaster: TitansForecaster) -> None:
    """See that arguments about columns and step are those of the model.

    Raises:
        ValueError: one is another.
    """
    loaded_schema(job, forecaster)
    if job.freq is not None and parse_frequency(job.freq).offset_alias != forecaster.frequency_.offset_alias:
        raise ValueError(
            f"--freq is {job.freq!r}, but the model in {job.model} was trained on steps of {forecaster.frequency_}: "
            "leave --freq out"
        )
