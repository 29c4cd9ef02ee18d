"""`titans-ts fit`: resumed after a kill, shared by processes, composed of files, followed by test and predict."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from titans_cli.main import main

from .training_common import NO_DROPOUT, RECIPE, losses, run, write_recipe, write_yaml


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, as working directory."""
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


def killed_fit(root: str, step: int) -> int:
    """Run fit in a process of its own that kills itself within training step `step`; its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    from titans_ts.forecasting.training.module import ForecastingModule

    train = ForecastingModule.training_step

    def die(self: ForecastingModule, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        if self.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return train(self, batch, batch_idx)

    ForecastingModule.training_step = die  # type: ignore[method-assign]
    try:
        run("fit", root)
    finally:
        os._exit(1)


# Two epochs of five steps, a state every three: killed in the first epoch, or in the second after its first batch.
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed process is a fork of this one")
@pytest.mark.parametrize("step", [4, 8])
def test_resume_after_sigkill_gives_the_run_without_it(step: int, capfd: pytest.CaptureFixture[str]) -> None:
    run("fit", "whole")
    assert os.WTERMSIG(killed_fit("cut", step)) == signal.SIGKILL
    run("fit", "cut", "--ckpt_path", "last")
    saved = step - step % 3
    assert f"resumed  cut/checkpoints/last.ckpt, step {saved}" in capfd.readouterr().out
    whole, resumed = losses("whole"), losses("cut")
    assert {key for key in whole if key[1] >= saved} <= resumed.keys() <= whole.keys()
    assert all(resumed[key] == pytest.approx(whole[key], abs=1e-6) for key in resumed)
    first, second = (torch.load(f"{root}/checkpoints/last.ckpt", weights_only=True) for root in ("whole", "cut"))
    assert first["global_step"] == second["global_step"] == 10
    assert all(torch.allclose(first["state_dict"][k], second["state_dict"][k], atol=1e-6) for k in first["state_dict"])


@pytest.mark.skipif(not torch.distributed.is_available() or not hasattr(os, "fork"), reason="needs gloo and fork")
def test_two_processes_train_as_one() -> None:
    run("fit", "one", *NO_DROPOUT)
    run("fit", "two", *NO_DROPOUT, "--trainer.devices", "2", "--trainer.strategy", "ddp_fork")
    one, two = losses("one"), losses("two")
    assert len(one) == 12 and one.keys() == two.keys()
    assert all(two[key] == pytest.approx(one[key], abs=1e-6) for key in one)


def test_a_finished_run_goes_on() -> None:
    run("fit", "run", "--trainer.max_epochs", "1")
    run("fit", "run", "--ckpt_path", "last", "--trainer.max_epochs", "3")
    assert sorted(step for name, step in losses("run") if name == "train_loss") == list(range(15))
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["epoch"] == 2


def test_a_run_is_composed_tested_and_forecast(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several -c, dotted overrides, bf16, the table of test and the frame of predict."""
    write_yaml(folder / "more.yaml", {"model": {"head": "point"}, "trainer": {"max_epochs": 1}})
    options = ("-c", "more.yaml", "--model.learning_rate", "0.002", "--trainer.default_root_dir", "run")
    run("fit", "elsewhere", *options, "--trainer.precision", "bf16-mixed", "--trainer.gradient_clip_val", "0.5")
    written = yaml.safe_load((folder / "run/version_0/config.yaml").read_text())
    assert (written["model"]["head"], written["model"]["learning_rate"]) == ("point", 0.002)
    assert written["trainer"]["max_epochs"] == 1 and written["data"]["context_length"] == 12
    checkpoint = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["version"] == 2 and checkpoint["global_step"] == 5
    capsys.readouterr()
    run("validate", "elsewhere", *options)
    assert float(capsys.readouterr().out.split()[1]) == pytest.approx(losses("run")[("val_loss", 4)], abs=0.01)
    run("test", "elsewhere", *options)
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "6 test windows of table.csv" and table[1].split() == ["MSE", "MAE", "WQL", "MASE"]
    assert [line.split("  ")[0] for line in table[2:]] == ["model", "linear part alone"]
    run("predict", "elsewhere", *options, "--output", "forecast.csv")
    frame = pd.read_csv("forecast.csv", parse_dates=["timestamp"])
    source = pd.read_csv("table.csv", parse_dates=["timestamp"])
    assert list(frame.columns[:3]) == ["item_id", "timestamp", "mean"] and len(frame) == 3 * 4
    assert list(dict.fromkeys(frame["item_id"])) == list(dict.fromkeys(source["item_id"]))
    assert (frame.groupby("item_id")["timestamp"].min() > source.groupby("item_id")["timestamp"].max()).all()
    assert frame.drop(columns=["item_id", "timestamp"]).notna().all(axis=None)
    assert not list(folder.glob(".forecast*"))


def test_print_config_is_a_recipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("fit", "run", "--data.batch_size", "7", "--print_config")
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["data"] == {**printed["data"], **RECIPE["data"], "batch_size": 7}
    assert printed["model"]["backbone"]["memory"]["kind"] == "mlp"
    assert not Path("run").exists()


def test_the_data_of_a_later_table_are_coded_as_in_training(folder: Path) -> None:
    """A category that the later table lacks keeps its place."""
    table = pd.read_csv("table.csv")
    table["shop"] = table["item_id"].astype(str).str[-1]
    table.to_csv("table.csv", index=False)
    names = sorted(table["item_id"].unique())
    table[table["item_id"] == names[-1]].to_csv("later.csv", index=False)
    columns = ("--data.columns.static_covariates", '["shop"]')
    run("fit", "run", *columns, "--trainer.max_epochs", "1")
    run("predict", "run", *columns, "--output", "all.csv")
    run("predict", "run", *columns, "--data.source", "later.csv", "--output", "one.csv")
    both = [pd.read_csv(name).set_index(["item_id", "timestamp"]) for name in ("all.csv", "one.csv")]
    assert len(both[1]) == 4
    pd.testing.assert_frame_equal(both[0].loc[both[1].index], both[1], rtol=1e-4)


@pytest.mark.parametrize("name", ["fit_weather", "fit_etth1"])
def test_shipped_recipes_are_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipes = Path(__file__).resolve().parents[2] / "recipes/forecasting"
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", f"{recipes}/{name}.yaml", "-c", f"{recipes}/fit_devices.yaml", "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["devices"] == 8 and printed["data"]["source"]
