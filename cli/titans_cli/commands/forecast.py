"""`titans-ts forecast`: from a file to a backtest table, a forecast, a picture and a model folder."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from titans_cli.input import common
from titans_cli.input.options import REQUIRED, Group, add_options, argument, option, read_options, switch
from titans_cli.input.values import at_least, levels, names, positive

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from titans_cli.input.series import Data
    from titans_datasets.series import Frequency, SeriesSchema
    from titans_ts.forecasting import TitansForecaster

DAY_NS = 86_400_000_000_000
DATA, MODEL, RESULTS = Group("data"), Group("model"), Group("results")
FOLDER = Group(
    "a folder of parquet files",
    "Forecast file by file with a trained --model into the folder --output; each series must be in one file. Run again "
    "after an interruption: only what is missing is computed.",
)
# The options that mean something for a folder; columns are compared with those of the model.
USED_FOR_FOLDERS = {"file", "horizon", "id", "timestamp", "target", "freq", "past_covariates", "covariates", "static"}
USED_FOR_FOLDERS |= {"holidays", "calendar", "weekmask"}
USED_FOR_FOLDERS |= {"model", "quantiles", "block", "device", "output", "quiet", "workers", "engine"}


@dataclass(frozen=True, kw_only=True)
class ForecastJob:
    """Read series, train a model (or load one), score it on the last windows, and forecast."""

    file: str = argument("FILE", f"{common.SERIES_FILES}, or a folder (see below)", group=DATA)
    horizon: int = option("N", "steps to forecast", type=at_least(1), default=REQUIRED, group=DATA)
    id: str | None = common.item_id(DATA)
    timestamp: str | None = common.timestamp(DATA)
    target: str | None = common.target("column to forecast", DATA)
    freq: str | None = common.freq(DATA)
    aggregate: str | None = common.aggregate(DATA)
    snap: bool = common.snap(DATA)
    past_covariates: tuple[str, ...] | None = option("A,B", "columns known up to the forecast", type=names, group=DATA)
    covariates: tuple[str, ...] | None = option(
        "C,D", "columns also known in the future; see --future", type=names, group=DATA
    )
    static: tuple[str, ...] | None = option("E,F", "columns that are constant within a series", type=names, group=DATA)
    future: str | None = option(
        "FILE", "table with the --covariates of the steps to forecast (or append these rows to FILE)", group=DATA
    )
    holidays: tuple[str, ...] | None = option(
        "DE,US-CA", "countries (-subdivision) whose public holidays are covariates", type=names, group=DATA
    )
    calendar: tuple[str, ...] | None = option(
        "E,F", "calendar covariates such as weekend,month_end,payday", type=names, group=DATA
    )
    weekmask: str | None = option("DAYS", "open days of daily data such as Mon,Tue,Wed,Thu,Fri,Sat", group=DATA)
    model: str | None = option(
        "DIR", "load the model from this folder; if it does not exist, train and save there", group=MODEL
    )
    quantiles: tuple[float, ...] | None = option(
        "LEVELS", "quantile levels such as 0.1,0.5,0.9", type=levels, group=MODEL
    )
    context: int | None = option("N", "steps the model reads; chosen by default", type=at_least(1), group=MODEL)
    block: str | None = common.block(MODEL)
    max_steps: int | None = option("N", "longest training, in gradient steps", type=at_least(0), group=MODEL)
    time_budget: float | None = option("SECONDS", "longest training, in seconds", type=positive, group=MODEL)
    seed: int = common.seed(MODEL)
    device: str | None = common.device(MODEL)
    backtest_windows: int | None = option(
        "K",
        "windows to score; 0 trains on all data instead",
        type=at_least(0),
        group=RESULTS,
        either="windows",
    )
    backtest_days: float | None = option(
        "D", "score the windows of the last D days", type=positive, group=RESULTS, either="windows"
    )
    ablation: bool = switch(
        "also backtest the same model with attention instead of memory, trained as long; needs --backtest-windows or "
        "--backtest-days",
        group=RESULTS,
    )
    output: str | None = option("FILE", "write the forecast as csv, csv.gz or parquet", group=RESULTS)
    plot: str | None = option("FILE", f"write a picture: {common.PICTURES}", group=RESULTS)
    quiet: bool = common.quiet(RESULTS)
    workers: int | None = option(
        "N", "processes; more than one need Ray Data (default: 1)", type=at_least(1), group=FOLDER
    )
    engine: Literal["local", "ray"] | None = option(
        None, "local for one worker, ray for more by default", choices=("local", "ray"), group=FOLDER
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, ForecastJob)


def run(arguments: argparse.Namespace) -> None:
    """Run the command; results go to stdout, warnings to stderr."""
    from titans_cli.output.notes import errors_in_options

    job = read_options(arguments, ForecastJob)
    with errors_in_options():
        (forecast_folder if os.path.isdir(os.path.expanduser(job.file)) else forecast)(job)


def forecast(job: ForecastJob) -> None:
    """Forecast the series of a file."""
    if job.engine is not None or job.workers is not None:
        raise ValueError(f"--engine and --workers are for folders, {job.file} is a file: leave them out")
    from titans_cli.input.series import check_outputs, columns_of, loaded_schema, make_schema, read_data
    from titans_cli.output.notes import notes_on_stderr
    from titans_cli.output.tables import data_summary, make_console
    from titans_datasets.series import read_table
    from titans_ts.forecasting import TitansForecaster

    started = time.monotonic()
    console = make_console(job.quiet)
    check_outputs(job.output, job.plot)
    model = Path(job.model).expanduser() if job.model else None
    loaded = TitansForecaster.load(model) if model is not None and model.exists() else None
    check_ablation(job, trains=loaded is None)
    if loaded is not None and job.device is not None:
        loaded.set_params(device=job.device)
    columns = columns_of(job)
    schema = make_schema(job.file, columns) if loaded is None else loaded_schema(columns, loaded, job.model, job.block)
    data = read_data(job.file, schema)
    console.print("\n".join(data_summary(job.file, " ".join(data.schema.targets), data.panel)), markup=False)
    with notes_on_stderr(shown=data.panel.notes):
        if loaded is None:
            forecaster, earlier = train(job, data, console)
        else:
            forecaster, earlier = loaded, None
            console.print(f"\nmodel loaded from {job.model}: no training, no backtest", markup=False)
        future = None if job.future is None else read_table(job.future)
        frame = predict(job, forecaster, data, future)
    write_results(job, forecaster, data, frame, earlier, console)
    console.print(f"done in {time.monotonic() - started:.1f} s")


def check_ablation(job: ForecastJob, trains: bool) -> None:
    """Refuse --ablation where there is no backtest to add it to: `trains` is False for a loaded model.

    Raises:
        ValueError: there is none.
    """
    if not job.ablation:
        return
    if not trains:
        raise ValueError(
            f"--ablation trains a second model for the backtest, but the model in {job.model} is only loaded: leave it "
            "out, or give another --model folder"
        )
    if not job.backtest_windows and job.backtest_days is None:
        raise ValueError(
            "--ablation adds a row to the backtest: give --backtest-windows K (at least 1) or --backtest-days D too"
        )


def train(job: ForecastJob, data: Data, console: Console) -> tuple[TitansForecaster, pd.DataFrame | None]:
    """A trained forecaster, and its forecasts of the backtest's windows."""
    from titans_cli.output.tables import backtest_table

    forecaster = make_forecaster(job, data.schema)
    windows = backtest_windows(job, data.panel.frequency)
    budget = "" if job.time_budget is None else f", {job.time_budget:g} s"
    console.print(f"\ntraining a {forecaster.block} model: at most {forecaster.max_steps} steps{budget}")
    if windows == 0:
        forecaster.fit(data.table)
        console.print(f"  · {training_summary(forecaster)}", markup=False)
        return forecaster, None
    ablation: dict[str, Any] = {"ablation": True} if job.ablation else {}
    result = forecaster.backtest(data.table, windows=windows, **ablation)
    console.print("\nbacktest, forecasts of windows that training has not seen:")
    console.print(backtest_table(result.metrics, bold=console.is_terminal), no_wrap=True)
    stars = [] if console.is_terminal else ["* best of its column"]
    console.print(
        "\n".join(f"  · {note}" for note in [*stars, *result.notes, training_summary(result.forecaster)]), markup=False
    )
    return result.forecaster, result.forecasts


