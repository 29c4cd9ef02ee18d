#!/usr/bin/env python
"""Pools of generated series with the experts' drafts, and the training of a network of reads on them.

    python benchmarks/zero_experts.py pools --folder DIR --share 1.0
    python benchmarks/zero_experts.py train --folder DIR --minutes 12 --output FILE --start zero.safetensors

Drafts are made once, at the last 31 boundaries of each series, and stored as float16 in units of the series. Training
goes on from a network that knows the drafts of the memories alone (`zero_pretraining.py`); what is new of its inputs
begins at 0. `benchmarks/zero.py` evaluates the result.
"""

from __future__ import annotations

import argparse
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor
from zero_pretraining import Training, normalised, sampled_steps, train

from titans_datasets.series.generators import generate
from titans_datasets.series.generators.components import profiles
from titans_datasets.series.generators.draws import log_uniform
from titans_ts.forecasting.reads import ReadingConfig, ReadingNetwork, Series
from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import MIXED, SLOTS, ExpertDrafts
from titans_ts.forecasting.reads.features import NEAR, RECENT, SHARED, SUMMARY, boundary_inputs
from titans_ts.forecasting.reads.held_out import KINDS, NEEDED, SPAN
from titans_ts.forecasting.reads.periods import chosen_periods, computed_periods
from titans_ts.forecasting.reads.series import BLOCK, take

# In units of a series, and the least unit of what is visible of it.
LARGEST, LEAST_SCALE = 30.0, 0.02
LONGEST_SEASON = 168
BOUNDARIES = 12
FLIPPED = 0.25
PART = 64
# Of the two mixtures in the network's first weights, as logarithms.
TRUST = 2.0


@dataclass(frozen=True)
class Pool:
    """Series of one pool.

    Attributes:
        count: series.
        length: steps L before the last boundary; shorter series have NaN in front.
        shortest: steps of the shortest.
        ahead: steps after it.
        seasons: of business series, drawn; none for those of the generators, whose periods are computed.
        share: of the batches.
        families: of the generators, all for None.
    """

    count: int
    length: int
    shortest: int
    ahead: int
    seasons: tuple[int, ...]
    share: float
    families: tuple[str, ...] | None = None


POOLS = {
    "short": Pool(2000, 64, 12, 16, (1, 1, 1, 4, 4, 12), 0.25),
    "business": Pool(1200, 160, 32, 32, (1, 4, 7, 12, 12, 12, 52), 0.2),
    "noisy": Pool(1200, 128, 24, 24, (), 0.15, ("counts", "structural", "autoregressive", "regimes")),
    "middle": Pool(1200, 256, 24, 48, (), 0.15),
    "long": Pool(800, 768, 128, 48, (), 0.15),
    "far": Pool(400, 768, 128, 240, (), 0.1),
}


def main() -> None:
    """Make pools, or train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("pools", "train"))
    parser.add_argument("--folder", type=Path, required=True, action="append", help="of pools; may be repeated")
    parser.add_argument("--share", type=float, default=1.0, help="of the series of each pool")
    parser.add_argument("--minutes", type=float, default=12.0, help="CPU minutes")
    parser.add_argument("--output", type=Path, help="safetensors file of the weights")
    parser.add_argument("--start", type=Path, help="weights of zero_pretraining.py to go on from")
    parser.add_argument("--batch", type=int, default=40, help="series of a batch")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the .state file beside the output")
    args = parser.parse_args()
    if args.verb == "pools":
        for name, pool in POOLS.items():
            seed = args.seed + zlib.crc32(name.encode()) % 1000
            made = with_drafts(*generated(pool, max(1, round(args.share * pool.count)), seed), pool)
            np.savez(args.folder[0] / f"{name}.npz", **made)
            print(name, {key: value.shape for key, value in made.items()}, flush=True)
        return
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(args.seed)
    network = ReadingNetwork(ReadingConfig((*NAMES, *SLOTS)))
    if args.start:
        network = widened(ReadingNetwork.load(args.start), network).train()
    training = Training(network, args.learning_rate, rng)
    if args.resume:
        training.load(args.output.with_suffix(".state"))
    train(training, ExpertBatches(args.folder, args.batch, rng), args.minutes, args.output)


def generated(pool: Pool, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Series (N, L + ahead), NaN in front of shorter ones, and their seasons (N,)."""
    rng = np.random.default_rng(seed)
    if pool.seasons:
        seasons = rng.choice(pool.seasons, count)
        values = business(rng, seasons, pool.length + pool.ahead)
    else:
        values = generate(count, pool.length + pool.ahead, seed=seed, families=pool.families).values.astype(np.float64)
        seasons = np.zeros(count, dtype=int)
    lengths = log_uniform(rng, pool.shortest, pool.length, count).astype(int)
    values[np.arange(values.shape[1]) < (pool.length - lengths)[:, None]] = np.nan
    past = values[:, : pool.length]
    with np.errstate(invalid="ignore"):
        seen = np.isfinite(past)
        kept = seen.sum(1) >= 8
        kept[kept] = np.nanstd(past[kept], 1) > 1e-6 * np.abs(np.nanmean(past[kept], 1))
    values, seasons, seen = values[kept], seasons[kept], seen[kept]
    if not pool.seasons:
        scaled = normalised(torch.tensor(values[:, : pool.length]).nan_to_num(), torch.tensor(seen * 1.0)).numpy()
        periods = computed_periods(scaled * seen, seen)[:, 0].round().astype(int)
        unknown = rng.choice((1, 1, 4, 7, 12, 24), len(values))
        seasons = np.where((periods >= 2) & (periods <= LONGEST_SEASON), periods, unknown)
    return values, seasons


