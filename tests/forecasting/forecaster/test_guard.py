"""Without shares of the experts: forecasts that fail a check are the experts', all others the network's.

With them: no input on which a linear part extrapolates without bound makes a forecast that does.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.forecasting.common import frame, values
from titans_datasets.series import SeriesWarning
from titans_ts import TitansForecaster
from titans_ts.forecasting.backtest.run import backtest_fitted
from titans_ts.forecasting.backtest.windows import rolling_windows
from titans_ts.forecasting.combination import Rows, combine, to_rows
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.experts.shares import Shares
from titans_ts.forecasting.forecaster.continuation import forecast_table
from titans_ts.forecasting.forecaster.predict import forecast_records, forecast_windows
from titans_ts.forecasting.guard import (
    CENTER_MULTIPLE,
    LEVEL_MULTIPLE,
    NO_WIDTH,
    NOT_FINITE,
    OUTSIDE,
    check,
    warn_replaced,
)

LEVELS = [0.05, 0.5, 0.95]
COLUMNS = ["mean", *map(str, LEVELS)]


def linear(horizon: int, experts: bool = False, **params: Any) -> TitansForecaster:
    """The closed-form part, alone by default, sizes chosen by the data."""
    options = {"progress": False, "experts": experts}
    return TitansForecaster(horizon, max_steps=0, device="cpu", options=options, **params)


def table(*series: np.ndarray, freq: str = "D", begin: str = "2022-01-01") -> pd.DataFrame:
    """Series "0", "1", … in long form."""
    return pd.concat(
        pd.DataFrame({"item_id": str(i), "timestamp": pd.date_range(begin, periods=len(x), freq=freq), "target": x})
        for i, x in enumerate(series)
    )


def wild(model: TitansForecaster) -> TitansForecaster:
    """A network far from every history."""
    with torch.no_grad():
        model.network_.from_last.bias.fill_(1e5)
    return model


def guarded(data: pd.DataFrame, horizon: int, experts: bool, **params: Any) -> pd.DataFrame:
    """Forecast, with at most one warning about replaced series."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeriesWarning)
        model = linear(horizon, experts, **params).fit(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SeriesWarning)
        found = model.predict()
    about = [str(one.message) for one in caught if issubclass(one.category, SeriesWarning)]
    assert len(about) <= 1
    assert all("forecast by the expert mixture alone" in text for text in about)
    return found


BOTH = pytest.mark.parametrize("experts", [False, True], ids=["linear part", "default"])


def poisson(count: int, length: int = 200) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.poisson(3, length).astype(float) for _ in range(count)]


def started(ones: int, value: float = 1.0, length: int = 200) -> np.ndarray:
    """Zeros, then a constant."""
    return np.where(np.arange(length) < length - ones, 0.0, value)


@BOTH
@pytest.mark.parametrize("ones", [1, 3, 5, 10, 14])
def test_a_product_that_has_just_begun(ones: int, experts: bool) -> None:
    found = guarded(table(started(ones)), 3, experts)[COLUMNS].to_numpy()
    assert found.min() >= -1 and found.max() <= 5


@BOTH
def test_one_new_item_does_not_ruin_a_panel(experts: bool) -> None:
    new = started(10) * np.random.default_rng(1).poisson(3, 200)
    data = table(*poisson(20), new)
    found = guarded(data, 7, experts)
    assert found[COLUMNS].to_numpy().min() >= 0
    assert found["0.95"].max() <= 20
    assert found.loc[found["item_id"] != "20", "0.5"].between(1.5, 4.5).all()


def test_demand_that_began_two_months_ago() -> None:
    found = guarded(table(np.array([0.0] * 56 + [2.0, 18.0]), freq="MS"), 3, True)
    assert found[COLUMNS].to_numpy().min() >= 0 and found[COLUMNS].to_numpy().max() <= 60
    assert ((found["0.95"] - found["0.05"]) > 5).all()


@pytest.mark.parametrize("length", [5, 8])
def test_a_handful_of_points(length: int) -> None:
    random = np.random.default_rng(11)
    covered = []
    for _ in range(12):
        t = np.arange(length + 3)
        y = 100 + 10 * np.sin(2 * np.pi * t / 7) + random.normal(0, 3, len(t))
        found = guarded(table(y[:length]), 3, True)
        assert found["0.5"].between(70, 130).all()
        covered += list((found["0.05"] <= y[length:]) & (y[length:] <= found["0.95"]))
    assert np.mean(covered) >= 0.75


