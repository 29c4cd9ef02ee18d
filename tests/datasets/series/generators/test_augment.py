"""Changes of finished series: what each does, what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from titans_datasets.series.generators import FAMILIES, augment
from titans_datasets.series.generators.draws import FloatArray

Change = Callable[[np.random.Generator, FloatArray], FloatArray]
DRAWN: tuple[Change, ...] = (
    augment.modulated,
    augment.shocked,
    augment.censored,
    augment.quantised,
    augment.with_sentinels,
)
LENGTHS = (8, 9, 100, 1000)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def walks(rng: np.random.Generator, length: int = 100) -> FloatArray:
    return np.cumsum(rng.standard_normal((50, length)), axis=1)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("change", DRAWN)
def test_shape_finite_and_the_input_is_left_alone(change: Change, length: int, rng: np.random.Generator) -> None:
    series = walks(rng, length)
    before = series.copy()
    changed = change(rng, series)
    assert changed.shape == series.shape and np.isfinite(changed).all()
    assert np.array_equal(series, before)
    assert not np.array_equal(changed, series)


@pytest.mark.parametrize("change", [augment.modulated, augment.shocked, augment.censored])
def test_counts_stay_counts(change: Change, rng: np.random.Generator) -> None:
    changed = change(rng, FAMILIES["counts"](rng, 50, 200))
    assert (changed >= 0).all() and np.array_equal(changed, np.rint(changed))


def test_mixed_is_nearer_to_the_first(rng: np.random.Generator) -> None:
    series, partners = walks(rng), walks(rng) * 1000 + 5
    changed = augment.mixed(rng, series, partners)
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(changed, series, strict=True)]
    other = [np.corrcoef(a, b)[0, 1] for a, b in zip(changed, partners, strict=True)]
    assert np.mean(np.array(alike) > np.array(other)) > 0.9
    assert np.abs(changed).max() < 3 * np.abs(series).max()


def test_flips_undo_themselves(rng: np.random.Generator) -> None:
    series = walks(rng)
    assert np.array_equal(augment.upside_down(augment.upside_down(series)), series)
    assert np.array_equal(augment.reversed_in_time(augment.reversed_in_time(series)), series)
    assert np.array_equal(augment.reversed_in_time(series)[:, 0], series[:, -1])


@pytest.mark.parametrize("factor", [1, 2, 7, 48])
def test_coarser_steps(factor: int, rng: np.random.Generator) -> None:
    series = walks(rng, 100)
    few = augment.decimated(series, factor)
    means = augment.aggregated(series, factor)
    assert few.shape == means.shape == (50, 100 // factor)
    assert np.array_equal(few[:, 0], series[:, 0])
    np.testing.assert_allclose(means[:, -1], series[:, (100 // factor - 1) * factor : 100 // factor * factor].mean(1))


def test_counts_are_summed(rng: np.random.Generator) -> None:
    series = rng.poisson(3.0, (5, 12)).astype(float)
    assert np.array_equal(augment.aggregated(series, 4), series.reshape(5, 3, 4).sum(2))


def test_shocks_recover(rng: np.random.Generator) -> None:
    flat = np.full((200, 4000), 10.0)
    changed = augment.shocked(rng, flat)
    worst = np.abs(changed - 10).max(axis=1)
    assert (worst > 1).all()
    early = np.abs(changed - 10).argmax(axis=1) < 100
    assert (np.abs(changed - 10)[early, -1] < 0.1 * worst[early]).all()


def test_censored_stays_within(rng: np.random.Generator) -> None:
    series = walks(rng)
    changed = augment.censored(rng, series)
    assert (changed.min(axis=1) >= series.min(axis=1)).all() and (changed.max(axis=1) <= series.max(axis=1)).all()
    same = changed == series
    assert (same.mean(axis=1) > 0.3).all()


def test_censored_leaves_sparse_counts_some_values(rng: np.random.Generator) -> None:
    sparse = (rng.random((100, 200)) < 0.05).astype(float)
    assert (np.ptp(augment.censored(rng, sparse), axis=1) > 0).all()


def test_quantised_has_few_values(rng: np.random.Generator) -> None:
    changed = augment.quantised(rng, walks(rng, 1000))
    assert max(len(np.unique(values)) for values in changed) <= 80


@pytest.mark.parametrize("length", LENGTHS)
def test_missing_runs(length: int, rng: np.random.Generator) -> None:
    series = walks(rng, length)
    changed = augment.without_runs(rng, series)
    missing = np.isnan(changed)
    assert 0 < missing.mean() < 0.4 and not missing[:, -1].any()
    assert np.array_equal(changed[~missing], series[~missing])


def test_sentinels_are_sentinels(rng: np.random.Generator) -> None:
    series = walks(rng) + 0.5
    changed = augment.with_sentinels(rng, series)
    assert set(changed[changed != series]) <= set(augment.SENTINELS)
