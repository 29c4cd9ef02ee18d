"""Every example of the kernels and of the core runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

PACKAGES = ("titans_kernels", "titans_ts.core")
# Modules of Triton kernels are of no use where it is not installed; the benchmarks are commands.
SKIPPED = ("triton", "launchers", "operators", "bench")


def modules() -> list[str]:
    found = []
    for package in map(importlib.import_module, PACKAGES):
        inner = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        found += [package.__name__, *(module.name for module in inner)]
    return [name for name in found if not any(part.startswith(SKIPPED) for part in name.split("."))]


@pytest.mark.parametrize("name", modules())
def test_examples_run(name: str) -> None:
    torch.manual_seed(0)
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0
