"""Around a Lightning trainer: threads, averaged weights, a quiet log, a Ctrl-C that keeps what was learned."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Network = TypeVar("Network", bound=nn.Module)


def averaging(decay: float) -> Any:
    """torch's exponential averaging of weights."""
    return get_ema_multi_avg_fn(decay)


class RunningMean(Generic[Network]):
    """Exponential mean of a network's weights over steps.

    Args:
        network: whose weights are averaged; it is copied.
        decay: share of the mean that a step keeps; 0 takes the last weights.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self._average = AveragedModel(network, multi_avg_fn=averaging(decay))

    @property
    def network(self) -> Network:
        """The network with averaged weights."""
        return cast(Network, self._average.module)

    def update(self, network: Network, step: int) -> None:
        """Take in the weights after a step; steps count from 1."""
        # A young average would hold on to the start: its memory grows with the steps.
        self._average.multi_avg_fn = averaging(min(self.decay, step / (step + 10)))
        self._average.update_parameters(network)


def plain_trainer(device: torch.device, callbacks: list[Callback], gradient_clip: float, **limits: Any) -> Trainer:
    """A Lightning trainer that only takes steps: no logger, no files, a bar only as a callback.

    Args:
        device: where it runs.
        callbacks: with a `StepsBar` among them, there is one.
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
    """Lightning's bar, which would call steps without an end of epochs "Epoch 0/-2"."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"


@contextlib.contextmanager
def graceful_interrupt(stop: Any) -> Iterator[None]:
    """The first Ctrl-C calls ``stop`` and lets the step finish; the second one interrupts for good."""
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
    """No banners and advice from Lightning; its errors stay."""
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


@contextlib.contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Use that many CPU threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
