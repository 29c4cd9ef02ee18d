"""Forecasts of any history: ordered, finite, equivariant, independent of the others; and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_ts.forecasting.reads import ForecastOptions, ReadingConfig, ReadingNetwork, forecast
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.network import LEVELS, at_levels

WIDE = (0.001, 0.05, 0.1, 0.33, 0.5, 0.9, 0.975, 0.999)


def network(drafts=NAMES, seed=0):
    """A small network with weights unlike those at its start."""
    torch.manual_seed(seed)
    found = ReadingNetwork(ReadingConfig(drafts, width=32, depth=1, step_width=16))
    for weight in found.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return found.eval()


NETWORK = network()


def history(length=90, seed=0):
    rng = np.random.default_rng(seed)
    return np.sin(2 * np.pi * np.arange(length) / 7) + 0.3 * rng.normal(size=length).cumsum()


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-6, 1e9), st.floats(-1e6, 1e6), st.integers(0, 100))
def test_a_change_of_units_changes_the_forecast_alike(scale, shift, seed):
    x = history(seed=seed) - 10
    moved = x * scale + shift * scale
    moved = moved if moved.min() < 0 else moved - moved.min() - scale
    shift = (moved - x * scale).mean()
    one, other = forecast(NETWORK, [x], 20, 7), forecast(NETWORK, [moved], 20, 7)
    np.testing.assert_allclose(other, one * scale + shift, rtol=0, atol=2e-3 * scale * x.std())


@pytest.mark.parametrize("flip", [False, True])
def test_quantiles_rise_with_the_level(flip):
    found = forecast(NETWORK, [history(n, n) for n in (9, 40, 300)], 60, 7, WIDE, options=ForecastOptions(flip=flip))
    assert found.shape == (3, 60, len(WIDE)) and np.isfinite(found).all()
    assert (np.diff(found, axis=2) >= 0).all()


def test_a_forecast_does_not_depend_on_the_other_histories():
    rows = [history(n, n) for n in (30, 100, 257)]
    together = forecast(NETWORK, rows, 30, 7)
    for row, found in zip(rows, together, strict=True):
        np.testing.assert_allclose(forecast(NETWORK, [row], 30, 7)[0], found, rtol=0, atol=1e-3 * row.std())
    turned = forecast(NETWORK, rows[::-1], 30, 7)[::-1]
    np.testing.assert_allclose(turned, together, rtol=1e-6, atol=1e-6)


def test_a_shorter_horizon_is_the_beginning_of_a_longer_one():
    long = forecast(NETWORK, [history()], 1200, 7)
    np.testing.assert_allclose(forecast(NETWORK, [history()], 5, 7), long[:, :5], rtol=1e-4, atol=1e-4)


def test_histories_that_do_not_vary_go_on():
    rows = [np.zeros(40), np.full(3, 7.5), np.array([2.0]), np.array([np.nan, 1e12, np.nan])]
    found = forecast(NETWORK, rows, 4, 7, WIDE)
    for row, quantiles in zip(rows, found, strict=True):
        assert (quantiles == np.nanmax(row)).all()


@pytest.mark.parametrize(
    "row",
    [
        np.array([1.0, 2.0]),
        np.r_[np.zeros(50), 1e6],
        np.r_[np.nan, np.nan, 3.0, np.nan, 4.0, np.full(30, np.nan)],
        np.r_[history(40), np.full(2000, np.nan)],
        history() * 1e300,
        history() * 1e-300,
        1e15 + history(),
        np.arange(30),
        np.random.default_rng(0).standard_cauchy(400),
    ],
)
@pytest.mark.parametrize("season", [0, 1, 7, 365.25])
def test_odd_histories_have_finite_forecasts(row, season):
    found = forecast(NETWORK, [row], 50, season, WIDE)
    assert np.isfinite(found).all() and (np.diff(found, axis=2) >= 0).all()


def test_long_histories_and_horizons():
    x = history(200_000)
    found = forecast(NETWORK, [x], 10_000, 7)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, forecast(NETWORK, [x[-2048:]], 10_000, 7), rtol=1e-4, atol=1e-3)


def test_forecasts_of_several_contexts_are_averaged():
    rows = [history(50), history(300)]
    one, other = (forecast(NETWORK, rows, 12, 7, options=ForecastOptions(contexts=(n,))) for n in (256, 128))
    both = forecast(NETWORK, rows, 12, 7, options=ForecastOptions(contexts=(128, 256)))
    np.testing.assert_allclose(both[1], (one[1] + other[1]) / 2, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(both[0], one[0], rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="contexts"):
        ForecastOptions(contexts=())


def test_no_negative_quantiles_where_nothing_is_negative():
    counts = np.random.default_rng(0).poisson(0.5, 200).astype(float)
    assert (forecast(NETWORK, [counts], 30, 7, WIDE) >= 0).all()
    assert (forecast(NETWORK, [counts - 1], 30, 7, WIDE) < 0).any()


def test_levels_between_deciles_lie_between_and_outer_ones_go_on():
    scores = torch.special.ndtri(torch.tensor(LEVELS, dtype=torch.float64))
    normal = 3 + 2 * scores
    levels = (0.01, 0.1, 0.45, 0.5, 0.99)
    expected = 3 + 2 * torch.special.ndtri(torch.tensor(levels, dtype=torch.float64))
    torch.testing.assert_close(at_levels(normal, levels), expected)
    torch.testing.assert_close(at_levels(normal, LEVELS), normal)


def test_covariates_change_the_forecast_and_their_units_do_not():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(2, 230))
    x = 3 * known[0, :200] + 0.1 * rng.normal(size=200)
    found = forecast(NETWORK, [x], 30, 0, covariates=[known])
    assert np.abs(found - forecast(NETWORK, [x], 30, 0)).max() > 0.1
    other = forecast(NETWORK, [x], 30, 0, covariates=[known * 50 - 7])
    np.testing.assert_allclose(other, found, atol=1e-3)
    constant = forecast(NETWORK, [x], 30, 0, covariates=[np.ones((2, 230))])
    np.testing.assert_allclose(constant, forecast(NETWORK, [x], 30, 0), atol=1e-3)


def test_drafts_from_elsewhere_are_read():
    other = network((*NAMES, "flat"))
    asked = []

    def flat(histories, cutoffs, horizon):
        asked.append((len(histories), list(cutoffs), horizon))
        return np.zeros((len(histories), len(cutoffs), 1, horizon))

    rows = [history(), history(40)]
    assert np.isfinite(forecast(other, rows, 5, 7, given=flat)).all()
    assert asked == [(1, list(range(40, -1, -8)), 48), (1, list(range(88, -1, -8)), 48)]
    with pytest.raises(ValueError, match="1 drafts from elsewhere"):
        forecast(other, rows, 5, 7)
    with pytest.raises(ValueError, match="0 drafts from elsewhere"):
        forecast(NETWORK, rows, 5, 7, given=flat)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([np.full(5, np.nan)], {}, "no observed value"),
        ([np.r_[1.0, 2.0, np.full(2048, np.nan)]], {}, "last 2048 steps"),
        ([np.array([])], {}, "no observed value"),
        ([np.array([1.0, np.inf])], {}, "infinite"),
        ([np.zeros((2, 3))], {}, "one series each"),
        ([np.zeros(5)], {"horizon": 0}, "horizon"),
        ([np.zeros(5)], {"levels": (0.5, 1.0)}, "levels"),
        ([np.zeros(5)], {"covariates": [np.zeros((1, 5))]}, r"\(1, 8\)"),
        ([np.zeros(5)], {"covariates": []}, "all 1 histories"),
    ],
)
def test_refusals_say_what_to_do(rows, options, message):
    with pytest.raises(ValueError, match=message):
        forecast(NETWORK, rows, **{"horizon": 3, **options})


def test_no_histories_have_no_forecasts():
    assert forecast(NETWORK, [], 4).shape == (0, 4, 9)
