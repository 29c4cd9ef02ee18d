"""Training a sequence network on encoded sequences: early stopping on held-out ones, best averaged weights kept.

Nothing is written to disk.
"""

from __future__ import annotations

import math
import sys
import time

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from titans_datasets.dna.batches.buckets import bucketed
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.genomics.training.config import TrainingConfig, TrainingResult
from titans_ts.genomics.training.examples import EpochBatches, Examples
from titans_ts.genomics.training.module import SequenceModule
from titans_ts.support.device import cpu_threads, resolve_device
from titans_ts.support.guards.signals import cut_short
from titans_ts.support.lightning import (
    BestWeightsCallback,
    StepsBar,
    graceful_interrupt,
    plain_trainer,
    quiet_lightning,
)
from titans_ts.support.progress import moves_bars

EVALUATED_TOKENS = 131_072


@torch.no_grad()
def held_out_loss(network: SequenceNetwork, examples: Examples, device: torch.device) -> float:
    """Weighted mean loss in evaluation mode."""
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


class BestEpochs(BestWeightsCallback[SequenceNetwork]):
    """Scores the averaged weights on held-out sequences after each epoch and keeps the best.

    Args:
        network: the network that is trained.
        held_out: the held-out sequences; without them the last weights are kept.
        config: how it is trained.
        deadline: `time.monotonic` time at which training stops.
    """

    def __init__(
        self, network: SequenceNetwork, held_out: Examples | None, config: TrainingConfig, deadline: float
    ) -> None:
        self.held_out, self.config = held_out, config
        self.device = next(network.parameters()).device
        loss = self._loss(network)
        self.start = math.nan if loss is None else loss
        super().__init__(network, config.ema_decay, self.start, deadline)
        self.steps = self.epochs = 0

    def after_step(self, trainer: Trainer) -> None:
        """Count."""
        self.steps = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score and keep."""
        self.epochs += 1
        self.kept.offer(self._loss(self.kept.average.network), self.epochs)
        if self.kept.waited >= self.config.patience and self.stopped == "finished":
            self.stop(trainer, "early stopping")

    def _loss(self, network: SequenceNetwork) -> float | None:
        return None if self.held_out is None else held_out_loss(network, self.held_out, self.device)


def train(
    network: SequenceNetwork, examples: Examples, held_out: Examples | None, config: TrainingConfig
) -> TrainingResult:
    """Train the network, leave the best weights in it (evaluation mode, on the CPU).

    Args:
        network: an untrained network.
        examples: what to learn from.
        held_out: decide when to stop; without them the last weights are kept.
        config: see :class:`TrainingConfig`.

    Raises:
        ValueError: an absent device, or a loss that is not finite.
    """
    started = time.monotonic()
    budget = math.inf if config.time_budget is None else config.time_budget
    device = resolve_device(config.device)
    network.to(device)
    with cpu_threads(config.threads):
        keeper = BestEpochs(network, held_out, config, started + budget)
        if config.max_epochs:
            _run(network, keeper, EpochBatches(examples, config), device)
        network.load_state_dict(keeper.kept.state)
    network.cpu().eval()
    seconds = round(time.monotonic() - started, 2)
    losses = (keeper.start, keeper.kept.loss)
    return TrainingResult(keeper.epochs, keeper.steps, keeper.kept.at, *losses, keeper.stopped, seconds)


def _run(network: SequenceNetwork, keeper: BestEpochs, batches: EpochBatches, device: torch.device) -> None:
    """The gradient steps, with one progress bar and a Ctrl-C that keeps the best weights."""
    config = keeper.config
    shown = config.progress and moves_bars(sys.stdout)
    callbacks: list[Callback] = [keeper, *([StepsBar(leave=False)] if shown else [])]
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trainer = plain_trainer(device, callbacks, config.gradient_clip, max_epochs=config.max_epochs)
        rates = (config.learning_rate, config.weight_decay, config.pretrained_rate)
        module = SequenceModule(network.train(), *rates)
        module.planned_steps = config.max_epochs * batches.steps()
        with graceful_interrupt(lambda: keeper.stop(trainer, "interrupted")):
            trainer.fit(module, train_dataloaders=DataLoader(batches, batch_size=None))
    if keeper.stopped == "interrupted":
        kept = f"the weights of epoch {keeper.kept.at} are used" if keeper.kept.at else "no epoch was kept"
        cut_short(f"training in epoch {keeper.epochs + 1} of {config.max_epochs}", kept)
