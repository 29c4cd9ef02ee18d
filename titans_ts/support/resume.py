"""Resuming after a kill exactly: random state and place in the data, which Lightning does not keep."""

from __future__ import annotations

from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from titans_datasets.writing import WRITTEN

KEY = "titans_ts_random"


class ExactResume(Callback):
    """Keeps the random state of every process and restores it, with the loader's place, when training resumes."""

    def __init__(self) -> None:
        self.random: list[dict[str, torch.Tensor]] = []
        self.places: list[dict[str, Any]] = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Called in all processes; the checkpoint of the first one is written."""
        checkpoint[KEY] = gathered(random_state(), trainer.world_size)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remember until training starts: what runs before (the sanity check) draws random numbers too."""
        self.random = checkpoint.get(KEY, [])
        self.places = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore.

        Lightning hands the place to a loader only when it makes the loader after reading the checkpoint, and ours
        exists before: the schedule needs the number of steps (Lightning 2.6.6, `estimated_stepping_batches`).
        """
        if self.places:
            (place,) = self.places
            cast(Any, trainer.train_dataloader).load_state_dict(place)
        if self.random:
            # With another number of processes there is no run to be equal to.
            restore_random(self.random[trainer.global_rank % len(self.random)])
        self.random, self.places = [], []


class LastState(ModelCheckpoint):
    """Keeps the newest state as last.ckpt, every so many steps and at the end of training.

    Args:
        folder: where.
        every_n_steps: steps after which it is replaced.
    """

    def __init__(self, folder: str, every_n_steps: int) -> None:
        super().__init__(folder, "last", save_top_k=1, every_n_train_steps=every_n_steps, enable_version_counter=False)

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        """Lightning's; what is kept of a run that a signal ends is known then."""
        super()._save_checkpoint(trainer, filepath)
        WRITTEN.info("%s", filepath)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last steps too."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))


def random_state() -> dict[str, torch.Tensor]:
    """States of torch's generators: of the CPU, and of the current GPU where one is in use."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random(state: dict[str, torch.Tensor]) -> None:
    """Restore the states of devices that are present."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def gathered(state: dict[str, torch.Tensor], world: int) -> list[dict[str, torch.Tensor]]:
    """The states of all processes, in each of them."""
    if world == 1:
        return [state]
    found: list[Any] = [None] * world
    torch.distributed.all_gather_object(found, state)
    return found
