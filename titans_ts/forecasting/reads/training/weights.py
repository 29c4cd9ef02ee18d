"""The weights of a pretraining as a file, and the card that says where they come from."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from titans_datasets.writing import in_place_of
from titans_ts.forecasting.reads.training.data import PoolDataModule
from titans_ts.forecasting.reads.training.module import PretrainingModule

WEIGHTS, CARD = "weights.safetensors", "card.json"


def write_weights(module: PretrainingModule, data: PoolDataModule, trainer: Trainer, folder: Path) -> Path:
    """Write the running mean of the weights, and card.json beside it; returns the file of the weights.

    Args:
        module: trained.
        data: what it was trained on.
        trainer: at its end.
        folder: of the run.
    """
    path = folder / WEIGHTS
    module.average.save(path)
    with in_place_of(folder / CARD) as beside:
        beside.write_text(json.dumps(card(module, data, trainer), indent=2) + "\n", encoding="utf-8")
    return path


def card(module: PretrainingModule, data: PoolDataModule, trainer: Trainer) -> dict[str, Any]:
    """What the weights were trained on, how long, and how well."""
    boundaries, seconds = module.spent.tolist()
    losses = {name: float(value) for name, value in trainer.callback_metrics.items() if name.endswith("loss")}
    return {
        "data": {
            "series": "generated alone (titans_datasets.series.generators, reads/training/business.py); no real one",
            "rounds": data.rounds,
            "kinds": list(data.kinds),
            "share": data.share,
            "seed": data.seed,
        },
        "training": {
            "steps": trainer.global_step,
            "boundaries": int(boundaries),
            "cpu_seconds": round(seconds, 1),
            "processes": trainer.world_size,
            "processor": platform.machine(),
            "settings": {name: value for name, value in module.hparams.items() if name not in ("format", "kind")},
            "batch_size": data.batch_size,
        },
        "losses": losses,
        "parameters": sum(weight.numel() for weight in module.average.parameters()),
    }
