"""Batches of windows for Lightning.

Shapes: B batch; the fields of a batch are those of `WindowStore.batch`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from titans_datasets.series.windows import Batch, Windows, WindowStore


class WindowBatches(IterableDataset[Batch]):
    """Whole batches gathered from a store.

    Args:
        store: where the series are.
        windows: which windows.
        batch_size: windows a batch; the last batch of a pass may be smaller.
        steps: batches per epoch, drawn uniformly with replacement; None passes over all windows once.
        seed: None keeps the windows' order; a number shuffles, differently in each epoch and alike in each run.
    """

    def __init__(
        self, store: WindowStore, windows: Windows, batch_size: int, steps: int | None = None, seed: int | None = None
    ) -> None:
        if batch_size < 1 or (steps is not None and steps < 1):
            raise ValueError(f"batch_size and steps must be ≥ 1, got batch_size={batch_size}, steps={steps}")
        self.store, self.windows, self.batch_size, self.steps, self.seed = store, windows, batch_size, steps, seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps or -(-len(self.windows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        count, generator = len(self.windows), torch.Generator()
        if self.seed is None:
            order = torch.arange(count)
        else:
            generator.manual_seed(self.seed + self.epoch)
            order = torch.randperm(count, generator=generator) if self.steps is None else self._drawn(generator)
        self.epoch += 1
        for first in range(0, len(order), self.batch_size):
            yield self.store.batch(self.windows.take(order[first : first + self.batch_size]))

    def _drawn(self, generator: torch.Generator) -> torch.Tensor:
        """Window numbers drawn with replacement for one epoch of `steps` batches."""
        assert self.steps is not None
        return torch.randint(len(self.windows), (self.steps * self.batch_size,), generator=generator)


class SeriesDataModule(LightningDataModule):
    """Training, validation and prediction batches of a window store.

    Args:
        store: the training series.
        batch_size: windows B a batch.
        steps_per_epoch: batches per epoch, drawn at random; None covers every window once per epoch.
        validation_windows: windows held out at each series' end; 0 trains on everything and validates on nothing.
        seed: of the order of the training windows.
        predict_store: the series to be forecast, by default those of `store`.
    """

    def __init__(
        self,
        store: WindowStore,
        *,
        batch_size: int = 64,
        steps_per_epoch: int | None = None,
        validation_windows: int = 1,
        seed: int = 0,
        predict_store: WindowStore | None = None,
    ) -> None:
        super().__init__()
        self.store, self.predict_store = store, predict_store or store
        self.batch_size, self.steps_per_epoch, self.seed = batch_size, steps_per_epoch, seed
        self.train_windows, self.validation_windows = store.split(validation_windows)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled training batches."""
        return _loader(WindowBatches(self.store, self.train_windows, self.batch_size, self.steps_per_epoch, self.seed))

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Validation batches in order; an empty list when nothing is held out."""
        if len(self.validation_windows) == 0:
            return []
        return _loader(WindowBatches(self.store, self.validation_windows, self.batch_size))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """One window an item, in item order."""
        return _loader(WindowBatches(self.predict_store, self.predict_store.last_window(), self.batch_size))


def _loader(batches: WindowBatches) -> DataLoader[Batch]:
    # batch_size=None: the data set yields whole batches; no workers, because gathering is faster than sending.
    return DataLoader(batches, batch_size=None, num_workers=0)
