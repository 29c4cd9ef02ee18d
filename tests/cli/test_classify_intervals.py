"""`titans-ts classify` and `dna effects` on intervals and variants of a genome; several labels; labels of bases."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.genomics.common import MOTIF, sequences
from titans_cli.main import main

# Logistic maps alone, and of these the first: the network and choices are tested elsewhere.
FIXED = ["--head", "pooled", "--reverse-complement", "none", "--time-budget", "2", "--device", "cpu"]
QUICK = ["--max-epochs", "0", *FIXED]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genome of four chromosomes with 60 peaks, which hold a motif, and a BED without names."""
    folder, rng = tmp_path_factory.mktemp("intervals"), np.random.default_rng(0)
    rows = []
    with (folder / "g.fa").open("w") as genome:
        for name in ("chr1", "chr2", "chr3", "chr4"):
            letters = rng.choice(list("ACGT"), 12_000)
            for start in range(300, 11_500, 780):
                letters[start + 20 : start + 20 + len(MOTIF)] = list(MOTIF)
                rows.append((name, start, start + 40 + int(rng.integers(2)), f"peak{len(rows)}", 7, "."))
            genome.write(f">{name}\n{''.join(letters)}\n")
    table = pd.DataFrame(rows)
    table.to_csv(folder / "peaks.bed", sep="\t", header=False, index=False)
    table.iloc[::5].to_csv(folder / "new.bed", sep="\t", header=False, index=False)
    table[[0, 1]].assign(start=table[1] - 250, end=table[1] + 550)[[0, "start", "end"]].to_csv(
        folder / "wide.bed", sep="\t", header=False, index=False
    )
    return folder


def command(files: Path, *words: str) -> list[str]:
    made = {"PEAKS": "peaks.bed", "NEW": "new.bed", "WIDE": "wide.bed", "MODEL": "model", "OUT": "out"}
    found = [str(files / made[word]) if word in made else word.replace("OUT/", f"{files}/") for word in words]
    return ["classify", *found]


@pytest.fixture(scope="module")
def trained(files: Path) -> Path:
    words = ["PEAKS", "--negatives", "gc-matched", "--test-chromosomes", "chr2,chr4", "--model", "MODEL"]
    written = ["--output", "OUT/scored.csv", "--json", "OUT/scored.json", "--plot", "OUT/scored.png"]
    argv = command(files, *words, *written, *QUICK, "--window", "40", "--fasta", str(files / "g.fa"))
    assert main(argv) == 0
    return files / "model"


def test_peaks_against_matched_windows_on_other_chromosomes(trained: Path, files: Path) -> None:
    found = pd.read_csv(files / "scored.csv")
    assert list(found.columns) == ["id", "label", "predicted", "negative", "positive"]
    assert {name.split(":")[0] for name in found["id"]} == {"chr2", "chr4"}
    assert (found["label"] == "positive").mean() == 0.5
    report = json.loads((files / "scored.json").read_text())
    value = report["models"]["DNAClassifier"]["accuracy"]["value"]
    assert value == pytest.approx((found["label"] == found["predicted"]).mean()) and value > 0.8
    assert (files / "scored.png").is_file()


