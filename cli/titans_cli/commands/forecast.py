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
from titans_cli.input.values import at_least, bound, head, levels, names, positive, setting
from titans_ts.support.progress import PROGRESS, progress_lines

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from titans_cli.input.series import Data
    from titans_datasets.series import Frequency, SeriesSchema
    from titans_ts.forecasting.backtest.result import BacktestResult
    from titans_ts.forecasting.plain import PlainForecaster

DATA, MODEL, RESULTS = Group("data"), Group("model"), Group("results")
FOLDER = Group(
    "a folder of parquet files",
    "Forecast file by file with a trained --model into the folder --output; each series must be in one file. Run again "
    "after an interruption: only what is missing is computed.",
)
# Options about a network and its training.
NETWORK_OPTIONS = ("context", "block", "head", "ablation")
# Arguments of a forecaster that are those of the columns.
COLUMNS = ("id_column", "timestamp_column", "target_column", "freq")
COVARIATES = ("static_covariates", "past_covariates", "known_covariates")
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
    from_pretrained: bool = switch(
        "forecast by pretrained weights and simple methods, in seconds: nothing is trained unless --max-steps tunes "
        "the weights, and there is no backtest without --backtest-windows or --backtest-days",
        group=MODEL,
        flag="--pretrained",
    )
    quantiles: tuple[float, ...] | None = option(
        "LEVELS", "quantile levels such as 0.1,0.5,0.9", type=levels, group=MODEL
    )
    context: int | None = option("N", "steps the model reads; chosen by default", type=at_least(1), group=MODEL)
    block: str | None = common.block(MODEL)
    head: str | None = option(
        "NAME", "what the network forecasts, such as quantile, student_t, negative_binomial", type=head, group=MODEL
    )
    lower: float | str | None = option(
        "X",
        "no value lies below X; none: no bound; auto: 0 where a series never was below it and does not fall straight "
        "through it (default: auto)",
        type=bound,
        group=MODEL,
        either="lower",
    )
    nonnegative: bool = switch("short for --lower 0", group=MODEL, either="lower")
    upper: float | str | None = option("X", "no value lies above X (default: none)", type=bound, group=MODEL)
    options: tuple[tuple[str, Any], ...] | None = option(
        "NAME=VALUE",
        "an entry of TitansForecaster's options, such as width=32 or memory={kind: linear}; can be repeated",
        type=setting,
        action="append",
        flag="--option",
        group=MODEL,
    )
    max_steps: int | None = option("N", "longest training, in gradient steps", type=at_least(0), group=MODEL)
    time_budget: float | None = option(
        "SECONDS",
        "stop training so many seconds after the start of the command; scoring and forecasting follow",
        type=positive,
        group=MODEL,
    )
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
    report: str | None = common.report(RESULTS)
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

    job, started = read_options(arguments, ForecastJob), getattr(arguments, "started", time.monotonic())
    with errors_in_options():
        if os.path.isdir(os.path.expanduser(job.file)):
            forecast_folder(job)
            return
        with progress_lines(None if job.quiet or sys.stderr.isatty() else sys.stderr, started):
            forecast(job, started)


