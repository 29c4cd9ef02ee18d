"""The public DNA sets: their protocols on small files in their layout, and errors that say what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_datasets.dna import benchmark, benchmark_names, decode, ecoli_promoters, gue, reference_genome, uci_splice
from titans_datasets.dna.public import benchmarks as module
from titans_datasets.dna.public.catalogue import ECOLI_PROMOTERS, GENOMES, GUE, UCI_SPLICE, GUESet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TITANS_TS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TITANS_TS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def texts(rows: int, seed: int = 0) -> list[str]:
    return [decode(row) for row in np.random.default_rng(seed).integers(0, 4, (rows, 20))]


def fasta(rows: int, seed: int) -> str:
    return "".join(f">s{i % 7}\n{text}\n" for i, text in enumerate(texts(rows, seed)))


@pytest.mark.parametrize("place", ["gue/tf__2__{}.csv.gz", "GUE/tf/2/{}.csv"])
def test_gue_trains_on_train_and_dev(folder: Path, place: str) -> None:
    parts = {part: texts(4, seed) for seed, part in enumerate(("train", "dev", "test"))}
    for part, rows in parts.items():
        put(
            folder / place.format(part),
            "sequence,label\n" + "".join(f"{row.lower()},{i % 2}\n" for i, row in enumerate(rows)),
        )
    task = gue("tf_2")
    assert task.train["sequence"].tolist() == parts["train"] + parts["dev"]
    assert task.test["sequence"].tolist() == parts["test"] and task.test["label"].tolist() == [0, 1, 0, 1]
    pd.testing.assert_frame_equal(benchmark("tf_2").train, task.train)


def test_uci_splice_is_deduplicated_before_the_split(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UCI_SPLICE", UCI_SPLICE._replace(rows=206))
    rows = [(text, "EI" if i < 60 else "N") for i, text in enumerate(texts(200))]
    rows += [rows[3]] * 4 + [(rows[70][0], "EI"), (rows[0][0].lower(), "EI")]
    put(folder / "uci_splice/splice.csv.gz", "sequence,label,name\n" + "".join(f"{s},{y},x\n" for s, y in rows))
    task = uci_splice(3)
    everything = task.train["sequence"].tolist() + task.test["sequence"].tolist()
    assert sorted(everything) == sorted({*texts(200)} - {rows[70][0]})
    assert task.test["label"].value_counts().to_dict() == {"N": 28, "EI": 12}
    pd.testing.assert_frame_equal(uci_splice(3).test, task.test)
    assert not uci_splice(4).test.equals(task.test)
    assert len(uci_splice(deduplicate=False).train) + len(uci_splice(deduplicate=False).test) == 206


def test_uci_splice_as_uci_has_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UCI_SPLICE", UCI_SPLICE._replace(rows=40))
    rows = "".join(f"{'IE' if i % 2 else 'N'},  NAME-{i},    {text}\n" for i, text in enumerate(texts(40)))
    put(folder / "uci_splice/splice.data", rows)
    task = uci_splice()
    assert set(task.train["sequence"]) | set(task.test["sequence"]) == {*texts(40)}
    assert set(task.test["label"]) == {"IE", "N"}
    put(folder / "uci_splice/splice.data", "IE,x\n")
    with pytest.raises(ValueError, match="expected lines of class, name, sequence"):
        uci_splice()


def test_promoters_are_split_alike(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: file._replace(rows=50) for name, file in ECOLI_PROMOTERS.items()}
    monkeypatch.setattr(module, "ECOLI_PROMOTERS", files)
    put(folder / "cnnprom/Ecoli_prom.fa.gz", fasta(50, 0))
    put(folder / "cnnprom/Ecoli_non_prom.fa", fasta(50, 1))
    task = ecoli_promoters()
    assert task.test["label"].value_counts().to_dict() == {"promoter": 10, "other": 10}
    assert set(task.train["sequence"]).isdisjoint(task.test["sequence"])
    assert len(benchmark("ecoli_promoters", seed=1).train) == 80


def test_a_genome(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GENOMES, "lambda_phage", GENOMES["lambda_phage"]._replace(bases=8))
    path = put(folder / "genomes/lambda_phage.fa.gz", ">x\nACGTACGT\n")
    assert reference_genome("lambda_phage").lengths == {"x": 8}
    put(path, ">x\nACG\n")
    with pytest.raises(ValueError, match=r"is not lambda_phage: expected 8 bases \(NC_001416\.1\), got 3"):
        reference_genome("lambda_phage")


def test_a_missing_file_says_where_to_get_it_and_where_to_put_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"distal_pairs"}
    for name in {*benchmark_names()} - drawn | {"lambda_phage"}:
        with pytest.raises(FileNotFoundError) as found:
            reference_genome(name) if name in GENOMES else benchmark(name)
        assert "is not here: get it from https://" in str(found.value)
        assert f"and put it at {folder}" in str(found.value)
    monkeypatch.delenv("TITANS_TS_DATA")
    with pytest.raises(FileNotFoundError, match=r"put it at <folder>/gue/tf__4__train\.csv and set TITANS_TS_DATA"):
        benchmark("tf_4")


def test_another_file_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GUE, "tf_2", GUESet("tf/2", (3, 1, 1)))
    put(folder / "gue/tf__2__train.csv", "sequence,label\nACGT,1\n")
    with pytest.raises(
        ValueError, match=r"is not the file of tf_2 \(train\): expected 3 sequences, got 1; get it from"
    ):
        benchmark("tf_2")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    for ask, near in ((benchmark, "tf_4"), (gue, "tf_4"), (reference_genome, "ecoli_k12")):
        with pytest.raises(ValueError, match=f"did you mean '{near}'"):
            ask(near.replace("_", ""))
