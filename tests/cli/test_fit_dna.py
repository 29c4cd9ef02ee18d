"""`titans-ts fit` for DNA: every task on files, resumed after a kill, shared by processes, continued when finished."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from titans_cli.main import main
from titans_datasets.dna import reverse_complement_text

from .training_common import losses, write_yaml

SMALL: dict[str, Any] = {
    "encoder": {"channels": 8, "stem": 5, "pool": 2, "conv_layers": 0},
    "backbone": {"width": 8, "heads": 2, "dropout": 0.0},
    "hidden": 8,
    "head_dropout": 0.0,
}
TRAINER = {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1, "num_sanity_val_steps": 0}
REST = {"trainer": TRAINER, "checkpoint_every_n_steps": 3}
RECIPES: dict[str, dict[str, Any]] = {
    "sequence_classification": {
        "data": {"train": "classes.csv", "test": "test.csv", "batch_size": 10},
        "model": SMALL,
    },
    "sequence_regression": {
        "data": {
            "train": "numbers.csv",
            "test_fraction": 0.2,
            "batch_size": 10,
            "columns": {"label": "activity", "id": "name"},
        },
        "model": {**SMALL, "loss": "huber"},
    },
    "base_labels": {
        "data": {
            "train": "genome.fa",
            "labels": "genes.bed",
            "regions": {"train": [0, 2400], "test": [2400, 3000]},
            "context_length": 60,
            "batch_size": 4,
        },
        "model": {**SMALL, "encoder": {**SMALL["encoder"], "pool": 1}},
    },
    "language_model": {
        "data": {"train": "genome.fa", "test": "other.fa", "context_length": 60, "batch_size": 6},
        "model": {"backbone": {"width": 8, "heads": 2, "layers": 1}},
    },
}
for task, recipe in RECIPES.items():
    recipe.update(REST, task=task)


def letters(random: np.random.Generator, count: int) -> str:
    """Random DNA."""
    return "".join(random.choice(list("ACGT"), count))


def write_tables(folder: Path) -> None:
    """Sequences with a motif in every second one, as classes, numbers, and for prediction without labels."""
    random = np.random.default_rng(0)
    texts = [letters(random, int(size)) for size in random.integers(26, 34, 120)]
    texts = [text[:9] + "TGACTCA" + text[16:] if i % 2 else text for i, text in enumerate(texts)]
    label = ["yes" if i % 2 else "no" for i in range(120)]
    frame = pd.DataFrame({"sequence": texts, "label": label})
    frame[:90].to_csv(folder / "classes.csv", index=False)
    frame[90:].to_csv(folder / "test.csv", index=False)
    names = [f"s{i}" for i in range(120)]
    numbers = [text.count("G") / 7 for text in texts]
    pd.DataFrame({"name": names, "sequence": texts, "activity": numbers}).to_csv(folder / "numbers.csv", index=False)
    frame[["sequence"]][:5].to_csv(folder / "new.csv", index=False)


def write_genome(folder: Path) -> None:
    """Genes of 50 bases on either strand between 50 random ones, their places, and another genome."""
    random = np.random.default_rng(1)
    parts, places = [], []
    for i in range(30):
        gene = "ATG" + "".join(random.choice(["GCT", "CGT", "GAC"], 15)) + "AA"
        parts += [letters(random, 50), gene if i % 3 else reverse_complement_text(gene)]
        places.append(f"one\t{100 * i + 50}\t{100 * i + 100}\tgene{i}\t0\t{'+' if i % 3 else '-'}")
    (folder / "genome.fa").write_text(f">one\n{''.join(parts)}\n")
    (folder / "genes.bed").write_text("\n".join(places) + "\n")
    (folder / "other.fa").write_text(f">a\n{letters(random, 150)}\n>b\nNNNN{letters(random, 20).lower()}\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a recipe of each task."""
    folder = tmp_path_factory.mktemp("dna")
    write_tables(folder)
    write_genome(folder)
    for task, recipe in RECIPES.items():
        write_yaml(folder / f"{task}.yaml", recipe)
    return folder


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder as working directory."""
    monkeypatch.chdir(folder)


def run(command: str, task: str, root: str, *options: str) -> None:
    """A command on a recipe; it must go well."""
    assert main([command, "-c", f"{task}.yaml", "--trainer.default_root_dir", root, *options]) == 0


def said(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The only line on stderr, of a command that fails."""
    capsys.readouterr()
    try:
        status = main(argv)
    except SystemExit as stop:
        status = int(stop.code or 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert status in (1, 2)
    return line


def test_classes_of_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    task = "sequence_classification"
    run("fit", task, "classes", "--trainer.precision", "bf16-mixed")
    assert "classes.csv: 80 train, 10 validation, 30 test sequences" in capsys.readouterr().out
    run("validate", task, "classes")
    best = min(value for (name, _), value in losses("classes").items() if name == "val_loss")
    assert float(capsys.readouterr().out.split()[1]) == pytest.approx(best, abs=0.01)
    run("test", task, "classes")
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "30 test sequences of test.csv"
    assert table[1].split()[:5] == ["accuracy", "balanced_accuracy", "mcc", "f1", "auroc"]
    assert [line[:9].strip() for line in table[2:]] == ["model", "95 % from", "95 % to"]
    run("predict", task, "classes", "--data.predict", "new.csv", "--output", "classes/new.csv")
    frame = pd.read_csv("classes/new.csv")
    assert list(frame.columns) == ["id", "prediction", "p_no", "p_yes"] and frame["id"].tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(frame[["p_no", "p_yes"]].sum(axis=1), 1)


def test_numbers_of_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    task = "sequence_regression"
    run("fit", task, "numbers", "--trainer.max_epochs", "1")
    assert "numbers.csv: 80 train, 14 validation, 26 test sequences" in capsys.readouterr().out
    run("test", task, "numbers")
    assert capsys.readouterr().out.splitlines()[1].split() == ["pearson", "spearman", "r2", "mse"]
    run("predict", task, "numbers", "--output", "numbers/out.csv")
    frame = pd.read_csv("numbers/out.csv")
    assert list(frame.columns) == ["id", "prediction"] and len(frame) == 26
    assert frame["id"].isin(pd.read_csv("numbers.csv")["name"]).all()
    assert frame["prediction"].between(0, 3).all()


def test_labels_of_bases(capsys: pytest.CaptureFixture[str]) -> None:
    task = "base_labels"
    run("fit", task, "bases", "--trainer.max_epochs", "1", "--data.validation_fraction", "0.2")
    assert "classes  +, -, none" in capsys.readouterr().out
    run("test", task, "bases", "--data.validation_fraction", "0.2")
    assert {"mcc", "log_loss", "f1", "none"} <= set(capsys.readouterr().out.splitlines()[1].split())
    run("predict", task, "bases", "--output", "bases/out.csv", "--data.validation_fraction", "0.2")
    frame = pd.read_csv("bases/out.csv")
    assert frame["position"].tolist() == list(range(2400, 3000)) and set(frame["id"]) == {"one"}


def test_a_language_model(capsys: pytest.CaptureFixture[str]) -> None:
    task = "language_model"
    run("fit", task, "letters", "--trainer.max_epochs", "1")
    run("test", task, "letters")
    found = dict(zip(*(line.split()[-3:] for line in capsys.readouterr().out.splitlines()[-2:]), strict=True))
    assert 1.5 < float(found["bits_per_base"]) < 2.5 and float(found["bases"]) == 170
    run("predict", task, "letters", "--output", "letters/out.csv")
    frame = pd.read_csv("letters/out.csv")
    assert frame["id"].tolist() == ["a", "b"] and frame["bases"].tolist() == [150, 20]
    bits = -frame["log_likelihood"].sum() / 170 / np.log(2)
    assert bits == pytest.approx(float(found["bits_per_base"]), abs=1e-3)
    run("fit", task, "masked", "--trainer.max_epochs", "1", "--model.objective", "masked")
    run("test", task, "masked", "--model.objective", "masked")


# What draws random numbers must draw the same ones.
RANDOM = {"sequence_classification": ("--model.strands", "either", "--model.head_dropout", "0.2")}


def killed_fit(task: str, root: str, step: int) -> int:
    """Run fit in a process of its own that kills itself within training step `step`; its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    from titans_ts.genomics.training.module import SequenceModule

    train = SequenceModule.training_step

    def die(self: SequenceModule, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        if self.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return train(self, batch, batch_idx)

    SequenceModule.training_step = die  # type: ignore[method-assign]
    try:
        run("fit", task, root, *RANDOM.get(task, ()))
    finally:
        os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed process is a fork of this one")
@pytest.mark.parametrize("task", ["sequence_classification", "base_labels", "language_model"])
def test_resume_after_sigkill_is_the_run_without_it(task: str) -> None:
    options = RANDOM.get(task, ())
    run("fit", task, f"{task}/whole", *options)
    step = len([key for key in losses(f"{task}/whole") if key[0] == "train_loss"]) - 2
    assert os.WTERMSIG(killed_fit(task, f"{task}/cut", step)) == signal.SIGKILL
    run("fit", task, f"{task}/cut", "--ckpt_path", "last", *options)
    whole, resumed = losses(f"{task}/whole"), losses(f"{task}/cut")
    assert ("train_loss", step + 1) in resumed and resumed.keys() <= whole.keys()
    assert all(resumed[key] == whole[key] for key in resumed)
    files = (f"{task}/{name}/checkpoints/last.ckpt" for name in ("whole", "cut"))
    first, second = (torch.load(file, weights_only=True) for file in files)
    assert all(torch.equal(first["state_dict"][k], second["state_dict"][k]) for k in first["state_dict"])


@pytest.mark.skipif(not torch.distributed.is_available() or not hasattr(os, "fork"), reason="needs gloo and fork")
@pytest.mark.parametrize("task", ["sequence_classification", "language_model"])
def test_two_processes_train_as_one(task: str, capfd: pytest.CaptureFixture[str]) -> None:
    run("fit", task, f"{task}/one")
    run("fit", task, f"{task}/two", "--trainer.devices", "2", "--trainer.strategy", "ddp_fork")
    one, two = losses(f"{task}/one"), losses(f"{task}/two")
    assert len(one) > 10 and one.keys() == two.keys()
    assert all(two[key] == pytest.approx(one[key], abs=1e-5) for key in one)


def test_a_finished_run_goes_on() -> None:
    task = "sequence_classification"
    run("fit", task, "longer")
    before = losses("longer")
    run("fit", task, "longer", "--ckpt_path", "last", "--trainer.max_epochs", "4")
    steps = [step for name, step in losses("longer") if name == "train_loss"]
    assert steps == list(range(2 * len([key for key in before if key[0] == "train_loss"])))
    checkpoint = torch.load("longer/checkpoints/last.ckpt", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["global_step"]) == (3, len(steps))


@pytest.mark.parametrize("task", sorted(RECIPES))
def test_print_config_is_a_recipe(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("fit", task, "printed", "--data.batch_size", "7", "--print_config")
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["task"] == task and printed["data"]["batch_size"] == 7
    write_yaml(Path("printed.yaml"), printed)
    with pytest.raises(SystemExit):
        main(["fit", "-c", "printed.yaml", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out) == printed
    assert not Path("printed").exists()


def test_one_line_for_what_is_of_another_task(capsys: pytest.CaptureFixture[str]) -> None:
    run("fit", "language_model", "other", "--trainer.max_steps", "3")
    fit = ["fit", "-c", "sequence_classification.yaml"]
    line = said(["test", "-c", "sequence_classification.yaml", "--ckpt_path", "other/checkpoints/last.ckpt"], capsys)
    assert (
        "is of task language_model, expected task sequence_classification: use the recipe it was trained with" in line
    )
    line = said([*fit, "-c", "language_model.yaml"], capsys)
    assert "language_model.yaml of task language_model: give recipes of one task" in line
    write_yaml(Path("without.yaml"), {**RECIPES["sequence_classification"], "task": "forecasting"})
    assert "add a line `task:`" in said(["fit", "-c", "without.yaml"], capsys)
    write_yaml(Path("toy.yaml"), {"task": "dna", "set": "mouse_3", "seeds": [0], "runs": {"attention only": {}}})
    assert "is a recipe for `titans-ts recipes run`: run `titans-ts recipes run toy.yaml`" in said(
        ["fit", "-c", "toy.yaml"], capsys
    )
    line = said(["recipes", "run", "sequence_classification.yaml"], capsys)
    assert "is a recipe for `titans-ts fit`: run `titans-ts fit -c sequence_classification.yaml`" in line


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("sequence_classification", ("--data.train", "other.fa"), "other.fa has no labels: give a csv or tsv"),
        ("sequence_classification", ("--data.train", "absent.csv"), "absent.csv does not exist"),
        ("sequence_classification", ("--data.train", "genes.bed"), "data.genome"),
        ("sequence_classification", ("--data.labels", "genes.bed"), "labels is for task base_labels"),
        ("sequence_classification", ("--model.head", "position"), "needs sequences of one length"),
        ("sequence_classification", ("--data.columns.label", "class"), "has no column 'class'"),
        ("sequence_regression", ("--data.columns.label", "name"), "expected a number as label, got 's0'"),
        ("base_labels", ("--data.regions.test", "[2000, 3000]"), "must not overlap"),
        ("language_model", ("--data.context_length", "1"), "context_length"),
    ],
)
def test_mistakes_in_data(
    task: str, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(["fit", "-c", f"{task}.yaml", "--trainer.default_root_dir", "never", *options], capsys)
    assert message in line
    assert not Path("never").exists()
