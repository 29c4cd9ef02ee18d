#!/usr/bin/env python
"""What a stream of reads costs per observation, and whether that stays constant: a million observations.

    python benchmarks/reads_streaming.py                 # sizes and drafts of a network before training
    python benchmarks/reads_streaming.py --weights FILE  # of a trained one

An hourly series with seasons of a day and a week, one value in fifty missing, one thread. Each line has the CPU time of
an observation on the way from one count to the next, in blocks of 1,000 and one by one (of the latter the last 10,000
before each count; the rest comes in blocks), the CPU time of a forecast of 24 steps, and the bytes of the state. At
20,000 steps the forecast is compared with a reading of all of them at once: the largest difference of any quantile, in
standard deviations of the series.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import torch

from titans_ts.forecasting.reads import ForecastOptions, ReadingConfig, ReadingNetwork, forecast
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import SLOTS, ExpertDrafts
from titans_ts.forecasting.reads.streaming.stream import ReadingStream

COUNTS = (1_000, 10_000, 100_000, 1_000_000)
BLOCK, SINGLE, FORECASTS, COMPARED, HORIZON = 1_000, 10_000, 10, 20_000, 24
DAY, WEEK = 24, 168


def observations(steps: int) -> npt.NDArray[np.float64]:
    """Seasons of a day and a week on a level that wanders (T,)."""
    rng = np.random.default_rng(0)
    time_ = np.arange(steps)
    seasons = 10 * np.sin(2 * np.pi * time_ / DAY) + 5 * np.sin(2 * np.pi * time_ / WEEK)
    values = 100 + seasons + rng.normal(size=steps) + 0.02 * rng.normal(size=steps).cumsum()
    values[rng.random(steps) < 0.02] = np.nan
    return values


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="safetensors file of benchmarks/zero_pretraining.py")
    parser.add_argument("--experts", action="store_true", help="without --weights: with the experts' drafts")
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = ReadingConfig((*NAMES, *SLOTS) if args.experts else NAMES)
    network = ReadingNetwork.load(args.weights) if args.weights else ReadingNetwork(config).eval()
    values = observations(COUNTS[-1])
    blocks, singles = (ReadingStream(network, 1, DAY, WEEK) for _ in range(2))
    print("observations  µs in blocks  µs one by one  ms a forecast  bytes of the state")
    before = 0
    for count in COUNTS:
        in_blocks = observe(blocks, values[before:count], BLOCK)
        apart = max(before, count - SINGLE)
        observe(singles, values[before:apart], BLOCK)
        one_by_one = observe(singles, values[apart:count], 1)
        spent = time.process_time()
        for _ in range(FORECASTS):
            blocks.forecast(HORIZON)
        spent = (time.process_time() - spent) / FORECASTS
        print(
            f"{count:12,} {in_blocks:13.2f} {one_by_one:14.2f} {1e3 * spent:14.1f} {blocks.state_bytes:19,}", flush=True
        )
        before = count
    same = np.array_equal(blocks.forecast(HORIZON), singles.forecast(HORIZON))
    print(f"forecasts after both ways of observing are {'equal to the bit' if same else 'NOT equal'}")
    print(f"largest difference to reading all of {COMPARED:,} steps: {difference(network, values[:COMPARED]):.1e} sd")


def observe(stream: ReadingStream, values: npt.NDArray[np.float64], size: int) -> float:
    """CPU microseconds an observation, so many at a time."""
    started = time.process_time()
    for first in range(0, len(values), size):
        stream.observe(values[first : first + size])
    return 1e6 * (time.process_time() - started) / max(1, len(values))


def difference(network: ReadingNetwork, values: npt.NDArray[np.float64]) -> float:
    """Of the forecast of a stream and that of all steps read at once."""
    stream = ReadingStream(network, 1, DAY, WEEK)
    stream.observe(values)
    given = ExpertDrafts(DAY, WEEK) if network.config.drafts != NAMES else None
    options = ForecastOptions(second=WEEK, contexts=(len(values),))
    whole = forecast(network, [values], HORIZON, DAY, given=given, options=options)
    return float(np.abs(stream.forecast(HORIZON) - whole).max() / np.nanstd(values))


if __name__ == "__main__":
    main()
