"""`TitansForecaster.report`: what reaches the page from a forecaster, with one target and with several."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from titans_ts import TitansForecaster


def table(items: int = 3) -> pd.DataFrame:
    days, rng = pd.date_range("2024-01-01", periods=40), np.random.default_rng(0)
    rows = [
        pd.DataFrame(
            {"shop": f"shop {i}", "day": days, "units": rng.normal(9 + i, 1, 40), "price": rng.normal(5, 1, 40)}
        )
        for i in range(items)
    ]
    return pd.concat(rows, ignore_index=True)


def forecaster(target: str | tuple[str, ...]) -> TitansForecaster:
    columns = {"id_column": "shop", "timestamp_column": "day", "target_column": target}
    return TitansForecaster.from_pretrained("zero", 4, **columns)


def test_a_report_shows_what_predict_returns() -> None:
    ours, data = forecaster("units"), table().drop(columns="price")
    ours.fit(data)
    report = ours.report(backtest=ours.backtest(data, windows=2), items=["shop 2"], prediction_length=6)
    items = report.data["charts"]["chart0"]["items"]
    assert [item["name"] for item in items] == ["shop 2"]
    median = next(track for track in items[0]["tracks"] if track["role"] == "forecast")
    found = ours.predict(prediction_length=6)
    assert isinstance(found, pd.DataFrame)
    assert np.allclose(median["values"], found.loc[found["shop"] == "shop 2", "0.5"], atol=1e-3)
    assert sum(track["role"] == "backtest" for track in items[0]["tracks"]) == 2
    for told in ("6 steps", "seasonal naive", "forecast by:", "prediction_length = 4", "3 (shop 0, shop 1, shop 2)"):
        assert told in report.body


def test_several_targets_are_series_of_their_own() -> None:
    ours, data = forecaster(("units", "price")), table(2)
    ours.fit(data)
    report = ours.report(backtest=ours.backtest(data, windows=1))
    names = [item["name"] for item in report.data["charts"]["chart0"]["items"]]
    assert names == ["shop 0 · units", "shop 0 · price", "shop 1 · units", "shop 1 · price"]
    for item in report.data["charts"]["chart0"]["items"]:
        assert {track["role"] for track in item["tracks"]} >= {"history", "forecast", "backtest", "wide"}


def test_unknown_items_are_refused() -> None:
    ours = forecaster("units").fit(table().drop(columns="price"))
    with pytest.raises(ValueError, match="items must name series of the forecast"):
        ours.report(items=["nowhere"])
