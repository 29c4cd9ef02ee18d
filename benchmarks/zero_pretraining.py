#!/usr/bin/env python
"""Train the network that reads memories (`titans_ts.forecasting.reads`) on synthetic series alone.

    python benchmarks/zero_pretraining.py --minutes 60 --output zero.safetensors --pool kernels.npy --pool states.npy

A pool is an array (N, L) of series with unit deviation, in any floating type, NaN in front of shorter ones. Every pool
has an equal share of each batch. Minutes are CPU minutes of this process. Each step reads a batch at all boundaries,
8 steps apart, and takes the pinball loss at a sample of those after a visible part of random length, which alone
decides about scale, periods and zero. The file gets the running mean of the weights, every 250 steps; a file beside it,
with the suffix .state, what --resume needs.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor

from titans_datasets.writing import in_place_of
from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork, Series
from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.features import boundary_inputs
from titans_ts.forecasting.reads.periods import computed_periods
from titans_ts.forecasting.reads.series import BLOCK, take

# Steps forecast, and how often: short ones go with short series.
HORIZONS = (16, 16, 48, 48, 48, 96, 240, 720)
SHORT = 16
LENGTHS = (128, 256, 512)
# Future steps of one boundary that count at most, sampled from longer horizons.
SAMPLED = 24
BOUNDARIES = 24
DECAY = 0.998
WARM_UP, STABLE = 100, 0.5
SAVED = 250


def main() -> None:
    """Train for some CPU minutes and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="CPU minutes")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file of the weights")
    parser.add_argument(
        "--pool", type=Path, action="append", required=True, help=".npy file of series; may be repeated"
    )
    parser.add_argument("--length", type=int, default=1024, help="steps of a long series")
    parser.add_argument("--batch", type=int, default=12, help="series of that length in a batch")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the .state file beside the output")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(args.seed)
    training = Training(ReadingNetwork(ReadingConfig()), args.learning_rate, rng)
    if args.resume:
        training.load(args.output.with_suffix(".state"))
    pools = [np.load(path, mmap_mode="r") for path in args.pool]
    train(training, Sampler(pools, args.length, args.batch, rng), args.minutes, args.output)


class Batches(Protocol):
    """What a network is trained on."""

    def loss(self, network: ReadingNetwork) -> tuple[Tensor, int]:
        """Of a batch, and the number of boundaries that were read."""


class Training:
    """A network in training: AdamW with a warm-up, a stable and a falling rate, and the running mean of the weights.

    Args:
        network: at its start.
        peak: largest learning rate.
        rng: draws of numpy.
    """

    def __init__(self, network: ReadingNetwork, peak: float, rng: np.random.Generator) -> None:
        self.network, self.peak, self.rng = network, peak, rng
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.02)
        self.average = copy.deepcopy(network)
        self.step_number, self.boundaries, self.seconds = 0, 0, 0.0

    def step(self, sampler: Batches, share: float) -> float:
        """One step, after that share of the whole training; returns its loss."""
        rate = self.peak * min(1, (self.step_number + 1) / WARM_UP) * min(1, (1 - share) / (1 - STABLE))
        for group in self.optimizer.param_groups:
            group["lr"] = max(rate, 1e-6)
        loss, boundaries = sampler.loss(self.network)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step_number += 1
        self.boundaries += boundaries
        self._update_average()
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss of step {self.step_number} is {loss.item()}")
        return loss.item()

    @torch.no_grad()
    def _update_average(self) -> None:
        # With the full decay an early mean would stay near the start.
        kept = min(DECAY, self.step_number / (self.step_number + 10))
        for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(weight, 1 - kept)

    def save(self, path: Path) -> None:
        """Write all that a resumed training needs, its draws included; a file that is there is replaced at once."""
        state = {name: getattr(self, name).state_dict() for name in ("network", "optimizer", "average")}
        state |= {name: getattr(self, name) for name in ("step_number", "boundaries", "seconds")}
        with in_place_of(path) as beside:
            torch.save(state | {"torch": torch.get_rng_state(), "numpy": self.rng.bit_generator.state}, beside)

    def load(self, path: Path) -> None:
        """Go on where `save` was called."""
        state = torch.load(path)
        for name in ("network", "optimizer", "average"):
            getattr(self, name).load_state_dict(state[name])
        self.step_number, self.boundaries, self.seconds = (state[x] for x in ("step_number", "boundaries", "seconds"))
        torch.set_rng_state(state["torch"])
        self.rng.bit_generator.state = state["numpy"]


