"""`titans-ts detect`: from a file to alarms, a table and a picture."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from titans_cli.commands.forecast import Data, ForecastJob, check_outputs, loaded_schema, make_schema, read_data
from titans_cli.output.notes import notes_on_stderr
from titans_cli.output.tables import MOST_ROWS, data_summary, make_console
from titans_datasets.series import SeriesSchema, write_table
from titans_datasets.series.read.panel import warn
from titans_datasets.text import counted, some
from titans_ts.forecasting import TitansForecaster
from titans_ts.support.lightning import cpu_threads

# Of the time covered, what is read as history where --from does not say.
HISTORY_SHARE = 0.6
# What the part of the surprise that departs most says about a stretch.
MEANINGS = {
    "patch": "unusual shape",
    "step": "unusual changes from step to step",
    "dynamics": "changes follow each other differently",
    "season": "off its seasonal profile",
}


@dataclass(frozen=True)
class DetectJob:
    """The arguments of the command, named as on the command line; None where the default holds."""

    file: str
    false_alarm_rate: float = 0.01
    start: str | None = None
    id: str | None = None
    timestamp: str | None = None
    target: str | None = None
    freq: str | None = None
    model: str | None = None
    context: int | None = None
    seed: int = 0
    device: str | None = None
    output: str | None = None
    plot: str | None = None
    quiet: bool = False


def detect(job: DetectJob) -> None:
    """Run the command; results go to stdout, warnings to stderr.

    Raises:
        ValueError, TypeError, OSError: what the user can mend, in one sentence.
    """
    started = time.monotonic()
    console = make_console(job.quiet)
    named = ("file", "id", "timestamp", "target", "freq", "model", "output", "plot")
    like = ForecastJob(horizon=1, **{name: getattr(job, name) for name in named})
    check_outputs(like)
    loaded = None if job.model is None else TitansForecaster.load(Path(job.model).expanduser())
    if loaded is not None and job.device is not None:
        loaded.set_params(device=job.device)
    schema = _own_schema(like) if loaded is None else loaded_schema(like, loaded)
    data = read_data(job.file, schema)
    console.print("\n".join(data_summary(job.file, " ".join(schema.targets), data.panel)), markup=False)
    # The products are small, and threads wait for each other: beside a process that holds one of two cores, two threads
    # take 38 CPU seconds for the built-in weather, one takes 6.
    with notes_on_stderr(shown=data.panel.notes), cpu_threads(1):
        history, later, first = split(job, schema, _table(data))
        model = loaded if loaded is not None else _model(job, data).fit(history)
        found = model.detect(later, job.false_alarm_rate, history=history)
    alarms = int(found["alarm"].sum())
    console.print(
        f"\nhistory up to {first}; after it {len(found):,} tokens of {model.network_.config.patch_stride} steps, "
        f"{alarms:,} alarms ({100 * alarms / len(found):.2g} %; without anomalies at most "
        f"{100 * job.false_alarm_rate:g} % are to be expected)",
        markup=False,
    )
    if alarms:
        console.print(alarm_table(found, schema), no_wrap=True)
    write_results(job, schema, found, later, console)
    console.print(f"done in {time.monotonic() - started:.1f} s")


def _own_schema(job: ForecastJob) -> SeriesSchema:
    """Columns without covariates: a model that is made here reads the target alone."""
    return replace(make_schema(job), static_covariates=(), past_covariates=(), known_covariates=())


def _table(data: Data) -> pd.DataFrame:
    """A long frame: the file's own where the model reads covariates too."""
    from titans_ts.forecasting.forecaster.frames import history_frame
    from titans_ts.forecasting.forecaster.inputs import table_of

    schema = data.schema
    if schema.static_covariates or schema.past_covariates or schema.known_covariates:
        table = table_of(data.table, schema)
        stamps = table[schema.timestamp_column]
        return (
            table
            if pd.api.types.is_numeric_dtype(stamps)
            else table.assign(**{schema.timestamp_column: pd.to_datetime(stamps)})
        )
    return history_frame(data.panel, schema)


def _model(job: DetectJob, data: Data) -> TitansForecaster:
    """A forecaster for its memories: nothing is trained, not even the linear map, which surprise does not read."""
    schema = data.schema
    return TitansForecaster(
        1,
        context_length=job.context,
        id_column=schema.id_column,
        timestamp_column=schema.timestamp_column,
        target_column=schema.target_column,
        freq=schema.freq,
        max_steps=0,
        random_state=job.seed,
        device=job.device or "auto",
        options={"linear": "none", "progress": False},
    )


def split(job: DetectJob, schema: SeriesSchema, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """History, what follows it, and the first timestamp of that.

    Series without a value before it are left out, and a warning names them.

    Raises:
        ValueError: --from is no timestamp of the data's kind, or leaves nothing on one side.
    """
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
    history, later = table[stamps < first], table[stamps >= first]
    if schema.id_column in table.columns:
        seen = history[schema.id_column][history[list(schema.targets)].notna().any(axis=1)].unique()
        history, later = (part[part[schema.id_column].isin(seen)] for part in (history, later))
        absent = [item for item in table[schema.id_column].unique() if item not in set(seen)]
        if absent and len(seen):
            warn([f"{counted(len(absent), 'series')} without a value before {first} left out: {some(absent)}"])
    return history, later, first


def alarm_table(found: pd.DataFrame, schema: SeriesSchema) -> Table:
    """Stretches of alarms that follow each other, those with the largest surprise first."""
    names = [name for name in found.columns[: list(found.columns).index("surprise")] if name != schema.timestamp_column]
    stamps = found[schema.timestamp_column]
    series = [found[name] for name in names]
    before = stamps.astype(object).groupby(series, sort=False).shift(1)
    new = found["alarm"] & ~found.groupby(names, sort=False)["alarm"].shift(1, fill_value=False)
    rows = found.assign(after=before.where(before.notna(), stamps), stretch=new.cumsum())[found["alarm"]]
    groups = rows.groupby("stretch")
    peaks = rows.loc[groups["surprise"].idxmax()].set_index("stretch")
    largest = peaks[list(MEANINGS)].abs().idxmax(axis=1)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in (*names, "after", "up to", "surprise", "threshold", "most of all"):
        table.add_column(str(name), justify="right" if name in ("surprise", "threshold") else "left")
    for stretch in peaks["surprise"].sort_values(ascending=False).index[:MOST_ROWS]:
        part, peak = groups.get_group(stretch), peaks.loc[stretch]
        span = str(part["after"].iloc[0]), str(part[schema.timestamp_column].iloc[-1])
        numbers = f"{peak['surprise']:.3g}", f"{peak['threshold']:.3g}"
        table.add_row(*(str(peak[name]) for name in names), *span, *numbers, MEANINGS[largest[stretch]])
    if len(peaks) > MOST_ROWS:
        table.caption = f"{len(peaks) - MOST_ROWS:,} more stretches (--output FILE writes all tokens)"
    return table


def write_results(
    job: DetectJob, schema: SeriesSchema, found: pd.DataFrame, later: pd.DataFrame, console: Console
) -> None:
    """Table and picture."""
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
    if written:
        console.print()
    for line in written:
        # Said also with --quiet.
        print(line)
