"""The built-in series as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_datasets.builtin.sets import describe
from titans_datasets.builtin.shipped import shipped_file
from titans_datasets.series.schema import SeriesSchema

if TYPE_CHECKING:
    import pandas as pd


def schema(name: str) -> SeriesSchema:
    """Default column names and roles of a set.

    Raises:
        ValueError: there is no set of this name.

    Example:
        >>> schema("air_passengers").target_column
        'target'
    """
    found = describe(name).schema
    assert found is not None, "describe finds series only"
    return found


def load(name: str) -> pd.DataFrame:
    """A set as a long DataFrame with item_id and timestamp columns.

    Raises:
        ValueError: there is no set of this name, or its file was altered.

    Example:
        >>> load("air_passengers").shape
        (144, 3)
    """
    import pandas as pd

    found = describe(name)
    return pd.read_csv(shipped_file(found.file, found.sha256), parse_dates=["timestamp"])


def load_weather() -> pd.DataFrame:
    """Hourly weather at the airports EWR, JFK and LGA in 2013: 26,115 rows.

    Columns: item_id (airport), timestamp (UTC), temp and dewp (°F), humid (%), wind_dir (degrees), wind_speed and
    wind_gust (mph), precip (inches), pressure (mbar), visib (miles). 75 hours are absent, 27 at EWR and 24 each at JFK
    and LGA; wind_speed holds one recording error (1048 mph), left as published.

    Example:
        >>> load_weather()["item_id"].unique().tolist()
        ['EWR', 'JFK', 'LGA']
    """
    return load("weather")


def load_air_passengers() -> pd.DataFrame:
    """Monthly totals of international airline passengers in thousands, January 1949 to December 1960: 144 rows.

    Columns: item_id, timestamp (month start), target.

    Example:
        >>> load_air_passengers()["target"].head(3).tolist()
        [112, 118, 132]
    """
    return load("air_passengers")
