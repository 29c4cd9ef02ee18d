"""From the name of a data set to windows to train, validate and test on.

Shapes: W windows, I items, P prediction_length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from titans_datasets import builtin
from titans_datasets.series.batches.windows import Windows, WindowSpec, WindowStore
from titans_datasets.series.public.benchmarks import electricity_price, long_horizon
from titans_datasets.series.public.catalogue import LONG_HORIZON
from titans_datasets.series.read.covariates import CovariateEncoder
from titans_datasets.series.read.files import SUFFIXES
from titans_datasets.series.read.inputs import read_series, to_records
from titans_datasets.series.read.panel import SeriesPanel
from titans_datasets.series.read.records import SeriesRecord
from titans_datasets.series.schema import SeriesSchema
from titans_datasets.series.time.calendar_features import seen_cycles
from titans_datasets.text import lookup, some

MARKET = "epf:"


@dataclass(frozen=True)
class SourceSpec:
    """Which data, and how windows are cut from them.

    Args:
        source: a csv, csv.gz, parquet or tsf file; "builtin:<name>"; a long-horizon benchmark ("ETTh1", with its
            published split and standardised values); or "epf:<market>" (prices with two known covariates).
        context_length: past steps.
        prediction_length: steps P to forecast.
        columns: names and roles of the columns of a file; a built-in set or benchmark brings its own.
        calendar: cycles of the time features; None takes those that the data cover twice (none for a benchmark).
        validation_windows: windows per series for choosing the best state, P steps apart.
        test_windows: windows per series, after those, for `test`, P steps apart.
        stride: steps between training windows.
        min_history: steps that must lie before a training forecast; None is half of context_length.
        short: what happens to series too short for a training window: "skip", "pad" or "error".
        download: download benchmark files that are missing.

    Raises:
        ValueError: a number is out of range.
    """

    source: str
    context_length: int
    prediction_length: int
    columns: SeriesSchema = field(default_factory=SeriesSchema)
    calendar: tuple[str, ...] | None = None
    validation_windows: int = 4
    test_windows: int = 4
    stride: int = 1
    min_history: int | None = None
    short: Literal["skip", "pad", "error"] = "skip"
    download: bool = False

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("source must name a file, builtin:<name> or a benchmark set, got an empty text")
        for name in ("validation_windows", "test_windows"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be ≥ 0, got {getattr(self, name)}")
        self.window_spec(())

    def window_spec(self, calendar: tuple[str, ...]) -> WindowSpec:
        """How training windows are cut."""
        least = self.min_history or max(1, self.context_length // 2)
        return WindowSpec(self.context_length, self.prediction_length, self.stride, least, self.short, calendar)


@dataclass(frozen=True)
class SeriesTask:
    """Series with their training, validation and test windows.

    Args:
        store: all series.
        train, validation, test: windows; validation and test may be empty.
        schema: what the columns mean.
        panel: the series as read, None for a long-horizon benchmark (its values are standardised).
        notes: short sentences about what was corrected or left out.
    """

    store: WindowStore
    train: Windows
    validation: Windows
    test: Windows
    schema: SeriesSchema
    panel: SeriesPanel | None
    notes: list[str]

    @property
    def encoder(self) -> CovariateEncoder | None:
        """How covariates became numbers."""
        return None if self.panel is None else self.panel.encoder


def load_task(spec: SourceSpec, encoder: CovariateEncoder | None = None, freq: str | None = None) -> SeriesTask:
    """Read the source and cut its windows.

    Args:
        spec: see :class:`SourceSpec`.
        encoder: covariate codes of an earlier fit; fitted here where None.
        freq: time step of an earlier fit; these data must have the same.

    Raises:
        ValueError, TypeError, FileNotFoundError: the source is unknown or absent, or what `to_records` and
            `long_horizon` raise.
    """
    if spec.source in LONG_HORIZON:
        return _benchmark(spec)
    panel, schema = _read(spec, encoder)
    if freq is not None and panel.frequency.offset_alias != freq:
        raise ValueError(
            f"{spec.source} has steps of {panel.frequency}, the checkpoint was trained on steps of {freq}: pass data "
            "of that step"
        )
    records = panel.records
    calendar = spec.calendar
    if calendar is None:
        calendar = seen_cycles(panel.frequency, int(np.median([record.length for record in records])))
    parts = held_out_steps(records, spec)
    store = WindowStore(records, spec.window_spec(calendar), statistics_holdout=sum(parts))
    return SeriesTask(
        store, *_split(store, spec, parts), schema, panel, [*panel.notes, *_too_short(store, spec, parts)]
    )


def held_out_steps(records: list[SeriesRecord], spec: SourceSpec) -> tuple[int, int]:
    """Steps of validation and of test at the end of each series that is long enough."""
    return spec.validation_windows * spec.prediction_length, spec.test_windows * spec.prediction_length


def _benchmark(spec: SourceSpec) -> SeriesTask:
    if spec.columns != SeriesSchema():
        raise ValueError(f"{spec.source} is a benchmark set that brings its own columns: leave columns out")
    task = long_horizon(
        spec.source,
        spec.context_length,
        spec.prediction_length,
        calendar=spec.calendar or (),
        download=spec.download,
    )
    train = task.train.take(task.train.positions % spec.stride == 0) if spec.stride > 1 else task.train
    return SeriesTask(task.store, train, task.validation, task.test, SeriesSchema(), None, [])


def _read(spec: SourceSpec, encoder: CovariateEncoder | None) -> tuple[SeriesPanel, SeriesSchema]:
    if spec.source.startswith(MARKET):
        prices = electricity_price(spec.source.removeprefix(MARKET), download=spec.download)
        return to_records(prices.frame, prices.schema, encoder=encoder), prices.schema
    is_builtin = spec.source.startswith(builtin.PREFIX)
    if not is_builtin and not spec.source.lower().endswith(SUFFIXES):
        # Neither a file nor a set: the lookup's message has the nearest name and all of them.
        lookup(LONG_HORIZON, spec.source, "source (no file name, builtin:<name> or epf:<market>), as a benchmark set")
    schema = builtin.schema(spec.source) if is_builtin and spec.columns == SeriesSchema() else spec.columns
    return read_series(spec.source, schema, encoder=encoder), schema


def _split(store: WindowStore, spec: SourceSpec, parts: tuple[int, int]) -> tuple[Windows, Windows, Windows]:
    """Training, validation and test windows; a series too short for all three is used for training only."""
    enough = _long_enough(store, parts)
    held = torch.where(enough, sum(parts), 0)
    count = spec.validation_windows + spec.test_windows
    rolled = store.rolling(count) if count else store.last_window().take(slice(0))
    rolled = store.with_observations(rolled.take(enough[rolled.items]))
    tested = rolled.positions >= (store.lengths - parts[1])[rolled.items]
    return store.windows(held), rolled.take(~tested), rolled.take(tested)


def _long_enough(store: WindowStore, parts: tuple[int, int]) -> torch.Tensor:
    """Which items (I,) have a training window before their held-out steps."""
    return store.lengths >= sum(parts) + store.spec.min_history + store.spec.prediction_length


def _too_short(store: WindowStore, spec: SourceSpec, parts: tuple[int, int]) -> list[str]:
    short = torch.nonzero(~_long_enough(store, parts))[:, 0].tolist()
    if not sum(parts) or not short:
        return []
    names = some(store.item_ids[item] for item in short)
    of = f"{len(short):,} of {len(store.item_ids):,} series"
    return [f"{of} too short for held-out windows, used for training only: {names}"]


def plain_state(task: SeriesTask) -> dict[str, Any]:
    """Covariate codes and time step as plain values: later data must be read with the same."""
    encoder = task.encoder
    return {
        "encoder": None if encoder is None else encoder.to_dict(),
        "freq": None if task.panel is None else task.panel.frequency.offset_alias,
    }
