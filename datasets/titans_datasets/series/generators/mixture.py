"""All families in equal shares, with coarser steps, covariates, scales and damage: what a forecaster is pretrained on.

Shapes: N series, T steps, K = 3 covariates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from titans_datasets.series.generators import augment as change
from titans_datasets.series.generators.covariates import COVARIATES, Driven, driven
from titans_datasets.series.generators.draws import (
    BoolArray,
    FloatArray,
    IntArray,
    chance,
    check_size,
    log_uniform,
    nonnegative,
    rows_of,
    signs,
    spread,
    whole,
)
from titans_datasets.series.generators.families.causal import causal_graphs
from titans_datasets.series.generators.families.registry import FAMILIES, family_names

Seed = int | tuple[int, ...]

# Series of a family in a block: as many as make about this many points, within limits.
BLOCK_POINTS, FEWEST, MOST = 131_072, 4, 128
# Coarser steps: groups of a block, the share of series in each, and the longest series generated for one.
GROUPS, COARSE, LONGEST = 3, 0.05, 131_072
KNOWN_DRIVERS = 0.6
SHARES = {
    "mixed": 0.15, "upside down": 0.15, "reversed": 0.1, "modulated": 0.1, "shocked": 0.08,
    "censored": 0.06, "quantised": 0.06, "missing": 0.15, "sentinels": 0.03,
}  # fmt: skip


class GeneratedSeries(NamedTuple):
    """Series with what is known about them.

    Attributes:
        values: (N, T) float32, NaN where missing: level + scale · series, in which the series has the units that its
            family states. Nothing is normalised.
        covariates: (N, 3, T) float32, known in the future: an event (0 or 1) and two drivers of about unit variance;
            zeros where a series has none. Drivers of causal series act after up to 24 steps, all others at once.
        effect: (N, T) float32, in units of the values: what the covariates add. Damage (cuts, rounding, missing
            values, sentinels) comes afterwards.
        family: (N,) index into `FAMILIES`; of the larger part where two series were mixed.
        level, scale: (N,) float64.

    Example:
        >>> made = generate(20, 96, seed=0, families=("counts",))
        >>> made.part(slice(3)).values.shape, np.unique(made.family).size
        ((3, 96), 1)
    """

    values: npt.NDArray[np.float32]
    covariates: npt.NDArray[np.float32]
    effect: npt.NDArray[np.float32]
    family: IntArray
    level: FloatArray
    scale: FloatArray

    def part(self, rows: slice | IntArray) -> GeneratedSeries:
        """Some of the series, in the order of `rows`."""
        return GeneratedSeries(
            self.values[rows],
            self.covariates[rows],
            self.effect[rows],
            self.family[rows],
            self.level[rows],
            self.scale[rows],
        )


def generate(
    count: int, length: int, *, seed: Seed, families: tuple[str, ...] | None = None, augment: bool = True
) -> GeneratedSeries:
    """The first `count` series of the endless sequence that a seed stands for.

    A sequence is made in blocks, each from its own stream of random numbers, so that more series begin with the same
    ones, and parts can be made anywhere: `Sampler` goes on in the middle.

    Args:
        count: number of series N; length: steps T of each, 8 or more.
        seed: a number, or several (run, shard, …), of 0 or more.
        families: names in `FAMILIES`, else all of them, in equal shares.
        augment: mix, flip, resample, modulate, shock and damage a share of the series.

    Raises:
        ValueError: for a count below 1, a length below 8, an unknown family, a negative seed.

    Example:
        >>> made = generate(20, 96, seed=0)
        >>> made.values.shape, made.covariates.shape
        ((20, 96), (20, 3, 96))
    """
    check_size(count, length)
    return Mixture(length, families, augment).between(0, count, seed)


def concatenated(parts: list[GeneratedSeries]) -> GeneratedSeries:
    """Series of several calls one after the other; all have the same length."""
    return GeneratedSeries(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Mixture:
    """What is generated: the length of series, the families, whether they are augmented.

    Raises:
        ValueError: for a length below 8 or an unknown family.

    Example:
        >>> Mixture(96, ("counts", "growth")).block((0,), 5).values.shape
        (256, 96)
    """

    length: int
    families: tuple[str, ...] | None = None
    augment: bool = True

    def __post_init__(self) -> None:
        check_size(1, self.length)
        family_names(self.families)

    @property
    def block_size(self) -> int:
        """Series of a block, the same number of each family."""
        return len(family_names(self.families)) * self._each

    def between(self, start: int, stop: int, seed: Seed) -> GeneratedSeries:
        """Series number `start` to `stop` − 1 of the sequence of a seed."""
        size, seeds = self.block_size, checked_seed(seed)
        parts = []
        for index in range(start // size, -(-stop // size)):
            inner = slice(max(start - index * size, 0), min(stop - index * size, size))
            parts.append(self.block(seeds, index).part(inner))
        return concatenated(parts)

    def block(self, seed: tuple[int, ...], index: int) -> GeneratedSeries:
        """Block number `index` of the sequence of a seed, in random order."""
        names = family_names(self.families)
        places = [tuple(FAMILIES).index(name) for name in names]
        made = [
            _family(name, _stream(seed, index, place), self._each, self.length, augment=self.augment)
            for name, place in zip(names, places, strict=True)
        ]
        rng = _stream(seed, index, len(FAMILIES))
        raw = Driven(*(np.concatenate(fields) for fields in zip(*made, strict=True)))
        free = np.asarray(~raw.covariates.any(axis=(1, 2)))
        if self.augment:
            raw = raw._replace(series=_rearranged(rng, raw.series, free))
        finished = _finished(rng, _with_covariates(rng, raw, free), np.repeat(places, self._each), self.augment)
        return finished.part(rng.permutation(len(free)))

    @property
    def _each(self) -> int:
        return int(np.clip(BLOCK_POINTS // self.length, FEWEST, MOST))


def checked_seed(seed: Seed) -> tuple[int, ...]:
    """The numbers of a seed.

    Raises:
        ValueError: for none or a negative one.
    """
    seeds = seed if isinstance(seed, tuple) else (seed,)
    if not seeds or min(seeds) < 0:
        raise ValueError(f"seed must be a number of 0 or more, or a tuple of such, got {seed!r}")
    return tuple(int(part) for part in seeds)


def _stream(seed: tuple[int, ...], block: int, place: int) -> np.random.Generator:
    """Random numbers of one family (or, behind the last, of the mixture) in one block.

    The number of seeds is one of them: numpy takes (1,) and (1, 0) for the same.
    """
    return np.random.default_rng(np.random.SeedSequence((len(seed), *seed), spawn_key=(block, place)))


def _family(name: str, rng: np.random.Generator, count: int, length: int, *, augment: bool) -> Driven:
    """Series of one family, a share from finer steps; those of known causal drivers come with them."""
    covariates, effect = np.zeros((count, len(COVARIATES), length)), np.zeros((count, length))
    if name == "causal":
        graphs = causal_graphs(rng, count, length)
        known = chance(rng, KNOWN_DRIVERS, (count, 1))
        series, effect = graphs.target, graphs.effect * known
        covariates[:, 1:] = graphs.drivers * known[:, :, None]
    else:
        series = FAMILIES[name](rng, count, length)
    group = rng.integers(int(1 / COARSE), size=count)
    for place in range(GROUPS if augment else 0):
        rows = rows_of(group == place)
        if len(rows):
            series[rows] = _from_finer(name, rng, len(rows), length)
            covariates[rows], effect[rows] = 0.0, 0.0
    return Driven(series, covariates, effect)


def _from_finer(name: str, rng: np.random.Generator, count: int, length: int) -> FloatArray:
    """Series of 2 to 48 times as many steps, aggregated or decimated."""
    factor = int(log_uniform(rng, 2, np.clip(LONGEST / length, 2, change.COARSEST) + 1, 1)[0])
    finer = FAMILIES[name](rng, count, length * factor)
    return change.aggregated(finer, factor) if rng.random() < 0.5 else change.decimated(finer, factor)


def _rearranged(rng: np.random.Generator, series: FloatArray, free: BoolArray) -> FloatArray:
    """Mixed, flipped, modulated and shocked, where no covariate has acted yet (`free`)."""
    partners = series[rng.permutation(len(series))]
    rows = rows_of(free & chance(rng, SHARES["mixed"], len(series)))
    series[rows] = change.mixed(rng, series[rows], partners[rows])
    signed = ~nonnegative(series)
    for name, able, changed in (
        ("upside down", free & signed, change.upside_down),
        ("reversed", free, change.reversed_in_time),
        ("modulated", free, lambda part: change.modulated(rng, part)),
        ("shocked", free, lambda part: change.shocked(rng, part)),
    ):
        rows = rows_of(able & chance(rng, SHARES[name], len(series)))
        if len(rows):
            series[rows] = changed(series[rows])
    return series


def _with_covariates(rng: np.random.Generator, raw: Driven, free: BoolArray) -> Driven:
    """Events for a share of all series, a driver for a share of those that have none from their graph (`free`)."""
    found = driven(rng, raw.series, drivable=free)
    return Driven(found.series, raw.covariates + found.covariates, raw.effect + found.effect)


def _finished(rng: np.random.Generator, made: Driven, family: IntArray, augment: bool) -> GeneratedSeries:
    """With level and scale, and damage."""
    level, scale = _level_and_scale(rng, made.series)
    values = level[:, None] + scale[:, None] * made.series
    if augment:
        values = _damaged(rng, values)
    return GeneratedSeries(
        values.astype(np.float32),
        made.covariates.astype(np.float32),
        (scale[:, None] * made.effect).astype(np.float32),
        family.astype(np.int64),
        level,
        scale,
    )


def _level_and_scale(rng: np.random.Generator, series: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scales are log-uniform from 0.01 to 10,000; counts keep scale 1.

    70 % of the series that go below 0 get a level of 0.3 to 300 standard deviations, mostly positive; for the others
    0 has a meaning and the level is 0.
    """
    count = len(series)
    scale = np.where(whole(series), 1.0, log_uniform(rng, 0.01, 1e4, count))
    level = log_uniform(rng, 0.3, 300.0, count) * spread(series)[:, 0] * scale
    level *= np.where(chance(rng, 0.8, count), 1.0, signs(rng, count)) * chance(rng, 0.7, count)
    return np.where(nonnegative(series), 0.0, level), scale


def _damaged(rng: np.random.Generator, values: FloatArray) -> FloatArray:
    """Cut, rounded, with sentinels, with missing values."""
    steps: tuple[tuple[str, Callable[[np.random.Generator, FloatArray], FloatArray]], ...] = (
        ("censored", change.censored),
        ("quantised", change.quantised),
        ("sentinels", change.with_sentinels),
        ("missing", change.without_runs),
    )
    for name, changed in steps:
        rows = rows_of(chance(rng, SHARES[name], len(values)))
        if len(rows):
            values[rows] = changed(rng, values[rows])
    return values
