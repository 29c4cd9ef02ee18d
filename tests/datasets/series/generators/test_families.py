"""Ten families: right shapes at any length, the same numbers from the same seed, and what each one promises."""

from __future__ import annotations

import numpy as np
import pytest

from titans_datasets.series.generators import FAMILIES, causal_graphs
from titans_datasets.series.generators.components import PERIODS
from titans_datasets.series.generators.draws import FloatArray

NAMES = tuple(FAMILIES)


def made(name: str, count: int = 200, length: int = 400, seed: int = 0) -> FloatArray:
    return FAMILIES[name](np.random.default_rng(seed), count, length)


def autocorrelation(series: FloatArray, lag: int) -> FloatArray:
    """Of each series at one lag (N,)."""
    centred = series - series.mean(axis=1, keepdims=True)
    variance = np.maximum((centred**2).sum(axis=1), 1e-12)
    return np.asarray((centred[:, lag:] * centred[:, :-lag]).sum(axis=1) / variance)


def share_with_a_season(series: FloatArray) -> float:
    """Share of the series whose changes correlate by more than 0.3 at one of the calendar's periods."""
    changes = np.diff(series, axis=1)
    fitting = [period for period in PERIODS if 4 < period <= series.shape[1] // 3]
    best = np.max([autocorrelation(changes, period) for period in fitting], axis=0)
    return float((best > 0.3).mean())


@pytest.mark.parametrize("length", [8, 9, 100, 4096])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_finite(name: str, length: int) -> None:
    series = made(name, 12, length)
    assert series.shape == (12, length) and series.dtype == np.float64
    assert np.isfinite(series).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_single_series(name: str) -> None:
    for seed in range(20):
        assert np.isfinite(made(name, 1, 40, seed)).all()


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_numbers(name: str) -> None:
    assert np.array_equal(made(name, 9, 100), made(name, 9, 100))
    assert not np.array_equal(made(name, 9, 100), made(name, 9, 100, seed=1))


@pytest.mark.parametrize("name", NAMES)
def test_series_vary_and_differ(name: str) -> None:
    series = made(name)
    assert (series.std(axis=1) > 0).mean() > 0.97
    assert len(np.unique(series.round(6), axis=0)) > 0.97 * len(series)
    assert np.abs(series).max() < 1e7


@pytest.mark.parametrize(("count", "length", "word"), [(0, 100, "count"), (-1, 100, "count"), (3, 0, "length")])
@pytest.mark.parametrize("name", NAMES)
def test_bad_sizes(name: str, count: int, length: int, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        made(name, count, length)


@pytest.mark.parametrize(
    ("name", "least"),
    [("structural", 0.4), ("calendar_products", 0.5), ("kernels", 0.2), ("pulses", 0.5), ("templates", 0.3)],
)
def test_seasons(name: str, least: float) -> None:
    assert share_with_a_season(made(name, length=1000)) > least


def test_white_noise_has_no_season() -> None:
    """The measure of the test above does not find one where there is none."""
    assert share_with_a_season(np.random.default_rng(0).standard_normal((200, 1000))) < 0.01


def test_structural_series_are_additive_exponentials_or_counts() -> None:
    series = made("structural", 400)
    positive = (series >= 0).all(axis=1)
    counted = positive & (series == np.rint(series)).all(axis=1)
    assert 0.35 < positive.mean() < 0.7
    assert 0.05 < counted.mean() < 0.2


def test_calendar_products_are_positive() -> None:
    assert (made("calendar_products") > 0).all()


def test_regimes_come_back_to_their_levels() -> None:
    """Unlike random walks they do not leave: the last quarter varies as the first does."""
    series = made("regimes", 400, 2000)
    ratio = series[:, -500:].std(axis=1) / series[:, :500].std(axis=1)
    assert 0.7 < np.median(ratio) < 1.4
    assert np.abs(series).max() < 30


def test_regimes_switch() -> None:
    """A series with two levels has a distribution with less in its middle than a normal one."""
    series = made("regimes", 400, 2000)
    centred = series - series.mean(axis=1, keepdims=True)
    kurtosis = (centred**4).mean(axis=1) / (centred**2).mean(axis=1) ** 2
    assert (kurtosis < 2.4).mean() > 0.15


def test_causal_targets_follow_their_drivers() -> None:
    graphs = causal_graphs(np.random.default_rng(0), 200, 500)
    assert graphs.drivers.shape == (200, 2, 500)
    own = graphs.target - graphs.effect
    with_drivers = [np.corrcoef(total, part)[0, 1] for total, part in zip(graphs.target, graphs.effect, strict=True)]
    assert np.median(with_drivers) > 0.6
    assert np.median(own.std(axis=1)) < 0.9 * np.median(graphs.target.std(axis=1))


def test_templates_return() -> None:
    """Days of most series have been seen: an earlier day is nearer than the mean of all days."""
    series = made("templates", 300, 1500)
    found = 0
    for values in series:
        for period in (4, 6, 8, 12, 24, 48, 96, 144):
            days = values[: 1500 // period * period].reshape(-1, period)
            last, earlier = days[-1], days[:-1]
            usual = ((last - days.mean()) ** 2).mean()
            if ((earlier - last) ** 2).mean(axis=1).min() < 0.3 * usual:
                found += 1
                break
    assert found > 0.6 * len(series)


def test_pulses_of_one_train_are_flat_or_straight_between_jumps() -> None:
    """Most of the movement of many series happens in few steps."""
    changes = np.sort(np.abs(np.diff(made("pulses", 300, 1000), axis=1)), axis=1)
    share = changes[:, -100:].sum(axis=1) / changes.sum(axis=1)
    assert (share > 0.4).mean() > 0.25


def test_autoregressive_series_remember() -> None:
    series = made("autoregressive", 300, 2000)
    assert np.allclose(series.std(axis=1), 1)
    assert (np.abs(autocorrelation(series, 1)) > 0.3).mean() > 0.7
    assert (autocorrelation(series, 100) > 0.2).mean() > 0.15


def test_counts_are_whole_and_not_negative() -> None:
    series = made("counts", 300, 500)
    assert (series >= 0).all() and np.array_equal(series, np.rint(series))
    zeros = (series == 0).mean(axis=1)
    assert (zeros > 0.5).mean() > 0.2
    assert (zeros < 0.1).mean() > 0.2
    assert ((series.var(axis=1) / np.maximum(series.mean(axis=1), 1e-9)) > 1.2).mean() > 0.5


def test_growth_is_monotone_for_most() -> None:
    series = made("growth", 400, 480)
    assert (series >= 0).all()
    blocks = series.reshape(400, 8, 60).mean(axis=2)
    slack = 0.02 * np.ptp(blocks, axis=1, keepdims=True)
    changes = np.diff(blocks, axis=1)
    rising, falling = (changes > -slack).all(axis=1), (changes < slack).all(axis=1)
    assert (rising | falling).mean() > 0.6
    assert rising.mean() > 2 * falling.mean() > 0
