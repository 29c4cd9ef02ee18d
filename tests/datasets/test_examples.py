"""The examples in docstrings run, and every public class and function that can have one without a network has one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import Any

import pytest

import titans_datasets
from titans_datasets import builtin, dna, series

MODULES = [module.name for module in pkgutil.walk_packages(titans_datasets.__path__, "titans_datasets.")]
# They need files from outside, or are results, warnings or names of others' arguments.
WITHOUT = {
    *("electricity_price", "long_horizon", "m4", "monash", "fetch"),
    *("benchmark", "benchmark_names", "ecoli_promoters", "gue", "reference_genome", "uci_splice", "IndexedGenome"),
    *("rrna_genus", "value_benchmark"),
    *("read_vcf", "Genome", "DNATask", "ChromosomeSplit", "ReadingFrame", "Window", "LabelledSequences", "DNARecord"),
    *("SyntheticSpec", "BuiltinSet", "PREFIX", "describe", "dna_file", "load", "schema"),
    *("DNAWarning", "SeriesWarning", "ShortSeriesWarning"),
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


@pytest.mark.parametrize("door", [series, dna, builtin])
def test_public_names_have_an_example(door: Any) -> None:
    lacking = [name for name in door.__all__ if ">>>" not in (getattr(door, name).__doc__ or "")]
    assert set(lacking) <= WITHOUT
