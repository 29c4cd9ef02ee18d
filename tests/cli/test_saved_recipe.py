"""The recipe in a run's folder is whole or not there, and an error of the disk names it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from titans_cli.training.saved_recipe import SavedRecipe


class Parser:
    """Writes half of the file before the disk is full."""

    def save(self, config: object, path: str, **options: object) -> None:
        Path(path).write_text("data:\n", encoding="utf-8")
        raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    parser: Any = Parser()
    trainer: Any = SimpleNamespace(log_dir=str(tmp_path), is_global_zero=True)
    module: Any = None
    with pytest.raises(OSError, match=r"No space left on device: '.*config\.yaml'"):
        SavedRecipe(parser, SimpleNamespace()).setup(trainer, module, "fit")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
