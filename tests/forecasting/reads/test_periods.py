"""Periods: found where they are, none in noise, a declared one first, a longer one by the calendar where it fits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_ts.forecasting.reads.periods import chosen_periods, computed_periods


def wave(period, length=400, noise=0.2, seed=0):
    rng = np.random.default_rng(seed)
    return np.sin(2 * np.pi * np.arange(length) / period + 1.0) + noise * rng.normal(size=length)


def found(series, observed=None):
    series = np.atleast_2d(series)
    return computed_periods(series, np.ones(series.shape, dtype=bool) if observed is None else observed)


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 60), st.integers(0, 100))
def test_a_wave_is_found(period, seed):
    assert abs(found(wave(period, seed=seed))[0, 0] - period) <= max(1, 0.03 * period)


def test_two_waves_are_found():
    assert sorted(found(wave(7, 600) + wave(90, 600))[0]) == pytest.approx([7, 90], abs=3)


def test_noise_a_line_and_a_constant_have_none():
    noise = np.random.default_rng(0).normal(size=(20, 300))
    assert (found(noise) > 0).mean() < 0.2
    assert (found(np.arange(300.0)) == 0).all() and (found(np.zeros(300)) == 0).all()


def test_short_and_empty_series_have_none():
    assert (found(np.ones(5)) == 0).all()
    assert (found(np.zeros(50), np.zeros((1, 50), dtype=bool)) == 0).all()


def test_only_steps_before_the_end_are_read():
    series = np.stack([np.concatenate([wave(12, 200), wave(30, 200)]), wave(12, 400)])
    observed = np.ones(series.shape, dtype=bool)
    ends = computed_periods(series, observed, [200, 200])
    series[:, 200:] = 0.0
    np.testing.assert_array_equal(ends, computed_periods(series, observed, [200, 200]))


def test_a_declared_season_is_first_and_the_calendar_adds_a_longer_one():
    computed = np.array([[30.0, 0.0], [0.0, 0.0], [24.0, 5.0]])
    np.testing.assert_array_equal(chosen_periods(computed, [400, 400, 100], 24), [[24, 168], [24, 168], [24, 5]])
    np.testing.assert_array_equal(chosen_periods(computed, [100] * 3, 24)[:2], [[24, 30], [24, 0]])
    np.testing.assert_array_equal(chosen_periods(computed, [400] * 3), computed)
    assert chosen_periods(computed, [400] * 3, 24, second=100)[0, 1] == 100


def test_a_season_that_history_does_not_show_twice_gives_way_to_a_computed_period():
    np.testing.assert_array_equal(chosen_periods(np.array([[5.0, 0.0]]), [40], 24), [[5, 0]])
