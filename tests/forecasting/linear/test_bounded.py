"""The linear part is bounded by what training windows showed: fresh series, wild readings, lines, levels, widths."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch

from titans_ts import TitansForecaster
from titans_ts.forecasting.forecaster.predict import forecast_records
from titans_ts.forecasting.model.network import linear_part

LEVELS = [0.05, 0.5, 0.95]
DAY = np.arange(400)
WEEKLY = 100 + 10 * np.sin(2 * np.pi * DAY / 7) + np.random.default_rng(0).normal(0, 2, 400)
# Options of a small network; it is not trained.
SMALL = {"progress": False, "width": 8, "heads": 2, "layers": 1}


def frame(*series: np.ndarray, freq: str = "D") -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame(
            {"item_id": f"s{i}", "timestamp": pd.date_range("2022-01-03", periods=len(y), freq=freq), "target": y}
        )
        for i, y in enumerate(series)
    )


def linear(data: pd.DataFrame, horizon: int) -> np.ndarray:
    """Quantiles (I, H, 3) of the linear part itself, which no guard has seen."""
    # The forecaster takes interruptions and sentinels for missing: here the linear part has to do with them.
    with patch(
        "titans_ts.forecasting.forecaster.fit_panel.without_interruptions", lambda records, *_, **__: (records, [])
    ):
        fitted = TitansForecaster(horizon, max_steps=0, options=SMALL).fit(data).fitted_
    assert fitted.panel is not None
    records, device = fitted.panel.records, torch.device("cpu")
    return forecast_records(linear_part(fitted.network), records, horizon, LEVELS, device).quantiles.numpy()


@pytest.mark.parametrize("ones", [1, 3, 5, 10, 14, 40])
def test_a_series_that_has_just_begun(ones: int) -> None:
    found = linear(frame(np.where(DAY[:200] < 200 - ones, 0.0, 1.0)), 3)
    assert found.min() > -1 and found.max() < 5


def test_demand_that_began_with_the_last_two_points() -> None:
    found = linear(frame(np.array([0.0] * 56 + [2.0, 18.0]), freq="MS"), 3)
    assert found.min() > -30 and found.max() < 60


def test_a_new_series_does_not_change_what_the_others_are_forecast() -> None:
    rng = np.random.default_rng(0)
    usual = [rng.poisson(3, 200).astype(float) for _ in range(20)]
    new = np.where(DAY[:200] < 190, 0.0, rng.poisson(3, 200))
    before, after = linear(frame(*usual), 7), linear(frame(*usual, new), 7)
    np.testing.assert_allclose(after[:20], before, atol=0.8)
    assert after[20].min() > -5 and after[20].max() < 10


@pytest.mark.parametrize(("places", "value"), [([50, 120, 333], -999.0), ([77, 210], 1e6), (range(385, 392), 0.0)])
def test_wild_readings_and_interruptions_are_left_out(places: list[int], value: float) -> None:
    broken = WEEKLY.copy()
    broken[list(places)] = value
    median = linear(frame(broken), 14)[0, :, 1]
    expected = 100 + 10 * np.sin(2 * np.pi * (400 + np.arange(14)) / 7)
    assert np.abs(median - expected).max() < 8 and abs(median.mean() - 100) < 4


@pytest.mark.parametrize(("freq", "steps", "horizon"), [("D", 200, 30), ("MS", 60, 12), ("QS", 60, 8), ("h", 500, 24)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_straight_line_goes_on(freq: str, steps: int, horizon: int, sign: int, noise: float) -> None:
    rng = np.random.default_rng(3)
    line = 1000.0 + sign * np.arange(steps + horizon) + noise * rng.standard_normal(steps + horizon)
    low, middle, high = linear(frame(line[:steps], freq=freq), horizon)[0, -1] - (1000.0 + sign * (steps + horizon - 1))
    # Without noise within 5 % of the rise; a standard deviation of noise is 1.
    assert abs(middle) < (0.05 * horizon if noise == 0 else 0.15 * horizon + 1)
    assert high - low < 0.15 * horizon + 6 * noise


def test_the_level_does_not_matter() -> None:
    """Forecasts of a·x + b, as exact as float64 tells the values from each other."""
    base = linear(frame(WEEKLY[:150]), 7)
    spread = WEEKLY[:150].std()
    for a, b in ((1.0, 1e12), (1e-8, 0.0), (1e8, 1e12), (1e-3, 1e6), (-1.0, -1e9)):
        data = a * WEEKLY[:150] + b
        found = (linear(frame(data), 7) - b) / a
        lost = np.spacing(np.abs(data).max()) / abs(a)
        assert np.abs(found[..., 1] - base[..., 1]).max() < 1e-6 * spread + 20 * lost


@pytest.mark.parametrize(("freq", "steps"), [("s", 600), ("min", 120), ("15min", 60)])
def test_widths_at_another_hour_stay_as_they_are(freq: str, steps: int) -> None:
    rng = np.random.default_rng(0)
    part = pd.DataFrame({"item_id": "a", "target": 5 + np.sin(np.arange(steps) / 3) + 0.3 * rng.normal(size=steps)})
    now, later = (
        part.assign(timestamp=pd.date_range(start, periods=steps, freq=freq))
        for start in ("2000-01-03 09:00", "2000-01-03 21:00")
    )
    model = TitansForecaster(3, max_steps=0, options=SMALL).fit(now)
    tables = [pd.DataFrame(table) for table in (model.predict(), model.predict(later))]
    widths = [(table["0.95"] - table["0.05"]).to_numpy() for table in tables]
    assert not model.network_.phase_width.any()
    assert np.isfinite(widths).all() and 0.4 < widths[1].mean() / widths[0].mean() < 2.5


def test_models_of_series_that_the_caller_wants_are_kept_by_the_refit() -> None:
    options = {**SMALL, "per_series": True}
    rng = np.random.default_rng(0)
    series = [np.sin(DAY / (2 + i)) + 0.1 * rng.normal(size=400) for i in range(2)]
    model = TitansForecaster(2, context_length=16, max_steps=0, options=options).fit(frame(*series))
    assert len(model.network_.linear.ridge.series.codes) == 2
