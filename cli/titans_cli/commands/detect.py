"""`titans-ts detect`: from a file to alarms, a table and a picture."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from titans_cli.input import common
from titans_cli.input.options import add_options, argument, option, read_options
from titans_cli.input.values import at_least, share

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from titans_cli.input.series import Columns, Data
    from titans_datasets.series import SeriesSchema
    from titans_ts.forecasting.plain import PlainForecaster

# Of the time covered, what is read as history where --from is not given.
HISTORY_SHARE = 0.6


@dataclass(frozen=True, kw_only=True)
class DetectJob:
    """Read the first part of every series as history, then report the segments after it that surprise the memory more
    than the history did. No network is trained."""

    file: str = argument("FILE", common.SERIES_FILES)
    id: str | None = common.item_id()
    timestamp: str | None = common.timestamp()
    target: str | None = common.target("column to watch")
    freq: str | None = common.freq()
    aggregate: str | None = common.aggregate()
    snap: bool = common.snap()
    false_alarm_rate: float = option(
        "R",
        "largest share of normal tokens that raise an alarm; R needs about 1.5 / R tokens of history",
        type=share,
        default=0.01,
    )
    start: str | None = option(
        "STAMP", "first timestamp after the history; after 60 %% of the time by default", flag="--from"
    )
    model: str | None = option("DIR", "a model saved by `titans-ts forecast`, instead of a new one")
    context: int | None = option("N", "steps the memory looks back; chosen by default", type=at_least(1))
    seed: int = common.seed()
    device: str | None = common.device()
    output: str | None = option("FILE", "write one row per token as csv, csv.gz or parquet")
    plot: str | None = option("FILE", f"write a picture: {common.PICTURES}")
    report: str | None = common.report()
    quiet: bool = common.quiet()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_options(parser, DetectJob)


def run(arguments: argparse.Namespace) -> None:
    """Run the command; results go to stdout, warnings to stderr."""
    from titans_cli.output.notes import errors_in_options

    with errors_in_options():
        detect(read_options(arguments, DetectJob))


def detect(job: DetectJob) -> None:
    """Find anomalies in the series of a file."""
    from titans_cli.input.series import check_outputs, columns_of, loaded_schema, read_data
    from titans_cli.output.alarms import alarm_table
    from titans_cli.output.notes import notes_on_stderr
    from titans_cli.output.tables import data_summary, make_console
    from titans_ts.forecasting.forecaster.frames import long_table
    from titans_ts.forecasting.plain import PlainForecaster
    from titans_ts.forecasting.report import report_alarms
    from titans_ts.forecasting.streaming.alarms import alarm_table as detected
    from titans_ts.support.device import cpu_threads

    started = time.monotonic()
    console = make_console(job.quiet)
    check_outputs(job.output, job.plot, job.report)
    loaded = None if job.model is None else PlainForecaster.load(Path(job.model).expanduser()).on(job.device)
    columns = columns_of(job)
    schema = target_schema(job.file, columns) if loaded is None else loaded_schema(columns, loaded, job.model)
    data = read_data(job.file, schema)
    console.print("\n".join(data_summary(job.file, " ".join(schema.targets), data.panel)), markup=False)
    # The products are small, and threads wait for each other: beside a process that holds one of two cores, two threads
    # take 38 CPU seconds for the built-in weather, one takes 6.
    with notes_on_stderr(shown=data.panel.notes), cpu_threads(1):
        history, later, first = split(job, schema, long_table(data.panel, data.table, data.schema))
        model = loaded if loaded is not None else new_model(job, data).fit(history)
        found = detected(model.fitted, later, job.false_alarm_rate, history)
    alarms = int(found["alarm"].sum())
    console.print(
        f"\nhistory up to {first}; after it {len(found):,} tokens of {model.fitted.network.config.patch_stride} steps, "
        f"{alarms:,} alarms ({100 * alarms / len(found):.2g} %; without anomalies at most "
        f"{100 * job.false_alarm_rate:g} % are expected)",
        markup=False,
    )
    if alarms:
        console.print(alarm_table(found, schema), no_wrap=True)
    write_results(job, schema, found, later, console)
    if job.report is not None:
        told = model.fitted, model.params, data.panel, later, found, job.false_alarm_rate
        report_alarms(*told, name=Path(job.file).name).to_html(job.report)
        print(f"report    {job.report}")
    console.print(f"done in {time.monotonic() - started:.1f} s")


def target_schema(file: str, columns: Columns) -> SeriesSchema:
    """Columns without covariates: a new model reads the target alone."""
    from titans_cli.input.series import make_schema

    return replace(make_schema(file, columns), static_covariates=(), past_covariates=(), known_covariates=())


def new_model(job: DetectJob, data: Data) -> PlainForecaster:
    """A forecaster for its memory: nothing is trained, not even the linear part, which does not affect surprise."""
    from titans_ts.forecasting.plain import PlainForecaster

    schema = data.schema
    return PlainForecaster.of(
        prediction_length=1,
        context_length=job.context,
        **{name: getattr(schema, name) for name in ("id_column", "timestamp_column", "target_column", "freq")},
        max_steps=0,
        random_state=job.seed,
        device=job.device or "auto",
        options={"linear": "none", "progress": False},
    )


def split(job: DetectJob, schema: SeriesSchema, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """History, the rows after it, and the first timestamp of these.

    Series without a value in the history are left out, and a warning names them.

    Raises:
        ValueError: --from is no timestamp of the data's kind, or leaves nothing on one side.
    """
    import pandas as pd

    from titans_ts.forecasting.streaming.alarms import before_and_after

    stamps = table[schema.timestamp_column]
    known = stamps.drop_duplicates().sort_values()
    if job.start is None:
        first = known.iloc[int(HISTORY_SHARE * len(known))]
    else:
        try:
            numeric = pd.api.types.is_numeric_dtype(stamps)
            first = float(job.start) if numeric else pd.Timestamp(job.start, tz=getattr(stamps.dt, "tz", None))
        except ValueError:
            raise ValueError(f"--from must be a timestamp such as {known.iloc[-1]}, got {job.start!r}") from None
    if not known.iloc[0] < first <= known.iloc[-1]:
        raise ValueError(f"--from must lie in the data, after {known.iloc[0]} and up to {known.iloc[-1]}, got {first}")
    return *before_and_after(table, schema, first), first


def write_results(
    job: DetectJob, schema: SeriesSchema, found: pd.DataFrame, later: pd.DataFrame, console: Console
) -> None:
    """Write table and picture."""
    from titans_cli.output.tables import print_written
    from titans_datasets.series import write_table

    written = []
    if job.output is not None:
        written.append(f"alarms    {write_table(found, job.output)}")
    if job.plot is not None:
        from titans_ts.forecasting.forecaster.frames import one_series_a_channel
        from titans_ts.forecasting.streaming.plot import plot_surprise

        series, target = later, schema.targets[0]
        if schema.multichannel:
            series, found = one_series_a_channel(series, found, schema)
            target = "target"
        plot_surprise(
            series,
            found,
            id_column=schema.id_column,
            timestamp_column=schema.timestamp_column,
            target_column=target,
            title=f"{Path(job.file).name}: alarms at a false-alarm rate of {job.false_alarm_rate:g}",
            path=job.plot,
        )
        written.append(f"picture   {os.fspath(job.plot)}")
    print_written(console, written)
