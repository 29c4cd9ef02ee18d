"""`titans-ts forecast FOLDER/`: a partitioned Parquet data set through a trained model, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from titans_cli.input.series import Columns, loaded_schema
from titans_cli.output.notes import notes_on_stderr
from titans_datasets.series import parse_frequency
from titans_ts.forecasting.batch.dataset import Engine, predict_dataset
from titans_ts.forecasting.batch.part import PartReport
from titans_ts.forecasting.plain import PlainForecaster


def folder_paths(source: str, model: str | None, output: str | None) -> tuple[Path, Path]:
    """Folders of the model and of the forecasts.

    Raises:
        ValueError: one is not given.
        FileNotFoundError: there is no such model.
    """
    if model is None or output is None:
        missing = " and ".join(name for name, value in (("--model", model), ("--output", output)) if value is None)
        raise ValueError(
            f"{source} is a folder: give {missing} too. A folder is forecast with a trained model, file by file: "
            "train one on a file that holds a sample of the series (titans-ts forecast SAMPLE.parquet --model DIR …), "
            "then give --model DIR and --output FOLDER"
        )
    folder = Path(model).expanduser()
    if not folder.exists():
        raise FileNotFoundError(
            f"there is no model in {folder.absolute()}, and none is trained on a folder: train one on a file that "
            f"holds a sample of the series first (titans-ts forecast SAMPLE.parquet --model {model} …)"
        )
    return folder, Path(output).expanduser()


def load_model(folder: Path, columns: Columns, block: str | None, device: str | None) -> PlainForecaster:
    """The model of a folder, with the given columns and time step compared with its own.

    Raises:
        ValueError: one differs.
    """
    forecaster = PlainForecaster.load(folder).on(device)
    frequency = forecaster.fitted.frequency
    loaded_schema(columns, forecaster, str(folder), block)
    if columns.freq is not None and parse_frequency(columns.freq).offset_alias != frequency.offset_alias:
        raise ValueError(
            f"--freq is {columns.freq!r}, but the model in {folder} was trained on steps of {frequency}: "
            "leave --freq out"
        )
    return forecaster


def predict_folder(
    forecaster: PlainForecaster,
    source: str,
    output: Path,
    *,
    horizon: int,
    quantiles: Sequence[float] | None,
    engine: Engine | None,
    workers: int,
    console: Console,
) -> None:
    """Forecast the files that have no forecast yet, with a line for each.

    Args:
        forecaster: the trained model.
        source: folder of parquet files.
        output: folder of the forecasts.
        horizon: steps to forecast.
        quantiles: levels; None for those of the model.
        engine: None takes "local" for one worker and "ray" for more.
        workers: processes.
        console: prints.
    """

    def show(report: PartReport) -> None:
        """A line for a file."""
        what = report.error or f"{report.series:,} series, {report.rows:,} rows, {report.seconds:.1f} s"
        console.print(f"  · {report.name}: {what}", markup=False, soft_wrap=True)

    with notes_on_stderr(shown=[]):
        result = predict_dataset(
            forecaster.fitted,
            source,
            output,
            engine=engine or ("local" if workers == 1 else "ray"),
            workers=workers,
            prediction_length=horizon,
            quantiles=quantiles,
            on_part=show,
        )
    there = f"; {len(result.skipped)} of {len(result.skipped) + len(result.written)} files were there already"
    console.print(f"{result.series:,} series forecast{there if result.skipped else ''}", markup=False)
    # Also with --quiet.
    print(f"forecast  {result.output}")
