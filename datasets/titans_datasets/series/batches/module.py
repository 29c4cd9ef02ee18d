"""Batches of windows for Lightning.

Shapes: B batch, W windows; the fields of a batch are those of `WindowStore.batch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from titans_datasets.series.batches.windows import Batch, Windows, WindowStore


class WindowBatches(Dataset[Batch]):
    """Batches gathered from a store; the index is a tensor (B,) of window numbers."""

    def __init__(self, store: WindowStore, windows: Windows) -> None:
        self.store, self.windows = store, windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, numbers: Tensor) -> Batch:
        return self.store.batch(self.windows.take(numbers))


class BatchNumbers(Sampler[Tensor]):
    """Which windows make up each batch of an epoch; resumable anywhere by its `state_dict`.

    Batch `batch` of epoch `epoch` comes next. A new iteration begins the next epoch, except the first one and the one
    after `load_state_dict`.

    Args:
        count: number of windows W.
        batch_size: windows per batch; the last batch of a pass may be smaller.
        steps: batches per epoch, drawn uniformly with replacement; None passes over all windows once.
        seed: None keeps the windows' order; a number shuffles, differently in each epoch and alike in each run.

    Raises:
        ValueError: batch_size or steps is below 1.
    """

    def __init__(self, count: int, batch_size: int, steps: int | None = None, seed: int | None = None) -> None:
        if batch_size < 1 or (steps is not None and steps < 1):
            raise ValueError(f"batch_size and steps must be ≥ 1, got batch_size={batch_size}, steps={steps}")
        self.count, self.batch_size, self.steps, self.seed = count, batch_size, steps, seed
        self.epoch, self.batch, self._continues = 0, 0, True

    def __len__(self) -> int:
        return self.steps or -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        # Nothing changes before the first batch is requested: Lightning makes iterators that it never reads.
        if not self._continues or self.batch >= len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        self._continues = False
        order = self._order()
        while self.batch < len(self):
            first = self.batch * self.batch_size
            self.batch += 1
            yield order[first : first + self.batch_size]

    def set_epoch(self, epoch: int) -> None:
        """Begin that epoch, unless it is the current one."""
        if epoch != self.epoch:
            self.epoch, self.batch, self._continues = epoch, 0, True

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers: the position, and what determines the order of windows."""
        return {"epoch": self.epoch, "batch": self.batch, "batches": len(self), "order": self._rule()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there.

        Raises:
            ValueError: the state lies within an epoch, and the batches have changed since it was saved.
        """
        changed = [
            f"{name} was {value}, is {self._rule()[name]}"
            for name, value in state["order"].items()
            if value != self._rule()[name]
        ]
        done = state["batch"] >= state["batches"]
        if changed and state["batch"] > 0 and not done:
            raise ValueError(
                f"training stopped within epoch {state['epoch']} and cannot continue with other batches: "
                f"{', '.join(changed)}; resume with the settings and data it was started with"
            )
        self.epoch, self.batch, self._continues = state["epoch"], len(self) if done else state["batch"], True

    def _rule(self) -> dict[str, int | None]:
        return {"windows": self.count, "batch_size": self.batch_size, "steps": self.steps, "seed": self.seed}

    def _order(self) -> Tensor:
        if self.seed is None:
            return torch.arange(self.count)
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        if self.steps is None:
            return torch.randperm(self.count, generator=generator)
        return torch.randint(self.count, (self.steps * self.batch_size,), generator=generator)


class WindowLoader:
    """Batches for a training loop: resumable within an epoch, shared by the processes of a distributed run.

    Each process takes every `world`-th window of each batch, so that all of them together take the same steps as one
    process alone. A process for which a small last batch has no window gets one with nothing observed in its future,
    which does not count. It is not a torch DataLoader, so that Lightning does not replace its order, and because
    gathering is faster than sending batches between processes. `window_index` (B,) int64 holds the window numbers of a
    batch.

    Args:
        batches: gathers the windows of the numbers.
        numbers: the order; its state is the loader's.
        rank, world: number of this process, and number of processes.
    """

    # Lightning reads both attributes of a loader that has one of them.
    batch_sampler = None

    def __init__(self, batches: WindowBatches, numbers: BatchNumbers, rank: int = 0, world: int = 1) -> None:
        self.batches, self.numbers, self.rank, self.world = batches, numbers, rank, world

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Batch]:
        for numbers in self.numbers:
            share = numbers[self.rank :: self.world]
            taken = share if len(share) else numbers[:1]
            batch = {**self.batches[taken], "window_index": taken}
            if not len(share):
                batch["future_observed_values"] = torch.zeros_like(batch["future_observed_values"])
            yield batch

    @property
    def sampler(self) -> BatchNumbers:
        """Where Lightning looks for `set_epoch`."""
        return self.numbers

    def state_dict(self) -> dict[str, Any]:
        """The position in the order, the same in every process."""
        return self.numbers.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there; see `BatchNumbers.load_state_dict`."""
        self.numbers.load_state_dict(state)


class SeriesDataModule(LightningDataModule):
    """Training, validation and prediction batches of a window store.

    Args:
        store: the training series.
        batch_size: windows B per batch, over all processes in a distributed run.
        steps_per_epoch: batches per epoch, drawn at random; None covers every window once per epoch.
        validation_windows: windows held out at each series' end; 0 trains on everything and validates on nothing.
        seed: of the order of the training windows.
        predict_store: the series to be forecast, by default those of `store`.

    Example:
        >>> from titans_datasets.series import WindowSpec, to_records
        >>> store = WindowStore(to_records("builtin:air_passengers").records, WindowSpec(24, 12))
        >>> module = SeriesDataModule(store, batch_size=32)
        >>> next(iter(module.train_dataloader()))["past_target"].shape
        torch.Size([32, 24])
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

    def train_dataloader(self) -> WindowLoader:
        """Shuffled training batches."""
        numbers = BatchNumbers(len(self.train_windows), self.batch_size, self.steps_per_epoch, self.seed)
        return shared_loader(self, WindowBatches(self.store, self.train_windows), numbers)

    def val_dataloader(self) -> WindowLoader | list[WindowLoader]:
        """Validation batches in order; an empty list when nothing is held out."""
        windows = self.validation_windows
        if len(windows) == 0:
            return []
        return shared_loader(self, WindowBatches(self.store, windows), BatchNumbers(len(windows), self.batch_size))

    def predict_dataloader(self) -> WindowLoader:
        """One window per item, in item order."""
        windows = self.predict_store.last_window()
        numbers = BatchNumbers(len(windows), self.batch_size)
        return WindowLoader(WindowBatches(self.predict_store, windows), numbers)


def shared_loader(module: LightningDataModule, batches: WindowBatches, numbers: BatchNumbers) -> WindowLoader:
    """The loader of this process among those of the module's trainer."""
    trainer = module.trainer
    return WindowLoader(batches, numbers, *((trainer.global_rank, trainer.world_size) if trainer else ()))


def window_loader(batches: WindowBatches, numbers: BatchNumbers) -> DataLoader[Batch]:
    """torch's loader of whole batches, for loops that need a DataLoader."""
    # batch_size=None: each number is a whole batch; no workers, because gathering is faster than sending.
    return DataLoader(batches, sampler=numbers, batch_size=None, num_workers=0)
