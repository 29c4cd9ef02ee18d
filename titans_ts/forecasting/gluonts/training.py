"""Training of the gluonts estimator: Lightning's epochs, averaged weights, the best of them kept.

Shapes: W windows.
"""

# Not postponed: gluonts' `validated` reads the annotations of constructors as types.
import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from gluonts.core.component import validated
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from torch import Tensor

from titans_datasets.series import SeriesRecord, Windows, WindowStore
from titans_ts.forecasting.gluonts.windows import SeriesWindows
from titans_ts.forecasting.linear.last_value import LastValue
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.model.window import Batch
from titans_ts.forecasting.sizes import choose_validation
from titans_ts.forecasting.training.closed_form import fit_linear, store_batches
from titans_ts.forecasting.training.holdout import FEWEST_BLOCKS, Losses, held_out_losses, network_weight
from titans_ts.forecasting.training.module import ForecastingModule
from titans_ts.support.averaging import BestWeights, Weights, copied
from titans_ts.support.guards.signals import cut_short
from titans_ts.support.lightning import graceful_interrupt, quiet_lightning

# Of the linear part where series are too short to check one.
UNCHECKED_PENALTY = 1.0

# What differs from Lightning's own defaults: nothing is written or shown by default.
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 20,
    "accelerator": "auto",
    "devices": 1,
    "gradient_clip_val": 1.0,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


class TitansLightningModule(ForecastingModule):
    """A forecast network as gluonts trains and serialises it: plain values in, the mean loss of each epoch out.

    Args:
        network: the plain values of a `NetworkConfig`.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: on the matrices of the backbone.
    """

    log_epochs = True

    @validated()  # type: ignore[misc, no-untyped-call, untyped-decorator, unused-ignore]
    def __init__(self, network: dict[str, Any], learning_rate: float = 3e-4, weight_decay: float = 0.05) -> None:
        super().__init__(network, learning_rate, weight_decay)


