"""The same data in any form give identical forecasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest

from tests.forecasting.common import forecaster, frame, network_only
from titans_datasets.series import SeriesWarning

COLUMNS = ["mean", "0.1", "0.5", "0.9"]


def forms(folder: Path) -> dict[str, object]:
    """The two series of `frame` in every accepted form that keeps their dates."""
    long = frame()
    series = {
        item: pd.Series(rows["target"].to_numpy(), index=pd.DatetimeIndex(rows["timestamp"]), name=item)
        for item, rows in long.groupby("item_id", sort=False)
    }
    long.to_csv(folder / "data.csv", index=False)
    long.to_parquet(folder / "data.parquet")
    return {
        "long": long,
        "strings": long.assign(timestamp=long["timestamp"].astype(str)),
        "wide": pd.DataFrame(series),
        "list": list(series.values()),
        "dict": series,
        "csv": folder / "data.csv",
        "csv as text": str(folder / "data.csv"),
        "parquet": folder / "data.parquet",
        "index": long.set_index("timestamp"),
    }


def test_identical_forecasts(tmp_path: Path) -> None:
    found = {name: forecaster().fit(data).predict() for name, data in forms(tmp_path).items()}
    for name, forecast in found.items():
        pd.testing.assert_frame_equal(forecast, found["long"], check_dtype=False, obj=name)


def test_identical_forecasts_from_fresh_history(tmp_path: Path) -> None:
    model = forecaster().fit(frame())
    for name, data in forms(tmp_path).items():
        pd.testing.assert_frame_equal(model.predict(data), model.predict(), check_dtype=False, obj=name)


def test_arrays_are_series_with_step_numbers() -> None:
    long = frame()
    array = np.stack([rows["target"].to_numpy() for _, rows in long.groupby("item_id", sort=False)])
    numbered = long.assign(timestamp=np.tile(np.arange(160), 2), item_id=np.repeat([0, 1], 160))
    # Series without names have no shares of their own, so that only the network's forecasts are the same.
    one, two = (network_only(freq="h").fit(data).predict() for data in (array, numbered))
    pd.testing.assert_frame_equal(one, two)
    assert list(one["timestamp"][:6]) == list(range(160, 166))
    # From the same calendar day on, dates and step numbers are the same series.
    dated = long.assign(timestamp=np.tile(pd.date_range("2000-01-01", periods=160, freq="h"), 2))
    assert np.array_equal(network_only().fit(dated).predict()[COLUMNS], one[COLUMNS])


@pytest.mark.parametrize("form", ["array", "series", "list", "frame"])
def test_one_series(form: str) -> None:
    values = frame(("a",))["target"].to_numpy()
    given = {
        "array": values,
        "series": pd.Series(values),
        "list": [values],
        "frame": pd.DataFrame({"timestamp": np.arange(160), "target": values}),
    }
    forecast = forecaster(freq="h").fit(given[form]).predict()
    assert np.array_equal(forecast[COLUMNS], forecaster(freq="h").fit(values).predict()[COLUMNS])


def test_rows_are_aggregated_and_snapped_by_options() -> None:
    hours = pd.date_range("2024-01-01", periods=24 * 100, freq="h") + pd.to_timedelta(np.arange(2400) % 7, unit="s")
    table = pd.DataFrame({"timestamp": hours, "target": 1.0})
    daily = forecaster(freq="D", max_steps=0, options={"aggregate": "sum"})
    with pytest.warns(SeriesWarning, match="2,400 rows became 100 rows of D: their sum"):
        daily.fit(table)
    assert daily.panel_ is not None and (daily.panel_.records[0].target == 24).all()
    assert daily.predict()["timestamp"].iloc[0] == pd.Timestamp("2024-04-10")
    with pytest.warns(SeriesWarning, match="moved by up to 6 s to the steps of h"):
        snapped = forecaster(freq="h", max_steps=0, options={"snap": True}).fit(table)
    assert snapped.predict()["timestamp"].iloc[0] == pd.Timestamp("2024-04-10")


def test_tables_of_other_libraries(tmp_path: Path) -> None:
    long = frame()
    model = forecaster(max_steps=0).fit(pyarrow.Table.from_pandas(long))
    pd.testing.assert_frame_equal(model.predict(), forecaster(max_steps=0).fit(long).predict())
    rows = pyarrow.table({"x": np.arange(60.0)})
    assert forecaster(max_steps=0).fit(rows, np.arange(60.0)).predict(rows.slice(0, 3)).shape == (3,)
