"""What trainings need around a Lightning trainer: best weights, threads, a quiet log, a Ctrl-C that keeps the model."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, Generic

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from titans_ts.support.averaging import BestWeights, Network


class BestWeightsCallback(Callback, Generic[Network]):
    """Averages weights after each step, keeps the best average, stops at a deadline.

    A subclass scores the average and offers it to `kept`, in `after_step` or at the end of an epoch.

    Args:
        network: the network that is trained.
        decay: see `titans_ts.support.averaging.AveragedWeights`.
        loss: held-out loss of the network as it is.
        deadline: `time.monotonic` time at which training stops.

    Attributes:
        kept: the `BestWeights`.
        stopped: "finished", "early stopping", "time budget" or "interrupted".
    """

    def __init__(self, network: Network, decay: float, loss: float, deadline: float) -> None:
        self.network, self.deadline = network, deadline
        self.kept = BestWeights(network, decay, loss)
        self.stopped = "finished"

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average; look at the clock."""
        self.kept.average.update(self.network, trainer.global_step)
        self.after_step(trainer)
        if time.monotonic() > self.deadline:
            self.stop(trainer, "time budget")

    def after_step(self, trainer: Trainer) -> None:
        """What else a step calls for; nothing here."""

    def stop(self, trainer: Trainer, reason: str) -> None:
        """End training after this step."""
        self.stopped = reason
        trainer.should_stop = True


def plain_trainer(device: torch.device, callbacks: list[Callback], gradient_clip: float, **limits: Any) -> Trainer:
    """A Lightning trainer that only takes steps: no logger, no files, a progress bar only as a callback.

    Args:
        device: where it runs.
        callbacks: a `StepsBar` among them shows progress.
        gradient_clip: largest norm of the gradient.
        limits: Lightning's max_steps or max_epochs.
    """
    return Trainer(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        callbacks=callbacks,
        gradient_clip_val=gradient_clip,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(one, StepsBar) for one in callbacks),
        limit_val_batches=0,
        **limits,
    )


class StepsBar(RichProgressBar):
    """Lightning's progress bar, which would show "Epoch 0/-2" where only the number of steps is limited."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"


@contextlib.contextmanager
def graceful_interrupt(stop: Any) -> Iterator[None]:
    """Context in which the first Ctrl-C calls ``stop`` and lets the step finish; the second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, previous)
        stop()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Context without banners and advice from Lightning; its errors stay."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
