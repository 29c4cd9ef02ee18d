"""The Lightning data module: every window once, the same order in each run, steps on demand."""

from __future__ import annotations

import pytest
import torch

from titans_datasets.series import SyntheticSpec, WindowSpec, WindowStore, synthetic_frame, to_records

STORE = WindowStore(
    to_records(synthetic_frame(SyntheticSpec(length=60, missing=0.1, gaps=0.1))).records, WindowSpec(12, 6)
)


def test_loaders() -> None:
    from titans_datasets.series import SeriesDataModule

    module = SeriesDataModule(STORE, batch_size=16, validation_windows=2)
    loader = module.train_dataloader()
    first, second = list(loader), list(loader)
    assert sum(len(batch["item_index"]) for batch in first) == len(module.train_windows)
    assert len(loader) == len(first)
    again = list(SeriesDataModule(STORE, batch_size=16, validation_windows=2).train_dataloader())
    assert all(torch.equal(a["past_target"], b["past_target"]) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0]["past_target"], second[0]["past_target"])
    validation = list(module.val_dataloader())
    assert sum(len(batch["item_index"]) for batch in validation) == 6
    (predicted,) = module.predict_dataloader()
    assert predicted["item_index"].tolist() == [0, 1, 2]


def test_steps_per_epoch() -> None:
    from titans_datasets.series import SeriesDataModule

    module = SeriesDataModule(STORE, batch_size=8, steps_per_epoch=50, validation_windows=0)
    sizes = [len(batch["item_index"]) for batch in module.train_dataloader()]
    assert sizes == [8] * 50 and module.val_dataloader() == []
    with pytest.raises(ValueError, match="batch_size=0"):
        SeriesDataModule(STORE, batch_size=0).train_dataloader()


def test_lightning_trains_with_it() -> None:
    import lightning.pytorch as pl

    from titans_datasets.series import SeriesDataModule

    class Mean(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.level = torch.nn.Parameter(torch.zeros(()))

        def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
            return ((batch["future_target"] - self.level) ** 2).mean()

        def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
            self.log("loss", (batch["future_target"] - self.level).abs().mean(), batch_size=len(batch["item_index"]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", **quiet)
    model = Mean()
    trainer.fit(model, datamodule=SeriesDataModule(STORE, steps_per_epoch=5))
    assert float(model.level.detach()) > 1
