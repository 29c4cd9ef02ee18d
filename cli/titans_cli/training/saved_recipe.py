"""The recipe of a run as it was read, in the run's folder."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from titans_datasets.writing import in_place_of


class SavedRecipe(SaveConfigCallback):
    """Lightning's; the file is whole or not there, and an error of the disk names it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file once, in the first process."""
        folder = trainer.log_dir
        if self.already_saved or folder is None:
            return
        if trainer.is_global_zero:
            with in_place_of(Path(folder) / self.config_filename) as beside:
                self.parser.save(self.config, str(beside), skip_none=False, overwrite=True, multifile=False)
        self.already_saved = True
