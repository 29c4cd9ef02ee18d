"""The folder of a training run, and the callbacks that write into it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger

from titans_ts.support.resume import ExactResume, LastState

RUNS = "runs"
BEST, LAST = "best.ckpt", "last.ckpt"


class RunFolder:
    """The folder of a run: checkpoints/best.ckpt and last.ckpt, version_N/metrics.csv and config.yaml.

    Args:
        root: `trainer.default_root_dir`; None takes runs/<name of the last recipe>.
        recipes: the recipes given with -c.
    """

    def __init__(self, root: str | None, recipes: Sequence[Any]) -> None:
        name = Path(str(recipes[-1])).stem if recipes else "default"
        self.root = Path(root).expanduser() if root else Path(RUNS) / name
        self.checkpoints = self.root / "checkpoints"

    def resolve(self, command: str, path: str | None) -> str | None:
        """The checkpoint meant by `best`, `last`, a path, or None (for all commands but fit).

        Raises:
            FileNotFoundError: a command other than fit finds no checkpoint.
        """
        if command == "fit" and path is None:
            return None
        if path not in (None, "best", "last"):
            return path
        file = self.checkpoints / (LAST if path == "last" else BEST)
        if path is None and not file.is_file():
            # Without validation windows there is no best state.
            file = self.checkpoints / LAST
        if file.is_file():
            return str(file)
        if command == "fit" and path == "last":
            return None
        raise FileNotFoundError(
            f"{command} needs a trained model and there is no {file}: run fit first, or pass --ckpt_path FILE (or the "
            "--trainer.default_root_dir that fit had)"
        )

    def require_fresh(self) -> None:
        """Refuse to train into the folder of another run.

        Raises:
            ValueError: it holds checkpoints.
        """
        there = [name for name in (LAST, BEST) if (self.checkpoints / name).exists()]
        if there:
            raise ValueError(
                f"{self.checkpoints} holds {' and '.join(there)} of an earlier run: resume it with --ckpt_path last "
                "(and a larger --trainer.max_epochs where it is finished), or train into another folder with "
                "--trainer.default_root_dir"
            )

    def logger(self, wanted: Any) -> Any:
        """The loggers of the recipe; by default a CSV file."""
        return CSVLogger(str(self.root), name="") if wanted is None or wanted is True else wanted

    def callbacks(self, validated: bool, given: Sequence[Callback], every_n_steps: int) -> list[Callback]:
        """Exact resume, and best and last state unless the recipe has a ModelCheckpoint of its own."""
        found: list[Callback] = [ExactResume()]
        if any(isinstance(callback, ModelCheckpoint) for callback in given):
            return found
        found.append(LastState(str(self.checkpoints), every_n_steps))
        if validated:
            found.append(
                ModelCheckpoint(self.checkpoints, "best", "val_loss", save_top_k=1, enable_version_counter=False)
            )
        return found


class ValidationLines(Callback):
    """A line after each validation, where no terminal shows a progress bar."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print it."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        shown = ", ".join(f"{name} {found[name]:.4f}" for name in ("train_loss", "val_loss") if name in found)
        print(f"epoch {trainer.current_epoch}, step {trainer.global_step}: {shown}", flush=True)


def progress(given: Sequence[Callback], wanted: bool | None, fitting: bool) -> tuple[list[Callback], bool]:
    """A rich progress bar on a terminal, lines elsewhere; whether Lightning's bar is on."""
    on = sys.stdout.isatty() if wanted is None else wanted
    if not on:
        return [ValidationLines()] if fitting else [], False
    has_bar = any(isinstance(callback, RichProgressBar) for callback in given)
    return [] if has_bar else [RichProgressBar()], True
