#!/usr/bin/env python
"""Errors of the pretrained weights against the length of the history that they read, on six public sets.

    python benchmarks/zero_history.py --data DIR

The last windows of each series, horizon 48, the same for all lengths. A column has the mean of the logarithms of the
ratios of quantile losses to those after 256 steps, in percent, with ±95 % over the windows of the set: below 0 the
memory of what lies before the last 256 steps pays, and where the interval does not reach 0 it does so beyond chance.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from neural_memory_data import HORIZON, real_series

from titans_ts.forecasting.experts.shares import window_losses
from titans_ts.forecasting.pretrained import PretrainedReads
from titans_ts.forecasting.reads.network import LEVELS

LENGTHS = (256, 1024, 4096, 16384)


def main() -> None:
    """Print a line a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TITANS_TS_DATA"), help="folder of the archives")
    parser.add_argument("--windows", type=int, default=12, help="of each series")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or $TITANS_TS_DATA must name the folder of the archives")
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for held in real_series(Path(args.data), args.windows):
        for end in held.ends:
            first = None
            for length in LENGTHS:
                history = held.history(end, length)
                if history is None or not np.isfinite(held.values[end : end + HORIZON]).any():
                    continue
                reads = PretrainedReads(held.season, 7 * held.season, contexts=(length,))
                quantiles = reads.quantiles([history], HORIZON, LEVELS)
                actual = held.values[None, end : end + HORIZON]
                loss = float(window_losses(quantiles, actual, np.ones(1), LEVELS)[0])
                first = loss if first is None else first
                found[held.group, length].append(np.log(loss / first))
    print(f"{'set':10s} windows " + " ".join(f"{length:>14,}" for length in LENGTHS[1:]))
    for group in dict.fromkeys(group for group, _ in found):
        cells = [percent(found[group, length]) for length in LENGTHS[1:]]
        print(f"{group:10s} {len(found[group, LENGTHS[0]]):7d} " + " ".join(f"{cell:>14s}" for cell in cells))


def percent(logs: list[float]) -> str:
    """Mean and half of the 95 % interval of logarithms, as changes in percent."""
    if len(logs) < 2:
        return "–"
    mean, half = float(np.mean(logs)), 1.96 * float(np.std(logs, ddof=1)) / len(logs) ** 0.5
    return f"{100 * np.expm1(mean):+.0f} ± {100 * half:.0f} %"


if __name__ == "__main__":
    main()
