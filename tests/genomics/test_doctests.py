"""The examples in docstrings of `titans_ts.genomics` run as they stand."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import titans_ts.genomics

FINDER = doctest.DocTestFinder(exclude_empty=True)
EXAMPLES = [
    pytest.param(example, id=example.name)
    for info in pkgutil.walk_packages(titans_ts.genomics.__path__, "titans_ts.genomics.")
    for example in FINDER.find(importlib.import_module(info.name))
    if example.examples
]


@pytest.mark.filterwarnings("ignore:attributions add up")
@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example: doctest.DocTest) -> None:
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert result.failed == 0
