"""Holidays, calendar covariates and weekmasks of a forecaster: on every path, without values from the caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from tests.forecasting.common import network_only as forecaster
from titans_datasets.series import SeriesRecord, SeriesWarning, parse_frequency
from titans_datasets.series.batches.wall_records import wall_record
from titans_datasets.series.calendar.holidays import holiday_features
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster

LEVELS = ["mean", "0.1", "0.5", "0.9"]
# In the last week of 2021, New Year's Eve and Day among the days to be forecast.
DAYS = pd.date_range("2019-01-01", "2021-12-28")
CLOSED = {"holidays": "DE", "calendar": ("payday",), "context_length": 28, "max_steps": 0}


def closed_on_holidays(days: pd.DatetimeIndex = DAYS, item: str = "a", seed: int = 0) -> pd.DataFrame:
    """Daily values of 100, 15 more or less by the day of the week, and 40 less on holidays of Germany."""
    holiday = holiday_features(days, "DE", parse_frequency("D"))[:, 0]
    noise = np.random.default_rng(seed).normal(size=len(days))
    return pd.DataFrame({"item_id": item, "timestamp": days, "target": usual(days) - 40 * holiday + noise})


def usual(days: pd.DatetimeIndex) -> np.ndarray:
    """Without holidays and noise."""
    return np.asarray(100 + 5.0 * (days.dayofweek - 3))


@pytest.fixture(scope="module")
def model() -> TitansForecaster:
    return forecaster(**CLOSED).fit(closed_on_holidays())


def test_a_holiday_ahead_is_forecast(model: TitansForecaster) -> None:
    found = model.predict()
    assert isinstance(found, pd.DataFrame)
    stamps = pd.DatetimeIndex(found["timestamp"])
    expected = usual(stamps) - 40 * (stamps == "2022-01-01")
    assert np.abs(found["0.5"] - expected).max() < 8
    without = forecaster(**{**CLOSED, "holidays": ()}).fit(closed_on_holidays()).predict()
    assert np.abs(without["0.5"] - expected).max() > 30


def test_other_history_and_longer_horizons_have_their_own_holidays(model: TitansForecaster) -> None:
    history = closed_on_holidays(pd.date_range("2023-06-01", "2023-12-24"), "b", 1)
    found = model.predict(history, prediction_length=10).set_index("timestamp")["0.5"]
    days = pd.DatetimeIndex(found.index)
    less = usual(days) - found.to_numpy()
    holidays = days.isin(pd.to_datetime(["2023-12-25", "2023-12-26", "2024-01-01"]))
    assert less[holidays].min() > 20
    assert np.abs(less[~holidays]).max() < 12


def test_a_saved_model_keeps_its_calendar(model: TitansForecaster, tmp_path: Path) -> None:
    loaded = TitansForecaster.load(model.save(tmp_path / "model"))
    assert (loaded.holidays, loaded.calendar) == ("DE", ("payday",))
    pd.testing.assert_frame_equal(loaded.predict(closed_on_holidays()), model.predict())


@pytest.mark.parametrize("memory", ["window", "carried"])
def test_sessions_forecast_the_same(model: TitansForecaster, memory: Any, tmp_path: Path) -> None:
    data = closed_on_holidays()
    stream = model.stream(data[:-40], memory=memory)
    stream.observe(data[-40:-9])
    stream.observe(data["target"].to_numpy()[-9:])
    restored = type(stream).restore(model, stream.snapshot(tmp_path / "session"))
    for session in (stream, restored):
        np.testing.assert_allclose(session.forecast()[LEVELS], model.predict()[LEVELS], rtol=1e-4)
    np.testing.assert_allclose(stream.forecast(12)["0.5"], model.predict(prediction_length=12)["0.5"], rtol=1e-4)


def test_updates_and_scores_have_it(model: TitansForecaster) -> None:
    data = closed_on_holidays()
    early = forecaster(**CLOSED).fit(data[:-10])
    late = early.update(data[-10:])
    np.testing.assert_allclose(late.predict()[LEVELS], late.predict(data)[LEVELS], rtol=1e-5)
    ahead = closed_on_holidays(pd.date_range("2021-12-29", periods=6))
    assert model.score(ahead) > 2 * forecaster(**{**CLOSED, "holidays": ()}).fit(data).score(ahead)


def test_a_backtest_knows_holidays() -> None:
    data = closed_on_holidays()
    scores = [
        forecaster(**{**CLOSED, "holidays": holidays}).backtest(data, windows=20).metrics.loc["titans", "MAE"]
        for holidays in ((), ("DE", "FR"))
    ]
    assert scores[1] < 0.75 * scores[0]


def test_rows_beside_a_target_have_it() -> None:
    data = closed_on_holidays().assign(x=0.0)
    rows = closed_on_holidays(pd.date_range("2021-12-29", periods=6)).assign(x=0.0)[["timestamp", "x"]]
    model = forecaster(**CLOSED, freq="D").fit(data[["timestamp", "x"]], data["target"].to_numpy())
    found = model.predict(rows)
    assert isinstance(found, np.ndarray)
    assert found[3] < 75 < found[2]


def test_known_columns_go_beside_the_calendar() -> None:
    random = np.random.default_rng(5)
    data = closed_on_holidays(DAYS.append(pd.date_range("2021-12-29", periods=6)))
    data["price"] = random.normal(size=len(data))
    data["target"] += 10 * data["price"]
    past, future = data[:-6], data[-6:].drop(columns="target")
    model = forecaster(**CLOSED, known_covariates=("price",)).fit(past)
    found = model.predict(future=future)
    assert np.abs(found["0.5"].to_numpy() - data["target"].to_numpy()[-6:]).max() < 9
    stream = model.stream()
    np.testing.assert_allclose(stream.forecast(future=future)[LEVELS], found[LEVELS], rtol=1e-4)
    with pytest.raises(ValueError, match="'price'"):
        model.predict()


def test_the_network_learns_beside_it() -> None:
    model = forecaster(**{**CLOSED, "max_steps": 2}).fit(closed_on_holidays())
    config = model.network_.config
    assert config.calendar == ("week", "month", "year", "payday", "holidays:DE")
    assert (config.time_features, config.known_covariates) == (12, 6)
    assert np.isfinite(model.predict()[LEVELS].to_numpy()).all()


def test_a_year_of_days_and_a_week_of_hours_are_known_without_asking() -> None:
    two_years = closed_on_holidays(pd.date_range("2020-01-01", periods=2 * 366))
    assert forecaster(max_steps=0).fit(two_years).network_.config.calendar == ("week", "month", "year")
    hours = pd.date_range("2024-01-01", periods=15 * 24, freq="h")
    table = pd.DataFrame({"timestamp": hours, "target": np.arange(len(hours)) % 24.0})
    assert forecaster(max_steps=0).fit(table).network_.config.calendar == ("day", "week")


def test_weekly_and_monthly_data_count_holidays() -> None:
    daily = closed_on_holidays(pd.date_range("2012-01-02", "2021-12-26")).set_index("timestamp")["target"]
    for freq in ("W-SUN", "ME"):
        table = daily.resample(freq).sum().rename_axis("timestamp").reset_index()
        errors = []
        calendar = ("days_in_step",) if freq == "ME" else ()
        for holidays in ((), "DE"):
            chosen: dict[str, Any] = {"holidays": holidays, "calendar": calendar, "context_length": 12}
            model = forecaster(prediction_length=4, max_steps=0, **chosen)
            errors.append(model.backtest(table[1:-1], windows=12, step=1).metrics.loc["titans", "MAE"])
        assert errors[1] < 0.9 * errors[0], freq


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"holidays": "Germany"}, "holidays of 'Germany' are unknown: did you mean 'DE'"),
        ({"holidays": 5}, "holidays must be a country such as 'DE'"),
        ({"calendar": ("weekends",)}, "did you mean 'weekend'"),
        ({"calendar": 1}, "calendar must be a tuple of names"),
        ({"weekmask": "Moon"}, "weekmask must name the open days"),
        ({"weekmask": "1111110", "freq": "h"}, "a weekmask is for daily data"),
    ],
)
def test_unknown_names_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forecaster(**given).fit(closed_on_holidays())


def test_step_numbers_have_no_holidays(model: TitansForecaster) -> None:
    for fit in (lambda: forecaster(**CLOSED).fit(np.arange(200.0)), lambda: model.predict(np.arange(200.0))):
        with pytest.raises(ValueError, match="need dates, but the timestamps are step numbers"):
            fit()


def six_days(days: pd.DatetimeIndex) -> pd.DataFrame:
    """A shop that is closed on Sundays and sells most on Saturdays."""
    noise = np.random.default_rng(2).normal(size=len(days))
    table = pd.DataFrame({"timestamp": days, "target": 50 + 10.0 * days.dayofweek + noise})
    return table[days.dayofweek < 6].reset_index(drop=True)


def test_a_weekmask_leaves_closed_days_out(tmp_path: Path) -> None:
    data = six_days(pd.date_range("2023-01-01", periods=300))
    model = forecaster(weekmask="Mon Tue Wed Thu Fri Sat", max_steps=0).fit(data)
    assert (str(model.frequency_), model.network_.config.season) == ("C-1111110", 6)
    found = model.predict(prediction_length=14)
    stamps = pd.DatetimeIndex(found["timestamp"])
    assert len(stamps) == 14
    assert 6 not in stamps.dayofweek
    assert np.abs(found["0.5"] - (50 + 10 * stamps.dayofweek)).max() < 4
    loaded = TitansForecaster.load(model.save(tmp_path / "model"))
    pd.testing.assert_frame_equal(loaded.predict(data), model.predict())
    stream = model.stream(data[:-3])
    stream.observe(data[-3:])
    pd.testing.assert_frame_equal(stream.forecast(), model.predict(), rtol=1e-4)
    assert model.backtest(data, windows=5).metrics.loc["titans", "MAE"] < 2


def test_rows_of_closed_days_with_covariates() -> None:
    data = six_days(pd.date_range("2023-01-01", periods=300)).set_index("timestamp")["target"].asfreq("D")
    table = data.rename_axis("timestamp").reset_index().assign(price=1.0)
    model = forecaster(weekmask="1111110", known_covariates=("price",), max_steps=0)
    with pytest.warns(SeriesWarning, match="42 rows without a value on closed days left out"):
        result = model.backtest(table, windows=4)
    assert 6 not in pd.DatetimeIndex(result.forecasts["timestamp"]).dayofweek


def test_values_on_closed_days_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'a' has values on closed days: 'Sun 2019-01-06'.*156 values in 1 item"):
        forecaster(weekmask="Mon Tue Wed Thu Fri Sat", max_steps=0).fit(closed_on_holidays())


def opening_hours(start: str, days: int) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """70 from 8 to 18 o'clock in Berlin, else 50."""
    local = pd.date_range(start, periods=24 * days, freq="h", tz="Europe/Berlin")
    return local, np.where((local.hour >= 8) & (local.hour < 18), 70.0, 50.0)


