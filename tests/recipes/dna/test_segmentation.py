"""The task `segmentation`: a classifier of bases beside rules, on segments that none has seen."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import titans_datasets.dna.public.benchmarks as benchmarks
import titans_recipes.dna.segmentation as segmentation
from titans_cli.main import main
from titans_datasets.dna import encode, reading_frame_labels, reading_frames, reverse_complement_text
from titans_datasets.dna.read.genome import read_genome
from titans_recipes.page import END, START

RECIPE = """
task: segmentation
set: ecoli_k12
seeds: [0]
learn: [0, 3000]
window: 200
reads: [200, 1000]
tests:
  ecoli_k12: [3000, 5000]
  hpylori_g27: [0, 2000]
runs:
  majority: {rule: majority}
  frames: {rule: longest ORF}
  frames in windows: {rule: longest ORF, shortest: 60, overlaps: true, windows: true}
  network: {max_epochs: 1, device: cpu, options: {width: 8, heads: 2, channels: 8, mixing: false}}
"""


def genes_and_gaps(seed: int, count: int) -> str:
    """Genes of 150 bases on either strand, 100 random bases between them."""
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(count):
        gene = "ATG" + "".join(random.choice(["GCT", "CGT", "GAC", "AAC"], 48)) + "TAA"
        gap = "".join(random.choice(list("ACGT"), 100))
        parts += [gap, reverse_complement_text(gene) if random.random() < 0.5 else gene]
    return "".join(parts)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two genomes whose labels are the frames of the rule itself."""
    for seed, name in enumerate(("ecoli_k12", "hpylori_g27")):
        (tmp_path / f"{name}.fa").write_text(f">one\n{genes_and_gaps(seed, 20)}\n")
    monkeypatch.setattr(benchmarks, "reference_genome", lambda name: read_genome(tmp_path / f"{name}.fa"))
    monkeypatch.setattr(segmentation, "prodigal_genes", lambda codes: [tuple(one) for one in reading_frames(codes)])
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    forget()
    yield path
    forget()


def forget() -> None:
    """Genomes and labels are kept for the runs of one recipe."""
    segmentation.genome_of.cache_clear()
    segmentation.labels_of.cache_clear()


def test_a_row_a_run_and_genome_and_a_table(recipe: Path) -> None:
    out, page = recipe.with_name("rows.csv"), recipe.with_name("page.md")
    assert main(["recipes", "run", str(recipe), "--output", str(out)]) == 0
    every = pd.read_csv(out)
    assert len(every) == 16
    rows = every[every["read"] == 200].set_index(["run", "genome"])
    assert len(rows) == 8 and (rows["tested"] == 2000).all() and (rows["learned"] == 3000).all()
    codes = read_genome(recipe.with_name("ecoli_k12.fa")).fetch("one", 0, 5000)
    truth = reading_frame_labels(codes)
    read = every[every["genome"] == "ecoli_k12"].pivot(index="run", columns="read", values="mcc")
    whole = ["majority", "frames"]
    assert (read.loc[whole, 200] == read.loc[whole, 1000]).all()
    assert read.loc["frames in windows", 1000] > read.loc["frames in windows", 200]
    most = np.bincount(truth[:3000]).argmax()
    assert rows.loc[("majority", "ecoli_k12"), "accuracy"] == pytest.approx((truth[3000:] == most).mean(), abs=1e-5)
    assert (rows.loc["majority", "mcc"] == 0).all()
    assert (rows.loc["frames", "mcc"] > 0.7).all() and (rows.loc["frames in windows", "mcc"] > 0.1).all()
    assert (rows["mcc_low"] <= rows["mcc"]).all() and (rows["mcc"] <= rows["mcc_high"]).all()
    network = rows.loc[("network", "ecoli_k12")]
    assert network["epochs"] == 1 and network["validation"] > 0 and "Prodigal" in network["protocol"]
    page.write_text(f"{START}\n{END}\n", encoding="utf-8")
    assert main(["recipes", "table", "--results", str(out), "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "| run | seeds | MCC, ecoli_k12 | MCC, hpylori_g27 |" in text
    assert (
        text.count("| majority, windows of 1,000 | 1 | 0.000 (0.000 – 0.000) | 0.000 (0.000 – 0.000) | – | – | – | – |")
        == 1
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ecoli_k12: [3000, 5000]", "ecoli_k12: [2999, 5000]", "overlap: the test must be unseen"),
        ("ecoli_k12: [3000, 5000]", "ecoli_k12: [3000, 5001]", "must lie in ecoli_k12, 5,000 bases of one"),
        ("hpylori_g27: [0, 2000]", "hpylori_g27: 2000", "hpylori_g27 must be [start, end), 0-based, got 2000"),
        ("window: 200", "window: 201", "window must be a multiple of 4 bases that is ≥ 12, got 201"),
        ("[200, 1000]", "1000", "reads must be a list of windows, multiples of 4 bases ≥ 12, got 1000"),
        ("[200, 1000]", "[200, 1001]", "reads must be a list of windows, multiples of 4 bases ≥ 12, got [200, 1001]"),
        ("{rule: majority}", "{rule: minority}", "run 'majority' must name a rule"),
        ("{rule: majority}", "{rule: majority, shortest: 9}", "run 'majority' must name a rule"),
        ("{max_epochs: 1,", "{epochs: 1,", "run 'network' has unknown entries ['epochs']"),
        ("tests:", "others:", "tests must be a mapping of genomes to segments, got None"),
    ],
)
def test_broken_recipes(recipe: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str) -> None:
    recipe.write_text(RECIPE.replace(old, new), encoding="utf-8")
    assert main(["recipes", "run", str(recipe)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("length", "window"), [(1000, 100), (1001, 100), (140, 100), (100, 100), (70, 100)])
def test_every_base_is_labelled_once_and_away_from_cut_ends(length: int, window: int) -> None:
    places = list(segmentation.window_middles(length, window))
    labelled = [base for _, _, first, last in places for base in range(first, last)]
    assert labelled == list(range(length))
    for start, end, first, last in places:
        assert end - start == min(window, length)
        assert first - start >= window // 4 or first == 0
        assert end - last >= window // 4 or last == length


def test_frames_run_past_the_ends_of_windows() -> None:
    """A gene without start and stop fills a window: the rule still labels it coding."""
    inside = "".join(np.random.default_rng(0).choice(["GCT", "CGT", "GAC"], 66))
    read = segmentation.rule_reader(
        {"rule": "longest ORF", "shortest": 150, "overlaps": True, "windows": True}, np.zeros(1, np.uint8)
    )
    assert read(encode(inside), 200).argmax(1).max() > 0
    assert (reading_frame_labels(inside, 150, overlaps=True) == 0).all()


def test_without_pyrodigal(monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def missing(name: str, *others: Any) -> Any:
        if name == "pyrodigal":
            raise ImportError(name)
        return known(name, *others)

    monkeypatch.delitem(sys.modules, "pyrodigal", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(FileNotFoundError, match="pip install pyrodigal"):
        segmentation.prodigal_genes(np.zeros(100, dtype=np.uint8))
