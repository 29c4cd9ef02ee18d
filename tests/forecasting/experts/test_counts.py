"""Counts and demand with many zeros: whole numbers, zero where zero is likely, one series at a time."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_ts.forecasting.experts import ExpertMixture
from titans_ts.forecasting.experts.counts import pool
from titans_ts.forecasting.experts.counts.lattice import THRESHOLDS, Lattice, bins
from titans_ts.forecasting.experts.counts.negative_binomial import distribution
from titans_ts.forecasting.experts.counts.recent import recent_means, recent_values
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.experts.mixture import PanelStatistics

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95)


def forecast(history, horizon=7, season=7, levels=LEVELS, **options):
    return ExpertMixture(season, levels=levels, **options).forecast(np.atleast_2d(history), horizon)


def demand(zeros, series=20, steps=300, seed=0):
    """Negative binomial demand at a share 1 − zeros of the steps."""
    rng = np.random.default_rng(seed)
    sizes = 1 + rng.poisson(rng.gamma(1.0, 2.0, size=(series, steps)))
    return np.where(rng.random((series, steps)) < zeros, 0.0, sizes)


@pytest.mark.parametrize("series", [1, 8])
def test_zeros_stay_zero(series):
    found = forecast(np.zeros((series, 60)), levels=(0.001, 0.5, 0.999))
    assert (found.quantiles == 0).all() and (found.counts.mean == 0).all()


def test_rare_demand_is_zero_at_most_levels_and_has_the_mean_of_its_rate():
    history = demand(0.98, 80)
    fitted = FittedMixture.learn(list(history), 7, 7, 0)
    found = fitted.forecast(list(history), 7, LEVELS)
    assert (found.quantiles[..., :3] == 0).all() and (found.quantiles[..., 4] == 0).mean() > 0.98
    assert found.mean.mean() == pytest.approx(history.mean(), rel=0.3)
    assert (found.mean > 0).mean() > 0.9


@pytest.mark.parametrize("zeros", [0.75, 0.9])
def test_frequent_zeros(zeros):
    history = demand(zeros, 80)
    found = forecast(history[:, :-28])
    assert (found.quantiles[..., 2] == 0).mean() > 0.97
    assert found.counts.mean.mean() == pytest.approx(history.mean(), rel=0.1)
    inside = (history[:, -28:-21] <= found.quantiles[..., 5]).mean()
    assert inside == pytest.approx(0.95, abs=0.04)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 80),
    st.floats(0.05, 8.0),
    st.floats(0, 0.98),
    st.integers(1, 9),
    st.integers(0, 999),
)
def test_small_counts_have_whole_numbers(series, steps, mean, zeros, horizon, seed):
    """Ordered, within the range that a forecast may leave the history's by, and whole where the counts are alone."""
    rng = np.random.default_rng(seed)
    history = rng.poisson(mean, size=(series, steps)) * (rng.random((series, steps)) >= zeros)
    found = forecast(history.astype(float), horizon, 1)
    assert (np.diff(found.quantiles, axis=-1) >= 0).all() and (found.quantiles >= 0).all()
    assert (found.quantiles.max(axis=(1, 2)) <= 7 * history.max(axis=1)).all()
    alone = found.quantiles[found.counts.rows][found.counts.share == 1]
    assert (alone == alone.round()).all()


@pytest.mark.parametrize("factor", [2.0, 64.0])
def test_packs_of_several_are_counted_in_packs(factor):
    """Powers of two, by which nothing is rounded in another way: equal errors of two experts stay equal."""
    history = np.random.default_rng(0).poisson(1.5, size=(6, 90)).astype(float)
    expected, found = forecast(history), forecast(factor * history)
    np.testing.assert_allclose(found.quantiles, factor * expected.quantiles, rtol=1e-9)
    np.testing.assert_allclose(found.counts.mean, factor * expected.counts.mean, rtol=1e-9)


def test_the_larger_the_counts_the_less_of_their_own_distribution():
    shares = []
    for mean in (3, 30, 50, 100):
        found = forecast(np.random.default_rng(0).poisson(mean, size=(5, 120)).astype(float))
        shares.append(found.counts.share.mean() if len(found.counts.rows) else 0.0)
    assert shares[0] > 0.95 and shares[3] == 0 and shares == sorted(shares, reverse=True)
    assert 0.2 < shares[1] < 0.9


