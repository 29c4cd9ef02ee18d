"""PretrainingModule: a network of reads as a Lightning module, with the running mean of its weights.

Shapes: see `titans_ts.forecasting.reads.training.batches`.
"""

from __future__ import annotations

import copy
import time
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from titans_ts.forecasting.reads.drafts import NAMES
from titans_ts.forecasting.reads.expert_drafts import MIXED, SLOTS
from titans_ts.forecasting.reads.features import ReadingInputs
from titans_ts.forecasting.reads.network import ReadingConfig, ReadingNetwork
from titans_ts.forecasting.reads.training.batches import PoolBatch
from titans_ts.support.checkpoint import header

PRETRAINING = "pretraining"
WARM_UP = 100
# Of the two mixtures of experts in the first weights, as logarithms: a network begins with what is good already.
TRUST = 2.0
# Of running errors, in scales of a boundary, where they count as weights.
LEAST_ERROR = 0.1


class PretrainingModule(LightningModule):
    """Loss, optimiser and schedule (AdamW; warm-up, stable, decay) around a `ReadingNetwork`.

    It logs ``train_loss``, ``boundaries_per_cpu_second`` and, of the running mean of the weights, ``val_loss``.

    Args:
        width, depth, step_width: of the network, see `ReadingConfig`.
        learning_rate: of the stable part.
        weight_decay: of all weights.
        stable: share of the steps after which the rate begins to fall, in a line to 0.
        averaging: decay of the running mean of the weights, a step.
        relative: whether losses are relative to the running errors of the experts: half the error where little is
            certain then counts as much as half of it where almost all is.

    Attributes:
        network: in training.
        average: the running mean, which is what is used.
        spent: boundaries that were read and CPU seconds of this process, kept when training resumes.
    """

    spent: Tensor

    def __init__(
        self,
        width: int = 256,
        depth: int = 3,
        step_width: int = 96,
        *,
        learning_rate: float = 1.2e-3,
        weight_decay: float = 0.02,
        stable: float = 0.5,
        averaging: float = 0.998,
        relative: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.save_hyperparameters(header(PRETRAINING))
        self.network = ReadingNetwork(ReadingConfig((*NAMES, *SLOTS), width, depth, step_width))
        with torch.no_grad():
            self.network.weights.bias[len(NAMES) : len(NAMES) + len(MIXED)] = TRUST
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.stable, self.averaging, self.relative = stable, averaging, relative
        self.register_buffer("spent", torch.zeros(2, dtype=torch.float64))
        self._clock = 0.0

    def on_train_start(self) -> None:
        """Start the clock."""
        self._clock = time.process_time()

    def training_step(self, batch: PoolBatch, batch_idx: int) -> Tensor:
        """Loss of one batch.

        Raises:
            ValueError: the loss is not finite.
        """
        loss = self.network.loss(*batch[:4], predictability(batch.inputs) if self.relative else None)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the training loss became {loss.item()} at step {self.global_step}: lower learning_rate "
                f"(now {self.learning_rate:g})"
            )
        self.log("train_loss", loss, prog_bar=True, batch_size=1)
        now = time.process_time()
        self.spent += torch.tensor([batch.read, now - self._clock], dtype=torch.float64)
        self._clock = now
        self.log("boundaries_per_cpu_second", self.spent[0] / self.spent[1].clamp_min(1e-9), batch_size=1)
        return loss

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        """Step, then update the running mean: checkpoints are written before the end of a batch is told to modules."""
        super().optimizer_step(*args, **options)
        # With the full decay an early mean would stay near the start.
        kept = min(self.averaging, self.global_step / (self.global_step + 10))
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(weight, 1 - kept)

    def validation_step(self, batch: PoolBatch, batch_idx: int) -> None:
        """Logs ``val_loss``, of the running mean."""
        weights = predictability(batch.inputs) if self.relative else None
        self.log("val_loss", self.average.loss(*batch[:4], weights), prog_bar=True, batch_size=1, sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW and the schedule over the planned steps."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=self.weight_decay
        )
        planned = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(warm_stable_decay, planned, self.stable))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def predictability(inputs: ReadingInputs) -> Tensor:
    """Weights (B, M) of boundaries: the inverse of what the mixtures of experts have been wrong by, 1 on average."""
    # Errors of nothing held out have the logarithm 0: as large as the scale.
    errors = inputs.errors[:, :, len(NAMES) : len(NAMES) + len(MIXED)].exp().mean((2, 3))
    weights = 1 / (errors + LEAST_ERROR)
    return weights / weights.mean()


def warm_stable_decay(planned: int, stable: float, step: int) -> float:
    """Share of the learning rate at a step: rising, 1, then falling in a line to 0 at the last of the planned steps."""
    falling = (1 - step / max(1, planned)) / max(1 - stable, 1e-9)
    return max(0.0, min(1.0, (step + 1) / WARM_UP, falling))
