"""Batches of a named data source for Lightning, as a YAML recipe names it.

Shapes: see `titans_datasets.series.batches.module`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from lightning.pytorch import LightningDataModule

from titans_datasets.series.batches.module import BatchNumbers, WindowBatches, WindowLoader, shared_loader
from titans_datasets.series.batches.windows import Windows
from titans_datasets.series.public.sources import SeriesTask, SourceSpec, load_task, plain_state
from titans_datasets.series.read.covariates import CovariateEncoder
from titans_datasets.series.schema import SeriesSchema


class SourceDataModule(LightningDataModule):
    """Training, validation, test and prediction batches of a file, a built-in set or a benchmark.

    Its checkpoint state holds the covariate codes, so that later data are read the way the training data were.

    Args:
        source: a csv, csv.gz, parquet or tsf file; "builtin:weather"; a benchmark set such as "ETTh1" with its
            published split; or "epf:NP" (electricity prices).
        context_length: past steps the model reads.
        prediction_length: steps to forecast.
        columns: names and roles of a file's columns.
        calendar: cycles of the time features ("day", "week", "year"); null takes those seen twice.
        validation_windows: windows per series for choosing the best state.
        test_windows: windows per series, after those, for `test`.
        stride: steps between training windows.
        min_history: steps before a training forecast; null is half of context_length.
        short: series too short for a training window are skipped, padded or an error.
        download: fetch missing benchmark files.
        batch_size: windows per training step, over all devices.
        steps_per_epoch: training batches per epoch, drawn at random; null takes every window once.
        seed: of the order of the training windows.
    """

    def __init__(
        self,
        source: str,
        *,
        context_length: int,
        prediction_length: int,
        columns: SeriesSchema = SeriesSchema(),  # noqa: B008
        calendar: tuple[str, ...] | None = None,
        validation_windows: int = 4,
        test_windows: int = 4,
        stride: int = 1,
        min_history: int | None = None,
        short: Literal["skip", "pad", "error"] = "skip",
        download: bool = False,
        batch_size: int = 128,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.spec = SourceSpec(
            source,
            context_length,
            prediction_length,
            columns=columns,
            calendar=calendar,
            validation_windows=validation_windows,
            test_windows=test_windows,
            stride=stride,
            min_history=min_history,
            short=short,
            download=download,
        )
        self.batch_size, self.steps_per_epoch, self.seed = batch_size, steps_per_epoch, seed
        self._fitted: dict[str, Any] = {}

    @cached_property
    def task(self) -> SeriesTask:
        """The series and their windows, read at first use."""
        saved = self._fitted.get("encoder")
        return load_task(self.spec, CovariateEncoder.from_dict(saved) if saved else None, self._fitted.get("freq"))

    def state_dict(self) -> dict[str, Any]:
        """Covariate codes and time step, plain values."""
        return plain_state(self.task)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read the data as those of the checkpoint were read.

        Raises:
            ValueError: they were read already, in another way.
        """
        if "task" in self.__dict__ and plain_state(self.task) != state_dict:
            raise ValueError(
                f"{self.spec.source} was read with other covariate codes or another time step than the checkpoint's "
                "data: load the checkpoint's state before the data"
            )
        self._fitted = state_dict

    def train_dataloader(self) -> WindowLoader:
        """Shuffled training batches."""
        numbers = BatchNumbers(len(self.task.train), self.batch_size, self.steps_per_epoch, self.seed)
        return shared_loader(self, WindowBatches(self.task.store, self.task.train), numbers)

    def val_dataloader(self) -> WindowLoader | list[WindowLoader]:
        """Validation batches in order; an empty list without validation windows."""
        return self._in_order(self.task.validation) if len(self.task.validation) else []

    def test_dataloader(self) -> WindowLoader:
        """Test batches in order.

        Raises:
            ValueError: there is no test window.
        """
        if not len(self.task.test):
            raise ValueError(f"{self.spec.source} has no test window: raise data.test_windows or pass longer series")
        return self._in_order(self.task.test)

    def predict_dataloader(self) -> WindowLoader:
        """One window per item, in item order; every process has all of them."""
        windows = self.task.store.last_window()
        return WindowLoader(WindowBatches(self.task.store, windows), BatchNumbers(len(windows), self.batch_size))

    def _in_order(self, windows: Windows) -> WindowLoader:
        return shared_loader(self, WindowBatches(self.task.store, windows), BatchNumbers(len(windows), self.batch_size))
