"""A sampler resumes to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from titans_datasets.series.generators import Sampler


def test_resumes_to_the_bit() -> None:
    first = Sampler(20000, seed=(1, 7))
    first.take(first.mixture.block_size - 2)
    state = json.loads(json.dumps(first.state_dict()))
    expected = [first.take(5), first.take(3)]
    second = Sampler(20000, seed=0)
    second.load_state_dict(state)
    for one in expected:
        other = second.take(len(one.values))
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))
    assert second.state_dict() == first.state_dict()


def test_goes_on_with_new_series() -> None:
    sampler = Sampler(100, seed=0)
    assert not np.array_equal(sampler.take(3).scale, sampler.take(3).scale)
    assert sampler.state_dict()["position"] == 6


@pytest.mark.parametrize("other", [Sampler(50), Sampler(40, families=("counts",)), Sampler(40, augment=False)])
def test_a_state_of_other_series_is_refused(other: Sampler) -> None:
    with pytest.raises(ValueError, match="this sampler"):
        Sampler(40).load_state_dict(other.state_dict())


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="count"):
        Sampler(40).take(0)
    with pytest.raises(ValueError, match="length"):
        Sampler(4)
    with pytest.raises(ValueError, match="unknown family 'x'"):
        Sampler(40, families=("x",))
