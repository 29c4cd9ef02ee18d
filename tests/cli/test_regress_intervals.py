"""`titans-ts regress` on intervals of a genome: numbers in the column of the score."""

from __future__ import annotations

import io
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


def test_bases_learn_a_track_and_predict_one(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "s.bedgraph").write_text(
        "".join(f"{name}\t0\t1200\t{i}\n" for i, name in enumerate(("one", "two", "three")))
    )
    bed, fasta, model = str(files / "a.bed"), ["--fasta", str(files / "g.fa")], str(files / "bases")
    words = ["regress", bed, *fasta, "--signal", str(files / "s.bedgraph"), "--test-chromosomes", "two", *QUICK[:-4]]
    assert main([*words, "--device", "cpu", "--per-base", "--model", model, "--report", str(files / "r.html")]) == 0
    assert "s of bases  0 to 2" in capsys.readouterr().out and "s, measured" not in (files / "r.html").read_text()
    given = io.TextIOWrapper(io.BytesIO(Path(bed).read_bytes()))
    monkeypatch.setattr("sys.stdin", given)
    words = ["regress", "-", "--format", "bed", *fasta, "--model", model]
    assert main([*words, "--output", str(files / "b.bedgraph")]) == 0
    found = pd.read_csv(files / "b.bedgraph", sep="\t", header=None, skiprows=1)
    assert len(found) == 60 * 40 and (found[2] - found[1] == 1).all()
    assert main(["regress", "-", *fasta, "--model", model]) == 1
    assert "give its kind by --format (bed, narrowpeak, broadpeak)" in capsys.readouterr().err
    assert main(["regress", "-", "--test", "-", *fasta]) == 1
    assert "are both standard input (-)" in capsys.readouterr().err


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


@pytest.mark.parametrize("words", [["--negatives", "gc-matched"], ["--class", "a"], ["--train-only"]])
def test_options_of_classes_are_no_options_of_numbers(
    words: list[str], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["regress", str(files / "a.bed"), "--cv", "2", *words])
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err
