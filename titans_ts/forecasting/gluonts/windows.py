"""Windows for the gluonts estimator: which ones, in which units, and gluonts' samplers of them.

Shapes: T steps, P prediction_length, W windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from titans_datasets.series import SeriesRecord, Windows, WindowSpec, WindowStore
from titans_datasets.series.batches.module import WindowBatches
from titans_ts.forecasting.gluonts.transform import FloatArray
from titans_ts.forecasting.sizes import choose_validation
from titans_ts.forecasting.training.holdout import time_blocks

Sampler = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
IDLE_ROUNDS = 200


class SeriesWindows(WindowBatches):
    """Windows of a store.

    Args:
        store: the series.
        windows: the windows.
        targets: (T,) of each series, as far as a sampler may choose windows in it.
    """

    def __init__(self, store: WindowStore, windows: Windows, targets: Sequence[FloatArray]) -> None:
        super().__init__(store, windows)
        self.targets = targets

    @property
    def blocks(self) -> Tensor:
        """Number (W,) of the time block that each window forecasts; see `time_blocks`."""
        return time_blocks(self.windows.positions, self.store.spec.prediction_length)


def make_store(
    records: Sequence[SeriesRecord], spec: WindowSpec, scaling: str | None, statistics_holdout: int = 0
) -> WindowStore:
    """The records as a window store, in the units that `scaling` names.

    Args:
        records: the series.
        spec: how windows are cut.
        scaling: "std" (mean and deviation of each series), "mean" (its mean absolute value, no shift) or None.
        statistics_holdout: last steps of each series that its statistics leave out.
    """
    store = WindowStore(records, spec, statistics_holdout=statistics_holdout)
    if scaling == "std":
        return store
    scale = torch.ones_like(store.item_scale)
    if scaling == "mean":
        for place, record in enumerate(records):
            end = record.length - statistics_holdout if record.length > statistics_holdout else record.length
            size = np.abs(record.target[:end][~np.isnan(record.target[:end])])
            if size.any():
                scale[place] = float(size.mean())
    store.fix_units(torch.zeros_like(scale), scale)
    return store


class TrainingData(NamedTuple):
    """Windows of one training.

    Attributes:
        training: windows to learn from.
        validation: windows that are scored after each epoch; None for none.
        held: validation windows that were held out of the training store and choose the penalties of the linear part;
            None where there are none or they are of other series.
    """

    training: SeriesWindows
    validation: SeriesWindows | None
    held: Windows | None


class WindowChoice(NamedTuple):
    """Which windows the caller wants.

    Attributes:
        scaling: see `make_store`.
        validation_windows: held out of each training series, where there are no validation series; None chooses.
        validation_sampler: gluonts sampler of the validation series' windows; None takes the last one.
        seed: of the sampler.
    """

    scaling: str | None
    validation_windows: int | None
    validation_sampler: Sampler | None
    seed: int

    def data(
        self, records: Sequence[SeriesRecord], later: Sequence[SeriesRecord] | None, spec: WindowSpec
    ) -> TrainingData:
        """Training and validation windows.

        Args:
            records: the training series.
            later: the validation series; None holds windows out of the training series.
            spec: how windows are cut.

        Raises:
            ValueError: the validation series have no window.
        """
        if later is None:
            training, validation = hold_out(records, spec, self.scaling, self.validation_windows)
            return TrainingData(training, validation, None if validation is None else validation.windows)
        store = make_store(records, spec, self.scaling)
        training = SeriesWindows(store, store.windows(), [record.target for record in records])
        return TrainingData(
            training, validation_windows(later, spec, self.scaling, self.validation_sampler, self.seed), None
        )


def hold_out(
    records: Sequence[SeriesRecord], spec: WindowSpec, scaling: str | None, windows: int | None
) -> tuple[SeriesWindows, SeriesWindows | None]:
    """Training windows, and validation windows at the end of the series; None where the series are too short.

    Args:
        records, spec, scaling: see `make_store`.
        windows: validation windows a series, P steps apart; None takes about a tenth of the series.
    """
    lengths = [record.length for record in records]
    count, step = choose_validation(spec.prediction_length, lengths, windows)
    held = spec.prediction_length + (count - 1) * step if count else 0
    store = make_store(records, spec, scaling, held)
    training, validation = store.split(count, step=step)
    targets = [record.target for record in records]
    if len(validation) == 0:
        return SeriesWindows(store, training, targets), None
    shorter = set(validation.items.tolist())
    kept = [target[:-held] if place in shorter else target for place, target in enumerate(targets)]
    return SeriesWindows(store, training, kept), SeriesWindows(store, validation, targets)


def validation_windows(
    records: Sequence[SeriesRecord], spec: WindowSpec, scaling: str | None, sampler: Sampler | None, seed: int
) -> SeriesWindows:
    """The last window of each series, or those that a gluonts sampler chooses.

    Raises:
        ValueError: there is none.
    """
    # The steps that are scored must not set the units they are scored in.
    store = make_store(records, replace(spec, min_history=1), scaling, spec.prediction_length)
    windows, targets = store.with_observations(store.rolling(1)), [record.target for record in records]
    if sampler is not None:
        with numpy_seed(seed):
            windows = sampled(store, targets, sampler)
    if len(windows) == 0:
        raise ValueError(
            "validation_data must hold a series with observed values before and within its last "
            f"{spec.prediction_length} steps, got none: pass the training series, longer by these steps, or none at all"
        )
    return SeriesWindows(store, windows, targets)


def sampled(store: WindowStore, targets: Sequence[FloatArray], sampler: Sampler) -> Windows:
    """The windows that a gluonts instance sampler chooses in one round over all series.

    Windows with nothing observed in the past or in the future are left out.
    """
    chosen = [torch.as_tensor(np.asarray(sampler(target), dtype=np.int64)) for target in targets]
    items = torch.repeat_interleave(torch.arange(len(chosen)), torch.tensor([len(one) for one in chosen]))
    return store.with_observations(Windows(items, torch.cat(chosen)))


class SampledBatches(IterableDataset[dict[str, Tensor]]):
    """Batches of the windows that a gluonts instance sampler chooses, series after series, shuffled over an epoch.

    Args:
        data: the series.
        sampler: gives the first forecast step of each window.
        batch_size: windows a batch.
        steps: batches an epoch.
        seed: of the sampler (it draws from NumPy's global generator, which is restored) and of the order.
    """

    def __init__(self, data: SeriesWindows, sampler: Sampler, batch_size: int, steps: int, seed: int) -> None:
        self.data, self.sampler = data, sampler
        self.batch_size, self.steps, self.seed, self.epoch = batch_size, steps, seed, 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        windows = self._epoch()
        for first in range(0, self.steps * self.batch_size, self.batch_size):
            yield self.data.store.batch(windows.take(slice(first, first + self.batch_size)))

    def _epoch(self) -> Windows:
        self.epoch += 1
        wanted, idle = self.steps * self.batch_size, 0
        parts: list[Windows] = []
        with numpy_seed(self.seed + self.epoch):
            while sum(len(part) for part in parts) < wanted:
                parts.append(sampled(self.data.store, self.data.targets, self.sampler))
                idle = 0 if len(parts[-1]) else idle + 1
                if idle == IDLE_ROUNDS:
                    raise ValueError(
                        f"train_sampler chose no window with observed values in {IDLE_ROUNDS} rounds over all series: "
                        "check its min_past and min_future, or leave it out"
                    )
        items = torch.cat([part.items for part in parts])[:wanted]
        positions = torch.cat([part.positions for part in parts])[:wanted]
        order = torch.randperm(wanted, generator=torch.Generator().manual_seed(self.seed + self.epoch))
        return Windows(items, positions).take(order)


@contextmanager
def numpy_seed(seed: int) -> Iterator[None]:
    """Context with NumPy's global generator seeded; its state is restored afterwards."""
    state = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(state)