class BestEpoch(Callback):
    """Averages weights over steps, scores the average after each epoch and keeps the best one.

    The score is the average's ``val_loss`` where there is validation, else the epoch's mean ``train_loss``.

    Args:
        network: the network that is trained.
        decay: of the exponential average; 0 takes the weights without averaging.
        loss: validation loss at the start, which an epoch has to beat; infinite without validation.
        patience: validations without improvement after which training stops; None never stops it.

    Attributes:
        kept: the `BestWeights`; None before training starts.
        interrupted: whether Ctrl-C has ended training.
    """

    def __init__(self, network: ForecastNetwork, decay: float, loss: float, patience: int | None) -> None:
        self.network, self.decay, self.loss, self.patience = network, decay, loss, patience
        self.kept: BestWeights[ForecastNetwork] | None = None
        self.raw: Weights = {}
        self.interrupted = False

    def interrupt(self, trainer: Trainer) -> None:
        """End training after this step."""
        self.interrupted = trainer.should_stop = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the average on the device, where the weights now are."""
        self.kept = BestWeights(self.network, self.decay, self.loss)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average."""
        assert self.kept is not None
        self.kept.average.update(self.network, trainer.global_step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the average in the network's place."""
        if self.kept is not None and not trainer.sanity_checking:
            self.raw = copied(self.network)
            self.network.load_state_dict(self.kept.average.network.state_dict())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the average if it is the best so far, and restore the network's weights."""
        if self.raw and self.kept is not None:
            if "val_loss" in trainer.callback_metrics:
                self.kept.offer(float(trainer.callback_metrics["val_loss"]), trainer.current_epoch + 1)
                trainer.should_stop |= self.patience is not None and self.kept.waited >= self.patience
            self.network.load_state_dict(self.raw)
            self.raw = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Without validation the training loss decides."""
        if self.kept is not None and not trainer.enable_validation and "train_loss" in trainer.callback_metrics:
            self.kept.offer(float(trainer.callback_metrics["train_loss"]), trainer.current_epoch + 1)


class Trained(NamedTuple):
    """The trainer, and the validation losses of the start and of the best weights; None without validation."""

    trainer: Trainer
    before: Losses | None
    after: Losses | None


def fit_module(
    module: TitansLightningModule,
    training_batches: Iterable[Batch],
    validation_batches: Iterable[Batch] | None,
    trainer_kwargs: Mapping[str, Any],
    *,
    ema_decay: float,
    patience: int,
    ckpt_path: str | None = None,
) -> Trained:
    """Take the gradient steps and leave the best weights in the module (on the CPU, in evaluation mode).

    Args:
        module: starts from the linear part, or from earlier weights.
        training_batches: an epoch of batches.
        validation_batches: batches that choose the best epoch; the training loss does where None.
        trainer_kwargs: arguments of Lightning's Trainer; not changed.
        ema_decay, patience: see `BestEpoch`; a callback for early stopping replaces patience.
        ckpt_path: a Lightning checkpoint to resume from.
    """
    network = module.network
    before = None if validation_batches is None else held_out_losses(network, validation_batches)
    callbacks = own_callbacks(trainer_kwargs.get("callbacks"))
    stops = any(isinstance(one, EarlyStopping) for one in callbacks)
    start = float("inf") if before is None else before.mean
    keeper = BestEpoch(network, ema_decay, start, None if stops else patience)
    with quiet_lightning():
        trainer = make_trainer(trainer_kwargs, [keeper, *callbacks])
        with graceful_interrupt(lambda: keeper.interrupt(trainer)):
            trainer.fit(
                module.train(),
                train_dataloaders=training_batches,
                val_dataloaders=validation_batches,
                ckpt_path=ckpt_path,
            )
    if keeper.interrupted:
        at = 0 if keeper.kept is None else keeper.kept.at
        kept = f"the weights of epoch {at} are used" if at else "no epoch was kept"
        cut_short(f"training in epoch {trainer.current_epoch}", kept)
    # The trainer holds the data; a predictor must not.
    module.trainer = None
    module.cpu()
    if keeper.kept is not None and keeper.kept.at:
        network.load_state_dict(keeper.kept.state)
    module.eval()
    after = None if validation_batches is None else held_out_losses(network, validation_batches)
    return Trained(trainer, before, after)


def own_callbacks(given: Callback | Sequence[Callback] | None) -> list[Callback]:
    """The caller's callbacks in a new list.

    Early stopping remembers its best score: each training gets a fresh copy of it.
    """
    callbacks = [given] if isinstance(given, Callback) else list(given or ())
    return [copy.deepcopy(one) if isinstance(one, EarlyStopping) else one for one in callbacks]


def make_trainer(trainer_kwargs: Mapping[str, Any], callbacks: list[Callback]) -> Trainer:
    """A trainer with the caller's arguments over `TRAINER_DEFAULTS`."""
    given = {**trainer_kwargs, "callbacks": callbacks}
    if "max_steps" in given:
        # The caller counts steps: our number of epochs must not end training before.
        given.setdefault("max_epochs", -1)
    # Lightning refuses a checkpoint callback where checkpoints are off.
    writes = any(isinstance(one, Checkpoint) for one in callbacks)
    return Trainer(**{**TRAINER_DEFAULTS, "enable_checkpointing": writes, **given})


def validated_weight(before: Losses, after: Losses, data: SeriesWindows) -> float:
    """`network_weight` over blocks of one horizon; over the series where the windows fill too few blocks.

    gluonts validates on the last window of each series: then the series are the evidence of a gain.
    """
    few = len(data.blocks.unique()) < FEWEST_BLOCKS
    return network_weight(before, after, data.windows.items if few else data.blocks)


def fit_linear_part(network: ForecastNetwork, data: SeriesWindows, held: Windows | None) -> None:
    """Fit the linear part in closed form; the last value replaces it where that is better on held-out windows.

    Args:
        network: untrained.
        data: training windows.
        held: windows of the same store that choose the penalties; None fits on all windows, with penalties that were
            chosen on the last tenth of the series.
    """
    windows = data.windows
    if held is None:
        count, step = choose_validation(data.store.spec.prediction_length, data.store.lengths.tolist(), None)
        windows, held = data.store.split(count, step=step)
    if len(held):
        fit_linear(network, data.store, windows, held)
        prefer_last_value(network, data.store, windows, held)
    else:
        network.linear.ridge.penalties = [UNCHECKED_PENALTY]
    if len(windows) != len(data.windows) or not len(held):
        fit_linear(network, data.store, data.windows, None)


@torch.no_grad()
def prefer_last_value(network: ForecastNetwork, store: WindowStore, windows: Windows, held: Windows) -> bool:
    """Replace the fitted regression by `LastValue`, with the quantiles of its own residuals, where it gains too little.

    Where nothing can be learned (exchange rates) a regression adds noise to the last value: it has to be better on the
    held-out windows by more than 1.4 standard errors (`network_weight` of a half), more where blocks are few. With
    season, trend or covariates the last value is much worse. Without a linear part nothing is done.

    Args:
        network: with a fitted linear part.
        store: the series.
        windows: training windows; only their residuals count.
        held: windows that decide.

    Returns:
        Whether the regression was replaced.
    """
    if network.config.linear == "none":
        return False
    naive = copy.deepcopy(network)
    naive.linear.ridge = LastValue.like(network.linear.ridge)
    fit_linear(naive, store, windows, None)
    device = next(network.parameters()).device
    before, after = (held_out_losses(one, store_batches(store, held, device)) for one in (naive, network))
    if validated_weight(before, after, SeriesWindows(store, held, [])) >= 0.5:
        return False
    network.linear = naive.linear
    network.load_state_dict(naive.state_dict())
    network.linear_head = naive.linear_head
    return True


@torch.no_grad()
def refit_linear_part(network: ForecastNetwork, store: WindowStore) -> None:
    """Fit the linear part again, on all windows, so that the newest data are not lost to validation.

    What the network learned beyond it stays. The head as it was before training changes, to which `shrink_to_linear`
    goes back.
    """
    fresh = copy.deepcopy(network)
    fit_linear(fresh, store, store.windows(), None)
    network.linear.load_state_dict(fresh.linear.state_dict())
    network.phase_width.copy_(fresh.phase_width)
    network.linear_head = fresh.linear_head


@torch.no_grad()
def forget_unseen(network: ForecastNetwork, records: Sequence[SeriesRecord]) -> None:
    """Set embeddings of categories without a training series, the unknown one among them, to zero; they stay zero."""
    seen = [record.feat_static_cat for record in records if record.feat_static_cat is not None]
    for place, table in enumerate(network.embedding_static):
        weight = cast(Tensor, table.weight)
        unseen = torch.ones(len(weight), dtype=torch.bool)
        unseen[torch.as_tensor(np.stack(seen)[:, place])] = False
        weight[unseen] = 0.0
