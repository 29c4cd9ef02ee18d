"""What series are made of: sums of cosines, seasons, states, noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titans_datasets.series.generators.components import (
    autoregression,
    coloured_noise,
    cosine_sums,
    draw_periods,
    lasting_states,
    level_shifts,
    profiles,
    random_walks,
    seasons,
    smooth_paths,
)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 300), features=st.integers(1, 5), seed=st.integers(0, 99))
def test_cosine_sums_are_sums_of_cosines(length: int, features: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frequencies, phases, heights = (rng.uniform(-3, 3, (4, features)) for _ in range(3))
    expected = (heights[..., None] * np.cos(frequencies[..., None] * np.arange(length) + phases[..., None])).sum(1)
    np.testing.assert_allclose(cosine_sums(frequencies, phases, heights, length), expected, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(period=st.integers(2, 60), seed=st.integers(0, 99))
@example(period=2, seed=81)
def test_seasons_have_their_period(period: int, seed: int) -> None:
    series = seasons(np.random.default_rng(seed), np.full(5, period), 4 * period)
    np.testing.assert_allclose(series[:, period:], series[:, :-period])
    np.testing.assert_allclose(series.mean(axis=1), 0, atol=1e-9)
    assert (np.isclose(series.std(axis=1), 1) | np.isclose(series.std(axis=1), 0)).all()


def test_profiles_end_with_their_period() -> None:
    table = profiles(np.random.default_rng(0), np.array([1, 4, 7]))
    assert table.shape == (3, 7)
    assert not table[0].any() and not table[1, 4:].any() and table[2].any()


def test_periods_fit_twice() -> None:
    rng = np.random.default_rng(0)
    assert draw_periods(rng, 500, 60).max() <= 30
    assert set(draw_periods(rng, 50, 8)) == {4}
    assert draw_periods(rng, 500, 5000).max() > 300


def test_states_are_kept_with_their_probability() -> None:
    stay = np.repeat([[0.9, 0.98]], 200, axis=0)
    states = lasting_states(np.random.default_rng(0), stay, 2000)
    for state in (0, 1):
        here = states[:, :-1] == state
        assert (states[:, 1:] == state)[here].mean() == pytest.approx(stay[0, state], abs=0.005)


def test_smooth_paths_have_unit_variance_and_are_smooth() -> None:
    paths = smooth_paths(np.random.default_rng(0), 400, 500, shortest=10)
    assert paths.var(axis=0).mean() == pytest.approx(1, abs=0.15)
    assert np.abs(np.diff(paths, axis=1)).max() < 1


def test_autoregression_is_the_recursion() -> None:
    noise = np.random.default_rng(0).standard_normal((3, 50))
    poles, starts = np.array([0.5, -0.9, 1.0]), np.array([1.0, 2.0, 3.0])
    found, expected = autoregression(noise, poles, starts), starts
    for step in range(50):
        expected = poles * expected + noise[:, step]
        np.testing.assert_allclose(found[:, step], expected)


def test_noise_and_walks_keep_their_size_at_any_length() -> None:
    for length in (50, 5000):
        rng = np.random.default_rng(0)
        assert coloured_noise(rng, 300, length).var() == pytest.approx(1, abs=0.5)
        assert random_walks(rng, 300, length)[:, -1].std() == pytest.approx(1, abs=0.2)


def test_level_shifts_are_few() -> None:
    shifts = level_shifts(np.random.default_rng(0), 50, 100)
    changes = (np.diff(shifts, axis=1, prepend=0) != 0).sum(axis=1)
    assert changes.min() >= 1 and changes.max() <= 3
