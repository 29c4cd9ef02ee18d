"""Training a sequence network on encoded sequences: early stopping on held-out ones, best averaged weights kept.

Nothing is written to disk.

Shapes: n sequences, B sequences of a batch, T bases, K classes or labels.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from titans_datasets.dna.alphabet import Codes
from titans_datasets.dna.batches.buckets import bucketed, pad
from titans_ts.core.config import require
from titans_ts.genomics.model.network import Batch, SequenceNetwork
from titans_ts.genomics.training.module import SequenceModule
from titans_ts.support.device import resolve_device
from titans_ts.support.lightning import (
    RunningMean,
    StepsBar,
    cpu_threads,
    graceful_interrupt,
    plain_trainer,
    quiet_lightning,
)

IntArray = npt.NDArray[np.int64]
EVALUATED_TOKENS = 131_072


@dataclass(frozen=True)
class TrainingConfig:
    """How a sequence network is trained.

    Attributes:
        max_epochs: passes over the training sequences; 0 leaves the network untrained.
        batch_size: sequences of median length in one step; longer ones come in smaller batches.
        learning_rate: peak of the one-cycle schedule.
        pretrained_rate: learning rate of pretrained weights over that of new ones; 0 leaves them as they are.
        weight_decay: AdamW's, on matrices.
        patience: epochs without improvement on the held-out sequences before stopping.
        ema_decay: the scored and kept weights are an exponential mean over steps; 0 takes the last ones.
        gradient_clip: largest norm of the gradient.
        mutate: share of the bases of a training sequence that are replaced by random ones.
        time_budget: seconds after which training stops; None for no limit.
        seed: of initialisation, dropout and order.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        progress: show one progress bar.
        threads: CPU threads while training; None leaves the setting.
    """

    max_epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 2e-3
    pretrained_rate: float = 1.0
    weight_decay: float = 0.05
    patience: int = 5
    ema_decay: float = 0.99
    gradient_clip: float = 1.0
    mutate: float = 0.0
    time_budget: float | None = None
    seed: int = 0
    device: str = "auto"
    progress: bool = True
    threads: int | None = 1

    def __post_init__(self) -> None:
        require(self.max_epochs >= 0, "max_epochs", "≥ 0", self.max_epochs)
        require(self.batch_size >= 1, "batch_size", "≥ 1 sequence", self.batch_size)
        require(self.learning_rate > 0, "learning_rate", "> 0", self.learning_rate)
        require(self.pretrained_rate >= 0, "pretrained_rate", "≥ 0", self.pretrained_rate)
        require(self.weight_decay >= 0, "weight_decay", "≥ 0", self.weight_decay)
        require(self.patience >= 1, "patience", "≥ 1 epoch", self.patience)
        require(0 <= self.ema_decay < 1, "ema_decay", "in [0, 1)", self.ema_decay)
        require(self.gradient_clip > 0, "gradient_clip", "> 0", self.gradient_clip)
        require(0 <= self.mutate < 1, "mutate", "in [0, 1)", self.mutate)
        require(self.time_budget is None or self.time_budget > 0, "time_budget", "> 0 seconds", self.time_budget)


class Examples(NamedTuple):
    """Encoded sequences with what is to be learned of them.

    Attributes:
        codes: n arrays of letters.
        labels: (n,) class numbers or (n, K) zeros and ones; for bases a list of n arrays (T,) or (T, K).
        weight: (n,) of the sequences.
        class_weight: (K,) by class number, for labels of bases; None elsewhere (it is in `weight`).
    """

    codes: Sequence[Codes]
    labels: Any
    weight: npt.NDArray[np.float64]
    class_weight: npt.NDArray[np.float64] | None = None

    def take(self, rows: IntArray) -> Examples:
        """Some of them."""
        labels = [self.labels[i] for i in rows] if isinstance(self.labels, list) else self.labels[rows]
        return Examples([self.codes[i] for i in rows], labels, self.weight[rows], self.class_weight)

    def batch(self, rows: IntArray) -> Batch:
        """Sequences of one batch, padded on the right."""
        ids, mask = pad([self.codes[i] for i in rows])
        batch = {"input_ids": ids, "attention_mask": mask}
        weight = torch.from_numpy(self.weight[rows]).float()
        if not isinstance(self.labels, list):
            return {**batch, "labels": torch.from_numpy(self.labels[rows]), "weight": weight}
        first = torch.from_numpy(self.labels[int(rows[0])])
        labels = first.new_zeros(*mask.shape, *first.shape[1:])
        labels[mask] = torch.cat([torch.from_numpy(self.labels[i]) for i in rows])
        each = weight[:, None] * mask
        if self.class_weight is not None:
            each = each * torch.from_numpy(self.class_weight).float()[labels]
        return {**batch, "labels": labels, "weight": each}


class TrainingResult(NamedTuple):
    """What training did; losses are those of the held-out sequences in nats (NaN without any).

    ``stopped`` is ``"finished"``, ``"early stopping"``, ``"time budget"`` or ``"interrupted"``.
    """

    epochs: int
    steps: int
    best_epoch: int
    start_loss: float
    best_loss: float
    stopped: str
    seconds: float


class EpochBatches(IterableDataset[Batch]):
    """Batches of like length in a new order each epoch, some bases replaced by random ones."""

    def __init__(self, examples: Examples, config: TrainingConfig) -> None:
        super().__init__()
        self.examples, self.config = examples, config
        self.lengths = np.array([len(x) for x in examples.codes])
        self.tokens = int(config.batch_size * max(1.0, float(np.median(self.lengths))))
        self.random = np.random.default_rng(config.seed)

    def steps(self) -> int:
        """Batches of an epoch, about: padding differs from order to order."""
        return len(bucketed(self.lengths, self.tokens, np.random.default_rng(self.config.seed)))

    def __iter__(self) -> Iterator[Batch]:
        for rows in bucketed(self.lengths, self.tokens, self.random):
            batch = self.examples.batch(rows)
            yield {**batch, "input_ids": self._mutated(batch["input_ids"], batch["attention_mask"])}

    def _mutated(self, ids: Tensor, mask: Tensor) -> Tensor:
        if self.config.mutate == 0:
            return ids
        hit = torch.from_numpy(self.random.random(ids.shape) < self.config.mutate) & mask
        return torch.where(hit, torch.from_numpy(self.random.integers(0, 4, ids.shape)), ids)


@torch.no_grad()
def held_out_loss(network: SequenceNetwork, examples: Examples, device: torch.device) -> float:
    """Weighted mean log loss in evaluation mode, in nats."""
    mode = network.training
    network.eval()
    total = count = 0.0
    for rows in bucketed([len(x) for x in examples.codes], EVALUATED_TOKENS):
        batch = {name: value.to(device) for name, value in examples.batch(rows).items()}
        losses, weight = network.row_losses(batch)
        total += float((losses * weight).sum())
        count += float(weight.sum())
    network.train(mode)
    return total / max(count, 1e-12)


class BestWeights(Callback):
    """Averages weights over steps, scores the average on held-out sequences, keeps the best, stops in time."""

    def __init__(
        self, network: SequenceNetwork, held_out: Examples | None, config: TrainingConfig, deadline: float
    ) -> None:
        self.network, self.held_out, self.config, self.deadline = network, held_out, config, deadline
        self.average = RunningMean(network, config.ema_decay)
        self.device = next(network.parameters()).device
        self.start = self.best_loss = self._loss(network)
        self.steps = self.epochs = self.best_epoch = self.since = 0
        self.stopped = "finished"
        self.best = copy.deepcopy(network.state_dict())

    def _loss(self, network: SequenceNetwork) -> float:
        return math.nan if self.held_out is None else held_out_loss(network, self.held_out, self.device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average; watch the clock."""
        self.steps = trainer.global_step
        self.average.update(self.network, self.steps)
        if time.monotonic() > self.deadline:
            self.stop(trainer, "time budget")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score and keep."""
        self.epochs += 1
        self.check()
        if self.since >= self.config.patience and self.stopped == "finished":
            self.stop(trainer, "early stopping")

    def stop(self, trainer: Trainer, reason: str) -> None:
        """End training after this step."""
        self.stopped = reason
        trainer.should_stop = True

    def check(self) -> None:
        """Keep the averaged weights if they are the best so far, or nothing is held out."""
        loss = self._loss(self.average.network)
        self.since += 1
        if self.held_out is None or loss < self.best_loss:
            self.best = copy.deepcopy(self.average.network.state_dict())
            self.best_loss, self.best_epoch, self.since = loss, self.epochs, 0


def train(
    network: SequenceNetwork, examples: Examples, held_out: Examples | None, config: TrainingConfig
) -> TrainingResult:
    """Train the network, leave the best weights in it (evaluation mode, on the CPU).

    Args:
        network: an untrained network.
        examples: what to learn from.
        held_out: what decides when to stop; without it the last weights are kept.
        config: see :class:`TrainingConfig`.

    Raises:
        ValueError: an absent device, or a loss that is not finite.
    """
    started = time.monotonic()
    budget = math.inf if config.time_budget is None else config.time_budget
    device = resolve_device(config.device)
    network.to(device)
    with cpu_threads(config.threads):
        keeper = BestWeights(network, held_out, config, started + budget)
        if config.max_epochs:
            _run(network, keeper, EpochBatches(examples, config), device)
        network.load_state_dict(keeper.best)
    network.cpu().eval()
    seconds = round(time.monotonic() - started, 2)
    losses = (keeper.start, keeper.best_loss)
    return TrainingResult(keeper.epochs, keeper.steps, keeper.best_epoch, *losses, keeper.stopped, seconds)


def _run(network: SequenceNetwork, keeper: BestWeights, batches: EpochBatches, device: torch.device) -> None:
    """The gradient steps, with one progress bar and a Ctrl-C that keeps the best weights."""
    config = keeper.config
    callbacks: list[Callback] = [keeper, *([StepsBar(leave=False)] if config.progress else [])]
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trainer = plain_trainer(device, callbacks, config.gradient_clip, max_epochs=config.max_epochs)
        rates = (config.learning_rate, config.weight_decay, config.pretrained_rate)
        module = SequenceModule(network.train(), *rates)
        module.planned_steps = config.max_epochs * batches.steps()
        with graceful_interrupt(lambda: keeper.stop(trainer, "interrupted")):
            trainer.fit(module, train_dataloaders=DataLoader(batches, batch_size=None))
