"""Metrics against values worked out by hand or with the plain formula."""

from __future__ import annotations

import numpy as np
import pytest

from titans_ts.forecasting import metrics

LEVELS = [0.1, 0.5, 0.9]


def test_quantile_loss_is_the_absolute_error_at_the_median() -> None:
    actual, quantiles = np.array([3.0, 1.0]), np.array([[1.0], [2.0]])
    assert metrics.quantile_loss(actual, quantiles, [0.5])[:, 0].tolist() == [2.0, 1.0]


def test_weighted_quantile_loss_by_hand() -> None:
    # Above by 2 at level 0.1: 2·0.1·2 = 0.4; below by 1 at level 0.9: 2·0.1·1 = 0.2; over |3|; mean of two levels.
    found = metrics.weighted_quantile_loss(np.array([3.0]), np.array([[1.0, 4.0]]), [0.1, 0.9])
    assert found == pytest.approx((0.4 / 3 + 0.2 / 3) / 2)


def test_missing_values_are_left_out_of_every_score() -> None:
    random = np.random.default_rng(0)
    actual, quantiles = random.normal(size=(4, 6)), np.sort(random.normal(size=(4, 6, 3)), axis=-1)
    gaps = actual.copy()
    gaps[:, ::2] = np.nan
    kept = (actual[:, 1::2], quantiles[:, 1::2])
    assert metrics.weighted_quantile_loss(gaps, quantiles, LEVELS) == pytest.approx(
        metrics.weighted_quantile_loss(*kept, LEVELS)
    )
    for score in (metrics.mean_absolute_error, metrics.root_mean_squared_error):
        assert score(gaps, quantiles[..., 1]) == pytest.approx(score(kept[0], kept[1][..., 1]))
    assert metrics.coverage(gaps, quantiles, LEVELS, 0.8) == metrics.coverage(*kept, LEVELS, 0.8)
    ones = np.ones(4)
    assert metrics.mean_absolute_scaled_error(gaps, quantiles[..., 1], ones) == pytest.approx(
        metrics.mean_absolute_scaled_error(kept[0], kept[1][..., 1], ones)
    )


def test_scaled_error_leaves_out_windows_without_a_scale() -> None:
    actual, forecast = np.array([[1.0, 3.0], [5.0, 5.0]]), np.zeros((2, 2))
    assert metrics.mean_absolute_scaled_error(actual, forecast, np.array([2.0, 0.0])) == 1.0
    assert metrics.mean_absolute_scaled_error(actual, forecast, np.array([2.0, np.nan])) == 1.0
    assert np.isnan(metrics.mean_absolute_scaled_error(actual, forecast, np.zeros(2)))


def test_seasonal_error_skips_gaps() -> None:
    assert metrics.seasonal_error(np.array([1.0, 2.0, 4.0, np.nan]), 2) == 3.0
    assert np.isnan(metrics.seasonal_error(np.array([1.0]), 2))


def test_coverage_interpolates_between_trained_levels() -> None:
    levels = [0.2, 0.3, 0.7, 0.8]
    quantiles = np.broadcast_to(np.array([-2.0, -1.0, 1.0, 2.0]), (4, 4))
    actual = np.array([-1.6, -1.4, 1.4, 1.6])
    assert metrics.coverage(actual, quantiles, levels, 0.5) == 0.5
    assert np.isnan(metrics.coverage(actual, quantiles, levels, 0.9))


def test_seasonal_naive_repeats_the_last_season_and_fills_gaps() -> None:
    history = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0, 21.0, np.nan, 23.0])
    forecast, deviation = metrics.seasonal_naive(history, 7, 3)
    assert forecast.tolist() == [21.0, 12.0, 23.0, 21.0, 12.0, 23.0, 21.0]
    assert deviation == pytest.approx(10 * np.sqrt([1, 1, 1, 2, 2, 2, 3]))


def test_seasonal_naive_of_a_history_shorter_than_a_season() -> None:
    forecast, deviation = metrics.seasonal_naive(np.array([1.0, 3.0]), 4, 24)
    # Steps of the season that were never seen take the last value.
    assert forecast.tolist() == [3.0, 3.0, 3.0, 3.0]
    assert np.isfinite(deviation).all()


def test_seasonal_naive_uses_the_last_thousand_steps() -> None:
    history = np.concatenate([np.random.default_rng(0).normal(scale=100, size=2000), np.zeros(1000)])
    forecast, deviation = metrics.seasonal_naive(history, 3, 24)
    assert forecast.tolist() == [0.0, 0.0, 0.0]
    assert deviation.tolist() == [0.0, 0.0, 0.0]


def test_normal_quantiles() -> None:
    found = metrics.normal_quantiles(np.array([1.0]), np.array([2.0]), [0.05, 0.5, 0.95])
    assert found[0] == pytest.approx([1 - 2 * 1.6448536, 1.0, 1 + 2 * 1.6448536])