def train(training: Training, sampler: Batches, minutes: float, output: Path) -> None:
    """Train until so many CPU minutes are spent; weights and state are written every `SAVED` steps."""
    losses: list[float] = []
    spent, start = training.seconds, time.process_time()
    while (share := training.seconds / 60 / minutes) < 1:
        losses.append(training.step(sampler, share))
        training.seconds = spent + time.process_time() - start
        if training.step_number % 100 == 0:
            speed = training.boundaries / training.seconds
            told = f"step {training.step_number}  {training.seconds / 60:.1f} min  loss {np.mean(losses[-200:]):.4f}"
            print(f"{told}  {speed:.0f} boundaries/s", flush=True)
        if training.step_number % SAVED == 0:
            training.average.save(output)
            training.save(output.with_suffix(".state"))
    training.average.save(output)
    training.save(output.with_suffix(".state"))
    print(f"{training.step_number} steps, loss {np.mean(losses[-200:]):.4f}: {output}")


class Sampler:
    """Batches of windows from pools.

    Args:
        pools: arrays (N, L).
        length: steps of a long window.
        size: windows of that length in a batch; shorter ones are up to four times as many.
        rng: draws.
    """

    def __init__(self, pools: Sequence[np.ndarray], length: int, size: int, rng: np.random.Generator) -> None:
        self.pools, self.length, self.size, self.rng = pools, length, size, rng
        self.first = [np.concatenate([first_known(part) for part in parts(pool)]) for pool in pools]

    def batch(self) -> tuple[Tensor, int]:
        """Windows (B, T + horizon), NaN in front of short series, and the horizon.

        Raises:
            ValueError: no series is long enough for the horizon.
        """
        rng = self.rng
        horizon = int(rng.choice(HORIZONS))
        length = 128 if horizon == SHORT else self.length if rng.random() < 0.6 else int(rng.choice(LENGTHS))
        count = int(self.size * min(4, self.length / length))
        # Series with some steps before the horizon; a pool of short ones has none for long horizons.
        fit = [
            np.flatnonzero(pool.shape[1] - first >= horizon + 12)
            for pool, first in zip(self.pools, self.first, strict=True)
        ]
        usable = [number for number, rows in enumerate(fit) if len(rows)]
        if not usable:
            raise ValueError(f"no series has {horizon + 12} steps, which horizon {horizon} needs: add longer ones")
        rows = []
        for at in range(count):
            pool = usable[at % len(usable)]
            rows.append(self._window(pool, int(rng.choice(fit[pool])), length + horizon))
        values = torch.tensor(np.stack(rows))
        return (-values if rng.random() < 0.5 else values), horizon

    def loss(self, network: ReadingNetwork) -> tuple[Tensor, int]:
        """Of a batch, and the number of boundaries that were read."""
        return sampled_loss(network, *self.batch(), self.rng)

    def _window(self, pool: int, row: int, steps: int) -> np.ndarray:
        """A window (steps,) of a series; where it is shorter, all of it with NaN in front."""
        series, first = self.pools[pool][row], self.first[pool][row]
        earliest = min(len(series), max(first + steps, steps))
        end = int(self.rng.integers(earliest, len(series) + 1))
        window = series[max(0, end - steps) : end].astype(np.float32)
        return np.pad(window, (steps - len(window), 0), constant_values=np.nan)


def parts(pool: np.ndarray) -> Iterator[np.ndarray]:
    """A pool in pieces that fit into memory."""
    for first in range(0, len(pool), 1024):
        yield pool[first : first + 1024]