def business(rng: np.random.Generator, seasons: np.ndarray, length: int) -> np.ndarray:
    """Series (N, T) of a level, a season and noise: half drift lastingly, most grow in logarithms, some are counts."""
    count = len(seasons)

    def normal(low: float, high: float) -> np.ndarray:
        return rng.standard_normal((count, length)) * log_uniform(rng, low, high, (count, 1))

    steps = np.arange(length)
    kept = rng.uniform(0.7, 1.0, (count, 1))
    slope = np.zeros((count, length))
    slope[:, 0] = rng.standard_normal(count) * log_uniform(rng, 0.05, 1.0, count)
    changes = normal(0.01, 0.3) * (rng.random((count, 1)) < 0.5)
    lasting = rng.standard_normal((count, 1)) * log_uniform(rng, 0.05, 1.2, (count, 1)) + 0.2
    for step in steps[1:]:
        slope[:, step] = kept[:, 0] * slope[:, step - 1] + changes[:, step]
    per_season = np.sqrt(seasons)[:, None]
    level = ((slope + lasting * (rng.random((count, 1)) < 0.5)) / per_season).cumsum(1)
    level += (normal(0.1, 1.0) * (rng.random((count, 1)) < 0.7) / per_season).cumsum(1)
    shapes = profiles(rng, seasons) * log_uniform(rng, 0.2, 6.0, (count, 1))
    moved = np.where(seasons[:, None] > 1, shapes[np.arange(count)[:, None], steps % seasons[:, None]], 0.0)
    values = level + moved + normal(0.02, 1.0)
    spread = values.std(1, keepdims=True) + 1e-9
    logs = (values - values[:, :1]) / spread * log_uniform(rng, 0.03, 0.8, (count, 1))
    floor = (values - values.min(1, keepdims=True)) / spread + log_uniform(rng, 0.05, 20.0, (count, 1))
    kind = rng.random((count, 1))
    grown = np.exp(np.clip(logs, -6, 6))
    counted = rng.poisson(grown * log_uniform(rng, 2.0, 200.0, (count, 1))).astype(np.float64)
    return np.select([kind < 0.45, kind < 0.65, kind < 0.9], [grown, counted, floor], values)


