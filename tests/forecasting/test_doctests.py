"""The examples in docstrings of `titans_ts.forecasting` run as they stand."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.source_tree import SourceTree

MODULES = [
    name
    for name, module in SourceTree().modules.items()
    if name.startswith("titans_ts.forecasting.") and ">>>" in module.path.read_text(encoding="utf-8")
]
# Adapters of packages that need not be there.
OPTIONAL = ("titans_ts.forecasting.fev.", "titans_ts.forecasting.sktime.")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if name.startswith(OPTIONAL):
            pytest.skip(str(error))
        raise
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
