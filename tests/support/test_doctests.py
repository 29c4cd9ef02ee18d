"""The examples in docstrings of `titans_ts.support` run as they stand."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.source_tree import SourceTree

MODULES = [
    name
    for name, module in SourceTree().modules.items()
    if name.startswith("titans_ts.support.") and ">>>" in module.path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted and not found.failed
