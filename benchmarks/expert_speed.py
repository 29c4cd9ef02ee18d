#!/usr/bin/env python
"""Cutoffs a second of each expert of the default forecast, on one core.

    python benchmarks/expert_speed.py

A cutoff is a forecast of one series from what lies before one step: 200 series of 600 steps with 64 cutoffs each, with
the seasons of monthly (horizon 12) and of hourly data (horizon 24). Where statsforecast is installed, its AutoETS,
AutoTheta and SeasonalNaive forecast the ends of 20 of the same series for comparison.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from titans_ts.forecasting.experts.mixture import ExpertMixture, default_experts
from titans_ts.forecasting.experts.panel import FloatArray, Panel

SERIES, LENGTH, CUTOFFS = 200, 600, 64
PEERS = ("AutoETS", "AutoTheta", "SeasonalNaive")


def main() -> None:
    """Print a line an expert and one for the whole mixture."""
    for season, second in ((12, 0), (24, 168)):
        compare(season, second)


def compare(season: int, second: int) -> None:
    """Print the rates for one kind of data; the horizon is a season."""
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * np.arange(LENGTH) / season)
    history = 20 + wave + np.cumsum(rng.normal(0, 0.1, (SERIES, LENGTH)), axis=1) + rng.normal(0, 0.3, LENGTH)
    panel = Panel.of(history, season)
    cutoffs = list(range(LENGTH - 2 * CUTOFFS, LENGTH, 2))
    print(f"season {season}, horizon {season}")
    for expert in default_experts(season, second):
        seconds = cpu_seconds(partial(expert.drafts, panel, cutoffs, season))
        report(f"{type(expert).__name__} ({len(expert.names)} drafts)", SERIES * CUTOFFS / seconds)
    mixture = ExpertMixture(season, second, windows=CUTOFFS)
    found = mixture.forecast(history, season)
    seconds = cpu_seconds(partial(mixture.forecast, history, season))
    report(f"all {len(found.names)} drafts, weights and intervals", SERIES * (len(found.cutoffs) + 1) / seconds)
    peers(history[:20], season)


def peers(history: FloatArray, season: int) -> None:
    """Print cutoffs a second of statsforecast's models, where it is installed."""
    if find_spec("statsforecast") is None:
        return
    models = import_module("statsforecast.models")
    for name in PEERS:
        one = getattr(models, name)(season_length=season)
        one.forecast(y=history[0], h=season)  # compiles
        seconds = sum(cpu_seconds(partial(one.forecast, y=row, h=season)) for row in history)
        report(f"statsforecast {name}", len(history) / seconds)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def report(name: str, rate: float) -> None:
    """Print a line."""
    print(f"    {name:44s} {rate:10,.0f} cutoffs/s")


if __name__ == "__main__":
    main()