def training_summary(forecaster: TitansForecaster) -> str:
    """How long training took and why it stopped."""
    training = forecaster.training_
    assert not isinstance(training, dict), "only a loaded model has its training as a dict"
    trained = f"trained {training.steps} steps in {training.seconds:.1f} s ({training.stopped})"
    if training.best_step == 0 or training.network_weight == 0:
        return f"{trained}; the network does not improve on the linear part on held-out windows: it is left out"
    share = f"{100 * training.network_weight:.0f} %"
    return f"{trained}; kept step {training.best_step} and {share} of its correction of the linear part"


def make_forecaster(job: ForecastJob, schema: SeriesSchema) -> TitansForecaster:
    """A forecaster with the given options, and its own defaults for the others."""
    from titans_ts.forecasting import TitansForecaster

    optional: dict[str, Any] = {
        "holidays": job.holidays,
        "calendar": job.calendar,
        "quantiles": job.quantiles,
        "context_length": job.context,
        "block": job.block,
        "max_steps": job.max_steps,
        "time_budget": job.time_budget,
        "device": job.device,
    }
    given = {name: value for name, value in optional.items() if value is not None}
    return TitansForecaster(
        job.horizon,
        id_column=schema.id_column,
        timestamp_column=schema.timestamp_column,
        target_column=schema.target_column,
        freq=schema.freq,
        static_covariates=schema.static_covariates,
        past_covariates=schema.past_covariates,
        known_covariates=schema.known_covariates,
        random_state=job.seed,
        options={"progress": sys.stderr.isatty() and not job.quiet, "aggregate": schema.aggregate, "snap": schema.snap},
        **given,
    )