@pytest.mark.parametrize(
    "history",
    [
        np.random.default_rng(0).poisson(300, 150).astype(float),
        np.random.default_rng(0).normal(5, 1, 150),
        np.random.default_rng(0).poisson(3, 150) - 1.0,
        np.arange(60, 0, -1.0),
    ],
    ids=["large", "no whole numbers", "below zero", "a falling line"],
)
def test_what_is_no_count_is_forecast_as_before(history):
    found = forecast(history)
    assert not found.counts.share.any()
    if history.min() < 0:
        free = forecast(history, nonnegative=False)
        np.testing.assert_array_equal(found.quantiles, free.quantiles)


def test_other_series_do_not_change_by_a_count_beside_them():
    rng = np.random.default_rng(0)
    walks, counts = rng.normal(size=(4, 100)).cumsum(axis=1), rng.poisson(1, size=(1, 100))
    beside = np.vstack([walks, counts])
    found, free = forecast(beside), forecast(beside, nonnegative=False)
    np.testing.assert_array_equal(found.quantiles[:4], free.quantiles[:4])
    assert (found.quantiles[4] != free.quantiles[4]).any()


@pytest.mark.parametrize("kind", ["poisson", "weekly", "many zeros", "money"])
def test_pinball_loss_is_less_than_that_of_continuous_quantiles(kind):
    rng = np.random.default_rng(1)
    steps = np.arange(207)
    history = {
        "poisson": lambda: rng.poisson(np.linspace(0.5, 8, 40)[:, None], size=(40, 207)),
        "weekly": lambda: rng.poisson(1.5 * (1 + 0.9 * np.sin(2 * np.pi * steps / 7)), size=(40, 207)),
        "many zeros": lambda: demand(0.7, 40, 207),
        "money": lambda: (rng.random((40, 207)) < 0.3) * rng.lognormal(3, 0.7, size=(40, 207)).round(2),
    }[kind]().astype(float)
    levels = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    losses = []
    for nonnegative in (None, False):
        quantiles = forecast(history[:, :-7], levels=levels, nonnegative=nonnegative).quantiles
        error = history[:, -7:, None] - np.maximum(quantiles, 0)
        losses.append(np.maximum(levels * error, (levels - 1) * error).mean())
    assert losses[0] < 0.98 * losses[1]


def test_shops_closed_on_sundays():
    steps = np.arange(203)
    history = np.random.default_rng(0).poisson(np.linspace(2, 9, 10)[:, None], size=(10, 203)) * (steps % 7 != 6)
    found = forecast(history.astype(float)).quantiles
    assert (found[:, 6, :5] == 0).all()
    assert (found[:, :6, 3] > 0).all()


def test_a_product_that_sells_again():
    rng = np.random.default_rng(0)
    history = np.where(np.arange(200) < 160, 0, 1 + rng.poisson(3, size=(6, 200)))
    found = forecast(history.astype(float))
    assert (found.quantiles[..., 2] >= 1).all() and (found.quantiles[..., 5] <= 12).all()


def test_a_panels_series_are_forecast_one_by_one():
    """With a panel's statistics, read from JSON: the same numbers alone, and beside counts of any size."""
    rng = np.random.default_rng(0)
    means = (0.02, 0.4, 3, 15, 40, 90, 2000)
    histories = [rng.poisson(mean, 80 + 5 * place).astype(float) for place, mean in enumerate(means)]
    fitted = FittedMixture.learn(histories, 6, 7, 0)
    fitted = FittedMixture.from_dict(json.loads(json.dumps(fitted.to_dict(), default=np.ndarray.tolist)))
    together = fitted.forecast(histories, 6, LEVELS)
    for row, history in enumerate(histories):
        alone = fitted.forecast([history], 6, LEVELS)
        np.testing.assert_allclose(together.quantiles[row], alone.quantiles[0], rtol=1e-12)
        np.testing.assert_allclose(together.mean[row], alone.mean[0], rtol=1e-12)


def test_statistics_without_counts_can_be_read():
    """Those that were saved before counts had distributions, or of a panel that had none."""
    walks = [np.random.default_rng(row).normal(size=90).cumsum() for row in range(3)]
    values = FittedMixture.learn(walks, 6, 7, 0).statistics.to_dict()
    del values["counts"]
    statistics = PanelStatistics.from_dict(values)
    history = demand(0.9, 3, 120)
    alone = [ExpertMixture(7).forecast(history[i : i + 1], 6, statistics).quantiles for i in range(3)]
    together = ExpertMixture(7).forecast(history, 6, statistics).quantiles
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-12)


