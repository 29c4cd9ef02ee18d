"""Training a forecast network on a window store: closed form first, then gradient steps, best weights kept.

The network at step 0 is the linear map; it is scored on the held-out windows like every later state, so that training
can only improve on it there. Nothing is written to disk.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from titans_datasets.series import Windows, WindowStore
from titans_datasets.series.batches.module import BatchNumbers, WindowBatches, window_loader
from titans_ts.core.config import require
from titans_ts.forecasting.model.network import Batches, ForecastNetwork
from titans_ts.forecasting.training.holdout import held_out_losses, kept_share, time_blocks
from titans_ts.forecasting.training.module import ForecastingModule
from titans_ts.support.device import resolve_device
from titans_ts.support.lightning import (
    RunningMean,
    StepsBar,
    cpu_threads,
    graceful_interrupt,
    plain_trainer,
    quiet_lightning,
)

# The closed-form fit costs windows · features · (features + horizon) operations; this many take about 3 s on one core.
SHORTCUT_OPERATIONS = 2e10
FEWEST_WINDOWS = 20_000
LOADED = 512
FOLDS = 3


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Attributes:
        max_steps: gradient steps; 0 leaves the linear map.
        batch_size: windows a step, drawn at random.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: AdamW's, on matrices.
        patience: checks without improvement on the held-out windows before stopping.
        checks: how often the held-out windows are scored over ``max_steps``.
        ema_decay: the scored and kept weights are an exponential mean over steps; 0 takes the last ones.
        gradient_clip: largest norm of the gradient.
        time_budget: seconds after which training stops; None for no limit.
        seed: of initialisation, dropout and window order.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        progress: show one progress bar.
        threads: CPU threads while training; None leaves the setting. These networks are small, and contention
            is dear: beside a process that held one of two cores, two threads took over 400 s for what one did in 60.
    """

    max_steps: int = 300
    batch_size: int = 128
    learning_rate: float = 3e-4
    weight_decay: float = 0.05
    patience: int = 5
    checks: int = 12
    ema_decay: float = 0.99
    gradient_clip: float = 1.0
    time_budget: float | None = None
    seed: int = 0
    device: str = "auto"
    progress: bool = True
    threads: int | None = 1

    def __post_init__(self) -> None:
        require(self.max_steps >= 0, "max_steps", "≥ 0", self.max_steps)
        require(self.batch_size >= 1, "batch_size", "≥ 1 window", self.batch_size)
        require(self.learning_rate > 0, "learning_rate", "> 0", self.learning_rate)
        require(self.weight_decay >= 0, "weight_decay", "≥ 0", self.weight_decay)
        require(self.patience >= 1, "patience", "≥ 1 check", self.patience)
        require(self.checks >= 1, "checks", "≥ 1", self.checks)
        require(0 <= self.ema_decay < 1, "ema_decay", "in [0, 1)", self.ema_decay)
        require(self.gradient_clip > 0, "gradient_clip", "> 0", self.gradient_clip)
        require(self.time_budget is None or self.time_budget > 0, "time_budget", "> 0 seconds", self.time_budget)


class TrainingResult(NamedTuple):
    """What training did; losses are those of the held-out windows (NaN without any).

    ``stopped`` is ``"finished"``, ``"early stopping"``, ``"time budget"`` or ``"interrupted"``; ``best_step`` 0 means
    that the linear map alone was best. ``share`` is how much of the network's correction was kept: `kept_share`.
    """

    steps: int
    best_step: int
    start_loss: float
    best_loss: float
    stopped: str
    seconds: float
    share: float = 1.0


def to_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


def store_batches(store: WindowStore, windows: Windows, device: torch.device) -> Iterator[dict[str, Tensor]]:
    """All windows in order, in batches of 512."""
    for first in range(0, len(windows), LOADED):
        yield to_device(store.batch(windows.take(slice(first, first + LOADED))), device)


def time_folds(windows: Windows) -> list[Windows]:
    """The windows in parts that lie one after the other in time; one part when they are few."""
    if len(windows) < 100 * FOLDS:
        return [windows]
    order = windows.positions.argsort(stable=True)
    return [windows.take(part.sort().values) for part in order.tensor_split(FOLDS)]


