"""The examples in the docstrings of the public classes run as they are written."""

from __future__ import annotations

import doctest

import pytest

from titans_ts import TitansForecaster, TitansStream


@pytest.mark.parametrize("thing", [TitansForecaster, TitansStream])
def test_example(thing: type) -> None:
    [found] = [one for one in doctest.DocTestFinder().find(thing, thing.__name__) if one.name == thing.__name__]
    assert len(found.examples) >= 5
    assert doctest.DocTestRunner().run(found).failed == 0