def backtest_windows(job: ForecastJob, frequency: Frequency) -> int | None:
    """Windows of the backtest; None to have them chosen.

    Raises:
        ValueError: the days cannot be turned into windows.
    """
    if job.backtest_days is None:
        return job.backtest_windows
    if frequency.unit != "ns":
        raise ValueError(
            f"--backtest-days needs steps of fixed length, but the data's step is {frequency}: use --backtest-windows"
        )
    window = job.horizon * frequency.multiple / DAY_NS
    windows = int(job.backtest_days / window + 1e-9)
    if windows < 1:
        raise ValueError(
            f"--backtest-days must be at least one horizon, {window:g} days, got {job.backtest_days:g}: raise it or "
            "use --backtest-windows 1"
        )
    return windows


def predict(job: ForecastJob, forecaster: TitansForecaster, data: Data, future: pd.DataFrame | None) -> pd.DataFrame:
    """The forecast that follows the data.

    Raises:
        ValueError: a requested quantile level was not trained.
    """
    import pandas as pd

    frame = forecaster.predict(data.table, future=future, prediction_length=job.horizon)
    assert isinstance(frame, pd.DataFrame), "a model of series forecasts a frame"
    missing = [level for level in job.quantiles or () if f"{level:g}" not in frame.columns]
    if missing:
        trained = ", ".join(f"{level:g}" for level in forecaster.levels_)
        raise ValueError(f"--quantiles {', '.join(map(str, missing))} were not trained: the model has {trained}")
    return frame


def write_results(
    job: ForecastJob,
    forecaster: TitansForecaster,
    data: Data,
    frame: pd.DataFrame,
    earlier: pd.DataFrame | None,
    console: Console,
) -> None:
    """Write model, forecast and picture; the model first: it took longest."""
    from titans_cli.output.tables import MOST_ROWS, forecast_table, print_written
    from titans_datasets.series import write_table

    written = []
    if job.model is not None and not Path(job.model).expanduser().exists():
        written.append(f"model     {forecaster.save(Path(job.model).expanduser())}")
    trained = [f"{level:g}" for level in forecaster.levels_]
    shown = [f"{level:g}" for level in sorted(job.quantiles)] if job.quantiles else trained
    kept = [name for name in frame.columns if name not in trained or name in shown]
    if job.output is not None:
        written.append(f"forecast  {write_table(frame[kept], job.output)}")
    else:
        console.print(f"\nforecast, {min(MOST_ROWS, len(frame))} of {len(frame):,} rows (--output FILE writes all):")
        console.print(forecast_table(frame[kept], shown), no_wrap=True)
    if job.plot is not None:
        written.append(f"picture   {draw(job, data, frame, earlier)}")
    print_written(console, written)


def draw(job: ForecastJob, data: Data, frame: pd.DataFrame, earlier: pd.DataFrame | None) -> str:
    """Write the picture; its path."""
    from titans_datasets import builtin
    from titans_ts.forecasting.forecaster.frames import history_frame
    from titans_ts.forecasting.plot import plot_forecast

    assert job.plot is not None
    target = data.schema.targets[0]
    name = Path(job.file).name.removeprefix(builtin.PREFIX)
    step = data.panel.frequency.offset_alias
    plot_forecast(
        history_frame(data.panel, data.schema),
        frame,
        id_column=data.schema.id_column,
        timestamp_column=data.schema.timestamp_column,
        target_column=target,
        backtest=earlier,
        title=f"{name}: {target}, {job.horizon} steps of {step if step[:1].isdigit() else f'1 {step}'} ahead",
        path=job.plot,
    )
    return os.fspath(job.plot)


def forecast_folder(job: ForecastJob) -> None:
    """Forecast a folder of parquet files with a trained model; a line for each file goes to stdout."""
    from titans_cli.commands.forecast_folder import folder_paths, load_model, predict_folder
    from titans_cli.input.series import columns_of
    from titans_cli.output.tables import make_console

    model, output = folder_paths(job.file, job.model, job.output)
    unused = [
        f"--{field.name.replace('_', '-')}"
        for field in fields(job)
        if field.name not in USED_FOR_FOLDERS and getattr(job, field.name) != field.default
    ]
    if unused:
        hint = " (append the rows of the future to the files instead)" if "--future" in unused else ""
        raise ValueError(f"{', '.join(unused)} cannot be used with a folder of parquet files: leave it out{hint}")
    started, console = time.monotonic(), make_console(job.quiet)
    forecaster = load_model(model, columns_of(job), job.block, job.device)
    console.print(f"model loaded from {model}; forecasting the files of {job.file}", markup=False)
    predict_folder(
        forecaster,
        job.file,
        output,
        horizon=job.horizon,
        quantiles=job.quantiles,
        engine=job.engine,
        workers=job.workers or 1,
        console=console,
    )
    console.print(f"done in {time.monotonic() - started:.1f} s")