def first_known(series: np.ndarray) -> np.ndarray:
    """The first finite step of each series (N, L); L where there is none."""
    known = np.isfinite(series)
    return np.where(known.any(axis=1), known.argmax(axis=1), series.shape[1])


def sampled_loss(network: ReadingNetwork, values: Tensor, horizon: int, rng: np.random.Generator) -> tuple[Tensor, int]:
    """Loss of windows (B, T + horizon), and the number of boundaries that were read."""
    count, length = len(values), values.shape[1] - horizon
    observed, visible = hidden(values, length, rng)
    seen = observed * (torch.arange(values.shape[1]) < visible[:, None])
    values = normalised(values.nan_to_num(), seen).clamp(-30, 30) * observed
    periods = computed_periods(values.numpy(), observed.numpy() > 0, visible.tolist())
    periods[rng.random(count) < 0.08] = 0
    series = Series.of(
        values[:, :length], observed[:, :length], torch.tensor(periods).float(), zeros(values, seen, rng)
    )
    boundaries = length // BLOCK
    earliest = (visible - 1) // BLOCK
    places = (
        earliest[:, None] + (torch.rand(count, min(BOUNDARIES, boundaries)) * (boundaries - earliest)[:, None]).long()
    )
    places = places.clamp(0, boundaries - 1)
    places[:, 0] = earliest.clamp_max(boundaries - 1)
    steps = sampled_steps(horizon)
    at = Boundaries.of(series, boundaries)
    columns = at.chosen(places).times(steps)
    inputs = boundary_inputs(at, places, steps)
    return network.loss(inputs, steps, take(values, columns), take(observed, columns)), count * boundaries


def hidden(values: Tensor, length: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """What is observed (B, T) after gaps and late starts, and how many steps are visible (B,)."""
    count = len(values)
    observed = torch.ones_like(values)
    if rng.random() < 0.3:
        share = torch.rand(count, 1) * 0.3 * (torch.rand(count, 1) < 0.3)
        observed = (torch.rand_like(values) >= share).float()
    start = ((length - 24) * torch.rand(count).pow(0.35)).long() * (torch.rand(count) < 0.65)
    missing = values.isnan().sum(1)
    start = torch.where(missing > 0, missing, start).clamp_max(length - 9)
    observed = observed * (torch.arange(values.shape[1]) >= start[:, None])
    visible = start + 8 + (torch.rand(count) * (length - start - 8).clamp_min(1)).long()
    return observed, visible.clamp_max(length)


def normalised(values: Tensor, seen: Tensor) -> Tensor:
    """Values (B, T) less the mean of the visible ones, over their deviation."""
    number = seen.sum(1, keepdim=True).clamp_min(1)
    mean = (values * seen).sum(1, keepdim=True) / number
    deviation = (((values - mean) ** 2 * seen).sum(1, keepdim=True) / number).sqrt().clamp_min(1e-4)
    return (values - mean) / deviation


def zeros(values: Tensor, seen: Tensor, rng: np.random.Generator) -> Tensor:
    """A zero (B,) below what is visible of about half of the series, at a hundredth to twice its range; else NaN."""
    low = torch.where(seen > 0, values, torch.inf).amin(1)
    high = torch.where(seen > 0, values, -torch.inf).amax(1)
    zero = low - (high - low) * 10 ** (torch.rand(len(values)) * 2.3 - 2)
    return torch.where((torch.rand(len(values)) < 0.55) & zero.isfinite(), zero, torch.nan)


def sampled_steps(horizon: int) -> Tensor:
    """All steps of a short horizon; of a long one some everywhere and some more near its beginning."""
    if horizon <= SAMPLED:
        return torch.arange(1, horizon + 1)
    even = torch.randint(1, horizon + 1, (SAMPLED * 5 // 8,))
    near = (horizon ** torch.rand(SAMPLED * 3 // 8)).long().clamp(1, horizon)
    return torch.unique(torch.cat([even, near]))


if __name__ == "__main__":
    main()