def last_edges(local: pd.DatetimeIndex, values: np.ndarray) -> float:
    """Largest error of a forecast of the last day."""
    table = pd.DataFrame({"timestamp": local, "target": values})[:-24]
    found = TitansForecaster(24, context_length=96, max_steps=0, options={"progress": False}).fit(table).predict()
    assert isinstance(found, pd.DataFrame)
    return float(np.abs(found["0.5"] - values[-24:]).max())


@pytest.mark.filterwarnings("ignore:timestamps in time zone")
@pytest.mark.parametrize("start", ["2023-02-20", "2023-09-26"], ids=["spring", "autumn"])
@pytest.mark.parametrize("days", [35, 36])
def test_hours_follow_local_clocks_after_a_change(start: str, days: int) -> None:
    """The change lies within the last two days of the history, or within the day to be forecast."""
    local, values = opening_hours(start, days)
    assert last_edges(local, values) < 1


@pytest.mark.filterwarnings("ignore:timestamps in time zone")
def test_a_backtest_across_a_change() -> None:
    local, values = opening_hours("2023-02-20", 40)
    table = pd.DataFrame({"timestamp": local, "target": values})
    result = TitansForecaster(24, context_length=96, max_steps=0, options={"progress": False}).backtest(table, 8)
    assert result.metrics.loc["titans", "MAE"] < 0.5


