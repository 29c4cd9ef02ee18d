"""How much of an epoch is spent on making batches: `python benchmarks/data_loading.py`.

It trains one epoch of `titans-ts fit`'s network on 7 series of 17,420 hours (ETTh1 where $TITANS_TS_DATA has it,
random walks of that size elsewhere) and prints the time spent waiting for batches beside the whole epoch's.
"""

from __future__ import annotations

import argparse
import platform
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback, Trainer

from titans_datasets.series import SeriesRecord, WindowSpec, WindowStore
from titans_datasets.series.batches.module import BatchNumbers, WindowBatches, WindowLoader
from titans_datasets.series.public.benchmarks import long_horizon
from titans_ts.core.config import TitansConfig
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.training.module import ForecastingModule
from titans_ts.support.lightning import quiet_lightning

SERIES, STEPS = 7, 17_420


class Timed(WindowLoader):
    """A loader that adds up the seconds its batches take."""

    seconds = 0.0

    def __iter__(self) -> Any:
        batches = super().__iter__()
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - started
            if batch is None:
                return
            yield batch


class EpochTime(Callback):
    """Seconds from the request for the first batch to the end of the last step."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop it."""
        self.seconds = time.perf_counter() - self.started


def load(context: int, horizon: int) -> tuple[str, WindowBatches]:
    """ETTh1's training windows, or those of random walks."""
    try:
        task = long_horizon("ETTh1", context, horizon)
        return "ETTh1", WindowBatches(task.store, task.train)
    except FileNotFoundError:
        walks = np.random.default_rng(0).normal(size=(SERIES, STEPS)).cumsum(axis=1)
        records = [SeriesRecord(f"walk {i}", pd.Timestamp("2016-07-01"), "h", walk) for i, walk in enumerate(walks)]
        store = WindowStore(records, WindowSpec(context, horizon, min_history=context, calendar=()))
        return "random walks", WindowBatches(store, store.windows())


def main() -> None:
    """Run and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--context", type=int, default=336)
    parser.add_argument("--horizon", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100, help="batches of the epoch, drawn at random; 0 takes all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name, batches = load(arguments.context, arguments.horizon)
    loader = Timed(batches, BatchNumbers(len(batches), arguments.batch_size, arguments.steps or None, 0))
    config = NetworkConfig(
        arguments.context, arguments.horizon, patch_stride=16, season=24, backbone=TitansConfig(), head="quantile"
    )
    clock = EpochTime()
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    with quiet_lightning():
        trainer = Trainer(max_epochs=1, accelerator="cpu", callbacks=[clock], enable_model_summary=False, **quiet)
        trainer.fit(ForecastingModule(config.to_dict()), loader)
    windows = len(loader) * arguments.batch_size
    print(
        f"{name}, {len(batches):,} windows of {arguments.context} + {arguments.horizon} steps, {len(loader):,} batches "
        f"of {arguments.batch_size}: epoch {clock.seconds:.1f} s, batches {loader.seconds:.2f} s = "
        f"{100 * loader.seconds / clock.seconds:.1f} % ({windows / loader.seconds:,.0f} windows/s); "
        f"{platform.machine()}, one thread, torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
