"""`titans-ts dna`: language models, embeddings, effects of variants and substitutions, errors of one line."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.genomics.common import classifier, sequences
from titans_cli.commands.classify import HEADS
from titans_cli.main import main
from titans_datasets.dna import encode_all
from titans_ts.genomics import DNAClassifier, DNALanguageModel
from titans_ts.genomics.linear.markov import markov_bits
from titans_ts.genomics.supervised import params


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sequences, a genome, variants of it, a classifier, a language model."""
    place = tmp_path_factory.mktemp("dna")
    texts, labels = sequences(60)
    (place / "seqs.fa").write_text("".join(f">s{i}\n{text}\n" for i, text in enumerate(texts[-3:])))
    genome = "".join(sequences(20, seed=3)[0])
    (place / "genome.fa").write_text(f">chr1\n{genome}\n")
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    rows = [("chr1", 100, genome[99]), ("chr1", 200, genome[199]), ("chr1", 300, other[genome[299]])]
    lines = [f"{chrom}\t{pos}\t.\t{ref}\t{other[ref]}" for chrom, pos, ref in rows]
    (place / "v.vcf").write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n" + "\n".join(lines) + "\n")
    classifier(max_epochs=1).fit(texts, labels).save(place / "classifier")
    options = {"width": 8, "heads": 2, "layers": 1, "progress": False}
    DNALanguageModel(context_length=40, max_epochs=1, device="cpu", options=options).fit([genome]).save(
        place / "language"
    )
    return place


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short names of files."""
    monkeypatch.chdir(folder)
    yield


def test_models_that_are_only_read_import_no_estimator_and_no_trainer() -> None:
    unused = ("sklearn", "scipy.stats", "scipy.optimize", "lightning", "torch._dynamo", "sympy", "matplotlib")
    calls = [
        (["dna", "score", "seqs.fa", "--model", "nowhere"], 1, (*unused, "torch")),
        (["dna", "score", "no.fa", "--model", "language"], 1, (*unused, "torch")),
        (["classify", "no.fa", "--model", "classifier"], 1, (*unused, "torch")),
        (["dna", "effects", "no.fa", "--model", "classifier"], 1, (*unused, "torch")),
        (["dna", "effects", "--vcf", "no.vcf", "--fasta", "seqs.fa", "--model", "classifier"], 1, (*unused, "torch")),
        (["dna", "score", "seqs.fa", "--model", "language"], 0, unused),
        (["dna", "embed", "seqs.fa", "--model", "language", "--output", "imports.csv"], 0, unused),
        (["classify", "seqs.fa", "--model", "classifier"], 0, unused),
        (["dna", "effects", "seqs.fa", "--model", "classifier"], 0, unused),
    ]
    code = "import sys\nfrom titans_cli.main import main\n" + "".join(
        f"assert main({argv!r}) == {status}\nprint([m for m in {left_out!r} if m in sys.modules], file=sys.stderr)\n"
        for argv, status, left_out in calls
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line for line in done.stderr.splitlines() if line.startswith("[")] == ["[]"] * len(calls)


def test_pretraining_beside_markov_chains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["dna", "pretrain", "genome.fa", "--model", "new", "--test", "seqs.fa", "--context", "50"]
    argv += ["--max-epochs", "1", "--block", "lmm", "--device", "cpu"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "genome.fa: 1 sequences, 600 bases" in out and "held-out windows" in out
    for name in ("model, each base given those before it", "composition", "Markov chain of order", "chance"):
        assert name in out
    assert DNALanguageModel.load(folder / "new").context_length == 50
    assert main(argv) == 1
    assert "new is there already" in capsys.readouterr().err


def test_markov_chains_count_words() -> None:
    train, test = encode_all(["ACACACACN", "AC"]), encode_all(["ACA"])
    # Order 1: after A come 5 C and nothing else, after C come 3 A; one is added to each count.
    expected = -(np.log2(6 / 9) + np.log2(4 / 7)) / 2
    assert markov_bits(train, test, 1, both_strands=False) == pytest.approx(expected)
    assert markov_bits(train, encode_all(["ACGT"]), 0) == pytest.approx(
        -np.mean(np.log2([6 / 24, 6 / 24, 6 / 24, 6 / 24])), abs=0.2
    )
    with pytest.raises(ValueError, match="test must hold 4 bases"):
        markov_bits(train, test, 3)


@pytest.mark.parametrize("both", [False, True])
def test_scores_are_those_of_the_model(folder: Path, both: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dna", "score", "seqs.fa", "--model", "language", *(["--both-strands"] if both else [])]) == 0
    rows = table(capsys.readouterr().out)
    expected = DNALanguageModel.load(folder / "language").log_likelihood(str(folder / "seqs.fa"), both_strands=both)
    assert [row["id"] for row in rows] == ["s0", "s1", "s2"] and {row["bases"] for row in rows} == {"30"}
    assert np.allclose([float(row["log_likelihood"]) for row in rows], expected, atol=1e-3)
    assert np.allclose([float(row["bits_per_base"]) for row in rows], -expected / 30 / np.log(2), atol=1e-4)


@pytest.mark.parametrize("model", ["language", "classifier"])
def test_embeddings_in_every_kind_of_file(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("csv", "npz", "parquet"):
        assert main(["dna", "embed", "seqs.fa", "--model", model, "--output", f"{model}.{suffix}"]) == 0
    assert "3 sequences" in capsys.readouterr().out
    arrays = np.load(f"{model}.npz")
    assert arrays["ids"].tolist() == ["s0", "s1", "s2"]
    for frame in (pd.read_csv(f"{model}.csv"), pd.read_parquet(f"{model}.parquet")):
        assert frame["id"].tolist() == ["s0", "s1", "s2"]
        assert np.allclose(frame.drop(columns="id"), arrays["embeddings"], atol=1e-5)
    assert not list(folder.glob(".*"))


def test_variants_are_checked_against_the_genome(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["dna", "effects", "--vcf", "v.vcf", "--fasta", "genome.fa", "--model"]
    assert main([*argv, "language"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "1 of 3" in err and "the genome has" in err
    for model, more in (("language", []), ("classifier", ["--window", "30", "--class", "no"])):
        assert main([*argv, model, "--mismatch", "skip", *more]) == 0
        captured = capsys.readouterr()
        rows = table(captured.out)
        assert [row["effect"] != "" for row in rows] == [True, True, False]
        assert int(rows[0]["window_end"]) - int(rows[0]["window_start"]) == (40 if model == "language" else 30)
        assert "left without scores" in captured.err


def test_maps_of_substitutions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["dna", "effects", "seqs.fa", "--model", "language", "--start", "2", "--end", "12"]
    assert main([*argv, "--output", "maps.csv"]) == 0
    found = pd.read_csv(folder / "maps.csv")
    assert len(found) == 30 and found["position"].tolist() == [*range(2, 12)] * 3
    drawn = ["--only", "s1", "--plot", "map.png", "--logo", "logo.svg"]
    assert main([*argv, *drawn]) == 0
    assert (folder / "map.png").stat().st_size > 1000 and (folder / "logo.svg").is_file()
    assert main(["dna", "effects", "seqs.fa", "--model", "classifier", "--only", "s1"]) == 0
    rows = table(capsys.readouterr().out.split("logo.svg\n")[1])
    assert len(rows) == 30 and rows[0]["id"] == "s1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "seqs.fa", "--model", "classifier"], "holds a dna classifier, expected a dna language model: label"),
        (["score", "none.fa", "--model", "language"], "none.fa does not exist"),
        (["embed", "seqs.fa", "--model", "none", "--output", "a.csv"], "none is no folder"),
        (["embed", "seqs.fa", "--model", "language", "--output", "a.txt"], ".npz, .parquet"),
        (["effects", "--model", "language"], "expected either sequences, as FILE, or variants"),
        (["effects", "--model", "language", "--vcf", "v.vcf"], "--fasta is missing"),
        (
            ["effects", "seqs.fa", "--model", "language", "--window", "9"],
            "--window is for intervals (.bed)",
        ),
        (["effects", "seqs.fa", "--model", "language", "--outside", "skip"], "--outside skip is for variants"),
        (
            ["effects", "--vcf", "v.vcf", "--fasta", "genome.fa", "--model", "language", "--outside", "drop"],
            "--outside drop is for intervals: give clip or skip",
        ),
        (["effects", "seqs.fa", "--model", "language", "--class", "no"], "--class is for classifiers"),
        (["effects", "seqs.fa", "--model", "classifier", "--class", "x"], "one of no, yes, got 'x'"),
        (["effects", "seqs.fa", "--model", "language", "--plot", "a.png"], "holds more than one sequence"),
        (["effects", "seqs.fa", "--model", "language", "--only", "x"], "holds no such sequence"),
        (["effects", "seqs.fa", "--model", "language", "--end", "99"], "record s0: start and end must be 0"),
        (
            ["pretrain", "genome.fa", "--model", "few", "--device", "cpu", "--context", "999999"],
            "genome.fa: validation_fraction",
        ),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dna", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and message in captured.err


def test_a_language_model_is_no_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "seqs.fa", "--model", "language"]) == 1
    err = capsys.readouterr().err
    assert "holds a dna language model, expected a dna classifier: score sequences by `titans-ts dna score" in err


def test_a_classifier_starts_from_a_language_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--pretrained` gives: the language model's weights in the classifier; training goes on from them."""
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list(letters), 30)) for letters in ("AACGTT", "ACCGGT") for _ in range(40)]
    pd.DataFrame({"sequence": texts, "label": [0] * 40 + [1] * 40}).to_csv("labelled.csv", index=False)
    argv = ["classify", "labelled.csv", "--test", "labelled.csv", "--related", "0", "--device", "cpu", "--seed", "3"]
    argv += ["--head", "pooled", "--reverse-complement", "none", "--no-linear", "--pretrained", "language"]
    assert main([*argv, "--max-epochs", "0", "--model", "frozen"]) == 0
    assert main([*argv, "--max-epochs", "6", "--model", "tuned"]) == 0
    known = DNALanguageModel.load("language").network_.state_dict()
    frozen, tuned = (DNAClassifier.load(name).model_.networks[0].state_dict() for name in ("frozen", "tuned"))
    for name, value in known.items():
        if not name.startswith("head."):
            assert torch.equal(frozen[f"language.{name}"], value), name
    assert not torch.equal(tuned["language.embedding.weight"], known["embedding.weight"])
    capsys.readouterr()
    assert main([*argv, "--block", "lmm"]) == 1
    err = capsys.readouterr().err
    assert "labelled.csv: block must be 'mag', as in the pretrained model, got 'lmm': leave it out" in err


def test_surprise_of_every_base_as_a_track(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dna", "score", "seqs.fa", "--model", "language", "--surprise", "s.bedgraph"]) == 0
    assert len(table(capsys.readouterr().out)) == 3
    lines = (folder / "s.bedgraph").read_text().splitlines()[1:]
    assert [line.split("\t")[0] for line in lines] == [f"s{i}" for i in range(3) for _ in range(30)]
    expected = DNALanguageModel.load("language").surprise((folder / "seqs.fa").read_text().splitlines()[1]).score
    assert np.allclose([float(line.split("\t")[3]) for line in lines[:30]], expected, rtol=1e-4)
    assert main(["dna", "score", "seqs.fa", "--model", "language", "--surprise", "s.csv"]) == 1
    assert "expected a name ending in .bedgraph" in capsys.readouterr().err


def test_heads_are_those_of_the_classifier() -> None:
    assert HEADS == params.HEADS
