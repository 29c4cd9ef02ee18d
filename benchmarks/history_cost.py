#!/usr/bin/env python
"""What a gradient step costs as the history gets longer: the network of the `*_history` recipes beside PatchTST.

    python benchmarks/history_cost.py --csv benchmarks/history_cost.csv

Both cut the history into patches of 32 steps and have 2 layers of width 32 with 4 heads; horizon 96, batches of 32
random windows. Ours is MAG: attention over 64 patches beside a deep memory, with the closed-form linear part of the
last 720 steps. PatchTST is gluonts' network with its defaults otherwise: attention over all patches. A step is loss and
backward; samples of both are alternated, in CPU seconds of the process, one thread. Peak memory is the growth of the
resident set in its own process.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from titans_kernels.bench.child import peak, settle
from titans_ts.core.config import MemoryConfig, TitansConfig
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.support.run_log import append_csv, machine

LOOKBACKS = (96, 512, 2048, 8192)
HORIZON, BATCH, PATCH, WIDTH, LAYERS, HEADS = 96, 32, 32, 32, 2, 4
NAMES = ("titans", "patchtst")


def titans(lookback: int) -> Callable[[], None]:
    """One gradient of our network."""
    backbone = TitansConfig(
        block="mag", width=WIDTH, layers=LAYERS, heads=HEADS, window=64, dropout=0.2, memory=MemoryConfig(expansion=1)
    )
    config = NetworkConfig(
        lookback, HORIZON, patch_length=PATCH, patch_stride=PATCH, season=96, head="point", backbone=backbone
    )
    network = ForecastNetwork(config).train()
    with torch.no_grad():
        # A fresh head gives nothing, and a network that gives nothing is not run.
        network.from_last.weight.normal_(std=0.1)
    batch = {
        "past_target": torch.randn(BATCH, lookback),
        "past_observed_values": torch.ones(BATCH, lookback),
        "past_time_feat": torch.zeros(BATCH, lookback, 0),
        "past_feat_dynamic_real": torch.zeros(BATCH, lookback, 0),
        "future_time_feat": torch.zeros(BATCH, HORIZON, 0),
        "future_target": torch.randn(BATCH, HORIZON),
        "future_observed_values": torch.ones(BATCH, HORIZON),
    }

    def step() -> None:
        network.zero_grad()
        network.loss(batch).backward()

    return step


def patchtst(lookback: int) -> Callable[[], None]:
    """One gradient of gluonts' PatchTST."""
    from gluonts.torch.model.patch_tst.module import PatchTSTModel

    network = PatchTSTModel(
        prediction_length=HORIZON,
        context_length=lookback,
        patch_len=PATCH,
        stride=PATCH,
        padding_patch="end",
        d_model=WIDTH,
        nhead=HEADS,
        dim_feedforward=4 * WIDTH,
        num_feat_dynamic_real=0,
        dropout=0.2,
        activation="relu",
        norm_first=False,
        num_encoder_layers=LAYERS,
        scaling="std",
    ).train()
    past, seen, future = torch.randn(BATCH, lookback), torch.ones(BATCH, lookback), torch.randn(BATCH, HORIZON)

    def step() -> None:
        network.zero_grad()
        args, loc, scale = network(past, seen)
        distribution = network.distr_output.distribution(args, loc=loc, scale=scale)
        (-distribution.log_prob(future)).mean().backward()

    return step


MODELS: dict[str, Callable[[int], Callable[[], None]]] = {"titans": titans, "patchtst": patchtst}


def seconds_per_step(lookback: int, samples: int) -> dict[str, float]:
    """Median CPU seconds of one step of each model."""
    steps = {name: make(lookback) for name, make in MODELS.items()}
    found: dict[str, list[float]] = {name: [] for name in steps}
    for sample in range(samples + 1):
        for name, step in steps.items():
            started = time.process_time()
            step()
            if sample:
                found[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in found.items()}


def peak_mib(name: str, lookback: int) -> float:
    """Growth of the resident set over two steps, measured in a fresh process."""
    command = [sys.executable, __file__, "--peak", name, "--lookbacks", str(lookback)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def own_peak(name: str, lookback: int) -> float:
    """The same, in this process; NaN where the system does not report it."""
    step, cpu = MODELS[name](lookback), torch.device("cpu")
    before = settle(cpu)
    step()
    step()
    reached = peak(cpu)
    return math.nan if before is None or reached is None else (reached - before) / 2**20


def main() -> None:
    """Measure, print a table, append it to the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lookbacks", type=lambda text: [int(n) for n in text.split(",")], default=list(LOOKBACKS))
    parser.add_argument("--samples", type=int, default=7)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--peak", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.peak:
        print(own_peak(arguments.peak, arguments.lookbacks[0]))
        return
    rows: list[dict[str, Any]] = []
    print(f"{'lookback':>8}  {'titans s':>9}  {'MiB':>6}  {'PatchTST s':>10}  {'MiB':>6}")
    for lookback in arguments.lookbacks:
        found = seconds_per_step(lookback, arguments.samples)
        peaks = {name: peak_mib(name, lookback) for name in NAMES}
        print(
            f"{lookback:>8,}  {found['titans']:>9.4f}  {peaks['titans']:>6.0f}  {found['patchtst']:>10.4f}  "
            f"{peaks['patchtst']:>6.0f}",
            flush=True,
        )
        rows += [
            {
                "machine": machine(),
                "torch": torch.__version__,
                "gluonts": version("gluonts"),
                "model": name,
                "lookback": lookback,
                "seconds_per_step": round(found[name], 5),
                "peak_mib": round(peaks[name], 1),
            }
            for name in NAMES
        ]
    if arguments.csv:
        append_csv(arguments.csv, list(rows[0]), rows)


if __name__ == "__main__":
    main()
