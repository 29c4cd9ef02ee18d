"""Around a Lightning trainer: threads, averaged weights, a quiet log, a Ctrl-C that keeps what was learned."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch.callbacks import RichProgressBar
from torch.optim.swa_utils import get_ema_multi_avg_fn


def averaging(decay: float) -> Any:
    """torch's exponential averaging of weights."""
    return get_ema_multi_avg_fn(decay)


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
