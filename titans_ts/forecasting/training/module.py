"""ForecastingModule: a forecast network as a Lightning module.

Shapes: see `titans_ts.forecasting.model.network`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from titans_ts.core.optim import parameter_groups
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.network import Forecast, ForecastNetwork
from titans_ts.support.checkpoint import check_architecture, check_header, check_tensors, header
from titans_ts.support.guards.limits import built

FORECASTING = "forecasting"


class ForecastingModule(LightningModule):
    """Loss, optimiser and schedule (AdamW, one cycle) around a :class:`ForecastNetwork`.

    It logs ``train_loss`` (of each step, or of each epoch where ``log_epochs``) and ``val_loss``: means over the
    observed steps of the batches of all processes, so that the number of processes changes nothing.

    Args:
        network: a network, or the plain values of its :class:`NetworkConfig`.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: on the matrices of the backbone (see `titans_ts.core.optim`).
    """

    log_epochs = False

    def __init__(
        self, network: ForecastNetwork | dict[str, Any], learning_rate: float = 1e-3, weight_decay: float = 0.05
    ) -> None:
        super().__init__()
        if not isinstance(network, ForecastNetwork):
            network = built(partial(ForecastNetwork, NetworkConfig.from_dict(network)), "the network")
        self.network = network
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.save_hyperparameters(
            {
                "network": self.network.config.to_dict(),
                "learning_rate": learning_rate,
                "weight_decay": weight_decay,
                **header(FORECASTING),
            }
        )

    def _loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Summed loss over the observed steps of all processes' batches, times their number: gradients are averaged."""
        losses, observed = self.network.row_losses(batch)
        everywhere = self.trainer.strategy.reduce(observed.sum(), reduce_op="sum")
        return losses.sum() / everywhere.clamp_min(1) * self.trainer.world_size

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch.

        Raises:
            ValueError: the loss is not finite.
        """
        loss = self._loss(batch)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the training loss became {loss.item()} at step {self.global_step}: lower learning_rate "
                f"(now {self.learning_rate:g}) or look for extreme values in the target"
            )
        self.log(
            "train_loss", loss, prog_bar=True, on_step=not self.log_epochs, on_epoch=self.log_epochs, sync_dist=True
        )
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Logs ``val_loss``, the mean over all observed steps."""
        sums = torch.stack([part.sum() for part in self.network.row_losses(batch)])
        loss, observed = self.trainer.strategy.reduce(sums, reduce_op="sum").unbind()
        if observed:
            self.log("val_loss", loss / observed, prog_bar=True, batch_size=int(observed))

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """The forecast of one batch, as a mapping; callbacks score it."""
        return self.predict_step(batch, batch_idx)._asdict()

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> Forecast:
        """The forecast of one batch, in the caller's units."""
        return self.network(batch, self.levels)

    @property
    def levels(self) -> list[float]:
        """Quantile levels of its forecasts: the trained ones and the median."""
        return self.network.config.levels

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the head as it was before training: with it the linear part alone can be forecast later."""
        checkpoint["linear_head"] = self.network.linear_head or {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another architecture or version with a list of what differs."""
        check_header(checkpoint, "the checkpoint", FORECASTING)
        check_architecture(checkpoint, self.network.config.to_dict(), "the checkpoint")
        check_tensors(checkpoint, self, "the checkpoint")
        # A finished run may go on for more steps: the schedule is that of all of them.
        for schedule in checkpoint.get("lr_schedulers", ()):
            for planned in ("total_steps", "_schedule_phases"):
                schedule.pop(planned, None)
        self.network.linear_head = checkpoint.get("linear_head") or None

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW and a one-cycle schedule over the trainer's steps."""
        optimizer = torch.optim.AdamW(parameter_groups(self.network, self.weight_decay), lr=self.learning_rate)
        # OneCycleLR divides by zero where the rise has a single step.
        steps = max(10, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps, pct_start=0.2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
