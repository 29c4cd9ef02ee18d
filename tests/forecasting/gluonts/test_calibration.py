"""Intervals from a series' own errors, the last value in place of the linear part: what the estimator adds to both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("gluonts")

from tests.forecasting.gluonts.data import HORIZON, estimator, numbers
from titans_datasets.series import WindowSpec, WindowStore, from_gluonts
from titans_ts.forecasting.gluonts.calibration import Errors, calibrate, past_step, past_windows
from titans_ts.forecasting.model.network import Forecast

LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9]
NORMAL = torch.tensor([-1.2816, -0.5244, 0.0, 0.5244, 1.2816])


def hourly(target: np.ndarray, name: str = "a") -> dict[str, Any]:
    return {"item_id": name, "start": pd.Period("2024-01-01", "h"), "target": target}


def forecast(items: int = 1, horizon: int = 3) -> Forecast:
    middle = torch.arange(float(horizon)).expand(items, -1)
    return Forecast(middle, middle[..., None] + 2 * NORMAL)


def width(found: Forecast) -> torch.Tensor:
    return (found.quantiles[..., -1] - found.quantiles[..., 0]) / (4 * 1.2816)


def errors(count: int, spread: float, shift: float = 0.0, horizon: int = 3) -> Errors:
    """Normal errors with that spread, in units of the mean distance of the levels from the median."""
    unit = float(NORMAL.abs().sum() / 4)
    values = torch.randn(count, horizon, generator=torch.Generator().manual_seed(0)) * spread + shift
    return Errors(values / unit, torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("spread", [0.25, 1.0, 4.0])
def test_many_errors_set_the_width_and_few_hardly_move_it(spread: float) -> None:
    many, few, none = (
        width(calibrate(forecast(), errors(count, spread), LEVELS, [1.0] * 3, 1.0)) for count in (4000, 2, 0)
    )
    torch.testing.assert_close(many, torch.full((1, 3), spread), rtol=0.1, atol=0.0)
    torch.testing.assert_close(none, torch.ones(1, 3))
    assert bool(((few.log() / np.log(spread)).abs() < 0.8).all() if spread != 1.0 else (few < 1.5).all())


def test_errors_of_one_side_move_median_and_mean_but_never_cross() -> None:
    found = calibrate(forecast(), errors(400, 1.0, shift=2.0), LEVELS, [1.0] * 3, 1.0)
    assert bool((found.mean > forecast().mean + 2).all()) and bool(
        (found.quantiles[..., 2] > forecast().mean + 2).all()
    )
    assert bool((found.quantiles.diff(dim=-1) >= 0).all())


def test_flattering_errors_are_widened_by_what_training_showed() -> None:
    plain, wider = (width(calibrate(forecast(), errors(4000, 1.0), LEVELS, [seen] * 3, 1.0)) for seen in (1.0, 0.5))
    torch.testing.assert_close(wider, 2 * plain, rtol=0.02, atol=0.0)


def test_only_the_series_with_errors_and_the_observed_steps_change() -> None:
    one = errors(50, 3.0)
    one.values[:, 2] = torch.nan
    found = calibrate(forecast(items=2), one, LEVELS, [1.0] * 3, 1.0)
    torch.testing.assert_close(found.quantiles[1], forecast().quantiles[0])
    torch.testing.assert_close(found.quantiles[0, 2], forecast().quantiles[0, 2])
    assert bool((width(found)[0, :2] > 1.5).all())


@pytest.mark.parametrize(
    ("horizon", "season", "step"), [(24, 24, 24), (6, 24, 24), (30, 5, 5), (96, 24, 24), (6, 1, 1)]
)
def test_past_windows_have_the_phase_of_the_next_step_and_lie_in_the_series(
    horizon: int, season: int, step: int
) -> None:
    records = from_gluonts([hourly(np.arange(900.0)), hourly(np.arange(20.0), "short")]).records
    store = WindowStore(records, WindowSpec(48, horizon))
    found = past_windows(store, season, 5)
    assert past_step(horizon, season) == step
    assert set(found.items.tolist()) == {0}
    assert bool(((900 - found.positions) % season == 0).all())
    assert int(found.positions.max()) + horizon <= 900 and int(found.positions.min()) >= 24
    assert len(found) == 5 * max(horizon, step) // step


def test_the_estimator_follows_the_noise_of_each_series() -> None:
    random = np.random.default_rng(0)
    steps = np.arange(1500)
    wave = 10 * np.sin(steps * 2 * np.pi / 24)
    data = [hourly(wave + random.normal(size=1500) * spread, str(spread)) for spread in (0.2, 2.0)]
    settings = {"freq": "h", "context_length": 48, "trainer_kwargs": {"max_epochs": 0}}
    widths = []
    for horizons in (0, 40):
        found = numbers(estimator(calibration_horizons=horizons, **settings).train(data).predict(data))
        widths.append((found[:, 3] - found[:, 1]).mean(-1) / np.array([0.2, 2.0]))
    # An interval of 80 % is 2.56 deviations wide.
    assert np.abs(widths[1] / 2.56 - 1).max() < 0.35
    assert np.abs(np.log(widths[1] / 2.56)).max() < np.abs(np.log(widths[0] / 2.56)).max()


@pytest.mark.parametrize("validation_windows", [None, 0])
def test_a_random_walk_gets_its_last_value_and_a_wave_does_not(validation_windows: int | None) -> None:
    random = np.random.default_rng(1)
    walks = [hourly(random.normal(size=700).cumsum(), str(i)) for i in range(3)]
    waves = [hourly(np.sin(np.arange(700) / 4 + i) + random.normal(size=700) / 9, str(i)) for i in range(3)]
    settings = {
        **{"freq": "h", "context_length": 48, "trainer_kwargs": {"max_epochs": 0}, "calibration_horizons": 0},
        "validation_windows": validation_windows,
    }
    for data, alike in ((walks, True), (waves, False)):
        median = numbers(estimator(**settings).train(data).predict(data))[:, 2]
        last = np.stack([np.repeat(entry["target"][-1], HORIZON) for entry in data])
        assert np.allclose(median, last, atol=1e-3 * np.abs(last).max()) == alike


def test_a_series_without_history_or_values_is_forecast(tmp_path: Any) -> None:
    predictor = estimator(freq="h").train([hourly(np.sin(np.arange(300) / 4))])
    odd = [hourly(np.full(100, np.nan)), hourly(np.array([2.0])), hourly(np.full(200, 7.0))]
    assert np.isfinite(numbers(predictor.predict(odd))).all()
    predictor.serialize(tmp_path)
    again = type(predictor).deserialize(tmp_path)
    np.testing.assert_array_equal(numbers(again.predict(odd)), numbers(predictor.predict(odd)))
