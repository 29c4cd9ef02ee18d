"""Covariates have the effect that they claim."""

from __future__ import annotations

import numpy as np
import pytest

from titans_datasets.series.generators import FAMILIES, GeneratedSeries, causal_graphs, generate
from titans_datasets.series.generators.covariates import driven
from titans_datasets.series.generators.draws import FloatArray


def walks(count: int = 400, length: int = 200) -> FloatArray:
    """Random walks around 0: series that are added to, for they go below 0."""
    found = np.cumsum(np.random.default_rng(1).standard_normal((count, length)), axis=1)
    return np.asarray(found - found.mean(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def plain() -> GeneratedSeries:
    return generate(1500, 200, seed=0, augment=False)


def test_without_the_effect_the_series_is_as_before() -> None:
    series = walks()
    found = driven(np.random.default_rng(0), series)
    np.testing.assert_allclose(found.series - found.effect, series, atol=1e-9)
    untouched = ~found.covariates.any(axis=(1, 2))
    assert 0.4 < untouched.mean() < 0.65
    assert np.array_equal(found.series[untouched], series[untouched])


def test_an_event_moves_a_series_by_the_same_amount_each_time() -> None:
    series = walks()
    found = driven(np.random.default_rng(0), series, drivable=np.zeros(len(series), dtype=bool))
    assert not found.covariates[:, 1:].any()
    for covariate, effect, values in zip(found.covariates[:, 0], found.effect, series, strict=True):
        assert set(covariate) <= {0.0, 1.0}
        assert np.allclose(effect[covariate == 0], 0, atol=1e-9)
        if covariate.any():
            moved = effect[covariate == 1]
            assert np.ptp(moved) < 1e-9 * (1 + np.abs(moved).max())
            assert 0.49 < np.abs(moved[0]) / values.std() < 4.01


def test_positive_series_are_multiplied() -> None:
    series = np.exp(0.1 * walks())
    found = driven(np.random.default_rng(0), series, drivable=np.zeros(len(series), dtype=bool))
    assert (found.series > 0).all()
    ratio = found.series / series
    for covariate, factor in zip(found.covariates[:, 0], ratio, strict=True):
        assert np.ptp(factor[covariate == 1]) < 1e-9 if covariate.any() else np.allclose(factor, 1)


def test_counts_stay_counts() -> None:
    series = FAMILIES["counts"](np.random.default_rng(0), 300, 200)
    found = driven(np.random.default_rng(0), series)
    assert (found.series >= 0).all() and np.array_equal(found.series, np.rint(found.series))


def test_drivers_explain_their_effect() -> None:
    """Each driver's effect is a function of its value at the same step: equal values, equal effects."""
    series = walks()
    found = driven(np.random.default_rng(0), series)
    rows = np.flatnonzero(found.covariates[:, 1].any(axis=1) & ~found.covariates[:, 0].any(axis=1))
    assert len(rows) > 30
    for row in rows:
        driver, effect = found.covariates[row, 1], found.effect[row]
        design = np.stack([np.maximum(driver, 0), np.maximum(-driver, 0)], axis=1)
        rest = effect - design @ np.linalg.lstsq(design, effect, rcond=None)[0]
        assert np.abs(rest).max() < 1e-6 * np.abs(effect).max()


def test_shares_and_shapes_in_the_mixture(plain: GeneratedSeries) -> None:
    assert plain.covariates.shape == (1500, 3, 200)
    events, drivers, second = (plain.covariates != 0).any(axis=2).mean(axis=0)
    assert 0.2 < events < 0.4 and 0.2 < drivers < 0.4 and 0.02 < second < 0.1
    none = ~plain.covariates.any(axis=(1, 2))
    assert not plain.effect[none].any()


def test_effects_in_the_mixture_are_in_units_of_the_values(plain: GeneratedSeries) -> None:
    """Steps with an event differ from the others by the effect: they do not once it is taken away."""
    rows = np.flatnonzero((plain.covariates[:, 0].mean(axis=1) > 0.1) & ~plain.covariates[:, 1].any(axis=1))
    claimed, before, after = [], [], []
    for row in rows:
        event, values, effect = plain.covariates[row, 0] == 1, plain.values[row], plain.effect[row]
        if not (~event).any():
            continue
        size = values.std() or 1.0
        claimed.append(effect[event].mean() / size)
        before.append((values[event].mean() - values[~event].mean()) / size)
        without = values - effect
        after.append((without[event].mean() - without[~event].mean()) / size)
    assert np.corrcoef(claimed, before)[0, 1] > 0.8
    assert np.abs(np.corrcoef(claimed, after)[0, 1]) < 0.4
    assert np.median(np.abs(after)) < 0.5 * np.median(np.abs(before))


def test_causal_drivers_are_known(plain: GeneratedSeries) -> None:
    causal = plain.family == tuple(FAMILIES).index("causal")
    known = plain.covariates[:, 2].any(axis=1)
    assert not known[~causal].any()
    assert 0.4 < known[causal].mean() < 0.8
    assert plain.effect[known].any(axis=1).all()


def test_graph_effects_are_functions_of_lagged_drivers() -> None:
    """Regression on activations of both drivers 0 to 24 steps ago explains the effect exactly."""
    graphs = causal_graphs(np.random.default_rng(0), 6, 1200)
    for drivers, effect in zip(graphs.drivers, graphs.effect, strict=True):
        past = np.stack([np.roll(driver, lag)[24:] for driver in drivers for lag in range(25)], axis=1)
        design = np.concatenate([past, np.tanh(2 * past), np.sin(2 * past), np.abs(past)], axis=1)
        fitted = design @ np.linalg.lstsq(design, effect[24:], rcond=None)[0]
        np.testing.assert_allclose(fitted, effect[24:], atol=1e-6)