def fit_linear(network: ForecastNetwork, store: WindowStore, train: Windows, held_out: Windows | None) -> None:
    """Closed-form fit of the linear map on evenly thinned training windows; on more where series may get their own."""
    features, horizon = network.linear.weight.shape
    series = 0 if store.multichannel else len(train.items.unique())
    most = max(FEWEST_WINDOWS, int(SHORTCUT_OPERATIONS / (features * (features + horizon))))
    most = max(most, network.linear.wanted(len(train), series))
    thin = train.take(slice(0, None, max(1, -(-len(train) // most))))
    device = next(network.parameters()).device
    check: Batches | None = None
    if held_out is not None and len(held_out):
        check = partial(store_batches, store, held_out, device)
    network.fit_linear([partial(store_batches, store, part, device) for part in time_folds(thin)], check)


class BestWeights(Callback):
    """Averages weights over steps, scores the average on held-out windows, keeps the best, stops in time."""

    def __init__(
        self,
        network: ForecastNetwork,
        batches: Batches,
        config: TrainingConfig,
        deadline: float,
        until: int | None = None,
    ) -> None:
        self.network, self.batches, self.config, self.deadline = network, batches, config, deadline
        self.until = config.max_steps if until is None else until
        self.every = max(1, config.max_steps // config.checks)
        self.average = RunningMean(network, config.ema_decay)
        self.start = self.best_losses = held_out_losses(network, batches())
        self.steps, self.best_step, self.checks_since, self.stopped = 0, 0, 0, "finished"
        self.best = {name: value.clone() for name, value in network.state_dict().items()}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average, and score at every check."""
        step = trainer.global_step
        self.average.update(self.network, step)
        if step % self.every == 0 or step == self.until:
            self.check(step)
            if self.checks_since >= self.config.patience:
                self.stop(trainer, "early stopping")
        if step == self.until:
            trainer.should_stop = True
        if time.monotonic() > self.deadline:
            self.stop(trainer, "time budget")

    def stop(self, trainer: Trainer, reason: str) -> None:
        """End training after this step."""
        self.stopped = reason
        trainer.should_stop = True

    def check(self, step: int) -> None:
        """Keep the averaged weights if they are the best so far (or nothing is held out)."""
        losses = held_out_losses(self.average.network, self.batches())
        self.checks_since += 1
        if len(losses.total) == 0 or losses.mean < self.best_losses.mean:
            self.best = {name: value.clone() for name, value in self.average.network.state_dict().items()}
            self.best_losses, self.best_step, self.checks_since = losses, step, 0


def train(
    network: ForecastNetwork,
    store: WindowStore,
    train_windows: Windows,
    validation_windows: Windows,
    config: TrainingConfig,
    *,
    refit_windows: Windows | None = None,
) -> TrainingResult:
    """Fit the linear map, train the network, leave the best weights in it (eval mode, on the CPU).

    Args:
        network: an untrained network for the store's fields.
        store: the series.
        train_windows: windows to learn from, at least one.
        validation_windows: held-out windows; without any the last weights are kept.
        config: see :class:`TrainingConfig`.
        refit_windows: all windows, the held-out ones among them: once the number of steps is chosen, the network is
            trained anew on these for that number, so that the newest data are not lost to validation.

    Raises:
        ValueError: no training window, an absent device, or a loss that is not finite.
    """
    started = time.monotonic()
    budget = float("inf") if config.time_budget is None else config.time_budget
    device = resolve_device(config.device)
    require(len(train_windows) > 0, "train_windows", "at least one window", len(train_windows))
    network.to(device)
    with cpu_threads(config.threads):
        untrained = copy.deepcopy(network) if refit_windows is not None else None
        fit_linear(network, store, train_windows, validation_windows)
        held = list(store_batches(store, validation_windows, device))
        keeper = BestWeights(network, lambda: held, config, started + budget * (0.5 if refit_windows else 1.0))
        run_steps(network, keeper, store, train_windows)
        network.load_state_dict(keeper.best)
        share = 1.0
        if held:
            blocks = time_blocks(validation_windows.positions, store.spec.prediction_length)
            share = kept_share(keeper.start, keeper.best_losses, blocks)
            network.eval().shrink(share)
        if held and untrained is not None and refit_windows is not None and keeper.stopped != "interrupted":
            # Where nothing of the network is kept, only the linear map is worth fitting again.
            steps = keeper.best_step if share > 0 else 0
            refit(network, untrained, store, refit_windows, keeper, steps, started + budget)
            network.shrink(share)
    network.cpu().eval()
    losses = (keeper.start.mean, keeper.best_losses.mean)
    seconds = round(time.monotonic() - started, 2)
    return TrainingResult(keeper.steps, keeper.best_step, *losses, keeper.stopped, seconds, share)


def refit(
    network: ForecastNetwork,
    untrained: ForecastNetwork,
    store: WindowStore,
    windows: Windows,
    first: BestWeights,
    steps: int,
    deadline: float,
) -> None:
    """Train ``untrained`` on all windows for that many steps, and put its weights into ``network``.

    Past the deadline, or after Ctrl-C, the network keeps the weights of the first pass.
    """
    untrained.linear.penalties = network.linear.penalties
    fit_linear(untrained, store, windows, None)
    last = BestWeights(untrained, lambda: [], first.config, deadline, until=steps)
    run_steps(untrained, last, store, windows)
    if last.stopped == "finished":
        network.linear_head = untrained.linear_head
        network.load_state_dict(last.best)
    else:
        network.load_state_dict(first.best)


def run_steps(network: ForecastNetwork, keeper: BestWeights, store: WindowStore, windows: Windows) -> None:
    """The gradient steps, with one progress bar and a Ctrl-C that keeps the best weights."""
    config = keeper.config
    if keeper.until == 0:
        return
    device = next(network.parameters()).device
    numbers = BatchNumbers(len(windows), config.batch_size, config.max_steps, config.seed)
    callbacks: list[Callback] = [keeper]
    if config.progress:
        callbacks.append(StepsBar(leave=False))
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trainer = plain_trainer(device, callbacks, config.gradient_clip, max_steps=config.max_steps)
        module = ForecastingModule(network.train(), config.learning_rate, config.weight_decay)
        with graceful_interrupt(lambda: keeper.stop(trainer, "interrupted")):
            trainer.fit(module, train_dataloaders=window_loader(WindowBatches(store, windows), numbers))
    keeper.steps = trainer.global_step
    # A state younger than the first check still counts.
    if keeper.stopped in ("interrupted", "time budget"):
        keeper.check(trainer.global_step)