@pytest.mark.parametrize("suffix", ["bedgraph", "bw"])
def test_predictions_are_tracks(suffix: str, trained: Path, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["NEW", "--model", "MODEL", "--fasta", str(files / "g.fa"), "--window", "40"]
    assert main(command(files, *words, "--output", "OUT/new.tsv")) == 0
    table = pd.read_csv(files / "new.tsv", sep="\t")
    assert table["id"].tolist() == [f"peak{i}" for i in range(0, len(table) * 5, 5)]
    peaks = pd.read_csv(files / "new.bed", sep="\t", header=None)
    middle = (peaks[1] + peaks[2]) // 2
    if suffix == "bw":
        pybigwig = pytest.importorskip("pyBigWig")
    assert main(command(files, *words, "--output", f"OUT/new.{suffix}")) == 0
    assert f"{len(table)} intervals, positive" in capsys.readouterr().out
    if suffix == "bw":
        with pybigwig.open(str(files / "new.bw")) as track:
            assert track.chroms() == dict.fromkeys(("chr1", "chr2", "chr3", "chr4"), 12_000)
            values = [track.values(*place)[0] for place in zip(peaks[0], middle - 20, middle - 19, strict=True)]
    else:
        lines = pd.read_csv(files / "new.bedgraph", sep="\t", header=None, skiprows=1)
        assert lines[1].tolist() == (middle - 20).tolist() and (lines[2] - lines[1] == 40).all()
        values = lines[3].tolist()
    assert np.allclose(values, table["positive"], atol=1e-5)


def test_folds_of_chromosomes_as_a_track(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "few.bed").write_text("".join((files / "peaks.bed").read_text().splitlines(keepends=True)[::3]))
    words = [f"a={files / 'few.bed'},b={files / 'empty.bed'}", "--fasta", str(files / "g.fa"), "--window", "40"]
    places = [(f"chr{1 + i % 4}", 200 + 390 * i, 240 + 390 * i) for i in range(28)]
    (files / "empty.bed").write_text("".join(f"{name}\t{start}\t{end}\n" for name, start, end in places))
    assert main(command(files, *words, "--cv", "2", "--group", "chrom", "--output", "OUT/cv.bedgraph", *QUICK)) == 0
    assert "mean ± sd of 2 folds" in capsys.readouterr().out
    assert len((files / "cv.bedgraph").read_text().splitlines()) == 1 + 28 + 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["PEAKS", "--cv", "2"], "peaks.bed has places, no letters: give the genome they lie on (--fasta)"),
        (["PEAKS", "--model", "MODEL"], "peaks.bed has places, no letters"),
        (["PEAKS", "--cv", "2", "--window", "40"], "--window is for intervals (.bed): give the genome"),
        (["FASTA", "--cv", "2", "--test-chromosomes", "chr1"], ""),
        (["FASTA", "--test-chromosomes", "chr1"], "--test-chromosomes is for intervals"),
        (["PEAKS", "--cv", "2", "--fasta", "FASTA"], "all 60 names are different, such as 'peak0'"),
        (["FASTA", "--cv", "2", "--fasta", "FASTA"], "a genome is for intervals"),
        (["NEW", "--model", "MODEL", "--fasta", "FASTA", "--negatives", "gc-matched"], "--negatives is for labelled"),
        (["NEW", "--model", "MODEL", "--output", "OUT/a.bw"], "expected a name ending in .csv"),
        (["WIDE", "--model", "MODEL", "--fasta", "FASTA", "--output", "OUT/a.bedgraph"], "overlap, as"),
        (
            ["NEW", "--model", "MODEL", "--fasta", "FASTA", "--class", "no", "--output", "OUT/a.csv"],
            "--class must name",
        ),
        (["NEW", "--model", "MODEL", "--fasta", "none.fa"], "none.fa does not exist"),
        (["NEW", "--model", "MODEL", "--fasta", "FASTA", "--window", "700"], "line 1: chr1:-30-670 reaches past"),
        (["NEW", "--train-only"], "--train-only needs --model DIR"),
        (["NEW", "--train-only", "--model", "MODEL"], "--train-only trains a new model, but"),
        (
            ["PEAKS", "--fasta", "FASTA", "--negatives", "gc-matched", "--test-chromosomes", "chr9"],
            "no interval lies on chr9: the chromosomes are chr1, chr2, chr3, chr4",
        ),
        (
            ["PEAKS", "--fasta", "FASTA", "--negatives", "gc-matched", "--window", "500", "--cv", "2"],
            "GC-matched windows; lacking are",
        ),
    ],
)
def test_errors_are_one_line(
    words: list[str], message: str, trained: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(files / "g.fa") if word == "FASTA" else word for word in command(files, *words)]
    if not message:
        with pytest.raises(SystemExit):
            main(argv)
        assert "not allowed with argument" in capsys.readouterr().err
        return
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and message in captured.err


