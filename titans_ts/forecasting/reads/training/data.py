"""PoolDataModule: the pools of a pretraining, made where they are missing, and their batches."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from lightning.pytorch import LightningDataModule

from titans_ts.core.config import require
from titans_ts.forecasting.reads.training.batches import PoolBatches, PoolLoader
from titans_ts.forecasting.reads.training.pools import POOLS, write_pool

# Rounds of validation are counted from here, so that more rounds of training never meet them.
VALIDATION = 900


class PoolDataModule(LightningDataModule):
    """Batches of generated series with the experts' drafts; no real series.

    Args:
        folder: of the pools; those that are there are kept, the others are made before training.
        rounds: of pools; each costs about two CPU minutes and 300 MB.
        kinds: names of `pools.POOLS`; null takes all.
        batch_size: series of a batch.
        steps_per_epoch: batches of a process between two validations.
        validation_batches: of a round of its own.
        seed: of series and batches.
        share: of the series of each pool, for trials.
        workers: processes that make pools.
    """

    def __init__(
        self,
        folder: str = "pools",
        *,
        rounds: int = 8,
        kinds: tuple[str, ...] | None = None,
        batch_size: int = 40,
        steps_per_epoch: int = 1000,
        validation_batches: int = 100,
        seed: int = 0,
        share: float = 1.0,
        workers: int = 1,
    ) -> None:
        super().__init__()
        require(1 <= rounds < VALIDATION, "rounds", f"1 to {VALIDATION - 1}", rounds)
        require(batch_size >= 1, "batch_size", "≥ 1", batch_size)
        require(steps_per_epoch >= 1, "steps_per_epoch", "≥ 1", steps_per_epoch)
        require(0 < share <= 1, "share", "above 0, at most 1", share)
        self.kinds = tuple(POOLS) if kinds is None else tuple(kinds)
        require(bool(self.kinds) and set(self.kinds) <= set(POOLS), "kinds", f"some of {', '.join(POOLS)}", kinds)
        self.folder, self.rounds, self.batch_size = Path(folder).expanduser(), rounds, batch_size
        self.steps_per_epoch, self.validation_batches = steps_per_epoch, validation_batches
        self.seed, self.share, self.workers = seed, share, workers

    def prepare_data(self) -> None:
        """Make the pools that are missing; each is written at once, so that a killed run goes on where it was."""
        numbers = list(self._numbers())
        wanted = [(self.folder, name, number, self.seed, self.share) for number in numbers for name in self.kinds]
        if self.workers <= 1:
            for one in wanted:
                write_pool(*one)
            return
        with ProcessPoolExecutor(self.workers) as processes:
            for made in [processes.submit(write_pool, *one) for one in wanted]:
                made.result()

    def train_dataloader(self) -> PoolLoader:
        """Batches of all rounds but the one of validation."""
        batches = PoolBatches(self.folder, self.rounds, self.batch_size, self.seed, self.kinds)
        trainer = self.trainer
        return PoolLoader(
            batches, self.steps_per_epoch, *((trainer.global_rank, trainer.world_size) if trainer else ())
        )

    def val_dataloader(self) -> list[PoolLoader]:
        """The same batches each time; none where `validation_batches` is 0."""
        if not self.validation_batches:
            return []
        batches = PoolBatches(self.folder, 1, self.batch_size, self.seed, self.kinds, VALIDATION)
        return [PoolLoader(batches, self.validation_batches, repeats=True)]

    def _numbers(self) -> Iterator[int]:
        yield from range(self.rounds)
        if self.validation_batches:
            yield VALIDATION
