"""Small real data sets that ship inside the package, so that examples and tests run without a network.

Each file's origin and licence are in SOURCES.md beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from titans_datasets.builtin.dna import dna_file, dna_names, load_dna, load_orchids
from titans_datasets.builtin.shipped import shipped_file
from titans_datasets.series.read.schema import SeriesSchema

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PREFIX",
    "BuiltinSet",
    "describe",
    "dna_file",
    "dna_names",
    "load",
    "load_air_passengers",
    "load_dna",
    "load_orchids",
    "load_weather",
    "names",
    "schema",
]

PREFIX = "builtin:"


@dataclass(frozen=True)
class BuiltinSet:
    """A file of the package.

    Args:
        file: its name in this folder.
        sha256: checksum of the file.
        schema: what its columns mean.
        title: one line for listings.
    """

    file: str
    sha256: str
    schema: SeriesSchema
    title: str


# Wind, rain and visibility add noise: without them the last 28, 56 and 112 days are forecast 1 to 3 % better.
_WEATHER_SCHEMA = SeriesSchema(target_column="temp", freq="h", past_covariates=("dewp", "humid", "pressure"))
_SETS = {
    "weather": BuiltinSet(
        "weather.csv.gz",
        "2f219d9a9353e3a880819e5edeb12f9977948dc5d1f3b8f489ce326bba8f222a",
        _WEATHER_SCHEMA,
        "hourly weather at three New York airports, 2013, with real gaps",
    ),
    "air_passengers": BuiltinSet(
        "air_passengers.csv",
        "c6b0e3a095f10468b4ecfafe3a79957a1ea4f1de8ac7fa8feb20932bf5a12783",
        SeriesSchema(freq="MS"),
        "monthly airline passengers in thousands, 1949–1960",
    ),
}


def names() -> list[str]:
    """Names that `load` and "builtin:<name>" take."""
    return list(_SETS)


def describe(name: str) -> BuiltinSet:
    """File, checksum, schema and title of a set.

    Raises:
        ValueError: there is no set of this name.
    """
    found = _SETS.get(name.removeprefix(PREFIX))
    if found is None:
        raise ValueError(f"no built-in data set {name!r}: there are {', '.join(names())}")
    return found


def schema(name: str) -> SeriesSchema:
    """Default column names and roles of a set."""
    return describe(name).schema


def load(name: str) -> pd.DataFrame:
    """A set as a long DataFrame with item_id and timestamp columns.

    Raises:
        ValueError: there is no set of this name, or its file was altered.
    """
    import pandas as pd

    found = describe(name)
    return pd.read_csv(shipped_file(found.file, found.sha256), parse_dates=["timestamp"])


def load_weather() -> pd.DataFrame:
    """Hourly weather at the airports EWR, JFK and LGA in 2013: 26,115 rows.

    Columns: item_id (airport), timestamp (UTC), temp and dewp (°F), humid (%), wind_dir (degrees), wind_speed and
    wind_gust (mph), precip (inches), pressure (mbar), visib (miles). 75 hours are absent, 27 at EWR and 24 each at JFK
    and LGA; wind_speed holds one recording error (1048 mph), left as published.
    """
    return load("weather")


def load_air_passengers() -> pd.DataFrame:
    """Monthly totals of international airline passengers in thousands, January 1949 to December 1960: 144 rows.

    Columns: item_id, timestamp (month start), target.
    """
    return load("air_passengers")
