"""The examples in the docstrings of the reads run as they are written."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["expert_drafts", "forecast", "memories.phase_memory", "network", "series"])
def test_examples(name):
    found = doctest.testmod(import_module(f"titans_ts.forecasting.reads.{name}"))
    assert found.attempted and not found.failed