@BOTH
@pytest.mark.parametrize("level", [1e8, 1e10, 1e12])
def test_levels_beyond_float32(level: float, experts: bool) -> None:
    t, random = np.arange(400), np.random.default_rng(0)
    y = 10 * np.sin(2 * np.pi * t / 7) + random.normal(0, 0.2, 400)
    found = guarded(table(y[:388] + level), 12, experts)
    assert np.abs(found["0.5"] - level - y[388:]).mean() < 0.25
    assert (found["0.95"] - found["0.05"]).between(0.3, 1.5).all()


@pytest.mark.parametrize(
    "series",
    [
        np.r_[np.zeros(190), 100 + np.random.default_rng(0).normal(0, 5, 10)],
        np.r_[np.full(192, 20.0), 20 + np.random.default_rng(0).normal(0, 1, 8)],
        np.r_[np.full(195, 50.0), np.full(5, 80.0)],
        np.where(np.arange(200) == 197, 4.0, 0.0),
        np.r_[np.full(100, -9999.0), 20 + np.random.default_rng(0).normal(0, 1, 100)],
        np.r_[np.zeros(100), np.full(90, np.nan), np.arange(10.0)],
    ],
    ids=["zeros then a jump", "stuck sensor that moves", "step", "one sale", "sentinel", "gap then a start"],
)
@BOTH
def test_relatives_stay_near_their_range(series: np.ndarray, experts: bool) -> None:
    """Replaced or not: the center within 3 spreads of the range, everything within 10."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeriesWarning)
        found = linear(7, experts).fit(table(series)).predict()
    low, high = np.nanmin(series), np.nanmax(series)
    reach = high - low
    assert found["0.5"].between(low - 3 * reach, high + 3 * reach).all()
    assert found["0.05"].min() >= low - 10 * reach and found["0.95"].max() <= high + 10 * reach


def test_sane_forecasts_are_the_networks_to_the_last_bit() -> None:
    model = linear(6, context_length=24).fit(frame())
    fitted = model.fitted_
    assert fitted.panel is not None
    for levels in (LEVELS, [0.5], [0.3, 0.99]):
        raw = forecast_records(fitted.network, fitted.panel.records, 13, model.levels_, torch.device("cpu"))
        kept = [level for level in levels if level in model.levels_]
        found = fitted.combined(fitted.panel.records, 13, kept or [0.5])
        assert not found.replaced and (found.rows.mean == raw.mean.numpy()).all()
        assert (found.weights[:, 0] == 1).all()
        for place, level in enumerate(kept):
            expected = raw.quantiles[..., model.levels_.index(level)].numpy()
            np.testing.assert_allclose(found.rows.quantiles[..., place], expected, rtol=1e-12)


def test_growth_and_decline_are_left_alone() -> None:
    """Trends and exponential growth over a third of the history's length."""
    random = np.random.default_rng(0)
    t = np.arange(120)
    up = 100 + 3 * t + random.normal(0, 5, 120)
    growing = 10 * 1.02**t * np.exp(random.normal(0, 0.02, 120))
    data = table(up, up[::-1].copy(), growing, freq="MS", begin="2000-01-01")
    model = linear(36).fit(data)
    assert not model.fitted_.combined(model.panel_.records, 36, LEVELS).replaced  # type: ignore[union-attr]


@pytest.mark.parametrize("level", [0.0, 7.0, -2e6])
def test_constant_series_are_left_alone(level: float) -> None:
    model = linear(7).fit(table(np.full(100, level)))
    assert np.abs(model.predict()[COLUMNS].to_numpy() - level).max() <= max(1e-3, 1e-3 * abs(level))


