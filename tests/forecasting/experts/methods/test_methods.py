"""Each expert by itself: exact on what it is made for, causal, NaN where it does not apply."""

import dataclasses

import numpy as np
import pytest

from tests.forecasting.experts.panels import seasonal
from titans_ts.forecasting.experts import Panel, default_experts
from titans_ts.forecasting.experts.methods.counts import Intermittent
from titans_ts.forecasting.experts.methods.fold import Fold
from titans_ts.forecasting.experts.methods.holt_winters import HoltWinters
from titans_ts.forecasting.experts.methods.naive import Naive, SeasonalNaive
from titans_ts.forecasting.experts.methods.phase_regression import PhaseRegression
from titans_ts.forecasting.experts.methods.seasonality import moving_average, seasonal_shape
from titans_ts.forecasting.experts.methods.smoothing import Bank, Smoothing, smooth
from titans_ts.forecasting.experts.methods.transformed import Logged

EXPERTS = default_experts(12, 48)
IDS = [type(expert).__name__ + " " + expert.names[0] for expert in EXPERTS]


def draft(expert, history, horizon, cutoff=None):
    panel = Panel.of(np.atleast_2d(history), 12)
    return panel.restore(expert.drafts(panel, [cutoff or panel.length], horizon))[:, 0, 0]


@pytest.mark.parametrize("expert", EXPERTS, ids=IDS)
def test_shape_and_causality(expert):
    panel = Panel.of(np.exp(0.2 * seasonal(3, 150)), 12)
    cutoffs = [100, 130]
    before = expert.drafts(panel, cutoffs, 7)
    assert before.shape == (len(expert.names), 3, 2, 7)
    rng = np.random.default_rng(1)
    late = np.arange(150) >= 130
    values = np.where(late, np.abs(rng.normal(size=(3, 150))), panel.values)
    later = dataclasses.replace(panel, values=values, filled=np.where(late, values, panel.filled))
    np.testing.assert_allclose(expert.drafts(later, cutoffs, 7), before, atol=1e-9)


@pytest.mark.parametrize("expert", EXPERTS, ids=IDS)
def test_rows_do_not_depend_on_each_other(expert):
    history = np.exp(0.2 * seasonal(4, 140))
    history[1, :60] = np.nan
    history[2, 50:55] = np.nan
    panel = Panel.of(history, 12)
    together = expert.drafts(panel, [120, 140], 5)
    for i in range(4):
        one = Panel.of(history[i : i + 1], 12)
        np.testing.assert_allclose(expert.drafts(one, [120, 140], 5)[:, 0], together[:, i], atol=1e-7)


def test_naive_forecasts():
    history = np.arange(24.0)
    assert draft(Naive(), history, 3)[0].tolist() == [23, 23, 23]
    assert draft(Naive(), history, 3)[1] == pytest.approx([24, 25, 26])
    assert draft(SeasonalNaive(12), history, 14)[0][[0, 11, 12]].tolist() == [12, 23, 12]


def test_seasonal_naive_needs_a_season():
    assert np.isnan(draft(SeasonalNaive(12), np.arange(11.0), 3)).all()


def test_moving_average_is_that_of_a_season():
    rows = np.random.default_rng(0).normal(size=(2, 30))
    trend = moving_average(rows, 4)
    weights = np.array([0.125, 0.25, 0.25, 0.25, 0.125])
    assert trend[1, 10] == pytest.approx((rows[1, 8:13] * weights).sum())
    assert np.isnan(trend[:, :2]).all() and np.isnan(trend[:, -2:]).all()


def test_shape_of_a_season_is_found_beside_a_trend():
    t = np.arange(61)
    season = np.array([3.0, -1, 0, -2])
    shape = seasonal_shape((0.5 * t + season[t % 4])[None], 4)[0]
    assert shape == pytest.approx(season[(61 + np.arange(4)) % 4], abs=1e-6)


def test_shape_of_noise_is_shrunk():
    noise = np.random.default_rng(0).normal(size=(200, 60))
    assert np.abs(seasonal_shape(noise, 12)).mean() < 0.15


def test_smoothing_equals_the_recursion_with_the_best_start():
    """The start is a least-squares problem: no other initial level and trend has smaller squared errors."""
    y = np.random.default_rng(0).normal(size=40).cumsum()
    bank = Bank(np.array([0.3]), np.array([0.06]), np.array([0.9]), np.array([1]))

    def run(level, trend):
        loss = 2.0 * trend**2
        for value in y:
            level, trend = level + 0.9 * trend, 0.9 * trend
            error = value - level
            level, trend = level + 0.3 * error, trend + 0.06 * error
            loss += error**2
        return loss, level, trend

    smoothed = smooth(y[None], bank)
    best = min((run(a, b) for a in np.linspace(-3, 3, 121) for b in np.linspace(-3, 3, 121)), key=lambda r: r[0])
    assert smoothed.loss[0, 0] <= best[0] + 1e-9
    assert smoothed.loss[0, 0] == pytest.approx(best[0], rel=0.01)
    assert smoothed.level[0, 0] == pytest.approx(best[1], abs=0.05)
    assert smoothed.trend[0, 0] == pytest.approx(best[2], abs=0.05)


def test_smoothing_continues_a_straight_line():
    line = draft(Smoothing(1), 5 + 2.0 * np.arange(50), 10)
    assert line[2] == pytest.approx(105 + 2.0 * np.arange(10), rel=1e-3)


def test_theta_takes_half_the_slope():
    drafts = draft(Smoothing(1), np.arange(60.0), 10)
    assert np.diff(drafts[4]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("expert", [HoltWinters(12), Fold(12), PhaseRegression((12,), 60)], ids=lambda e: e.names[0])
def test_a_pure_season_is_continued(expert):
    t = np.arange(96)
    season = np.cos(2 * np.pi * t / 12) + 0.5 * np.sin(4 * np.pi * t / 12)
    assert draft(expert, season[:84], 12)[0] == pytest.approx(season[84:], abs=0.05)


def test_fold_in_logarithms_multiplies():
    t = np.arange(120)
    history = 1.02**t * (2 + np.cos(2 * np.pi * t / 12))
    forecast = draft(Logged(Fold(12)), history[:108], 12)[0]
    assert forecast == pytest.approx(history[108:], rel=0.15)


def test_logarithms_need_positive_values():
    assert np.isnan(draft(Logged(Naive()), np.arange(20.0), 3)).all()


def test_intermittent_demand_is_chance_times_size():
    history = np.tile([0.0, 0, 0, 4], 40)
    assert draft(Intermittent(), history, 3)[0] == pytest.approx(1.0, abs=0.3)
    assert np.isnan(draft(Intermittent(), history + 1, 3)).all()
    assert np.isnan(draft(Intermittent(), history - 2, 3)).all()


def test_gaps_are_filled_from_earlier_steps():
    history = np.array([[np.nan, 1.0, 2, 3, np.nan, np.nan, 4]])
    panel = Panel.of(history, 3)
    filled = panel.filled * panel.scale + panel.location
    assert np.isnan(filled[0, 0])
    assert filled[0, 1:].tolist() == [1, 2, 3, 1, 2, 4]
