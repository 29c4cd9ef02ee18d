"""Mistakes in recipes and checkpoints: one line that says what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from titans_cli.main import main
from titans_cli.training.parser import explain

from .training_common import RECIPE, command, run, write_recipe, write_yaml


def said(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and the last line on stderr, of a command that fails."""
    try:
        status = main(argv)
    except SystemExit as stop:
        status = int(stop.code or 0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return status, lines[0]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, as working directory."""
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ({**RECIPE, "modle": {"head": "point"}}, (), "modle.head is no key of a recipe: did you mean model.head?"),
        (
            {**RECIPE, "model": {"backbone": {"widht": 8}}},
            (),
            "model.backbone.widht is no key of a recipe: did you mean model.backbone.width?",
        ),
        (RECIPE, ("--trainer.max_epohcs", "3"), "did you mean trainer.max_epochs?"),
        ({"model": RECIPE["model"]}, (), "the recipe has no data: add a section `data:` with source"),
        ({"data": {"source": "table.csv"}}, (), "the recipe lacks data.context_length, data.prediction_length"),
        (RECIPE, ("--model.head", "quantle"), "Got value: quantle"),
        (RECIPE, ("--model.backbone.width", "7"), "width must be a multiple of 2·heads"),
        (RECIPE, ("--data.source", "ETTh3"), "did you mean 'ETTh"),
        (RECIPE, ("--data.source", "absent.csv"), "absent.csv does not exist"),
        (RECIPE, ("--data.context_length", "200", "--data.min_history", "100"), "series shorter than"),
        (RECIPE, ("-c", "absent.yaml"), "absent.yaml"),
    ],
)
def test_mistakes_in_a_recipe(
    recipe: dict[str, Any], options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_yaml(Path("recipe.yaml"), recipe)
    status, line = said(command("fit", "run", *options), capsys)
    assert status in (1, 2) and line.startswith("titans-ts") and "error: " in line
    assert message in line
    assert not Path("run").exists()


def test_a_key_that_resembles_nothing_gets_the_sections() -> None:
    text = explain("Subcommand 'fit' does not accept option 'xyzzy'", ["data.source", "model.head"])
    assert text == "xyzzy is no key of a recipe: sections are data, model"


def test_checkpoints_that_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(command("test", "run"), capsys)[1].startswith("titans-ts: error: test needs a trained model")
    run("fit", "run", "--trainer.max_steps", "3", "--trainer.val_check_interval", "3")
    capsys.readouterr()
    _, line = said(command("fit", "run"), capsys)
    assert "holds last.ckpt and best.ckpt of an earlier run: resume it with --ckpt_path last" in line
    _, line = said(command("test", "run", "--model.backbone.block", "lmm"), capsys)
    assert "another architecture: backbone.block is 'mag' there and 'lmm' here" in line
    _, line = said(command("fit", "run", "--ckpt_path", "last", "--data.batch_size", "8"), capsys)
    assert "stopped within epoch 0" in line and "batch_size was 15, is 8" in line
    checkpoint = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"]["version"] = 99
    torch.save(checkpoint, "newer.ckpt")
    _, line = said(command("test", "run", "--ckpt_path", "newer.ckpt"), capsys)
    assert "written in checkpoint version 99, this titans-ts reads version 2: upgrade" in line
    checkpoint["hyper_parameters"]["version"] = 2
    checkpoint["state_dict"]["network.more"] = checkpoint["state_dict"].pop("network.from_last.bias")
    torch.save(checkpoint, "other.ckpt")
    _, line = said(command("test", "run", "--ckpt_path", "other.ckpt"), capsys)
    assert "another version of titans-ts: it lacks 'network.from_last.bias' and has 'network.more'" in line
    torch.save({"state_dict": {}}, "foreign.ckpt")
    assert "is no checkpoint of a titans-ts" in said(command("test", "run", "--ckpt_path", "foreign.ckpt"), capsys)[1]
    Path("broken.ckpt").write_bytes(Path("run/checkpoints/last.ckpt").read_bytes()[:1000])
    assert "is damaged" in said(command("test", "run", "--ckpt_path", "broken.ckpt"), capsys)[1]
