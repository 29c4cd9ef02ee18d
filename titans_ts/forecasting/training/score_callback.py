"""Scoring test forecasts batch by batch while Lightning tests.

Shapes: see `titans_ts.forecasting.training.running_scores`.
"""

from __future__ import annotations

from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from titans_datasets.series import Windows, WindowStore
from titans_ts.forecasting.model.network import Forecast, ForecastNetwork, linear_part
from titans_ts.forecasting.training.module import ForecastingModule
from titans_ts.forecasting.training.running_scores import RunningScores

MODEL, LINEAR_PART = "model", "linear part alone"


class ScoreForecasts(Callback):
    """MSE, MAE, WQL and MASE of the test windows, for the network and for its linear part alone.

    `scores` has them after testing: name of the model → name of the metric → value.

    Args:
        store: the series.
        windows: the test windows, in the order of the loader.
    """

    def __init__(self, store: WindowStore, windows: Windows) -> None:
        self.store, self.windows = store, windows
        self.running: dict[str, RunningScores] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.linear: ForecastNetwork | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from zero."""
        module = cast(ForecastingModule, pl_module)
        self.linear = None if module.network.linear_head is None else linear_part(module.network)
        names = [MODEL] if self.linear is None else [MODEL, LINEAR_PART]
        self.running = {name: RunningScores(module.levels) for name in names}
        self.scale = self.store.seasonal_errors(self.windows, self.store.frequency.seasonality)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the batch."""
        scale = self.scale[batch["window_index"].cpu()]
        self.running[MODEL].add(batch, Forecast(**outputs), scale)
        if self.linear is not None:
            self.running[LINEAR_PART].add(batch, self.linear(batch, cast(ForecastingModule, pl_module).levels), scale)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add up the sums of all processes."""
        for scores in self.running.values():
            if trainer.world_size > 1:
                scores.sums = trainer.strategy.reduce(scores.sums.to(pl_module.device), reduce_op="sum").cpu()
        self.scores = {name: scores.result() for name, scores in self.running.items()}