def test_a_single_observed_value_is_continued() -> None:
    model = linear(6, context_length=24).fit(frame())
    lone = frame(("a",), 60)
    lone.loc[lone.index != 30, "target"] = np.nan
    for data in (lone[30:], lone[30:31]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = model.predict(data)[COLUMNS].to_numpy()
        assert np.abs(found - lone["target"][30]).max() < 1


def test_the_backtest_shows_what_predict_does() -> None:
    data = table(*poisson(3))
    fitted = wild(linear(7).fit(data)).fitted_
    with pytest.warns(SeriesWarning, match="3 items forecast by the expert mixture") as caught:
        result = backtest_fitted(fitted, data, 2, None)
    assert len(caught) == 1
    first = result.forecasts[result.forecasts["cutoff"] == result.forecasts["cutoff"].min()]
    history = data[data["timestamp"] <= first["cutoff"].iloc[0]]
    with pytest.warns(SeriesWarning, match="3 items forecast by the expert mixture"):
        alone = forecast_table(fitted, history, fitted.levels)
    np.testing.assert_allclose(first[COLUMNS].to_numpy(), alone[COLUMNS].to_numpy(), rtol=1e-9)
    assert result.metrics.loc["titans", "MASE"] < 1.5
    assert result.forecasts["0.95"].max() <= 20


def test_several_targets_are_checked_one_by_one() -> None:
    """Only the channel that the network leaves is replaced, and named."""
    data = frame(("x",)).assign(target=values(160), other=values(160, seed=5))
    model = linear(6, context_length=24, target_column=("target", "other")).fit(data)
    fitted = model.fitted_
    assert fitted.panel is not None
    network = to_rows(forecast_records(fitted.network, fitted.panel.records, 6, fitted.levels, torch.device("cpu")))
    network.mean[1] += 1e3
    histories, codes = fitted.histories(fitted.panel.records), fitted.row_codes(fitted.panel.records)
    found = fitted.combine(network, histories, codes, 6, fitted.levels)
    assert found.replaced == {1: OUTSIDE} and fitted.row_names(fitted.panel.records)[1] == "x · other"
    np.testing.assert_array_equal(found.rows.mean[0], network.mean[0])
    assert np.abs(found.rows.mean[1] - 10).max() < 10


def test_missing_values_and_long_horizons() -> None:
    y = np.r_[np.zeros(190), 1.0, np.nan, 1.0, 1.0, np.nan, 1.0, 1.0, 1.0, np.nan, 1.0]
    model = linear(3).fit(table(y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeriesWarning)
        found = model.predict(prediction_length=20)
    assert len(found) == 20
    assert found[COLUMNS].to_numpy().min() >= -1 and found[COLUMNS].to_numpy().max() <= 5


def test_rows_beside_a_target_warn_once() -> None:
    rows = table(started(5), started(5, 2.0), np.random.default_rng(0).normal(10, 1, 200))
    known, target = rows.drop(columns="target"), rows["target"].to_numpy()
    days = pd.date_range("2022-07-20", periods=6)
    ahead = pd.DataFrame({"item_id": ["0"] * 3 + ["1"] * 6, "timestamp": [*days[:3], *days]})
    model = wild(linear(3, freq="D").fit(known, target))
    with pytest.warns(SeriesWarning, match="2 items forecast by the expert mixture") as caught:
        found = model.predict(ahead)
    assert len(caught) == 1
    assert found.shape == (9,) and np.abs(found).max() <= 5


def arrays(rows: int = 4, horizon: int = 6) -> tuple[Rows, list[np.ndarray]]:
    """A plausible forecast of the wave, and its histories."""
    history = values(120)
    quantiles = np.stack([history[96:102] - 1, history[96:102], history[96:102] + 1], axis=-1)
    found = Rows(np.repeat(history[None, 96:102], rows, axis=0), np.repeat(quantiles[None], rows, axis=0))
    return found, [history.copy() for _ in range(rows)]


def combined(forecast: Rows, histories: list[np.ndarray]) -> tuple[Rows, dict[int, int]]:
    """What is left of a network's forecast that has the whole share."""
    mixture = FittedMixture(24, shares=Shares.only(1.0))
    found = combine(mixture, forecast, 6, histories, range(len(histories)), LEVELS)
    return found.rows, found.replaced


def experts_alone(histories: list[np.ndarray], levels: list[float] = LEVELS) -> Rows:
    found = FittedMixture(24).forecast(histories, 6, levels)
    return Rows(found.mean, found.quantiles)


def test_each_check() -> None:
    forecast, histories = arrays(5)
    mean, quantiles = forecast
    spread = np.diff(np.quantile(histories[0], [0.05, 0.95]))[0]
    quantiles[1, 2, 2] = np.nan
    mean[2, 3] = histories[2].max() + (CENTER_MULTIPLE + 0.5) * spread
    quantiles[3, 5, 0] = histories[3].min() - (LEVEL_MULTIPLE + 0.5) * spread
    quantiles[4] = quantiles[4, :, 1:2]
    assert check(mean, quantiles, histories, LEVELS).tolist() == [0, NOT_FINITE, OUTSIDE, OUTSIDE, NO_WIDTH]


def test_within_the_multiples_nothing_is_replaced() -> None:
    forecast, histories = arrays()
    spread = np.diff(np.quantile(histories[0], [0.05, 0.95]))[0]
    forecast.mean[0] = histories[0].max() + 0.9 * CENTER_MULTIPLE * spread
    forecast.quantiles[1, :, 2] = histories[0].max() + 0.9 * LEVEL_MULTIPLE * spread
    found, replaced = combined(forecast, histories)
    assert not replaced
    np.testing.assert_array_equal(found.mean, forecast.mean)
    np.testing.assert_allclose(found.quantiles, forecast.quantiles, rtol=1e-12)


def test_only_what_fails_is_replaced_and_the_input_stays() -> None:
    forecast, histories = arrays()
    forecast.mean[2] = np.nan
    found, replaced = combined(forecast, histories)
    assert replaced == {2: NOT_FINITE}
    assert np.isnan(forecast.mean[2]).all()
    for place in (0, 1, 3):
        np.testing.assert_array_equal(found.mean[place], forecast.mean[place])
        np.testing.assert_allclose(found.quantiles[place], forecast.quantiles[place], rtol=1e-12)
    mean, quantiles = experts_alone(histories[2:3])
    np.testing.assert_array_equal(found.mean[2], mean[0])
    np.testing.assert_allclose(found.quantiles[2], quantiles[0], rtol=1e-12)


def test_the_mixture_takes_levels_in_any_order() -> None:
    history = [values(120)]
    found = experts_alone(history, [0.9, 0.05, 0.5]).quantiles
    ordered = experts_alone(history, [0.05, 0.5, 0.9]).quantiles
    np.testing.assert_allclose(found, ordered[..., [2, 0, 1]], rtol=1e-12)
    assert (np.diff(ordered, axis=-1) > 0).all()


def test_many_series_are_replaced_in_one_call() -> None:
    forecast, histories = arrays(600)
    forecast.quantiles[:] = np.inf
    found, replaced = combined(forecast, histories)
    assert len(replaced) == 600
    assert np.abs(found.quantiles[:, :, 1] - found.quantiles[0, :, 1]).max() < 0.5


def test_one_warning_names_the_first_few() -> None:
    names = [f"s{k}" for k in range(9)]
    replaced = {k: OUTSIDE for k in range(6)} | {7: NO_WIDTH}
    expected = r"7 items forecast by the expert mixture .*'s0', 's1', 's2' and 3 more \(.*range.*; 's7' \(.*no width"
    with pytest.warns(SeriesWarning, match=expected) as caught:
        warn_replaced(names, replaced)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_replaced(names, {})


def test_windows_forecasts_themselves_are_the_networks() -> None:
    """`forecast_windows`, which calibration and rows of other models read, is not guarded."""
    model = wild(linear(3).fit(table(poisson(1)[0])))
    panel = model.panel_
    assert panel is not None
    windows = rolling_windows(panel.records, [197], 3, 3)
    raw = forecast_windows(model.network_, panel.records, windows, LEVELS, torch.device("cpu"))
    assert raw.quantiles.abs().max() > 1000


def test_each_series_is_forecast_by_itself() -> None:
    """With the statistics of a panel: neither other series nor later windows of the same change a row."""
    histories = [values(60 + 12 * (row % 2), seed=row) for row in range(6)]
    mixture = FittedMixture.learn(histories, 6, 24, 0)
    together = mixture.forecast(histories, 6, LEVELS)
    for row in (0, 3):
        alone = mixture.forecast(histories[row : row + 1], 6, LEVELS)
        np.testing.assert_allclose(together.quantiles[row], alone.quantiles[0], rtol=1e-9)