@pytest.mark.parametrize(
    ("history", "unit", "exact"),
    [
        ([0, 1, 0, 3], 1, True),
        ([0, 6, 0, 12, 6, 0, 18, 6], 6, True),
        ([0, 6, 0, 12], 1, True),
        ([0, 0, 1.6, 0, 3.2, 0, 1.6, 0], 0.1, False),
        ([0, np.nan, 2, 5], 1, True),
        ([1.5, 2, 3], None, None),
        ([-1, 2, 3], None, None),
        ([200, 210, 190], None, None),
        ([np.nan, np.nan], None, None),
    ],
    ids=["counts", "packs", "few packs", "money", "missing", "broken", "negative", "large", "nothing"],
)
def test_which_histories_are_counts(history, unit, exact):
    found = Lattice.of(np.array([history], dtype=float))
    assert len(found.rows) == (unit is not None)
    if unit is not None:
        assert found.unit[0] == pytest.approx(unit) and found.exact[0] == exact
        np.testing.assert_allclose(found.values[0] * unit, history)


def test_thresholds_hold_whole_numbers_and_have_no_gap():
    assert bins(np.array([0.0, 0.4, 1.0, 3.0, 16.0, 1e9])).tolist() == [0, 1, 1, 3, 16, len(THRESHOLDS) - 1]
    assert (THRESHOLDS.round() == THRESHOLDS).all() and (np.diff(THRESHOLDS) > 0).all()


@pytest.mark.parametrize("dispersion", [0.0, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("mean", [0.0, 1e-4, 0.3, 4.0, 70.0])
def test_negative_binomial_distribution(mean, dispersion):
    from scipy.stats import nbinom, poisson

    found = distribution(np.array([mean]), np.array([dispersion]), 40)[0]
    exact = nbinom(1 / dispersion, 1 / (1 + dispersion * mean)) if dispersion else poisson(mean)
    np.testing.assert_allclose(found, exact.cdf(THRESHOLDS[:40]), atol=0.015)
    assert (np.diff(found) >= -1e-12).all()


def test_recent_values_are_those_of_the_past_alone():
    rng = np.random.default_rng(0)
    values = rng.poisson(2, size=(3, 60)).astype(float)
    values[1, :20] = values[2, 33] = np.nan
    cutoffs = [15, 40, 60]
    for cutoff, seen in zip(cutoffs, recent_values(values, cutoffs, 7, 24), strict=True):
        alone = next(recent_values(values[:, :cutoff], [cutoff], 7, 24))
        for one, other in zip(seen, alone, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    assert seen.short[0, 2] == pytest.approx(sum(0.5 ** ((59 - t) / 12.0) for t in np.flatnonzero(values[0] == 2)))
    assert seen.phase.sum(axis=(1, 2)) == pytest.approx(seen.phase.sum(axis=1).sum(axis=1))
    assert recent_means(values, cutoffs)[1, 0] == 0


def test_the_distribution_that_is_right_gets_the_weight():
    errors = np.random.default_rng(0).normal(size=(1, 3, 200)) * np.array([0.1, 1.0, 1.0])[:, None]
    matrix = pool.relative(errors @ errors.transpose(0, 2, 1))
    found = pool.weights(matrix)[0]
    assert found[0] > 0.7 and found.sum() == pytest.approx(1)
    assert pool.weights(np.zeros((2, 3, 3))) == pytest.approx(1 / 3)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_counts_on_a_falling_line_are_not_forecast_from_what_they_were(noise):
    steps = np.arange(40)
    history = np.round(400 - 10 * steps + np.random.default_rng(0).normal(0, noise, 40))
    # Statistics of the first steps alone are those of a backtest.
    fitted = FittedMixture.learn([history[:26]], 14, 7, 0)
    found = fitted.forecast([history.clip(0)], 14, LEVELS).quantiles[0]
    assert found[0].max() < 40 and found[:, 2].max() < 20
    rising = fitted.forecast([np.arange(1.0, 41.0)], 7, LEVELS).quantiles[0]
    assert rising[0, 0] > 36 and rising[0, -1] < 46
