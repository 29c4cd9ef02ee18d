"""Training a forecast network on a window store: closed form first, then gradient steps, best weights kept.

The network at step 0 is the linear part; it is scored on the held-out windows like every later state, so that training
can only improve on it there. Nothing is written to disk.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from titans_datasets.series import Windows, WindowStore
from titans_ts.core.config import require
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.model.window import Batch
from titans_ts.forecasting.training.closed_form import fit_linear, store_batches
from titans_ts.forecasting.training.config import TrainingConfig, TrainingResult
from titans_ts.forecasting.training.holdout import Losses, held_out_losses, network_weight, time_blocks
from titans_ts.support.averaging import Weights, copied
from titans_ts.support.device import cpu_threads, resolve_device
from titans_ts.support.progress import PROGRESS

# Share of the time budget for the training that chooses the number of steps; the one on all windows gets the rest.
REFIT_SHARE = 0.45
# Share of the forecast that held-out windows must give the linear part beside experts for gradient steps to be taken:
# they have been worth 0 to 2.4 % of the error of a network alone, and count by its share.
LEAST_SHARE = 0.5


class Taken(NamedTuple):
    """What gradient steps left behind.

    Attributes:
        start, best: held-out losses before them and of the weights that were kept.
        at: step of the weights that were kept, 0 for those before the first.
        steps: that were taken.
        stopped: why no more were; see `TrainingResult`.
        weights: that were kept.
    """

    start: Losses
    best: Losses
    at: int
    steps: int
    stopped: str
    weights: Weights


def take_steps(
    network: ForecastNetwork,
    store: WindowStore,
    windows: Windows,
    held: Sequence[Batch],
    config: TrainingConfig,
    until: int,
    deadline: float,
    whole: bool = False,
) -> Taken:
    """Gradient steps on windows; where there are none to take, Lightning, which takes seconds, is not imported.

    Args:
        network: that is trained.
        store: the series.
        windows: to learn from.
        held: batches of held-out windows.
        config: how it is trained.
        until: step after which training stops.
        deadline: `time.monotonic` time at which training stops.
        whole: whether it trains on all windows, which counts only when it comes to its end.
    """
    if until == 0:
        losses = held_out_losses(network, held)
        return Taken(losses, losses, 0, 0, "finished", copied(network))
    from titans_ts.forecasting.training.steps import BestSteps, run_steps

    keeper = BestSteps(network, lambda: held, config, deadline, until, whole)
    run_steps(network, keeper, store, windows)
    kept = keeper.kept
    return Taken(keeper.start, keeper.best_losses, kept.at, keeper.steps, keeper.stopped, kept.state)


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
        most = 0 if stopped else config.max_steps
        taken = take_steps(network, store, train_windows, held, config, most, now + share * left)
        stopped = stopped or taken.stopped
        network.load_state_dict(taken.weights)
        weight = 1.0
        if held:
            blocks = time_blocks(validation_windows.positions, store.spec.prediction_length)
            weight = network_weight(taken.start, taken.best, blocks)
            network.eval().shrink_to_linear(weight)
        first = network.eval()
        if held and untrained is not None and refit_windows is not None and stopped != "interrupted":
            first = copy.deepcopy(network)
            # Where nothing of the network is kept, only the linear part has to be fitted again.
            steps = taken.at if weight > 0 else 0
            if not refit(network, untrained, store, refit_windows, config, steps, started + budget):
                weight = 0.0
                # What is left is the linear part, which has to earn its own weights.
                first.shrink_to_linear(weight)
            network.shrink_to_linear(weight)
        if weigh is not None:
            PROGRESS.info("weighing experts on held-out windows")
            weigh(first)
    network.cpu().eval()
    losses = (taken.start.mean, taken.best.mean)
    seconds = round(time.monotonic() - started, 2)
    return TrainingResult(taken.steps, taken.at, *losses, stopped, seconds, weight)


def refit(
    network: ForecastNetwork,
    untrained: ForecastNetwork,
    store: WindowStore,
    windows: Windows,
    config: TrainingConfig,
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
    fitted = copied(untrained)
    last = take_steps(untrained, store, windows, [], config, steps, deadline, whole=True)
    network.linear_head = untrained.linear_head
    network.load_state_dict(last.weights if last.stopped == "finished" else fitted)
    return last.stopped == "finished"


def _knows_more(network: ForecastNetwork) -> bool:
    """Whether a network has to learn before its share says anything: covariates, or no linear part to begin with."""
    config = network.config
    return config.linear == "none" or config.known_covariates > 0 or config.past_features > 0
