"""What covariates add: found where it lessens errors, 0 where it does not, and the experts forecast the rest."""

import holidays
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_ts import TitansForecaster
from titans_ts.forecasting.experts.covariates import covariate_effect, taken_off
from titans_ts.forecasting.experts.fitted import FittedMixture


def promotions(steps=200, seed=0, share=0.2, effect=30.0):
    rng = np.random.default_rng(seed)
    on = (rng.random((1, steps)) < share).astype(float)
    week = 10 * np.sin(2 * np.pi * np.arange(steps) / 7)
    return 100 + week + effect * on[0] + rng.normal(size=steps), on


def test_the_effect_of_promotions_is_found_past_and_future():
    sales, on = promotions()
    found = covariate_effect(sales[:180], on, 7)
    assert found.shape == (200,)
    for part in (slice(0, 180), slice(180, 200)):
        moved, other = found[part][on[0, part] == 1], found[part][on[0, part] == 0]
        assert moved.mean() - other.mean() == pytest.approx(30, abs=3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 7, 12]), st.floats(1e-6, 1e12), st.floats(-1e6, 1e6))
def test_units_do_not_matter(seed, season, scale, shift):
    sales, on = promotions(120, seed)
    plain = covariate_effect(sales[:100], on, season)
    moved = covariate_effect(sales[:100] * scale + shift * scale, 3 * on - 7, season)
    np.testing.assert_allclose(moved, plain * scale, rtol=1e-4, atol=1e-6 * scale)


def test_what_proves_of_no_use_adds_nothing():
    rng = np.random.default_rng(1)
    sales, on = promotions(effect=0.0)
    steps = np.arange(200)
    season = np.sin(2 * np.pi * steps / 7)[None]
    cases = {
        "without effect": on,
        "the season itself": season,
        "constant": np.full((1, 200), 3.0),
        "unknown": np.full((1, 200), np.nan),
        "many and random": rng.normal(size=(20, 200)),
    }
    for name, known in cases.items():
        assert np.abs(covariate_effect(sales[:180], known, 7)).max() < 1, name
    for known in (cases["constant"], cases["unknown"], np.empty((0, 200))):
        assert not covariate_effect(sales[:180], known, 7).any()


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_short_histories_have_no_effect(steps):
    sales, on = promotions(40)
    assert not covariate_effect(sales[:steps], on[:, : steps + 3], 7).any()


def test_duplicates_gaps_and_extreme_levels():
    sales, on = promotions()
    single = covariate_effect(sales[:180], on, 7)
    twice = covariate_effect(sales[:180], np.concatenate([on, on]), 7)
    np.testing.assert_allclose(twice, single, atol=1)
    gaps = sales[:180].copy()
    gaps[::9] = np.nan
    part = on.copy()
    part[0, 50:60] = np.nan
    np.testing.assert_allclose(covariate_effect(gaps, part, 7)[60:], single[60:], atol=2)
    for scale in (1e-300, 1e300):
        found = covariate_effect(sales[:180] * scale, on, 7)
        np.testing.assert_allclose(found / scale, single, rtol=1e-4, atol=1e-6)
    assert not covariate_effect(np.full(180, np.nan), on, 7).any()


def test_a_spike_is_no_covariates():
    sales, on = promotions()
    spiked = sales.copy()
    spiked[90] += 1e5
    found, plain = (covariate_effect(own[:180], on, 7) for own in (spiked, sales))
    np.testing.assert_allclose(found, plain, atol=6)


def test_covariates_that_end_before_the_history_are_refused():
    with pytest.raises(ValueError, match=r"must have the shape \(C, ≥ 180\)"):
        covariate_effect(np.zeros(180), np.zeros((1, 179)), 7)


def test_what_is_taken_off_is_the_rest_and_what_lies_ahead():
    sales, on = promotions()
    left, ahead = taken_off([sales[:180], sales[:60]], [on, on[:, :61]], 7, 5)
    effect = covariate_effect(sales[:180], on[:, :185], 7)
    np.testing.assert_allclose(sales[:180] - left[0], effect[:180])
    np.testing.assert_allclose(ahead[0], effect[180:])
    # Beyond what is known a covariate is as usual.
    assert (ahead[1, 1:] == 0).all()
    assert len(left[1]) == 60


def test_experts_forecast_promotions_and_leave_other_series_as_they_are():
    sales, on = promotions(seed=3)
    other = np.random.default_rng(4).normal(50, 1, 180)
    histories, known = [sales[:180], other], [on[:, :194], np.full((1, 194), 2.0)]
    mixture = FittedMixture.learn(histories, 14, 7, 0, known)
    found = mixture.forecast(histories, 14, (0.1, 0.5, 0.9), covariates=known)
    promoted = on[0, 180:194] == 1
    error = np.abs(found.quantiles[0, :, 1] - sales[180:194])
    assert promoted.any()
    assert error.mean() < 3
    alone = mixture.forecast(histories[1:], 14, (0.1, 0.5, 0.9))
    np.testing.assert_array_equal(found.quantiles[1], alone.quantiles[0])
    longer = mixture.forecast(histories, 20, (0.1, 0.5, 0.9), covariates=known)
    np.testing.assert_allclose(longer.quantiles[:, :14], found.quantiles)


def test_holidays_are_forecast_without_training():
    days = pd.date_range("2021-01-01", "2023-12-12")
    christmas = (days.month == 12) & np.isin(days.day, (25, 26))
    rng = np.random.default_rng(0)
    # Easter and the others close the shop as well.
    closed = np.array([day.date() in holidays.country_holidays("DE", years=range(2021, 2024)) for day in days])
    visits = 100 + 10 * np.sin(np.arange(len(days)) * 2 * np.pi / 7) + rng.normal(0, 3, len(days)) - 60 * closed
    assert closed[christmas].all()
    table = pd.DataFrame({"timestamp": days, "target": visits})
    plain, told = (
        TitansForecaster.from_pretrained("zero", prediction_length=16, quantiles=(0.1, 0.5, 0.9), **more).predict(table)
        for more in ({}, {"holidays": "DE"})
    )
    at = told["timestamp"].isin(pd.to_datetime(["2023-12-25", "2023-12-26"])).to_numpy()
    assert (told.loc[at, "0.5"] < 60).all()
    assert (plain.loc[at, "0.5"] > 60).all()
    assert told.loc[~at, "0.5"].between(80, 120).all()
