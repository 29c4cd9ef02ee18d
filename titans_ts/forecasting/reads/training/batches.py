"""Batches of pools: what a network reads at some boundaries of some series, and what came after.

A batch is a function of the seed and its number alone, so that a training resumes to the bit wherever it was stopped.

Shapes: B series, M boundaries, L steps, J boundaries, G slots of experts, H future steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from titans_ts.forecasting.reads.boundaries import Boundaries
from titans_ts.forecasting.reads.features import ReadingInputs, boundary_inputs
from titans_ts.forecasting.reads.periods import chosen_periods, computed_periods
from titans_ts.forecasting.reads.series import BLOCK, Series, take
from titans_ts.forecasting.reads.training.pools import LARGEST, POOLS, Pool, pool_file

# Boundaries of a series and future steps of a boundary that count at most.
BOUNDARIES, SAMPLED = 12, 24
# Share of batches that are upside down, and the least unit of what is visible of a series.
FLIPPED, LEAST_SCALE = 0.25, 0.02
# Batches that are drawn from one round of the pools before the next one is read.
PER_ROUND = 250


class PoolBatch(NamedTuple):
    """What a network reads, and what came after.

    Attributes:
        inputs: of M boundaries.
        steps: (H,) after each.
        targets, observed: (B, M, H), in the units of the series; 1 or 0.
        read: boundaries that were read for it.
    """

    inputs: ReadingInputs
    steps: Tensor
    targets: Tensor
    observed: Tensor
    read: int


class PoolBatches:
    """Batches by number.

    Args:
        folder: of the pools.
        rounds: of which there are files; batches go through them in turn.
        size: series B of a batch.
        seed: of the draws.
        names: of the pools; all by default.
        first_round: number of the first round.

    Raises:
        FileNotFoundError: a file is missing.
    """

    def __init__(
        self, folder: Path, rounds: int, size: int, seed: int, names: tuple[str, ...] = (), first_round: int = 0
    ) -> None:
        self.folder, self.rounds, self.size, self.seed, self.first_round = folder, rounds, size, seed, first_round
        self.names = names or tuple(POOLS)
        missing = [
            path
            for number in range(first_round, first_round + rounds)
            for name in self.names
            if not (path := pool_file(folder, name, number)).exists()
        ]
        if missing:
            raise FileNotFoundError(f"{len(missing)} pools are missing, the first is {missing[0]}: make them first")
        self._read: tuple[int, dict[str, Mapping[str, np.ndarray]]] = (-1, {})

    def __getitem__(self, number: int) -> PoolBatch:
        """The batch of a number ≥ 0."""
        rng = np.random.default_rng([self.seed, number])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        shares = np.array([POOLS[name].share for name in self.names])
        name = str(rng.choice(self.names, p=shares / shares.sum()))
        stored = self._stored(name, self.first_round + number // PER_ROUND % self.rounds)
        rows = rng.choice(len(stored["values"]), min(self.size, len(stored["values"])), replace=False)
        values, zeros, drafts = (torch.tensor(stored[part][rows]).float() for part in ("values", "zeros", "drafts"))
        flipped = bool(rng.random() < FLIPPED)
        visible = Visible.of(values, zeros, drafts, POOLS[name].length, flipped=flipped, draws=generator)
        return visible.batch(POOLS[name], stored["seasons"][rows], stored["seconds"][rows], generator)

    def _stored(self, name: str, number: int) -> Mapping[str, np.ndarray]:
        """A pool of a round; those of the round before are forgotten."""
        if self._read[0] != number:
            self._read = (number, {})
        if name not in self._read[1]:
            with np.load(pool_file(self.folder, name, number)) as file:
                self._read[1][name] = {part: file[part] for part in file.files}
        return self._read[1][name]


class Visible(NamedTuple):
    """Series in units of what is visible of them.

    Attributes:
        values: (B, L + A), NaN for missing.
        zeros: (B,), NaN for series without a zero.
        drafts: (B, J, G, K) at the kept steps.
        until: (B,) visible steps.
    """

    values: Tensor
    zeros: Tensor
    drafts: Tensor
    until: Tensor

    @classmethod
    def of(
        cls, values: Tensor, zeros: Tensor, drafts: Tensor, length: int, *, flipped: bool, draws: torch.Generator
    ) -> Visible:
        """Of the first `length` steps of each series a number is drawn; perhaps upside down."""
        observed = values.isfinite().float()
        filled, boundaries = values.nan_to_num(), drafts.shape[1]
        least = (observed.argmax(1) + BLOCK).clamp(length - (boundaries - 1) * BLOCK, length)
        until = least + (torch.rand(len(filled), generator=draws).sqrt() * (length - least)).long()
        seen = observed * (torch.arange(filled.shape[1]) < until[:, None])
        count = seen.sum(1).clamp_min(1)
        mean = (filled * seen).sum(1) / count
        scale = (((filled - mean[:, None]).square() * seen).sum(1) / count).sqrt().clamp_min(LEAST_SCALE)
        scale = -scale if flipped else scale

        def scaled(numbers: Tensor) -> Tensor:
            shape = (-1, *[1] * (numbers.ndim - 1))
            return ((numbers - mean.view(shape)) / scale.view(shape)).clamp(-LARGEST, LARGEST)

        zeros = torch.full_like(mean, torch.nan) if flipped else (zeros - mean) / scale
        return cls(scaled(values), zeros, scaled(drafts), until.clamp_max(length))

    def batch(self, pool: Pool, seasons: np.ndarray, seconds: np.ndarray, draws: torch.Generator) -> PoolBatch:
        """At boundaries after the visible part, which alone decides about scale and periods."""
        values, observed, boundaries = self.values.nan_to_num(), self.values.isfinite().float(), self.drafts.shape[1]
        computed = computed_periods(values.numpy(), observed.numpy() > 0, self.until.tolist())
        lengths = (self.until - observed.argmax(1)).tolist()
        for row, (season, second) in enumerate(zip(seasons.tolist(), seconds.tolist(), strict=True)):
            computed[row] = chosen_periods(computed[row : row + 1], lengths[row : row + 1], season, second)[0]
        past = slice(0, pool.length)
        series = Series.of(values[:, past], observed[:, past], torch.tensor(computed).float(), self.zeros)
        kept = torch.tensor(pool.kept)
        given = values.new_zeros(*self.drafts.shape[:3], int(kept[-1]))
        given[..., kept - 1] = self.drafts
        at = Boundaries.of(series, boundaries, given)
        # Places count from the first of the boundaries that are read.
        first = ((self.until - 1) // BLOCK - (pool.length // BLOCK - boundaries)).clamp(0, boundaries - 1)
        number = torch.rand(len(values), min(BOUNDARIES, boundaries), generator=draws)
        places = first[:, None] + (number * (boundaries - first)[:, None]).long()
        places[:, 0] = boundaries - 1
        steps = sampled_steps(kept[kept <= pool.ahead], draws)
        columns = at.chosen(places).times(steps)
        known = take(observed, columns) * (columns < values.shape[1])
        inputs = boundary_inputs(at, places, steps)
        return PoolBatch(inputs, steps, take(values, columns), known, at.end.numel())


def sampled_steps(kept: Tensor, draws: torch.Generator) -> Tensor:
    """All of a few steps; of many some anywhere and some more near the beginning."""
    if len(kept) <= SAMPLED:
        return kept
    anywhere = torch.randint(len(kept), (SAMPLED * 5 // 8,), generator=draws)
    near = len(kept) ** torch.rand(SAMPLED * 3 // 8, generator=draws) - 1
    return kept[torch.unique(torch.cat([anywhere, near.long()]))]


class PoolLoader:
    """Batches for a training loop, resumable anywhere; the processes of a distributed run take turns.

    Args:
        batches: by number.
        steps: batches of a process in an epoch.
        rank, world: number of this process, and number of processes.
        repeats: whether every epoch has the same batches.
    """

    # Lightning reads both attributes of a loader that has one of them.
    batch_sampler = None
    sampler = None

    def __init__(
        self, batches: PoolBatches, steps: int, rank: int = 0, world: int = 1, *, repeats: bool = False
    ) -> None:
        self.batches, self.steps, self.rank, self.world, self.repeats = batches, steps, rank, world, repeats
        self.next = 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[PoolBatch]:
        # The place moves only when a batch is asked for: Lightning makes iterators that it never reads.
        self.next *= not self.repeats
        while True:
            number = self.next
            self.next += 1
            yield self.batches[number * self.world + self.rank]
            if self.next % self.steps == 0:
                return

    def state_dict(self) -> dict[str, Any]:
        """The place."""
        return {"next": self.next, "world": self.world}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            ValueError: the number of processes is another one: batches would repeat or be left out.
        """
        if state["world"] != self.world:
            raise ValueError(
                f"this training was begun with {state['world']} processes and has {self.world} now: resume with as many"
            )
        self.next = state["next"]
