"""`titans-ts regress` on intervals of a genome: numbers in the column of the score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_cli.main import main

QUICK = [
    "--max-epochs",
    "0",
    "--time-budget",
    "2",
    "--head",
    "pooled",
    "--reverse-complement",
    "none",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three chromosomes with 20 intervals each, whose score is their number of G."""
    folder, rng = tmp_path_factory.mktemp("regress"), np.random.default_rng(0)
    with (folder / "g.fa").open("w") as genome, (folder / "a.bed").open("w") as bed:
        for name in ("one", "two", "three"):
            letters = "".join(rng.choice(list("ACGT"), 1200))
            genome.write(f">{name}\n{letters}\n")
            bed.writelines(
                f"{name}\t{i}\t{i + 40}\t.\t{letters[i : i + 40].count('G')}\t+\n" for i in range(0, 1200, 60)
            )
    return folder


def test_chromosomes_are_held_out_and_predictions_are_tracks(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bed, fasta, model = str(files / "a.bed"), ["--fasta", str(files / "g.fa")], str(files / "model")
    words = ["regress", bed, *fasta, "--test-chromosomes", "two", "--model", model, *QUICK]
    assert main([*words, "--output", str(files / "test.bedgraph")]) == 0
    lines = pd.read_csv(files / "test.bedgraph", sep="\t", header=None, skiprows=1)
    assert set(lines[0]) == {"two"} and lines[1].tolist() == [*range(0, 1200, 60)]
    capsys.readouterr()
    assert main(["regress", bed, *fasta, "--model", model, "--output", str(files / "all.bedgraph")]) == 0
    assert "60 intervals, target" in capsys.readouterr().out
    found = pd.read_csv(files / "all.bedgraph", sep="\t", header=None, skiprows=1)
    assert np.allclose(found[found[0] == "two"][3], lines[3], atol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cv", "2"], "has places, no letters: give the genome they lie on"),
        (["--fasta", "FASTA", "--test-chromosomes", "six"], "no interval lies on six"),
        (["--cv", "2", "--fasta", "FASTA", "--window", "90", "--output", "x.bedgraph", "--outside", "drop"], "overlap"),
    ],
)
def test_errors_are_one_line(words: list[str], message: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(files / "g.fa") if word == "FASTA" else word for word in words]
    assert main(["regress", str(files / "a.bed"), *words, *QUICK]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "words", [["--negatives", "gc-matched"], ["--per-base"], ["--train-only"], ["--report", "x.html"]]
)
def test_options_of_classes_are_no_options_of_numbers(
    words: list[str], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["regress", str(files / "a.bed"), "--cv", "2", *words])
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err
