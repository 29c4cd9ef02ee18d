"""Series for a command: which columns they have, and what the file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from titans_cli.output.notes import OPTIONS
from titans_datasets import builtin
from titans_datasets.series import SeriesPanel, SeriesSchema, read_series, to_records
from titans_datasets.series.calendar.weekmask import masked_frequency
from titans_datasets.series.read.files import read_table_with_notes, suffix_of, written_suffix
from titans_datasets.series.time.calendar_features import names_of
from titans_ts.report import check_report

if TYPE_CHECKING:
    from titans_ts.forecasting.plain import PlainForecaster

# Option, without its dashes → field of the schema.
FIELDS = {
    option.lstrip("-").replace("-", "_"): name for name, option in OPTIONS.items() if hasattr(SeriesSchema(), name)
}


class Columns(NamedTuple):
    """Columns and time step as on the command line; None where an option is not given."""

    id: str | None = None
    timestamp: str | None = None
    target: str | None = None
    freq: str | None = None
    past_covariates: tuple[str, ...] | None = None
    covariates: tuple[str, ...] | None = None
    static: tuple[str, ...] | None = None
    aggregate: str | None = None
    snap: bool | None = None
    weekmask: str | None = None
    holidays: tuple[str, ...] | None = None
    calendar: tuple[str, ...] | None = None


class Data(NamedTuple):
    """Content of a file.

    Attributes:
        table: what is passed to the forecaster, a frame or the name of a tsf file.
        panel: the series found in it.
        schema: their columns.
    """

    table: pd.DataFrame | str
    panel: SeriesPanel
    schema: SeriesSchema


def columns_of(job: Any) -> Columns:
    """The options of a command that name columns; those it does not have are None."""
    return Columns(**{name: getattr(job, name, None) for name in Columns._fields} | {"snap": job.snap or None})


def check_outputs(output: str | None, plot: str | None, report: str | None) -> None:
    """Refuse names of other formats before any time is spent on training.

    Raises:
        ValueError: an unknown suffix.
        PermissionError: no report can be written there.
    """
    if output is not None:
        written_suffix(output)
    if plot is not None:
        # Imported here: matplotlib takes a third of a second.
        from titans_ts.forecasting.plot import picture_suffix

        picture_suffix(plot)
    check_report(report)


def make_schema(file: str, columns: Columns) -> SeriesSchema:
    """The given columns; for a built-in set its own where none is given."""
    default = builtin.schema(file) if file.startswith(builtin.PREFIX) else SeriesSchema()
    named: dict[str, Any] = {field: getattr(columns, name) for name, field in FIELDS.items()}
    named["freq"] = masked_frequency(columns.weekmask, columns.freq)
    given = {field: value for field, value in named.items() if value is not None}
    if columns.past_covariates is None:
        # A column with another role is no longer one of the set's past covariates.
        taken = {columns.target, *(columns.covariates or ()), *(columns.static or ())}
        given["past_covariates"] = tuple(name for name in default.past_covariates if name not in taken)
    return replace(default, **given)


def loaded_schema(
    columns: Columns, forecaster: PlainForecaster, model: str | None, block: str | None = None
) -> SeriesSchema:
    """The columns that a loaded model (of the folder `model`) was trained on.

    Raises:
        ValueError: an option differs from what the model was trained with.
    """
    schema, params = forecaster.fitted.schema, forecaster.params
    given = {field: getattr(columns, name) for name, field in FIELDS.items() if field != "freq"}
    options = {OPTIONS[field]: (value, getattr(schema, field)) for field, value in given.items()}
    options["--weekmask"] = (masked_frequency(columns.weekmask, None), forecaster.fitted.frequency.offset_alias)
    options["--holidays"] = (columns.holidays, names_of(params["holidays"]))
    options["--calendar"] = (columns.calendar, names_of(params["calendar"]))
    options["--block"] = (block, params["block"])
    refuse_other(model, options)
    return replace(schema, freq=columns.freq or schema.freq)


def refuse_other(model: str | None, options: Mapping[str, tuple[Any, Any]]) -> None:
    """Compare options (what is asked for, None for nothing; what the model was trained with).

    Raises:
        ValueError: one differs.
    """
    for name, (wanted, trained) in options.items():
        if wanted is not None and wanted != trained:
            raise ValueError(
                f"{name} is {wanted!r}, but the model in {model} was trained with {trained!r}: leave {name} out, "
                "or give another --model folder to train a new model"
            )


def read_data(file: str, schema: SeriesSchema) -> Data:
    """The file, read once, and its series."""
    if not file.startswith(builtin.PREFIX) and suffix_of(file) == ".tsf":
        return Data(file, read_series(file, schema), schema)
    table, notes = read_table_with_notes(file)
    panel = to_records(table, schema)
    panel.notes[:0] = notes
    return Data(table, panel, schema)
