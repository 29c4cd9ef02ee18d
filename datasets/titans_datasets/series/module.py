"""Batches of windows for Lightning.

Shapes: B batch; the fields of a batch are those of `WindowStore.batch`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from titans_datasets.series.windows import Batch, Windows, WindowStore


class WindowBatches(Dataset[Batch]):
    """Batches gathered from a store, asked for by a tensor (B,) of window numbers."""

    def __init__(self, store: WindowStore, windows: Windows) -> None:
        self.store, self.windows = store, windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, numbers: Tensor) -> Batch:
        return self.store.batch(self.windows.take(numbers))


class BatchNumbers(Sampler[Tensor]):
    """Which windows make up each batch of an epoch.

    Args:
        count: number of windows.
        batch_size: windows a batch; the last batch of a pass may be smaller.
        steps: batches per epoch, drawn uniformly with replacement; None passes over all windows once.
        seed: None keeps the windows' order; a number shuffles, differently in each epoch and alike in each run.

    Raises:
        ValueError: batch_size or steps is below 1.
    """

    def __init__(self, count: int, batch_size: int, steps: int | None = None, seed: int | None = None) -> None:
        if batch_size < 1 or (steps is not None and steps < 1):
            raise ValueError(f"batch_size and steps must be ≥ 1, got batch_size={batch_size}, steps={steps}")
        self.count, self.batch_size, self.steps, self.seed, self.epoch = count, batch_size, steps, seed, 0

    def __len__(self) -> int:
        return self.steps or -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        order = self._order()
        self.epoch += 1
        for first in range(0, len(order), self.batch_size):
            yield order[first : first + self.batch_size]

    def _order(self) -> Tensor:
        if self.seed is None:
            return torch.arange(self.count)
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        if self.steps is None:
            return torch.randperm(self.count, generator=generator)
        return torch.randint(self.count, (self.steps * self.batch_size,), generator=generator)


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
        numbers = BatchNumbers(len(self.train_windows), self.batch_size, self.steps_per_epoch, self.seed)
        return window_loader(WindowBatches(self.store, self.train_windows), numbers)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Validation batches in order; an empty list when nothing is held out."""
        windows = self.validation_windows
        if len(windows) == 0:
            return []
        return window_loader(WindowBatches(self.store, windows), BatchNumbers(len(windows), self.batch_size))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """One window an item, in item order."""
        windows = self.predict_store.last_window()
        return window_loader(WindowBatches(self.predict_store, windows), BatchNumbers(len(windows), self.batch_size))


def window_loader(batches: WindowBatches, numbers: BatchNumbers) -> DataLoader[Batch]:
    """Loader that hands out whole batches."""
    # batch_size=None: each number is a whole batch; no workers, because gathering is faster than sending.
    return DataLoader(batches, sampler=numbers, batch_size=None, num_workers=0)
