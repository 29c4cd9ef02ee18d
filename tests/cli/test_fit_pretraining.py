"""`titans-ts fit` with `task: pretraining`: pools made, weights and card written, resumed to the bit."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from titans_cli.main import main
from titans_cli.training.cli import task_of
from titans_ts.forecasting.reads import ReadingNetwork, forecast
from titans_ts.forecasting.reads.expert_drafts import ExpertDrafts

from .training_common import losses, write_yaml

RECIPE = {
    "task": "pretraining",
    "data": {
        "folder": "pools",
        "rounds": 1,
        "kinds": ["short", "business"],
        "share": 0.002,
        "batch_size": 4,
        "steps_per_epoch": 5,
        "validation_batches": 2,
    },
    "model": {"width": 16, "depth": 1, "step_width": 8},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1},
    "checkpoint_every_n_steps": 3,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and a finished run."""
    folder = tmp_path_factory.mktemp("pretraining")
    write_yaml(folder / "zero.yaml", RECIPE)
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["fit", "-c", "zero.yaml", "--trainer.default_root_dir", "whole"]) == 0
    finally:
        os.chdir(before)
    return folder


def test_weights_and_card(folder: Path) -> None:
    network = ReadingNetwork.load(folder / "whole/weights.safetensors")
    found = forecast(network, [np.sin(np.arange(60.0))], 12, 7, given=ExpertDrafts(7))
    assert np.isfinite(found).all()
    card = json.loads((folder / "whole/card.json").read_text())
    assert card["training"]["steps"] == 10
    assert card["training"]["boundaries"] > 0
    assert {"train_loss", "val_loss"} <= card["losses"].keys()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed process is a fork of this one")
def test_resume_after_sigkill_is_the_run_without_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    child = os.fork()
    if not child:
        from titans_ts.forecasting.reads.training.module import PretrainingModule

        train = PretrainingModule.training_step

        def die(self: PretrainingModule, batch: object, batch_idx: int) -> torch.Tensor:
            if self.global_step == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return train(self, batch, batch_idx)  # type: ignore[arg-type]

        PretrainingModule.training_step = die  # type: ignore[assignment,method-assign]
        try:
            main(["fit", "-c", "zero.yaml", "--trainer.default_root_dir", "cut"])
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert main(["fit", "-c", "zero.yaml", "--trainer.default_root_dir", "cut", "--ckpt_path", "last"]) == 0
    whole, resumed = losses("whole"), losses("cut")
    assert resumed.keys() <= whole.keys()
    assert ("train_loss", 9) in resumed
    assert all(resumed[key] == whole[key] for key in resumed)
    first, second = (ReadingNetwork.load(Path(run) / "weights.safetensors").state_dict() for run in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_run_is_not_trained_over(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(folder)
    assert main(["fit", "-c", "zero.yaml", "--trainer.default_root_dir", "whole"]) != 0
    assert "resume it with --ckpt_path last" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["test", "predict"])
def test_what_pretraining_has_not_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(folder)
    assert main([name, "-c", "zero.yaml", "--trainer.default_root_dir", "whole"]) != 0
    assert f"{name} is not part of task pretraining" in capsys.readouterr().err


def test_the_task_of_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(write_yaml(tmp_path / "zero.yaml", RECIPE))
    plain = str(write_yaml(tmp_path / "plain.yaml", {"data": {}}))
    assert task_of(["fit", "-c", recipe, "-c", plain]) == "pretraining"
    assert task_of(["fit", f"--config={recipe}"]) == "pretraining"
    assert task_of(["fit", "-c", plain]) == "forecasting"
    assert task_of(["fit", "-c", recipe, "--task", "forecasting"]) == "forecasting"
    assert main(["fit", "-c", recipe, "--task", "pretrainin"]) != 0
    assert "is one of forecasting, pretraining" in capsys.readouterr().err
