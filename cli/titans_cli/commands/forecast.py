"""`titans-ts forecast`: from a file to a backtest table, a forecast, a picture and a model folder."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from titans_cli.output.notes import notes_on_stderr
from titans_cli.output.tables import MOST_ROWS, backtest_table, data_summary, forecast_table, make_console
from titans_datasets import builtin
from titans_datasets.series import Frequency, SeriesPanel, SeriesSchema, read_series, read_table, write_table
from titans_datasets.series.read.files import suffix_of
from titans_ts.forecasting import TitansForecaster

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True)
class ForecastJob:
    """The arguments of the command, named as on the command line; None where the default holds."""

    file: str
    horizon: int
    id: str | None = None
    timestamp: str | None = None
    target: str | None = None
    freq: str | None = None
    past_covariates: tuple[str, ...] | None = None
    covariates: tuple[str, ...] | None = None
    static: tuple[str, ...] | None = None
    future: str | None = None
    model: str | None = None
    quantiles: tuple[float, ...] | None = None
    context: int | None = None
    block: str | None = None
    max_steps: int | None = None
    time_budget: float | None = None
    seed: int = 0
    device: str | None = None
    backtest_windows: int | None = None
    backtest_days: float | None = None
    output: str | None = None
    plot: str | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Data:
    """A file's content: what is passed to the forecaster, and what was found in it."""

    table: pd.DataFrame | str
    panel: SeriesPanel
    schema: SeriesSchema


def forecast(job: ForecastJob) -> None:
    """Run the command; results go to stdout, warnings to stderr.

    Raises:
        ValueError, TypeError, OSError: what the user can mend, in one sentence.
    """
    started = time.monotonic()
    console = make_console(job.quiet)
    check_outputs(job)
    model = Path(job.model).expanduser() if job.model else None
    loaded = TitansForecaster.load(model) if model is not None and model.exists() else None
    if loaded is not None and job.device is not None:
        loaded.set_params(device=job.device)
    schema = make_schema(job) if loaded is None else loaded_schema(job, loaded)
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


def check_outputs(job: ForecastJob) -> None:
    """Refuse names that cannot be written before any time is spent on training.

    Raises:
        ValueError: a suffix is unknown.
    """
    if job.output is not None and suffix_of(job.output) == ".tsf":
        raise ValueError(f"cannot write {job.output}: use a .csv, .csv.gz or .parquet name for --output")
    if job.plot is not None:
        from titans_ts.forecasting.plot import picture_suffix

        picture_suffix(job.plot)
    for name in (job.output, job.plot):
        if name is not None and Path(name).is_dir():
            raise ValueError(f"{name} is a folder: give the name of the file to write")


def make_schema(job: ForecastJob) -> SeriesSchema:
    """Columns by the arguments; for a built-in set its own where they say nothing."""
    is_builtin = job.file.startswith(builtin.PREFIX)
    default = builtin.schema(job.file) if is_builtin else SeriesSchema()
    named: dict[str, Any] = {
        "id_column": job.id,
        "timestamp_column": job.timestamp,
        "target_column": job.target,
        "freq": job.freq,
        "static_covariates": job.static,
        "past_covariates": job.past_covariates,
        "known_covariates": job.covariates,
    }
    given = {name: value for name, value in named.items() if value is not None}
    if job.past_covariates is None:
        # A column that got another role is no longer one of the set's past covariates.
        taken = {job.target, *(job.covariates or ()), *(job.static or ())}
        given["past_covariates"] = tuple(name for name in default.past_covariates if name not in taken)
    return replace(default, **given)


def loaded_schema(job: ForecastJob, forecaster: TitansForecaster) -> SeriesSchema:
    """The columns a loaded model was trained on.

    Raises:
        ValueError: an argument asks for something that the model was not trained for.
    """
    schema = forecaster.schema_
    asked = {
        "--id": (job.id, schema.id_column),
        "--timestamp": (job.timestamp, schema.timestamp_column),
        "--target": (job.target, schema.target_column),
        "--past-covariates": (job.past_covariates, schema.past_covariates),
        "--covariates": (job.covariates, schema.known_covariates),
        "--static": (job.static, schema.static_covariates),
        "--block": (job.block, forecaster.block),
    }
    for name, (wanted, trained) in asked.items():
        if wanted is not None and wanted != trained:
            raise ValueError(
                f"{name} is {wanted!r}, but the model in {job.model} was trained with {trained!r}: leave {name} out, "
                "or give another --model folder to train a new model"
            )
    return replace(schema, freq=job.freq or schema.freq)


def read_data(file: str, schema: SeriesSchema) -> Data:
    """The file, read once, and its records."""
    panel = read_series(file, schema)
    is_series_file = not file.startswith(builtin.PREFIX) and suffix_of(file) == ".tsf"
    table: pd.DataFrame | str = file if is_series_file else read_table(file)
    return Data(table, panel, schema)


def train(job: ForecastJob, data: Data, console: Console) -> tuple[TitansForecaster, pd.DataFrame | None]:
    """A trained forecaster, and its forecasts of the backtest's windows."""
    forecaster = make_forecaster(job, data.schema)
    windows = backtest_windows(job, data.panel.frequency)
    budget = "" if job.time_budget is None else f", {job.time_budget:g} s"
    console.print(f"\ntraining a {forecaster.block} model: at most {forecaster.max_steps} steps{budget}")
    if windows == 0:
        forecaster.fit(data.table)
        console.print(f"  · {training_summary(forecaster)}", markup=False)
        return forecaster, None
    result = forecaster.backtest(data.table, windows=windows)
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
        return f"{trained}; the memory found nothing sure beyond the linear part on the held-out windows: left out"
    kept = f"{100 * training.network_weight:.0f} % of what it adds to the linear part"
    return f"{trained}; kept step {training.best_step} and {kept}"


def make_forecaster(job: ForecastJob, schema: SeriesSchema) -> TitansForecaster:
    """A forecaster by the arguments, its own defaults where they say nothing."""
    optional: dict[str, Any] = {
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
        options={"progress": sys.stderr.isatty() and not job.quiet},
        **given,
    )


def backtest_windows(job: ForecastJob, frequency: Frequency) -> int | None:
    """Windows of the backtest, None to have them chosen.

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
    """The forecast that follows the data, with the asked levels checked.

    Raises:
        ValueError: a level was not trained.
    """
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
    """Model, forecast, picture; the model first: it cost most."""
    written = []
    if job.model is not None and not Path(job.model).expanduser().exists():
        written.append(f"model     {forecaster.save(Path(job.model).expanduser())}")
    trained = [f"{level:g}" for level in forecaster.levels_]
    levels = [f"{level:g}" for level in sorted(job.quantiles)] if job.quantiles else trained
    kept = [name for name in frame.columns if name not in trained or name in levels]
    if job.output is not None:
        written.append(f"forecast  {write_table(frame[kept], job.output)}")
    else:
        console.print(f"\nforecast, {min(MOST_ROWS, len(frame))} of {len(frame):,} rows (--output FILE writes all):")
        console.print(forecast_table(frame[kept], levels), no_wrap=True)
    if job.plot is not None:
        written.append(f"picture   {draw(job, data, frame, earlier)}")
    console.print()
    for line in written:
        # Said also with --quiet.
        print(line)


def draw(job: ForecastJob, data: Data, frame: pd.DataFrame, earlier: pd.DataFrame | None) -> str:
    """Write the picture and say where."""
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