def test_training_on_everything_without_a_score(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, labels = sequences(60)
    pd.DataFrame({"sequence": texts, "label": labels}).to_csv(files / "all.csv", index=False)
    model = files / "all"
    assert main(["classify", str(files / "all.csv"), "--train-only", "--model", str(model), *QUICK]) == 0
    out = capsys.readouterr().out
    assert "(trained on all sequences)" in out and "accuracy" not in out
    assert main(["classify", str(files / "all.csv"), "--model", str(model)]) == 0


def test_several_labels(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, labels = sequences(60)
    frame = pd.DataFrame({"sequence": texts, "motif": (labels == "yes").astype(int)})
    frame["strong"] = [int(text.count("G") + text.count("C") > 15) for text in texts]
    for name, part in (("train", frame.iloc[::2]), ("test", frame.iloc[1::2])):
        part.to_csv(files / f"tags_{name}.csv", index=False)
    train, test, model = str(files / "tags_train.csv"), str(files / "tags_test.csv"), str(files / "tags")
    words = ["classify", train, "--test", test, "--label", "motif,strong", *QUICK]
    assert main([*words, "--model", model, "--output", str(files / "tags.csv")]) == 0
    assert "labels   motif 15, strong" in capsys.readouterr().out
    found = pd.read_csv(files / "tags.csv", keep_default_na=False)
    assert list(found.columns) == ["id", "label", "predicted", "motif", "strong"]
    assert set(found["label"]) <= {"", "motif", "strong", "motif;strong"}
    assert main([*words[:2], "--cv", "2", *words[4:6], "--no-linear", *words[6:]]) == 0
    capsys.readouterr()
    assert main([*words, "--plot", str(files / "a.png")]) == 1
    assert "leave --plot and --report out" in capsys.readouterr().err
    assert main(["classify", train, "--test", test, "--label", "motif", "--model", model]) == 1
    assert "training had motif, strong" in capsys.readouterr().err
    assert main(["classify", test, "--model", model]) == 0
    assert capsys.readouterr().out.startswith("id\tpredicted\tmotif\tstrong\n")


def test_labels_of_bases(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, _ = sequences(40)
    marks = ["".join("1" if base in "GC" else "0" for base in text) for text in texts]
    frame = pd.DataFrame({"sequence": texts, "label": marks})
    frame.iloc[:30].to_csv(files / "bases_train.csv", index=False)
    frame.iloc[30:].to_csv(files / "bases_test.csv", index=False)
    train, test, model = (str(files / f"bases{name}") for name in ("_train.csv", "_test.csv", ""))
    words = ["--per-base", "--max-epochs", "1", *FIXED, "--output", str(files / "bases.csv")]
    assert main(["classify", train, "--test", test, "--model", model, *words]) == 0
    found = pd.read_csv(files / "bases.csv", dtype=str)
    assert list(found.columns) == ["id", "position", "label", "predicted", "0", "1"] and len(found) == 300
    assert "".join(found["label"][:30]) == marks[30] and found["position"].tolist()[:31] == [*map(str, range(30)), "0"]
    assert main(["classify", train, "--cv", "2", *words]) == 0
    assert len(pd.read_csv(files / "bases.csv")) == 900
    track = str(files / "bases.bedgraph")
    new = command(files, "NEW", "--model", model, "--fasta", str(files / "g.fa"), "--window", "30", "--output", track)
    assert main(new) == 0
    lines = Path(track).read_text().splitlines()[1:]
    assert len(lines) == 30 * 12 and "12 intervals, 1" in capsys.readouterr().out


@pytest.mark.parametrize("packed", [False, True])
def test_effects_in_a_vcf(packed: bool, trained: Path, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letters = (files / "g.fa").read_text().split("\n")[1]
    other = {"A": "C,G", "C": "A,T", "G": "A,T", "T": "A,C"}[letters[499]]
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    text = f"{header}chr1\t500\trs1\t{letters[499]}\t{other}\t.\tPASS\tDP=9\n"
    source, path = (files / f"{name}.vcf{'.gz' if packed else ''}" for name in ("variants", "effects"))
    source.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    words = ["dna", "effects", "--model", str(trained), "--vcf", str(source), "--fasta", str(files / "g.fa")]
    assert main([*words, "--window", "40", "--output", str(path)]) == 0
    assert "(2 rows)" in capsys.readouterr().out
    assert main([*words, "--window", "40"]) == 0
    effects = [float(line.split("\t")[9]) for line in capsys.readouterr().out.splitlines()[1:]]
    lines = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).decode().splitlines()
    info = lines[-1].split("\t")[7]
    assert info.startswith("DP=9;TITANS_EFFECT=")
    assert np.allclose([float(one) for one in info.split("=")[-1].split(",")], effects, atol=1e-5)
    assert main(["dna", "effects", "--model", str(trained), str(files / "g.fa"), "--output", str(path)]) == 1
    assert "expected a name ending in .csv" in capsys.readouterr().err
