"""Pools: generated series with the experts' drafts at their last boundaries, made once and read many times.

Drafts are made ahead because they cost more than a training step. Values and drafts are in units of the series.

Shapes: N series, L steps before the last boundary, A steps after it, J boundaries, G slots of experts.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from titans_datasets.series.generators import generate
from titans_datasets.series.generators.draws import BoolArray, FloatArray, IntArray, log_uniform
from titans_datasets.writing import in_place_of
from titans_ts.forecasting.reads.expert_drafts import SLOTS, ExpertDrafts
from titans_ts.forecasting.reads.held_out import NEEDED, SPAN
from titans_ts.forecasting.reads.periods import computed_periods
from titans_ts.forecasting.reads.series import BLOCK
from titans_ts.forecasting.reads.training.business import business

# In units of a series.
LARGEST = 30.0
LONGEST_SEASON = 168
# Of a season, and how often a series that has one gets it.
SECONDS = {24: 168, 48: 336, 96: 672, 144: 1008, 7: 365}
SECOND_SHARE = 0.7
UNKNOWN_SEASONS = (1, 1, 4, 7, 12, 24)
# Steps up to which drafts are kept at each, and how many are kept of longer horizons after the first `SPAN`.
DENSE, SPARSE = 240, 60
# Series whose drafts are made at once.
PART = 64


@dataclass(frozen=True)
class Pool:
    """Series of one kind.

    Attributes:
        count: N of a round.
        length: L; shorter series have NaN in front.
        shortest: steps of the shortest.
        ahead: A, of which drafts are kept at `kept` steps.
        share: of the batches.
        seasons: of business series, drawn; none for those of the generators, whose periods are computed.
        families: of the generators, all for None.
    """

    count: int
    length: int
    shortest: int
    ahead: int
    share: float
    seasons: tuple[int, ...] = ()
    families: tuple[str, ...] | None = None

    @property
    def kept(self) -> IntArray:
        """Steps after a boundary at which drafts are kept: all up to `DENSE`, fewer and fewer beyond."""
        steps = np.arange(1, max(SPAN, self.ahead) + 1)
        if len(steps) <= DENSE:
            return steps
        return np.r_[steps[:SPAN], np.geomspace(SPAN + 2, len(steps), SPARSE).astype(np.int64)]


POOLS = {
    "short": Pool(2000, 64, 12, 16, 0.22, (1, 1, 1, 4, 4, 12)),
    "business": Pool(1200, 160, 32, 32, 0.18, (1, 4, 7, 12, 12, 12, 52)),
    "noisy": Pool(1200, 128, 24, 24, 0.12, families=("counts", "structural", "autoregressive", "regimes")),
    "middle": Pool(1200, 256, 24, 48, 0.13),
    "long": Pool(800, 1024, 128, 48, 0.13),
    "far": Pool(400, 768, 128, 240, 0.07),
    "farther": Pool(160, 768, 256, 720, 0.04),
    "daily": Pool(800, 1536, 200, 48, 0.11, (24, 24, 48, 7, 7, 96)),
    "minutes": Pool(300, 2048, 384, 480, 0.06, (96, 96, 96, 144, 144, 48, 24, 288)),
}


def pool_file(folder: Path, name: str, number: int) -> Path:
    """Where a pool of a round lies."""
    return folder / f"{name}-{number:03d}.npz"


def write_pool(folder: Path, name: str, number: int, seed: int, share: float = 1.0) -> Path:
    """Make a pool of a round, of a share of its series, and write it; an existing one is kept."""
    path, pool = pool_file(folder, name, number), POOLS[name]
    if not path.exists():
        rng = np.random.default_rng([seed, number, zlib.crc32(name.encode())])
        made = with_drafts(*generated(rng, pool, max(2, round(share * pool.count))), pool)
        folder.mkdir(parents=True, exist_ok=True)
        with in_place_of(path) as beside:
            np.savez(beside, allow_pickle=False, **made)
    return path


def generated(rng: np.random.Generator, pool: Pool, count: int) -> tuple[FloatArray, IntArray, IntArray]:
    """Series (N', L + A), NaN in front of shorter ones, their seasons and second ones (N',); flat ones are left out."""
    steps = pool.length + pool.ahead
    seasons, seconds = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    if pool.seasons:
        seasons = rng.choice(pool.seasons, count)
        second = np.array([SECONDS.get(int(season), 0) for season in seasons])
        seconds = np.where((rng.random(count) < SECOND_SHARE) & (2 * second <= pool.length), second, 0)
        values = business(rng, seasons, seconds, steps)
    else:
        values = generate(count, steps, seed=int(rng.integers(2**31)), families=pool.families).values.astype(np.float64)
    lengths = log_uniform(rng, pool.shortest, pool.length, count).astype(int)
    values[np.arange(steps) < (pool.length - lengths)[:, None]] = np.nan
    kept = varies(values[:, : pool.length])
    values, seasons, seconds = values[kept], seasons[kept], seconds[kept]
    if not pool.seasons:
        periods = _computed(values[:, : pool.length])
        unknown = rng.choice(UNKNOWN_SEASONS, len(values))
        seasons = np.where((periods >= 2) & (periods <= LONGEST_SEASON), periods, unknown)
    return values, seasons, seconds


def varies(past: FloatArray) -> BoolArray:
    """Which series (N, L) have 8 observed values or more, and not all the same."""
    kept = np.isfinite(past).sum(1) >= BLOCK
    kept[kept] = np.nanstd(past[kept], 1) > 1e-6 * np.abs(np.nanmean(past[kept], 1))
    return kept


def _computed(past: FloatArray) -> IntArray:
    """The first computed period (N,) of series (N, L), 0 for none."""
    mean, deviation = np.nanmean(past, 1, keepdims=True), np.nanstd(past, 1, keepdims=True)
    seen = np.isfinite(past)
    scaled = np.where(seen, (past - mean) / deviation, 0.0)
    return computed_periods(scaled, seen)[:, 0].round().astype(np.int64)


def with_drafts(values: FloatArray, seasons: IntArray, seconds: IntArray, pool: Pool) -> dict[str, np.ndarray]:
    """Values and drafts in units of the series, where 0 lies for those that are never below it, and seasons.

    Args:
        values: (N, L + A).
        seasons, seconds: (N,).
        pool: what they are.
    """
    past = values[:, : pool.length]
    mean, deviation = np.nanmean(past, 1), np.nanstd(past, 1)
    boundaries = min(NEEDED, pool.length // BLOCK)
    cutoffs = [BLOCK * back for back in range(boundaries - 1, -1, -1)]
    kept = pool.kept
    drafts = np.zeros((len(values), boundaries, len(SLOTS), len(kept)), dtype=np.float16)
    for rows in _alike(seasons, seconds):
        source = ExpertDrafts(int(seasons[rows[0]]), int(seconds[rows[0]]))
        found = source(list(past[rows]), cutoffs, int(kept[-1]))[..., kept - 1]
        found = (found - mean[rows, None, None, None]) / deviation[rows, None, None, None]
        drafts[rows] = np.clip(np.nan_to_num(found), -LARGEST, LARGEST)
    zeros = np.where(np.nanmin(past, 1) >= 0, -mean / deviation, np.nan)
    scaled = np.clip((values - mean[:, None]) / deviation[:, None], -LARGEST, LARGEST)
    arrays = {"zeros": zeros, "drafts": drafts, "seasons": seasons, "seconds": seconds}
    return {"values": scaled.astype(np.float32), **arrays}


def _alike(seasons: IntArray, seconds: IntArray) -> Sequence[IntArray]:
    """Places of series with the same seasons, at most `PART` together."""
    found = []
    for pair in np.unique(np.stack([seasons, seconds], 1), axis=0):
        rows = np.flatnonzero((seasons == pair[0]) & (seconds == pair[1]))
        found += np.split(rows, range(PART, len(rows), PART))
    return found
