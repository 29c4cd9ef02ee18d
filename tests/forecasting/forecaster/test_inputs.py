"""The same data in any form give identical forecasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.forecasting.common import forecaster, frame

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
    one, two = (forecaster(freq="h").fit(data).predict() for data in (array, numbered))
    pd.testing.assert_frame_equal(one, two)
    assert list(one["timestamp"][:6]) == list(range(160, 166))
    # From the same calendar day on, dates and step numbers are the same series.
    dated = long.assign(timestamp=np.tile(pd.date_range("2000-01-01", periods=160, freq="h"), 2))
    assert np.array_equal(forecaster().fit(dated).predict()[COLUMNS], one[COLUMNS])


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
