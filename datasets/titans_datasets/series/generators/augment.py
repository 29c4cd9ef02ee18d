"""Changes of finished series (N, T): mixing, flips, coarser steps, modulation, damage of the kind that sensors do.

Each function takes all the series that it is given and returns new ones; who is changed is the caller's choice. Those
that take one need a generator of random numbers first. Damage comes last: `without_runs` leaves NaN.
"""

from __future__ import annotations

import numpy as np

from titans_datasets.series.generators.components import smooth_paths
from titans_datasets.series.generators.draws import (
    FloatArray,
    chance,
    log_uniform,
    nonnegative,
    signs,
    spread,
    whole,
)

COARSEST = 48
SENTINELS = (-999.0, -1.0, 0.0, 999.0, 9999.0)


def mixed(rng: np.random.Generator, series: FloatArray, partners: FloatArray) -> FloatArray:
    """λ · series + (1 − λ) · partner, λ the larger part of a Beta(0.2, 0.2) draw, the partner brought to the same
    mean and standard deviation (Zhang et al., mixup, 2018; TSMixup of Ansari et al., Chronos, 2024)."""
    share = rng.beta(0.2, 0.2, (len(series), 1))
    share = np.maximum(share, 1 - share)
    mean = series.mean(axis=1, keepdims=True)
    other = (partners - partners.mean(axis=1, keepdims=True)) * (spread(series) / spread(partners)) + mean
    return np.asarray(share * series + (1 - share) * other)


def upside_down(series: FloatArray) -> FloatArray:
    """The negative of the series."""
    return -series


def reversed_in_time(series: FloatArray) -> FloatArray:
    """The series from its end to its beginning."""
    return series[:, ::-1].copy()


def decimated(series: FloatArray, factor: int) -> FloatArray:
    """Every `factor`-th value (N, T // factor)."""
    return series[:, : series.shape[1] // factor * factor : factor].copy()


def aggregated(series: FloatArray, factor: int) -> FloatArray:
    """Means of `factor` values each (N, T // factor); sums where the series is a count, which stays one."""
    groups = series[:, : series.shape[1] // factor * factor].reshape(len(series), -1, factor)
    totals = groups.sum(axis=2)
    return np.asarray(np.where(whole(series)[:, None], totals, totals / factor))


def modulated(rng: np.random.Generator, series: FloatArray) -> FloatArray:
    """An amplitude that changes smoothly by a factor of about 1.5 up and down: around the mean, or around 0 where the
    series never goes below it. Counts stay whole."""
    count, length = series.shape
    factor = np.exp(0.4 * smooth_paths(rng, count, length, shortest=max(length / 10, 4)))
    centre = np.where(nonnegative(series)[:, None], 0.0, series.mean(axis=1, keepdims=True))
    return as_before(series, centre + (series - centre) * factor)


def shocked(rng: np.random.Generator, series: FloatArray) -> FloatArray:
    """A sudden change that is made good exponentially, within 1 % to 25 % of the length.

    A series that never goes below 0 loses 20 % to 95 % or gains 20 % to 150 %; others move by 1 to 5 standard
    deviations. Counts stay whole.
    """
    count, length = series.shape
    since = np.arange(length) - rng.integers(length, size=(count, 1))
    recovery = log_uniform(rng, 1.0, max(length / 8, 2.0), (count, 1))
    shape = np.where(since >= 0, np.exp(-np.maximum(since, 0) / recovery), 0.0)
    lost = np.where(
        chance(rng, 0.7, (count, 1)), -rng.uniform(0.2, 0.95, (count, 1)), rng.uniform(0.2, 1.5, (count, 1))
    )
    moved = signs(rng, (count, 1)) * rng.uniform(1.0, 5.0, (count, 1)) * spread(series)
    return as_before(
        series, np.where(nonnegative(series)[:, None], series * (1 + lost * shape), series + moved * shape)
    )


def censored(rng: np.random.Generator, series: FloatArray) -> FloatArray:
    """Cut at a quantile: the lower one (1 % to 30 %), the upper one, or both. Counts stay whole.

    A series of which nothing but one value would be left (sparse counts) stays as it is.
    """
    count = len(series)
    kind = rng.integers(3, size=count)
    share = rng.uniform(0.01, 0.3, (2, count))
    ordered = np.sort(series, axis=1)
    last = series.shape[1] - 1
    row = np.arange(count)
    lower = np.where(kind != 1, ordered[row, (share[0] * last).astype(np.int64)], ordered[:, 0])
    upper = np.where(kind != 0, ordered[row, last - (share[1] * last).astype(np.int64)], ordered[:, -1])
    left = lower < upper
    lower, upper = np.where(left, lower, ordered[:, 0]), np.where(left, upper, ordered[:, -1])
    return np.clip(series, lower[:, None], upper[:, None])


def quantised(rng: np.random.Generator, series: FloatArray) -> FloatArray:
    """Rounded to a step of 1/2 to 1/40 of six standard deviations: coarse meters, rounded reports."""
    steps = 6 * spread(series) / log_uniform(rng, 2.0, 40.0, (len(series), 1))
    return np.asarray(np.rint(series / steps) * steps)


def without_runs(rng: np.random.Generator, series: FloatArray) -> FloatArray:
    """Missing values as NaN: one to three runs of up to a tenth of the length, or 1 % to 20 % of single steps.

    The last value of each series stays, so that none is empty.
    """
    count, length = series.shape
    missing = rng.random((count, length)) < rng.uniform(0.01, 0.2, (count, 1)) * chance(rng, 0.5, (count, 1))
    whole_runs = ~missing.any(axis=1, keepdims=True)
    runs = rng.integers(1, 4, (count, 1))
    for place in range(3):
        since = np.arange(length) - rng.integers(length, size=(count, 1))
        lasting = log_uniform(rng, 1.0, max(length / 10, 1.5), (count, 1))
        missing |= (since >= 0) & (since < lasting) & (place < runs) & whole_runs
    missing[:, -1] = False
    return np.asarray(np.where(missing, np.nan, series))


def with_sentinels(rng: np.random.Generator, series: FloatArray) -> FloatArray:
    """One run or a few single steps hold a number that stands for "no reading": one of `SENTINELS`."""
    count, length = series.shape
    since = np.arange(length) - rng.integers(length, size=(count, 1))
    run = (since >= 0) & (since < log_uniform(rng, 1.0, max(length / 20, 1.5), (count, 1)))
    single = rng.random((count, length)) < 2 / length
    place = np.where(chance(rng, 0.5, (count, 1)), run, single)
    return np.asarray(np.where(place, rng.choice(SENTINELS, (count, 1)), series))


def as_before(before: FloatArray, after: FloatArray) -> FloatArray:
    """`after`, as whole numbers of 0 or more where the series was a count before."""
    return np.asarray(np.where(whole(before)[:, None], np.maximum(np.rint(after), 0.0), after))
