#!/usr/bin/env python
"""CPU seconds of forecasts without training: pretrained weights alone, and with the experts, beside peers.

    python benchmarks/zero_speed.py                       # 1,000 series of 500 points, horizon 48
    python benchmarks/zero_speed.py --series 100 --points 2000 --peer Fracast --peer FLAIR

One process, one thread; imports and weights are not counted. Peers need pip install "titans-ts[peers]".
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from titans_recipes.suite.forecasters import OURS
from titans_recipes.suite.peers import PEERS
from titans_recipes.suite.protocol import Forecaster
from titans_recipes.suite.tasks import SuiteTask
from titans_recipes.suite.windows import windows

PERIOD = 24


def main() -> None:
    """Print a line a forecaster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--points", type=int, default=500)
    parser.add_argument("--horizon", type=int, default=48)
    parser.add_argument("--peer", action="append", default=[], choices=PEERS, help="may be repeated")
    args = parser.parse_args()
    torch.set_num_threads(1)
    task = panel(args.series, args.points, args.horizon)
    zero = {"max_steps": 0, "options": {"network": False}}
    made: dict[str, Forecaster] = {
        "pretrained weights alone": OURS["reads"](task, {}, 0),
        "expert mixture": OURS["experts"](task, {}, 0),
        "from_pretrained: fit and predict": OURS["titans"](task, zero, 0),
        **{name: PEERS[name].make(task, 0) for name in args.peer},
    }
    print(f"{args.series:,} series of {args.points:,} points, horizon {args.horizon}; CPU seconds")
    for name, forecaster in made.items():
        (window,) = windows(task)
        _ = window.histories, window.actual
        small = panel(2, args.points, args.horizon)
        # Whatever is loaded at first use.
        OURS["reads"](small, {}, 0)(next(windows(small)))
        start = time.process_time()
        forecaster(window)
        print(f"{name:34s} {time.process_time() - start:8.1f}", flush=True)


def panel(series: int, points: int, horizon: int) -> SuiteTask:
    """Hourly series with a day, a week, a walk and noise, all above 0."""
    rng = np.random.default_rng(0)
    steps = np.arange(points + horizon)
    days = rng.normal(size=(series, PERIOD)).cumsum(1)[:, steps % PERIOD]
    weeks = rng.normal(size=(series, 7))[:, steps // PERIOD % 7]
    values = (
        days + weeks + 0.1 * rng.normal(size=(series, len(steps))).cumsum(1) + rng.normal(size=(series, len(steps)))
    )
    values = values - values.min(1, keepdims=True) + 1
    return SuiteTask("defaults", "speed", list(values), horizon, PERIOD, 1, "h")


if __name__ == "__main__":
    main()