def forecast(job: ForecastJob, started: float) -> None:
    """Forecast the series of a file; `started` is the `time.monotonic` time from which its time budget counts."""
    if job.engine is not None or job.workers is not None:
        raise ValueError(f"--engine and --workers are for folders, {job.file} is a file: leave them out")
    PROGRESS.info("loading packages")
    from titans_cli.input.series import check_outputs, columns_of, loaded_schema, make_schema, read_data, refuse_other
    from titans_cli.input.settings import trained_settings, with_own_options
    from titans_cli.output.notes import in_options, notes_on_stderr
    from titans_cli.output.tables import data_summary, make_console
    from titans_datasets.series import read_table

    job = with_own_options(job)
    console = make_console(job.quiet)
    check_outputs(job.output, job.plot, job.report)
    model = Path(job.model).expanduser() if job.model else None
    loaded = None
    if model is not None and model.exists():
        from titans_ts.forecasting.plain import PlainForecaster

        loaded = PlainForecaster.load(model).on(job.device)
    check_pretrained(job, loaded)
    check_ablation(job, trains=loaded is None)
    columns = columns_of(job)
    schema = make_schema(job.file, columns) if loaded is None else loaded_schema(columns, loaded, job.model, job.block)
    if loaded is not None:
        refuse_other(job.model, trained_settings(job, loaded))
    PROGRESS.info(f"reading {job.file}")
    data = read_data(job.file, schema)
    console.print("\n".join(data_summary(job.file, " ".join(data.schema.targets), data.panel)), markup=False)
    # Imported here: what is wrong with the data is said before scikit-learn is loaded.
    from titans_ts.forecasting.explanation import explained
    from titans_ts.forecasting.report import report_forecast

    with notes_on_stderr(shown=data.panel.notes):
        result = None
        if loaded is None:
            forecaster, result = train(job, data, console, started)
        else:
            forecaster = loaded
            console.print(f"\nmodel loaded from {job.model}: no training, no backtest", markup=False)
        PROGRESS.info("forecasting")
        future = None if job.future is None else read_table(job.future)
        frame, weights = predict(job, forecaster, data, future)
    PROGRESS.info("writing results")
    write_results(job, forecaster, data, frame, None if result is None else result.forecasts, console)
    if job.report is not None:
        found = forecaster.fitted, forecaster.params, data.panel, (frame, weights), result
        report_forecast(*found, name=Path(job.file).name).to_html(job.report)
        print(f"report    {job.report}")
    told = explained(forecaster.fitted, weights, forecaster.params["options"], loaded is None)
    told += [] if result is None else result.verdict
    console.print(in_options("\n".join(["", *told])), markup=False)
    console.print(f"done in {time.monotonic() - started:.1f} s")


def check_pretrained(job: ForecastJob, loaded: PlainForecaster | None) -> None:
    """Refuse --pretrained beside a trained model or options about a network and its training."""
    given = [f"--{name.replace('_', '-')}" for name in NETWORK_OPTIONS if getattr(job, name) not in (None, False)]
    given += [] if loaded is None or not loaded.fitted.has_network else [f"--model {job.model} (it was trained)"]
    if job.from_pretrained and given:
        raise ValueError(f"--pretrained trains no network: leave out {', '.join(given)}, or --pretrained")


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


def train(
    job: ForecastJob, data: Data, console: Console, started: float
) -> tuple[PlainForecaster, BacktestResult[PlainForecaster] | None]:
    """A trained forecaster, and its backtest where there is one."""
    from titans_cli.output.tables import backtest_table
    from titans_ts.forecasting.backtest.windows import NoBacktestError

    windows = backtest_windows(job, data.panel.frequency)
    forecaster = make_forecaster(job, data.schema, started)
    left, most = forecaster.params["time_budget"], forecaster.params["max_steps"]
    budget = "" if left is None else f", {left:.3g} s{' each' if job.ablation else ''}"
    trained = "tuning pretrained weights" if job.from_pretrained else f"training a {forecaster.params['block']} model"
    none = "pretrained weights: no training" if job.from_pretrained else "fitting without gradient steps: --max-steps 0"
    console.print(f"\n{trained}: at most {most} steps{budget}" if most else f"\n{none}")
    if windows == 0:
        return forecaster.fit(data.table), None
    try:
        result = forecaster.backtest(data.table, windows=windows, ablation=job.ablation)
    except NoBacktestError as error:
        if windows is not None:
            asked = "--backtest-windows" if job.backtest_days is None else "--backtest-days"
            raise ValueError(f"{error}: lower --horizon, or leave {asked} out to forecast without a backtest") from None
        console.print(f"no backtest: {error.reason}")
        return forecaster.fit(data.table), None
    console.print("\nbacktest, forecasts of windows that training has not seen:")
    console.print(backtest_table(result.metrics, bold=console.is_terminal))
    stars = [] if console.is_terminal else ["* best of its column"]
    console.print("\n".join(f"  · {note}" for note in [*stars, *result.notes]), markup=False)
    return result.forecaster, result