@pytest.mark.filterwarnings("ignore:timestamps in time zone")
def test_sessions_and_saved_models_keep_local_hours(tmp_path: Path) -> None:
    local, values = opening_hours("2024-12-01", 30)
    table = pd.DataFrame({"timestamp": local, "target": values})
    model = forecaster(holidays="DE", max_steps=0).fit(table[:-48])
    stream = model.stream()
    stream.observe(table[-48:])
    restored = type(stream).restore(model, stream.snapshot(tmp_path / "session"))
    loaded = TitansForecaster.load(model.save(tmp_path / "model"))
    for found in (stream.forecast(), restored.forecast(), loaded.predict(table)):
        pd.testing.assert_frame_equal(found, model.predict(table), rtol=1e-4)


def test_on_the_wall_clock_hours_of_opening_are_exact() -> None:
    local, values = opening_hours("2023-02-20", 36)
    record = SeriesRecord(
        "a", local[0].tz_convert("UTC").tz_localize(None), "h", values[:-24], timezone=ZoneInfo("Europe/Berlin")
    )
    wall, clock = wall_record(record, 24)
    table = pd.DataFrame({"timestamp": wall.index, "target": wall.target})
    model = TitansForecaster(24, context_length=96, max_steps=0, options={"progress": False}).fit(table)
    found = model.predict(prediction_length=clock.horizon)
    assert isinstance(found, pd.DataFrame)
    back = clock.from_wall(found[LEVELS].to_numpy())
    assert np.abs(back - values[-24:, None]).max() < 1
