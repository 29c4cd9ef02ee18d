"""All families by name, in the order of their indices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from titans_datasets.series.generators.draws import FloatArray
from titans_datasets.series.generators.families.autoregressive import autoregressive
from titans_datasets.series.generators.families.calendar_products import calendar_products
from titans_datasets.series.generators.families.causal import causal
from titans_datasets.series.generators.families.counts import counts
from titans_datasets.series.generators.families.growth import growth
from titans_datasets.series.generators.families.kernels import kernels
from titans_datasets.series.generators.families.pulses import pulses
from titans_datasets.series.generators.families.regimes import regimes
from titans_datasets.series.generators.families.structural import structural
from titans_datasets.series.generators.families.templates import templates

# (rng, count, length) -> series (count, length), finite float64, in the units that the family states.
Family = Callable[[np.random.Generator, int, int], FloatArray]

FAMILIES: dict[str, Family] = {
    "structural": structural,
    "kernels": kernels,
    "calendar_products": calendar_products,
    "regimes": regimes,
    "causal": causal,
    "templates": templates,
    "pulses": pulses,
    "autoregressive": autoregressive,
    "counts": counts,
    "growth": growth,
}


def family_names(families: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The names given, checked, or all of them.

    Raises:
        ValueError: for no name, a name twice or an unknown name.
    """
    if families is None:
        return tuple(FAMILIES)
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise ValueError(f"unknown family {unknown[0]!r}; choose from {', '.join(FAMILIES)}")
    if not families or len(set(families)) < len(families):
        raise ValueError(f"families must be different names, at least one, got {families!r}")
    return tuple(families)
