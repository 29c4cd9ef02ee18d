"""The mixture: the same from the same seed however it is cut, equal shares, honest scales, named errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.series.generators import FAMILIES, GeneratedSeries, Mixture, Sampler, generate
from titans_datasets.series.generators.mixture import Seed

LONG, FEW = 8000, ("counts", "regimes", "growth")
SMALL = Mixture(LONG, FEW)


def same(one: GeneratedSeries, other: GeneratedSeries) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def many() -> GeneratedSeries:
    return generate(1280, 100, seed=0)


@pytest.fixture(scope="module")
def plain() -> GeneratedSeries:
    return generate(1280, 100, seed=0, augment=False)


@pytest.mark.parametrize("length", [8, 9, 100, 4096])
@pytest.mark.parametrize("augment", [True, False])
def test_any_length(length: int, augment: bool) -> None:
    found = generate(13, length, seed=0, augment=augment)
    assert found.values.shape == (13, length) and found.values.dtype == np.float32
    assert found.covariates.shape == (13, 3, length) and found.covariates.dtype == np.float32
    assert found.effect.shape == (13, length) and found.effect.dtype == np.float32
    assert found.family.shape == found.level.shape == found.scale.shape == (13,)
    assert not np.isinf(found.values).any()
    assert np.isfinite(found.covariates).all() and np.isfinite(found.effect).all()
    assert augment or np.isfinite(found.values).all()


def test_same_seed_same_series() -> None:
    assert same(generate(7, 100, seed=3, families=FEW), generate(7, 100, seed=3, families=FEW))
    assert not same(generate(7, 100, seed=3, families=FEW), generate(7, 100, seed=4, families=FEW))


@pytest.mark.parametrize(("one", "other"), [(0, (0, 0)), ((0, 1), (1, 0)), ((1, 2), (1, 3))])
def test_parts_of_a_seed_count(one: Seed, other: Seed) -> None:
    assert not same(generate(5, 100, seed=one, families=FEW), generate(5, 100, seed=other, families=FEW))
    assert same(generate(5, 100, seed=other, families=FEW), generate(5, 100, seed=other, families=FEW))


@pytest.fixture(scope="module")
def sequence() -> GeneratedSeries:
    """Two blocks and a bit."""
    return generate(2 * SMALL.block_size + 9, LONG, seed=(5, 1), families=FEW)


@pytest.mark.parametrize("count", [1, SMALL.block_size, SMALL.block_size + 1])
def test_more_series_begin_with_the_same(sequence: GeneratedSeries, count: int) -> None:
    assert same(generate(count, LONG, seed=(5, 1), families=FEW), sequence.part(slice(0, count)))


def test_any_part_is_made_alone(sequence: GeneratedSeries) -> None:
    start, stop = SMALL.block_size - 3, SMALL.block_size + 4
    assert same(SMALL.between(start, stop, (5, 1)), sequence.part(slice(start, stop)))


@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_batches_of_any_size_are_one_sequence(sizes: list[int]) -> None:
    families = ("growth",)
    sampler = Sampler(40, seed=2, families=families)
    parts = [sampler.take(size) for size in sizes]
    joined = GeneratedSeries(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))
    assert same(joined, generate(sum(sizes), 40, seed=2, families=families))


def test_families_have_equal_shares(many: GeneratedSeries) -> None:
    assert np.bincount(many.family).tolist() == [128] * len(FAMILIES)


def test_families_can_be_chosen() -> None:
    found = generate(512, 100, seed=0, families=("counts", "growth"))
    names = np.array(list(FAMILIES))[found.family]
    assert set(names) == {"counts", "growth"}


def test_nothing_is_normalised(many: GeneratedSeries, plain: GeneratedSeries) -> None:
    """Scales differ by orders of magnitude, values are level + scale · series, counts are whole."""
    deviation = np.nanstd(many.values, axis=1)
    assert np.quantile(deviation, 0.9) > 1e3 * np.quantile(deviation, 0.1) > 0
    counts = plain.family == tuple(FAMILIES).index("counts")
    assert (plain.scale[counts] == 1).all() and (plain.level[counts] == 0).all()
    assert np.array_equal(plain.values[counts], np.rint(plain.values[counts]))
    native = (plain.values - plain.level[:, None]) / plain.scale[:, None]
    growth = plain.family == tuple(FAMILIES).index("growth")
    assert 0.3 < np.median(native[growth].max(axis=1)) < 3


def test_augmented_series_have_missing_values(many: GeneratedSeries) -> None:
    missing = np.isnan(many.values)
    assert 0.08 < missing.any(axis=1).mean() < 0.25
    assert not missing.all(axis=1).any()


def test_augmented_series_differ_from_plain_ones(many: GeneratedSeries, plain: GeneratedSeries) -> None:
    """Coarser steps: aggregated counts are larger than those of the family."""
    counts = tuple(FAMILIES).index("counts")
    largest = [np.nanmax(made.values[made.family == counts]) for made in (many, plain)]
    assert largest[0] > largest[1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"count": 0}, "count"),
        ({"count": -3}, "count"),
        ({"length": 0}, "length"),
        ({"length": -5}, "length"),
        ({"length": 7}, "8 steps"),
        ({"families": ("structral",)}, "structral.*structural"),
        ({"families": ()}, "at least one"),
        ({"families": ("counts", "counts")}, "different"),
        ({"seed": -1}, "seed"),
        ({"seed": ()}, "seed"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        generate(**{"count": 3, "length": 50, "seed": 0, **arguments})  # type: ignore[arg-type]
