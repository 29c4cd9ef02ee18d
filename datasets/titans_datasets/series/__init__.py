"""Time series: from any kind of data to batches of windows. Names are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titans_datasets.series.benchmarks import electricity_price, long_horizon, m4, monash
    from titans_datasets.series.calendar_features import seen_cycles, time_features
    from titans_datasets.series.covariates import CovariateEncoder
    from titans_datasets.series.entries import from_gluonts, to_gluonts
    from titans_datasets.series.fetching import fetch
    from titans_datasets.series.files import read_series, read_table, write_table
    from titans_datasets.series.frames import SeriesPanel, to_records
    from titans_datasets.series.frequency import Frequency, parse_frequency, seasonality
    from titans_datasets.series.future import attach_future
    from titans_datasets.series.module import SeriesDataModule
    from titans_datasets.series.records import SeriesRecord, SeriesWarning, ShortSeriesWarning
    from titans_datasets.series.schema import SeriesSchema
    from titans_datasets.series.synthetic import SyntheticSpec, synthetic_frame
    from titans_datasets.series.windows import Windows, WindowSpec, WindowStore

_HOMES = {
    "benchmarks": ("electricity_price", "long_horizon", "m4", "monash"),
    "calendar_features": ("seen_cycles", "time_features"),
    "covariates": ("CovariateEncoder",),
    "entries": ("from_gluonts", "to_gluonts"),
    "fetching": ("fetch",),
    "files": ("read_series", "read_table", "write_table"),
    "frames": ("SeriesPanel", "to_records"),
    "frequency": ("Frequency", "parse_frequency", "seasonality"),
    "future": ("attach_future",),
    "module": ("SeriesDataModule",),
    "records": ("SeriesRecord", "SeriesWarning", "ShortSeriesWarning"),
    "schema": ("SeriesSchema",),
    "synthetic": ("SyntheticSpec", "synthetic_frame"),
    "windows": ("WindowSpec", "WindowStore", "Windows"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CovariateEncoder",
    "Frequency",
    "SeriesDataModule",
    "SeriesPanel",
    "SeriesRecord",
    "SeriesSchema",
    "SeriesWarning",
    "ShortSeriesWarning",
    "SyntheticSpec",
    "WindowSpec",
    "WindowStore",
    "Windows",
    "attach_future",
    "electricity_price",
    "fetch",
    "from_gluonts",
    "long_horizon",
    "m4",
    "monash",
    "parse_frequency",
    "read_series",
    "read_table",
    "seasonality",
    "seen_cycles",
    "synthetic_frame",
    "time_features",
    "to_gluonts",
    "to_records",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