def with_drafts(values: np.ndarray, seasons: np.ndarray, pool: Pool) -> dict[str, np.ndarray]:
    """Values, zeros and drafts in units of the series, and seasons."""
    past = values[:, : pool.length]
    mean, deviation = np.nanmean(past, 1), np.nanstd(past, 1)
    boundaries = min(NEEDED, pool.length // BLOCK)
    cutoffs = [BLOCK * back for back in range(boundaries - 1, -1, -1)]
    steps = max(SPAN, pool.ahead)
    drafts = np.zeros((len(values), boundaries, len(SLOTS), steps), dtype=np.float16)
    for season in np.unique(seasons):
        rows = np.flatnonzero(seasons == season)
        for part in np.split(rows, range(PART, len(rows), PART)):
            found = ExpertDrafts(int(season))(list(past[part]), cutoffs, steps)
            found = (found - mean[part, None, None, None]) / deviation[part, None, None, None]
            drafts[part] = np.clip(np.nan_to_num(found), -LARGEST, LARGEST)
    zeros = np.where(np.nanmin(past, 1) >= 0, -mean / deviation, np.nan)
    scaled = np.clip((values - mean[:, None]) / deviation[:, None], -LARGEST, LARGEST)
    return {"values": scaled.astype(np.float32), "zeros": zeros, "drafts": drafts, "seasons": seasons}


class ExpertBatches:
    """Batches of pools.

    Args:
        folders: in which they are; those of one name are put together.
        size: series of a batch.
        rng: draws.
    """

    def __init__(self, folders: Sequence[Path], size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.pools = {name: together([folder / f"{name}.npz" for folder in folders]) for name in POOLS}

    def loss(self, network: ReadingNetwork) -> tuple[Tensor, int]:
        """At boundaries after a visible part, which alone decides about scale and periods, and how many were read."""
        name = str(self.rng.choice(list(POOLS), p=[pool.share for pool in POOLS.values()]))
        pool, stored = POOLS[name], self.pools[name]
        rows = self.rng.choice(len(stored["values"]), min(self.size, len(stored["values"])), replace=False)
        parts = (torch.tensor(stored[part][rows]).float() for part in ("values", "zeros", "drafts"))
        batch = Batch(*parts).seen_until_some_step(pool.length, flipped=self.rng.random() < FLIPPED)
        values, observed, boundaries = batch.values.nan_to_num(), batch.values.isfinite().float(), batch.drafts.shape[1]
        computed = computed_periods(values.numpy(), observed.numpy() > 0, batch.visible.tolist())
        lengths = (batch.visible - observed.argmax(1)).tolist()
        for row, season in enumerate(stored["seasons"][rows]):
            computed[row] = chosen_periods(computed[row : row + 1], lengths[row : row + 1], float(season))[0]
        past = slice(0, pool.length)
        series = Series.of(values[:, past], observed[:, past], torch.tensor(computed).float(), batch.zeros)
        at = Boundaries.of(series, boundaries, batch.drafts)
        # Places count from the first of the boundaries that are read.
        first = ((batch.visible - 1) // BLOCK - (pool.length // BLOCK - boundaries)).clamp(0, boundaries - 1)
        draws = torch.rand(len(rows), min(BOUNDARIES, boundaries))
        places = first[:, None] + (draws * (boundaries - first)[:, None]).long()
        places[:, 0] = boundaries - 1
        steps = sampled_steps(pool.ahead)
        columns = at.chosen(places).times(steps)
        known = take(observed, columns) * (columns < values.shape[1])
        return network.loss(boundary_inputs(at, places, steps), steps, take(values, columns), known), at.end.numel()


def together(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """The arrays of the files that are there, one after the other."""
    files = [np.load(path) for path in paths if path.exists()]
    return {name: np.concatenate([file[name] for file in files]) for name in files[0].files}


@dataclass(frozen=True)
class Batch:
    """Values (B, T), NaN for missing, zeros (B,), drafts (B, J, G, H) in the same units, visible steps (B,)."""

    values: Tensor
    zeros: Tensor
    drafts: Tensor
    visible: Tensor | None = None

    def seen_until_some_step(self, length: int, flipped: bool) -> Batch:
        """In units of what is visible of the first `length` steps, of which so many are drawn; perhaps upside down."""
        observed = self.values.isfinite().float()
        filled, boundaries = self.values.nan_to_num(), self.drafts.shape[1]
        least = (observed.argmax(1) + 8).clamp(length - (boundaries - 1) * BLOCK, length)
        visible = (least + (torch.rand(len(filled)).sqrt() * (length - least)).long()).clamp_max(length)
        seen = observed * (torch.arange(filled.shape[1]) < visible[:, None])
        count = seen.sum(1).clamp_min(1)
        mean = (filled * seen).sum(1) / count
        scale = (((filled - mean[:, None]).square() * seen).sum(1) / count).sqrt().clamp_min(LEAST_SCALE)
        scale = -scale if flipped else scale

        def scaled(numbers: Tensor) -> Tensor:
            shape = (-1, *[1] * (numbers.ndim - 1))
            return ((numbers - mean.view(shape)) / scale.view(shape)).clamp(-LARGEST, LARGEST)

        zeros = torch.full_like(mean, torch.nan) if flipped else (self.zeros - mean) / scale
        return Batch(scaled(self.values), zeros, scaled(self.drafts), visible)


@torch.no_grad()
def widened(old: ReadingNetwork, new: ReadingNetwork) -> ReadingNetwork:
    """The new network with the weights of the old one, which knows fewer drafts; the others are 0."""
    few, more = len(old.config.drafts), len(new.config.drafts)
    head = RECENT + RECENT // SHARED
    rest = old.features.in_features - head - few * (len(NEAR) + KINDS) - KINDS - SUMMARY
    # What the columns of the features, the drafts and the outputs are: those of each draft first.
    features = ((head, 0), (few, more, len(NEAR)), (rest, 0), (few, more, KINDS), (KINDS + SUMMARY, 0))
    state = old.state_dict()
    places = {
        "features.weight": (1, columns(features)),
        "drafts.weight": (1, columns(((few, more, 1), (2, 0)))),
        **{f"out.{part}": (0, columns(((few, more, 1), (state["out.bias"].numel() - few, 0)))) for part in PARTS},
        **{f"weights.{part}": (0, columns(((few, more, 1),))) for part in PARTS},
    }
    for name, target in new.state_dict().items():
        if name not in places:
            target.copy_(state[name])
            continue
        axis, at = places[name]
        target.zero_().index_copy_(axis, at, state[name])
    new.weights.bias[few : few + len(MIXED)] = TRUST
    return new


PARTS = ("weight", "bias")


def columns(parts: tuple[tuple[int, ...], ...]) -> Tensor:
    """Places in the wider layout of the columns of the narrower: (size, 0) as it is, (few, more, each) of drafts."""
    found, start = [], 0
    for part in parts:
        wide = part[0] if len(part) == 2 else part[1] * part[2]
        kept = part[0] if len(part) == 2 else part[0] * part[2]
        found.append(start + torch.arange(kept))
        start += wide
    return torch.cat(found)


if __name__ == "__main__":
    main()
