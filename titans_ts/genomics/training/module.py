"""SequenceModule: a sequence network as a Lightning module.

Shapes: see `titans_ts.genomics.model.network`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from titans_ts.genomics.model.config import SequenceConfig
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.genomics.training.learning_rates import one_cycle, rated_groups


class SequenceModule(LightningModule):
    """Loss (logged as ``train_loss``, ``val_loss``), AdamW and a one-cycle schedule around a :class:`SequenceNetwork`.

    Args:
        network: a network, or the plain values of its :class:`SequenceConfig`.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: on the matrices of the network (see `titans_ts.core.optim`).
        pretrained_rate: learning rate of a language model's trunk over that of the rest.
    """

    # None takes the trainer's estimate, which needs a data loader of known length.
    planned_steps: int | None = None

    def __init__(
        self,
        network: SequenceNetwork | dict[str, Any],
        learning_rate: float = 2e-3,
        weight_decay: float = 0.05,
        pretrained_rate: float = 1.0,
    ) -> None:
        super().__init__()
        if isinstance(network, dict):
            network = SequenceNetwork(SequenceConfig.from_dict(network))
        self.network = network
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.pretrained_rate = pretrained_rate
        rates = {"learning_rate": learning_rate, "weight_decay": weight_decay, "pretrained_rate": pretrained_rate}
        self.save_hyperparameters({"network": self.network.config.to_dict(), **rates})

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch.

        Raises:
            ValueError: the loss is not finite.
        """
        loss = self.network.loss(batch)
        if not torch.isfinite(loss):
            rate = f"lower learning_rate (now {self.learning_rate:g})"
            raise ValueError(f"the training loss became {loss.item()} at step {self.global_step}: {rate}")
        self.log("train_loss", loss, prog_bar=True, batch_size=len(batch["input_ids"]))
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Logs ``val_loss``."""
        self.log("val_loss", self.network.loss(batch), prog_bar=True, batch_size=len(batch["input_ids"]))

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Logits of one batch."""
        return self.network(batch)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW and a one-cycle schedule over the planned steps."""
        groups = rated_groups(self.network, self.weight_decay, self.learning_rate, self.pretrained_rate)
        optimizer = torch.optim.AdamW(groups)
        planned = self.trainer.estimated_stepping_batches if self.planned_steps is None else self.planned_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(one_cycle, max(10, int(planned))))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
