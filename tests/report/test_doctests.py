"""Every example of the reports runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import titans_ts.report

MODULES = [module.name for module in pkgutil.iter_modules(titans_ts.report.__path__, "titans_ts.report.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_are(name: str) -> None:
    assert importlib.import_module(name).__doc__
