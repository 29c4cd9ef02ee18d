"""Networks that read DNA as Lightning modules: one for each task.

Shapes: see `titans_ts.genomics.model.network`; B sequences of a batch, T bases of one, K classes.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, get_args

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from titans_ts.core.config import require
from titans_ts.genomics.language.scoring import likelihoods
from titans_ts.genomics.model.config import LanguageConfig, SequenceConfig, ValueTask
from titans_ts.genomics.model.encoder import MaskedBatchNorm
from titans_ts.genomics.model.heads import row_losses
from titans_ts.genomics.model.language_network import LanguageNetwork
from titans_ts.genomics.model.network import Batch, SequenceNetwork
from titans_ts.genomics.training.learning_rates import one_cycle, rated_groups
from titans_ts.support.checkpoint import check_architecture, check_header, check_tensors, header
from titans_ts.support.guards.limits import built

LossName = ValueTask
VALUE_TASKS = get_args(ValueTask)
Network = SequenceNetwork | LanguageNetwork


class SequenceModule(LightningModule):
    """Loss, AdamW and a one-cycle schedule around a network that classifies sequences.

    It logs ``train_loss`` and ``val_loss``: weighted means over the rows (sequences, or bases) of all processes, so
    that the number of processes changes nothing. Batches are those of `titans_ts.genomics.DNADataModule`.

    Args:
        network: a network, or the plain values of its configuration (:class:`SequenceConfig`).
        learning_rate: peak of the one-cycle schedule.
        weight_decay: on the matrices of the network (see `titans_ts.core.optim`).
        pretrained_rate: learning rate of a language model's trunk over that of the rest.
        class_weights: (K,) of the classes in the loss; None where all count alike.

    Example:
        >>> import torch
        >>> from titans_ts.genomics import SequenceConfig
        >>> module = SequenceModule(SequenceNetwork(SequenceConfig(outputs=2)).eval(), learning_rate=1e-3)
        >>> ids = torch.randint(0, 4, (3, 50))
        >>> batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "index": torch.arange(3)}
        >>> found = module.predict_step(batch, 0)
        >>> found["index"].tolist(), [tuple(row.shape) for row in found["answers"]]  # probabilities of both classes
        ([0, 1, 2], [(2,), (2,), (2,)])
    """

    task: ClassVar[str] = "sequence_classification"
    # None takes the trainer's estimate, which needs a data loader of known length.
    planned_steps: int | None = None

    def __init__(
        self,
        network: Network | dict[str, Any],
        learning_rate: float = 2e-3,
        weight_decay: float = 0.05,
        pretrained_rate: float = 1.0,
        *,
        class_weights: list[float] | None = None,
    ) -> None:
        super().__init__()
        self.class_weights = class_weights
        self.network: Any = self.made(network) if isinstance(network, dict) else network
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.pretrained_rate = pretrained_rate
        rates: dict[str, Any] = {
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "pretrained_rate": pretrained_rate,
        }
        rates |= {} if class_weights is None else {"class_weights": class_weights}
        self.save_hyperparameters({"network": self.network.config.to_dict(), **rates, **header(self.task)})

    @staticmethod
    def made(values: dict[str, Any]) -> Network:
        """The network of a configuration's plain values."""
        return built(partial(SequenceNetwork, SequenceConfig.from_dict(values)), "the network")

    def setup(self, stage: str) -> None:
        """Several processes share the statistics of their norms."""
        self._share_norms(self.trainer.world_size > 1)

    def teardown(self, stage: str) -> None:
        """The network works without the other processes again."""
        self._share_norms(False)

    def _share_norms(self, shared: bool) -> None:
        for part in self.network.modules():
            if isinstance(part, MaskedBatchNorm):
                part.shared = shared

    def row_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of each row and its weight, alike in shape; rows that do not count have weight 0."""
        losses, weight = self.network.row_losses(batch)
        if self.class_weights is not None:
            labels = batch["labels"]
            labels = labels if labels.ndim == 1 else labels[batch["attention_mask"].bool()]
            weight = weight * weight.new_tensor(self.class_weights)[labels]
        return losses, weight * batch["counted"] if "counted" in batch else weight

    def answers(self, batch: Batch) -> list[Tensor]:
        """For each of B sequences the probabilities (K,) of its classes."""
        return list(self.network(batch).float().softmax(-1))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch.

        Raises:
            ValueError: the loss is not finite.
        """
        losses, weight = self.row_losses(batch)
        everywhere = self.trainer.strategy.reduce(weight.detach().sum(), reduce_op="sum")
        # Gradients are averaged over processes.
        loss = (losses * weight).sum() / everywhere.clamp_min(1e-12) * self.trainer.world_size
        if not torch.isfinite(loss):
            rate = f"lower learning_rate (now {self.learning_rate:g})"
            raise ValueError(f"the training loss became {loss.item()} at step {self.global_step}: {rate}")
        self.log("train_loss", loss, prog_bar=True, batch_size=len(batch["input_ids"]), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs ``val_loss``, the mean over all rows."""
        losses, weight = self.row_losses(batch)
        sums = torch.stack([(losses * weight).sum(), weight.sum()])
        loss, count = self.trainer.strategy.reduce(sums, reduce_op="sum").unbind()
        if count:
            self.log("val_loss", loss / count, prog_bar=True, batch_size=max(1, round(float(count))))

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The answers of one batch; callbacks score them."""
        return self.predict_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """`index` (B,) and `answers`, one for each sequence of a batch."""
        return {"index": batch["index"], "answers": self.answers(batch)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another task, architecture or version with a list of what differs."""
        check_header(checkpoint, "the checkpoint", self.task)
        check_architecture(checkpoint, self.network.config.to_dict(), "the checkpoint")
        check_tensors(checkpoint, self, "the checkpoint")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW and a one-cycle schedule over the planned steps."""
        groups = rated_groups(self.network, self.weight_decay, self.learning_rate, self.pretrained_rate)
        optimizer = torch.optim.AdamW(groups)
        planned = self.trainer.estimated_stepping_batches if self.planned_steps is None else self.planned_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(one_cycle, max(10, int(planned))))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class BaseLabelsModule(SequenceModule):
    """A `SequenceModule` whose network has the head ``"per_base"``: every base has an answer."""

    task = "base_labels"

    def answers(self, batch: Batch) -> list[Tensor]:
        """For each of B sequences the probabilities (T, K) of its bases."""
        found = self.network(batch).float().softmax(-1)
        return [row[mask] for row, mask in zip(found, batch["attention_mask"].bool(), strict=True)]


class RegressionModule(SequenceModule):
    """A `SequenceModule` whose network has one output, a number.

    Args:
        network, learning_rate, weight_decay, pretrained_rate: see `SequenceModule`.
        loss: "mse" and "huber" of numbers in units of their spread, or "poisson" of counts under a logarithmic link.
        mean, spread: of the training numbers; an output of 0 is the mean.

    Raises:
        ValueError: an unknown loss, or a mean of counts that is not above 0.
    """

    task = "sequence_regression"

    def __init__(
        self,
        network: Network | dict[str, Any],
        learning_rate: float = 2e-3,
        weight_decay: float = 0.05,
        pretrained_rate: float = 1.0,
        *,
        loss: LossName = "mse",
        mean: float = 0.0,
        spread: float = 1.0,
    ) -> None:
        super().__init__(network, learning_rate, weight_decay, pretrained_rate)
        require(loss in VALUE_TASKS, "loss", f"one of {', '.join(VALUE_TASKS)}", loss)
        require(loss != "poisson" or mean > 0, "loss", "mse or huber where the mean is not above 0", loss)
        self.loss, self.mean, self.spread = loss, mean, spread
        self.save_hyperparameters({"loss": loss, "mean": mean, "spread": spread})

    def row_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of each sequence and its weight, both (B,)."""
        truth = batch["labels"].float()
        learned = truth / self.mean if self.loss == "poisson" else (truth - self.mean) / self.spread
        losses = row_losses(self.network(batch).float(), learned[:, None], self.loss)
        return losses, batch["weight"] * batch.get("counted", 1.0)

    def answers(self, batch: Batch) -> list[Tensor]:
        """For each of B sequences a number (1,)."""
        output = self.network(batch).float()
        return list(output.exp() * self.mean if self.loss == "poisson" else output * self.spread + self.mean)


class LanguageModule(SequenceModule):
    """A `SequenceModule` around a `LanguageNetwork`, which predicts bases.

    Args:
        network: a network, or the plain values of its configuration (:class:`LanguageConfig`).
        learning_rate, weight_decay: see `SequenceModule`.
        context_length: bases of the windows in which a masked network reads long sequences.
    """

    task = "language_model"

    def __init__(
        self,
        network: Network | dict[str, Any],
        learning_rate: float = 2e-3,
        weight_decay: float = 0.05,
        *,
        context_length: int = 1024,
    ) -> None:
        super().__init__(network, learning_rate, weight_decay)
        self.context_length = context_length
        self.save_hyperparameters({"context_length": context_length})

    @staticmethod
    def made(values: dict[str, Any]) -> Network:
        """The network of a configuration's plain values."""
        return built(partial(LanguageNetwork, LanguageConfig.from_dict(values)), "the network")

    def answers(self, batch: Batch) -> list[Tensor]:
        """For each of B sequences its log-likelihood in nats and its number of A, C, G, T (2,), float64."""
        masks = batch["attention_mask"].bool().cpu()
        codes = [ids[mask].numpy() for ids, mask in zip(batch["input_ids"].cpu(), masks, strict=True)]
        found = likelihoods(self.network, codes, self.context_length, self.device)
        return list(torch.from_numpy(found.nats).new_tensor(list(zip(found.nats, found.bases, strict=True))))