def make_forecaster(job: ForecastJob, schema: SeriesSchema, started: float) -> PlainForecaster:
    """A forecaster with the given options, its own defaults for the others, and what is left of the time budget."""
    from titans_cli.input.settings import bounds
    from titans_ts.forecasting.plain import PlainForecaster

    budget = job.time_budget
    if budget is not None:
        # With an ablation two models are trained.
        budget = max(budget - (time.monotonic() - started), 1e-3) / (2 if job.ablation else 1)
    head = {} if job.head is None else {"head": job.head}
    reading = {"aggregate": schema.aggregate, "snap": schema.snap}
    same = ("holidays", "calendar", "quantiles", "block", "max_steps", "device")
    optional = {name: getattr(job, name) for name in same} | {"context_length": job.context, "time_budget": budget}
    given = {name: value for name, value in optional.items() if value is not None} | bounds(job)
    return PlainForecaster.of(
        "zero" if job.from_pretrained else None,
        prediction_length=job.horizon,
        **{name: getattr(schema, name) for name in (*COLUMNS, *COVARIATES)},
        random_state=job.seed,
        options={"progress": sys.stderr.isatty() and not job.quiet, **reading, **head, **dict(job.options or ())},
        **given,
    )


def backtest_windows(job: ForecastJob, frequency: Frequency) -> int | None:
    """Windows of the backtest; None to have them chosen, 0 for none (with --pretrained by default).

    Raises:
        ValueError: the days cannot be turned into windows.
    """
    if job.backtest_days is None:
        return 0 if job.from_pretrained and job.backtest_windows is None else job.backtest_windows
    from titans_ts.forecasting.backtest.windows import windows_in_days

    try:
        return windows_in_days(job.backtest_days, job.horizon, frequency)
    except ValueError as error:
        raise ValueError(f"--backtest-{error}, or use --backtest-windows") from None


def predict(
    job: ForecastJob, forecaster: PlainForecaster, data: Data, future: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The forecast that follows the data, and the weights of what made it; with the model's levels and those asked for.

    Raises:
        ValueError: a requested quantile level lies beyond those of the model.
    """
    from titans_ts.forecasting.forecaster.continuation import forecast_and_weights

    levels = sorted({*forecaster.fitted.levels, *(job.quantiles or ())})
    return forecast_and_weights(forecaster.fitted, data.table, levels, future, job.horizon)


def write_results(
    job: ForecastJob,
    forecaster: PlainForecaster,
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
    trained = [f"{level:g}" for level in forecaster.fitted.levels]
    shown = [f"{level:g}" for level in sorted(job.quantiles)] if job.quantiles else trained
    kept = [name for name in frame.columns if name not in trained or name in shown]
    if job.output is not None:
        written.append(f"forecast  {write_table(frame[kept], job.output)}")
    else:
        console.print(f"\nforecast, {min(MOST_ROWS, len(frame))} of {len(frame):,} rows (--output FILE writes all):")
        console.print(forecast_table(frame[kept], shown))
    if job.plot is not None:
        written.append(f"picture   {draw(job, data, frame, earlier)}")
    print_written(console, written)


def draw(job: ForecastJob, data: Data, frame: pd.DataFrame, earlier: pd.DataFrame | None) -> str:
    """Write the picture; its path."""
    from titans_datasets import builtin
    from titans_ts.forecasting.forecaster.frames import history_frame
    from titans_ts.forecasting.forecaster.inputs import FORECAST_BY
    from titans_ts.forecasting.plot import plot_forecast

    assert job.plot is not None
    target = data.schema.targets[0]
    name = Path(job.file).name.removeprefix(builtin.PREFIX)
    step = data.panel.frequency.offset_alias
    plot_forecast(
        history_frame(data.panel, data.schema),
        frame.drop(columns=FORECAST_BY),
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
        field.metadata["spec"].flag or f"--{field.name.replace('_', '-')}"
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
