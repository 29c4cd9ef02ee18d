"""Gradient steps of a pretrained network on a panel's own series, kept only where held-out windows confirm them.

The network learns from what lies before the windows by which the reads are weighed (`weighing`): those windows, which
it has not seen, then say whether the new weights or the old ones forecast better.

Shapes: N series, T steps of one, C covariates, H horizon, W windows, R segments, L steps read, A steps after them.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from titans_ts.core.config import require
from titans_ts.forecasting.experts.covariates import taken_off
from titans_ts.forecasting.experts.panel import FloatArray, Panel, aligned
from titans_ts.forecasting.experts.shares import CAP, window_losses
from titans_ts.forecasting.experts.windows import difference_unit
from titans_ts.forecasting.pretrained.reads import PretrainedReads
from titans_ts.forecasting.pretrained.tuned_reads import Tuned, TunedReads
from titans_ts.forecasting.pretrained.weighing import chosen_rows, judging_windows
from titans_ts.forecasting.reads.held_out import NEEDED
from titans_ts.forecasting.reads.network import LEVELS, ReadingNetwork
from titans_ts.forecasting.reads.series import BLOCK
from titans_ts.forecasting.reads.training.batches import PoolBatch, Visible
from titans_ts.forecasting.reads.training.module import predictability
from titans_ts.forecasting.reads.training.pools import DENSE, Pool, varies, with_drafts
from titans_ts.forecasting.training.config import TrainingResult
from titans_ts.support.averaging import AveragedWeights
from titans_ts.support.guards.signals import cut_short
from titans_ts.support.lightning import graceful_interrupt
from titans_ts.support.progress import PROGRESS

# Segments of series that are learned from at most, steps of one, and segments of a batch.
MOST_SEGMENTS, CONTEXT, BATCH = 300, 1024, 24
# Boundaries with something observed after them, below which there is nothing to learn from.
LEAST_BOUNDARIES = 3
# Of AdamW; the rate rises over the first steps, then falls in a line to 0.
LEARNING_RATE, WARM_UP = 1e-4, 10
# Decay of the running mean of the weights, a step.
AVERAGING = 0.98
# By how much the loss of held-out windows must fall.
LEAST_GAIN = 0.005


class Tuning(NamedTuple):
    """The reads to forecast with, tuned or the original, and what training did; see `TrainingResult`."""

    reads: PretrainedReads
    training: TrainingResult


def tuned(
    reads: PretrainedReads,
    histories: Sequence[FloatArray],
    horizon: int,
    max_steps: int,
    *,
    seed: int,
    deadline: float | None = None,
    covariates: Sequence[FloatArray] | None = None,
) -> Tuning:
    """Reads after gradient steps on the panel where held-out windows are forecast better by them, else the same reads.

    Where there are no such windows, or hardly anything lies before them, nothing is trained. Ctrl-C ends training.

    Args:
        reads: of the panel's season.
        histories: (T,) of the rows, NaN for missing.
        horizon: H; the network learns of the first 240 steps of longer ones.
        max_steps: gradient steps.
        seed: of the batches; the same seed gives the same weights where no deadline ends training.
        deadline: `time.monotonic` time after which no step is begun.
        covariates: (C, ≥ T) of the rows, known ahead; what they add is taken off, see `experts.covariates`.

    Raises:
        ValueError: max_steps is below 0.

    Example:
        >>> import numpy as np
        >>> from titans_ts.forecasting.pretrained import PretrainedReads, tuned
        >>> found = tuned(PretrainedReads(season=7), [np.arange(60.0) % 7], horizon=7, max_steps=0, seed=0)
        >>> found.training.steps, found.reads.season  # no step, the same reads
        (0, 7)
    """
    require(max_steps >= 0, "max_steps", "≥ 0", max_steps)
    started = time.monotonic()
    rows = [np.asarray(history, dtype=np.float64) for history in histories]
    windows = judging_windows(rows, horizon) if max_steps else []
    back = max((len(rows[row]) - end for row, end in windows), default=0)
    past = [row[: max(0, len(row) - back)] for row in rows]
    segments = Segments.of(past, horizon, reads.season, reads.second, covariates) if windows else None
    network, steps = reads.pretrained.network, 0
    if segments is not None:
        network, steps = _trained(network, segments, max_steps, seed, deadline)
    if not steps:
        return Tuning(reads, _result(0, 0, float("nan"), float("nan"), started))
    PROGRESS.info("comparing the tuned reads with the original ones")
    weights = Tuned.of(reads.pretrained.name, reads.pretrained.card, network)
    new = TunedReads(reads.season, reads.second, weights, reads.contexts)
    old_loss, new_loss = _losses((reads, new), rows, windows, horizon, covariates)
    if new_loss <= (1 - LEAST_GAIN) * old_loss:
        return Tuning(new, _result(steps, steps, old_loss, new_loss, started))
    return Tuning(reads, _result(steps, 0, old_loss, old_loss, started))


def _result(steps: int, best: int, start_loss: float, best_loss: float, started: float) -> TrainingResult:
    """What training did, in a forecaster without a network of its own."""
    return TrainingResult(steps, best, start_loss, best_loss, "no network", time.monotonic() - started, 0.0)


@dataclass(frozen=True)
class Segments:
    """Parts of series with the experts' drafts at their last boundaries: a pool in memory.

    Attributes:
        pool: sizes.
        arrays: see `pools.with_drafts`.
    """

    pool: Pool
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(
        cls,
        histories: Sequence[FloatArray],
        horizon: int,
        season: int,
        second: int,
        covariates: Sequence[FloatArray] | None = None,
    ) -> Segments | None:
        """At most `MOST_SEGMENTS` of series of all lengths, several of long ones; None where there is too little.

        Args:
            histories: (T,) each, all that may be learned from.
            horizon: H.
            season, second: in steps.
            covariates: (C, ≥ T) of each; what they add is taken off.
        """
        ahead = min(horizon, DENSE)
        chosen = chosen_rows(histories, MOST_SEGMENTS, BLOCK + 1)
        rows = [histories[row] for row in chosen]
        if covariates is not None and rows:
            rows, _ = taken_off(rows, [covariates[row] for row in chosen], season, horizon)
        values = _cut(rows, ahead)
        length = values.shape[1] - ahead
        # Divided first: squares of very large numbers would overflow.
        most = np.nanmax(np.abs(values), axis=1, keepdims=True, initial=0.0)
        values = values / np.where(most > 0, most, 1.0)
        values = values[varies(values[:, :length])] if len(values) else values
        if _boundaries(values, length) < LEAST_BOUNDARIES:
            return None
        pool = Pool(len(values), length, BLOCK, ahead, 1.0)
        first, longer = (np.full(len(values), steps, dtype=np.int64) for steps in (season, second))
        return cls(pool, with_drafts(values, first, longer, pool))

    def batch(self, seed: int, number: int) -> PoolBatch:
        """The batch of a number ≥ 0."""
        rng = np.random.default_rng([seed, number])
        draws = torch.Generator().manual_seed(int(rng.integers(2**62)))
        count = len(self.arrays["values"])
        rows = rng.choice(count, min(BATCH, count), replace=False)
        values, zeros, drafts = (
            torch.tensor(self.arrays[part][rows]).float() for part in ("values", "zeros", "drafts")
        )
        visible = Visible.of(values, zeros, drafts, self.pool.length, flipped=False, draws=draws)
        return visible.batch(self.pool, self.arrays["seasons"][rows], self.arrays["seconds"][rows], draws)


def _cut(rows: Sequence[FloatArray], ahead: int) -> FloatArray:
    """Segments (R, L + A) that end A steps before the end of a series or some whole reads earlier, NaN in front."""
    each = -(-MOST_SEGMENTS // max(1, len(rows)))
    ends = [(row, len(row) - ahead - NEEDED * BLOCK * back) for back in range(each) for row in rows]
    ends = [(row, end) for row, end in ends if end >= BLOCK][:MOST_SEGMENTS]
    longest = max((min(end, CONTEXT) for _, end in ends), default=BLOCK)
    length = -(-longest // BLOCK) * BLOCK
    found = np.full((len(ends), length + ahead), np.nan)
    for place, (row, end) in enumerate(ends):
        part = row[max(0, end - length) : end + ahead]
        found[place, -len(part) :] = part
    return found


def _boundaries(values: FloatArray, length: int) -> int:
    """Boundaries of segments (R, L + A) with a block before and something observed after them."""
    seen = np.isfinite(values)
    ends = [length - BLOCK * back for back in range(min(NEEDED, length // BLOCK))]
    return sum(int((seen[:, end:].any(1) & (seen.argmax(1) + BLOCK <= end)).sum()) for end in ends)


def _trained(
    first: ReadingNetwork, segments: Segments, max_steps: int, seed: int, deadline: float | None
) -> tuple[ReadingNetwork, int]:
    """The running mean of the weights after gradient steps, and how many were taken."""
    network = copy.deepcopy(first).requires_grad_(True)
    average = AveragedWeights(network, AVERAGING)
    # The rate is small and steps are few: weights need not be kept from growing.
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    taken = 0
    stop = threading.Event()
    with graceful_interrupt(stop.set), torch.enable_grad():
        while taken < max_steps and not stop.is_set() and (deadline is None or time.monotonic() < deadline):
            batch = segments.batch(seed, taken)
            loss = network.loss(*batch[:4], predictability(batch.inputs))
            if not torch.isfinite(loss):
                break
            rate = min(1.0, (taken + 1) / WARM_UP, 1 - taken / max_steps)
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * rate
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            taken += 1
            average.update(network, taken)
            PROGRESS.debug("tuning the pretrained reads, step %d of %d", taken, max_steps)
    if stop.is_set():
        cut_short(f"tuning after step {taken} of {max_steps}", "the weights of that step are used if they are better")
    return average.network, taken


def _losses(
    sources: Sequence[PretrainedReads],
    histories: Sequence[FloatArray],
    windows: Sequence[tuple[int, int]],
    horizon: int,
    covariates: Sequence[FloatArray] | None,
) -> list[float]:
    """Mean quantile losses of windows (row, end of what is known), in units of their series, of each source.

    A window counts `CAP` medians of the first source's at most.
    """
    season = sources[0].season
    before = [histories[row][:end] for row, end in windows]
    actual = np.stack([histories[row][end : end + horizon] for row, end in windows])
    panel = Panel.of(aligned(before), season)
    unit = difference_unit(panel, season) * panel.scale
    known = None if covariates is None else [covariates[row] for row, _ in windows]
    found = [
        window_losses(source.quantiles(before, horizon, LEVELS, known), actual, unit, LEVELS) for source in sources
    ]
    there = np.isfinite(found).all(axis=0)
    if not there.any():
        return [float("nan")] * len(sources)
    most = CAP * np.median(found[0][there])
    return [float(np.minimum(losses[there], most).mean()) for losses in found]
