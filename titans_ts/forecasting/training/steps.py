"""Gradient steps of a forecast network by Lightning: the best of its averaged weights are kept."""

from __future__ import annotations

import logging
import math
import sys

import torch
from lightning.pytorch import Callback, Trainer

from titans_datasets.series import Windows, WindowStore
from titans_datasets.series.batches.module import BatchNumbers, WindowBatches, window_loader
from titans_datasets.text import short
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.model.window import Batches
from titans_ts.forecasting.training.config import TrainingConfig
from titans_ts.forecasting.training.holdout import held_out_losses
from titans_ts.forecasting.training.module import ForecastingModule
from titans_ts.support.guards.signals import cut_short
from titans_ts.support.lightning import (
    BestWeightsCallback,
    StepsBar,
    graceful_interrupt,
    plain_trainer,
    quiet_lightning,
)
from titans_ts.support.progress import PROGRESS, moves_bars

# Steps after which training stops where no check has been better than the linear part, and the least gain that counts.
PROBE_STEPS, LEAST_GAIN = 50, 0.005


class BestSteps(BestWeightsCallback[ForecastNetwork]):
    """Scores the averaged weights on held-out windows every so many steps and keeps the best.

    Args:
        network: the network that is trained.
        batches: the held-out windows.
        config: how it is trained.
        deadline: `time.monotonic` time at which training stops.
        until: step after which training stops; None is the last one of the configuration.
        whole: whether it trains on all windows, which counts only when it comes to its end.
    """

    def __init__(
        self,
        network: ForecastNetwork,
        batches: Batches,
        config: TrainingConfig,
        deadline: float,
        until: int | None = None,
        whole: bool = False,
    ) -> None:
        self.name = "training on all windows" if whole else "training"
        self.start = self.best_losses = held_out_losses(network, batches())
        super().__init__(network, config.ema_decay, self.start.mean, deadline)
        self.batches, self.config = batches, config
        self.until = config.max_steps if until is None else until
        self.whole = whole
        self.every = max(1, config.max_steps // config.checks)
        self.steps = 0

    def after_step(self, trainer: Trainer) -> None:
        """Score at every check."""
        step = trainer.global_step
        if step % self.every == 0 or step == self.until:
            self.check(step)
            if self.kept.waited >= self.config.patience:
                self.stop(trainer, "early stopping")
            elif step >= PROBE_STEPS and self.start.mean - self.kept.loss < LEAST_GAIN * abs(self.start.mean):
                # Where nothing is held out both are NaN, and training goes on.
                self.stop(trainer, "no gain")
        if step == self.until:
            trainer.should_stop = True
        loss = self.kept.loss
        held = f", held-out loss {short(loss)}" if math.isfinite(loss) else ""
        # What is shown every few seconds is the newest; a log of everything has one line a check.
        level = logging.INFO if step % self.every == 0 else logging.DEBUG
        PROGRESS.log(level, f"{self.name}, step {step} of {self.until}{held}")

    @property
    def used(self) -> str:
        """What is used of a training that was interrupted."""
        if self.whole:
            return "the linear part alone is used"
        return f"the best weights so far, of step {self.kept.at}, are used" if self.kept.at else "no step was kept"

    def check(self, step: int) -> None:
        """Keep the averaged weights if they are the best so far (or nothing is held out)."""
        losses = held_out_losses(self.kept.average.network, self.batches())
        if self.kept.offer(losses.mean if len(losses.total) else None, step):
            self.best_losses = losses


def run_steps(network: ForecastNetwork, keeper: BestSteps, store: WindowStore, windows: Windows) -> None:
    """The gradient steps, with one progress bar and a Ctrl-C that keeps the best weights."""
    config = keeper.config
    device = next(network.parameters()).device
    numbers = BatchNumbers(len(windows), config.batch_size, config.max_steps, config.seed)
    callbacks: list[Callback] = [keeper]
    if config.progress and moves_bars(sys.stdout):
        callbacks.append(StepsBar(leave=False))
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trainer = plain_trainer(device, callbacks, config.gradient_clip, max_steps=config.max_steps)
        module = ForecastingModule(network.train(), config.learning_rate, config.weight_decay)
        with graceful_interrupt(lambda: keeper.stop(trainer, "interrupted")):
            trainer.fit(module, train_dataloaders=window_loader(WindowBatches(store, windows), numbers))
    keeper.steps = trainer.global_step
    # A state from before the first check still counts.
    if keeper.stopped in ("interrupted", "time budget"):
        keeper.check(trainer.global_step)
    if keeper.stopped == "interrupted":
        cut_short(f"{keeper.name} after step {trainer.global_step} of {keeper.until}", keeper.used)
