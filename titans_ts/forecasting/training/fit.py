"""Training a forecast network on a window store: closed form first, then gradient steps, best weights kept.

The network at step 0 is the linear part; it is scored on the held-out windows like every later state, so that training
can only improve on it there. Nothing is written to disk.
"""

from __future__ import annotations

import copy
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from titans_datasets.series import Windows, WindowStore
from titans_datasets.series.batches.module import BatchNumbers, WindowBatches, window_loader
from titans_datasets.text import short
from titans_ts.core.config import require
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.model.window import Batches
from titans_ts.forecasting.training.config import TrainingConfig, TrainingResult
from titans_ts.forecasting.training.holdout import held_out_losses, network_weight, time_blocks
from titans_ts.forecasting.training.module import ForecastingModule
from titans_ts.support.averaging import copied
from titans_ts.support.device import resolve_device
from titans_ts.support.guards.signals import cut_short
from titans_ts.support.lightning import (
    BestWeightsCallback,
    StepsBar,
    cpu_threads,
    graceful_interrupt,
    plain_trainer,
    quiet_lightning,
)
from titans_ts.support.progress import PROGRESS, moves_bars

LOADED = 512
FOLDS = 3
# Share of the time budget for the training that chooses the number of steps; the one on all windows gets the rest.
REFIT_SHARE = 0.45
# Steps after which training stops where no check has been better than the linear part, and the least gain that counts.
PROBE_STEPS, LEAST_GAIN = 50, 0.005
# Share of the forecast that held-out windows must give the linear part beside experts for gradient steps to be taken:
# they have been worth 0 to 2.4 % of the error of a network alone, and count by its share.
LEAST_SHARE = 0.5


def to_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


def store_batches(store: WindowStore, windows: Windows, device: torch.device) -> Iterator[dict[str, Tensor]]:
    """All windows in order, in batches of 512."""
    for first in range(0, len(windows), LOADED):
        yield to_device(store.batch(windows.take(slice(first, first + LOADED))), device)


def time_folds(windows: Windows) -> list[Windows]:
    """The windows in consecutive parts of time; one part when they are few."""
    if len(windows) < 100 * FOLDS:
        return [windows]
    order = windows.positions.argsort(stable=True)
    return [windows.take(part.sort().values) for part in order.tensor_split(FOLDS)]


def fit_linear(network: ForecastNetwork, store: WindowStore, train: Windows, held_out: Windows | None) -> None:
    """Fit the linear part in closed form, on evenly thinned training windows where there are more than it needs.

    Args:
        network: whose linear part is fitted.
        store: the series.
        train: training windows.
        held_out: windows that choose the penalties; None keeps those of the fit before, if there was one.
    """
    series = 0 if store.multichannel else len(train.items.unique())
    most = network.linear.ridge.sufficient_windows(len(train), series)
    thin = train.take(slice(0, None, max(1, -(-len(train) // most))))
    device = next(network.parameters()).device
    check: Batches | None = None
    if held_out is not None and len(held_out):
        check = partial(store_batches, store, held_out, device)
    network.fit_linear([partial(store_batches, store, part, device) for part in time_folds(thin)], check)


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


def train(
    network: ForecastNetwork,
    store: WindowStore,
    train_windows: Windows,
    validation_windows: Windows,
    config: TrainingConfig,
    *,
    refit_windows: Windows | None = None,
    weigh: Callable[[ForecastNetwork], float] | None = None,
) -> TrainingResult:
    """Fit the linear part, train the network, leave the best weights in it (eval mode, on the CPU).

    Args:
        network: an untrained network for the store's fields.
        store: the series.
        train_windows: windows to learn from, at least one.
        validation_windows: held-out windows; without any the last weights are kept.
        config: see :class:`TrainingConfig`.
        refit_windows: all windows, the held-out ones among them: once the number of steps is chosen, the network is
            trained again on these for that number, so that the newest data are not lost to validation.
        weigh: the share of a forecast that held-out windows give a network which has not seen them. It is asked of the
            linear part, which takes gradient steps only from `LEAST_SHARE` on, unless there are covariates, which
            experts do not read; and at the end of the network as it was before it has seen all windows, or of its
            linear part where the training on these came to no end.

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
        stopped = ""
        PROGRESS.info("fitting the linear part")
        fit_linear(network, store, train_windows, validation_windows)
        held = list(store_batches(store, validation_windows, device))
        if config.max_steps and weigh is not None and not _knows_more(network):
            PROGRESS.info("weighing experts on held-out windows")
            stopped = "small share" if weigh(network.eval()) < LEAST_SHARE else ""
            network.to(device)
        now = time.monotonic()
        # The second training takes as long as the first.
        share = REFIT_SHARE if refit_windows is not None else 1.0
        left = max(0.0, started + budget - now)
        stopped = stopped or ("time budget" if left == 0 < config.max_steps else "")
        keeper = BestSteps(network, lambda: held, config, now + share * left, 0 if stopped else config.max_steps)
        run_steps(network, keeper, store, train_windows)
        keeper.stopped = stopped or keeper.stopped
        network.load_state_dict(keeper.kept.state)
        weight = 1.0
        if held:
            blocks = time_blocks(validation_windows.positions, store.spec.prediction_length)
            weight = network_weight(keeper.start, keeper.best_losses, blocks)
            network.eval().shrink_to_linear(weight)
        first = network.eval()
        if held and untrained is not None and refit_windows is not None and keeper.stopped != "interrupted":
            first = copy.deepcopy(network)
            # Where nothing of the network is kept, only the linear part has to be fitted again.
            steps = keeper.kept.at if weight > 0 else 0
            if not refit(network, untrained, store, refit_windows, keeper, steps, started + budget):
                weight = 0.0
                # What is left is the linear part, which has to earn its own weights.
                first.shrink_to_linear(weight)
            network.shrink_to_linear(weight)
        if weigh is not None:
            PROGRESS.info("weighing experts on held-out windows")
            weigh(first)
    network.cpu().eval()
    losses = (keeper.start.mean, keeper.best_losses.mean)
    seconds = round(time.monotonic() - started, 2)
    return TrainingResult(keeper.steps, keeper.kept.at, *losses, keeper.stopped, seconds, weight)


def refit(
    network: ForecastNetwork,
    untrained: ForecastNetwork,
    store: WindowStore,
    windows: Windows,
    first: BestSteps,
    steps: int,
    deadline: float,
) -> bool:
    """Train ``untrained`` on all windows for that many steps, and put its weights into ``network``.

    Past the deadline, or after Ctrl-C, only the linear part is the new one: a network that has not seen the newest data
    would be worse than none.

    Returns:
        Whether the steps were finished.
    """
    untrained.take_choices(network)
    store = store.whole()
    PROGRESS.info("fitting the linear part on all windows")
    fit_linear(untrained, store, windows, None)
    last = BestSteps(untrained, lambda: [], first.config, deadline, steps, whole=True)
    fitted = copied(untrained)
    run_steps(untrained, last, store, windows)
    network.linear_head = untrained.linear_head
    network.load_state_dict(last.kept.state if last.stopped == "finished" else fitted)
    return last.stopped == "finished"


def run_steps(network: ForecastNetwork, keeper: BestSteps, store: WindowStore, windows: Windows) -> None:
    """The gradient steps, with one progress bar and a Ctrl-C that keeps the best weights."""
    config = keeper.config
    if keeper.until == 0:
        return
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


def _knows_more(network: ForecastNetwork) -> bool:
    """Whether a network has to learn before its share says anything: covariates, or no linear part to begin with."""
    config = network.config
    return config.linear == "none" or config.known_covariates > 0 or config.past_features > 0
