"""The mixture: equivariance, sanity on odd inputs, and weights that find the right expert."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forecasting.experts.panels import seasonal
from titans_ts.forecasting.experts import ExpertMixture
from titans_ts.forecasting.experts.sanity import MULTIPLE

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
MIXTURE = ExpertMixture(12, levels=LEVELS)


def quantiles(history, horizon=6, season=12):
    return ExpertMixture(season, levels=LEVELS).forecast(np.atleast_2d(history), horizon).quantiles


@settings(max_examples=10, deadline=None)
@given(st.floats(1e-3, 1e6), st.sampled_from([0.0, -1e3, 1e8, -1e12, 1e12]), st.integers(0, 100))
def test_equivariance(scale, shift, seed):
    """Series with values on both sides of 0: the forecast of a·x + b is a·forecast + b."""
    history = seasonal(3, 70, seed=seed)
    spread = history.std()
    expected = quantiles(history)
    exact = scale * history + shift * scale
    got = (quantiles(exact) - shift * scale) / scale
    # At a level of 1e12 a float64 has steps of 1e-4, which a choice of weights can multiply.
    np.testing.assert_allclose(got, expected, atol=spread * (0.01 if abs(shift) > 1e10 else 1e-4))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 100))
def test_order_of_series_does_not_matter(seed):
    history = np.exp(0.3 * seasonal(6, 80, seed=seed))
    order = np.random.default_rng(seed).permutation(6)
    np.testing.assert_allclose(quantiles(history[order]), quantiles(history)[order], rtol=1e-6)


@pytest.mark.parametrize("odd", [np.r_[np.zeros(118), 2, 18], np.full(120, 1e9), np.r_[np.full(119, np.nan), 1.0]])
def test_an_odd_series_changes_others_little(odd):
    history = seasonal(12, 120)
    alone, beside = quantiles(history), quantiles(np.vstack([history, odd]))[:-1]
    assert np.abs(alone - beside).max() < 0.35 * history.std()
    assert np.abs(alone - beside).mean() < 0.06 * history.std()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 90),
    st.sampled_from([1, 4, 12]),
    st.integers(1, 30),
    st.sampled_from(["zeros", "step", "line", "sentinel", "gaps", "counts", "constant", "growth"]),
    st.integers(0, 10_000),
)
def test_bounded_on_any_panel(series, steps, season, horizon, kind, seed):
    """Finite, ordered, within the stated bounds, wide where the history varies, whatever the table."""
    rng = np.random.default_rng(seed)
    level = 10.0 ** rng.integers(-3, 9)
    history = level * (1 + 0.1 * rng.normal(size=(series, steps)))
    at = rng.integers(0, steps)
    if kind == "zeros":
        history[:, :at] = 0
    elif kind == "step":
        history[:, at:] *= 5
    elif kind == "line":
        history = level * np.arange(1.0, steps + 1) * np.ones((series, 1))
    elif kind == "sentinel":
        history[:, at] = -9999
    elif kind == "gaps":
        history[rng.random(history.shape) < 0.4] = np.nan
    elif kind == "counts":
        history = rng.poisson(0.3, size=(series, steps)).astype(float)
    elif kind == "constant":
        history[:] = level
    else:
        history = level * 1.05 ** np.arange(steps) * np.ones((series, 1))
    forecast = quantiles(history, horizon, season)
    known = np.isfinite(history).any(axis=1)
    assert np.isfinite(forecast[known]).all() and np.isnan(forecast[~known]).all()
    assert (np.diff(forecast[known], axis=-1) >= 0).all()
    for row, quantile in zip(history[known], forecast[known], strict=True):
        row = row[np.isfinite(row)]
        margin = 3 * MULTIPLE * max(np.ptp(row), 1e-9 * abs(row).max()) + 1e-6 * np.abs(row).max()
        assert quantile.min() >= row.min() - margin and quantile.max() <= row.max() + margin
        if np.ptp(row) > 1e-6 * np.abs(row).max() and (row == 0).mean() < 0.8:
            assert (quantile[:, -1] > quantile[:, 0]).all()


@pytest.mark.parametrize(
    ("history", "low", "high"),
    [
        (np.r_[np.zeros(56), 2, 18], 0, 60),
        (np.where(np.arange(200) < 190, 0.0, 1.0), 0, 5),
        (np.r_[np.full(150, 50.0), np.full(50, 80.0)] + np.sin(np.arange(200)), 45, 160),
        (np.array([101.0, 97, 104, 99, 103]), 50, 150),
    ],
    ids=["demand that has just begun", "new product", "step", "five points"],
)
def test_inputs_on_which_a_linear_model_extrapolated(history, low, high):
    forecast = quantiles(history, 3)[0]
    assert low <= forecast.min() and forecast.max() <= high


def test_straight_line_goes_on():
    forecast = quantiles(1000 + np.arange(200.0), 30, 7)[0]
    assert forecast[:, 2] == pytest.approx(1200 + np.arange(30.0), abs=1)


def test_weekly_pattern_after_an_interruption():
    rng = np.random.default_rng(0)
    history = 100 + 10 * np.sin(2 * np.pi * np.arange(400) / 7) + rng.normal(0, 2, 400)
    history[385:392] = 0
    assert 93 < quantiles(history, 14, 7)[0, :, 2].mean() < 107


@pytest.mark.parametrize("history", [np.empty((2, 0)), np.full((2, 5), np.nan)])
def test_nothing_observed_is_nan(history):
    assert np.isnan(quantiles(history)).all()


def test_one_point_and_a_horizon_longer_than_the_history():
    assert quantiles([5.0]) == pytest.approx(5.0)
    assert np.isfinite(quantiles(np.arange(10.0) % 3, 40)).all()


def test_three_points_with_one_small_error_promise_no_narrow_interval():
    found = quantiles([10.0, 12.0, 11.5])[0]
    assert np.ptp(found, axis=1).min() > 1.5


def test_counts_stay_at_or_above_zero_and_bounds_can_be_lifted():
    history = np.random.default_rng(0).poisson(0.3, size=(4, 100)).astype(float)
    assert (quantiles(history) >= 0).all()
    free = ExpertMixture(12, levels=LEVELS, nonnegative=False).forecast(history, 6).quantiles
    assert (free < 0).any()


def test_weights_sum_to_one_and_find_the_season():
    forecast = MIXTURE.forecast(seasonal(4, 120), 12)
    assert forecast.weights.sum(axis=1) == pytest.approx(1.0)
    assert (forecast.weights >= 0).all()
    flat = [i for i, name in enumerate(forecast.names) if name.endswith((" 1", "value", "drift", "of 3", "of 8"))]
    assert forecast.weights[:, flat].sum(axis=1).mean() < 0.35


def test_never_far_behind_the_best_simple_expert():
    history = np.concatenate(
        [seasonal(10, 132, seed=3), np.random.default_rng(0).normal(size=(10, 132)).cumsum(axis=1)]
    )
    forecast = MIXTURE.forecast(history[:, :-12], 12)
    actual = history[:, -12:]
    ours = np.abs(forecast.quantiles[..., 2] - actual).mean()
    simple = np.abs(forecast.drafts - actual).mean(axis=(1, 2)).min()
    assert ours <= 1.1 * simple


def test_intervals_cover():
    history = seasonal(200, 132, seed=5)
    forecast = ExpertMixture(12, levels=(0.1, 0.25, 0.75, 0.9)).forecast(history[:, :-12], 12).quantiles
    actual = history[:, -12:]
    inside = [((actual >= forecast[..., i]) & (actual <= forecast[..., -1 - i])).mean() for i in (0, 1)]
    assert inside == pytest.approx([0.8, 0.5], abs=0.05)


def test_wild_experts_are_named():
    history = np.r_[np.zeros(197), 1.0, 1.0, 1.0]
    forecast = ExpertMixture(7).forecast(history[None], 60)
    assert all(name in forecast.names for names in forecast.replaced.values() for name in names)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="Expected histories"):
        MIXTURE.forecast(np.arange(5.0), 3)
    with pytest.raises(ValueError, match="horizon"):
        MIXTURE.forecast(np.ones((1, 5)), 0)
