"""A small recipe on a table with gaps, and the losses a run has logged."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from titans_cli.main import main
from titans_datasets.series import SyntheticSpec, synthetic_frame

RECIPE: dict[str, Any] = {
    "data": {
        "source": "table.csv",
        "context_length": 12,
        "prediction_length": 4,
        "batch_size": 15,
        "steps_per_epoch": 5,
        "validation_windows": 2,
        "test_windows": 2,
    },
    "model": {"backbone": {"width": 8, "heads": 2, "layers": 1}},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1},
    "checkpoint_every_n_steps": 3,
}
NO_DROPOUT = ("--model.backbone.dropout", "0", "--model.head_dropout", "0")


def write_recipe(folder: Path, **changes: Any) -> Path:
    """recipe.yaml, and table.csv with missing values and gaps."""
    synthetic_frame(SyntheticSpec(length=60, missing=0.2, gaps=0.1)).to_csv(folder / "table.csv", index=False)
    return write_yaml(folder / "recipe.yaml", {**RECIPE, **changes})


def write_yaml(path: Path, values: Any) -> Path:
    """Values as a YAML file."""
    path.write_text(yaml.safe_dump(values))
    return path


def command(name: str, root: str, *options: str) -> list[str]:
    """Arguments of a command on the recipe."""
    return [name, "-c", "recipe.yaml", "--trainer.default_root_dir", root, *options]


def run(name: str, root: str, *options: str) -> None:
    """Run it; it must go well."""
    assert main(command(name, root, *options)) == 0


def losses(root: str, names: Sequence[str] = ("train_loss", "val_loss")) -> dict[tuple[str, int], float]:
    """All logged losses by name and step; of a resumed run those of both parts."""
    found = {}
    for file in sorted(Path(root).glob("version_*/metrics.csv")):
        with file.open() as lines:
            for row in csv.DictReader(lines):
                found.update({(name, int(row["step"])): float(row[name]) for name in names if row.get(name)})
    return found
