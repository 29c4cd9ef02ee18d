"""The task `language_model`: networks beside Markov chains of the same bases, on a segment that neither has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import titans_datasets.dna.public.benchmarks as benchmarks
from titans_cli.main import main
from titans_datasets.dna.alphabet import decode
from titans_datasets.dna.read.genome import read_genome
from titans_recipes.page import END, START
from titans_ts.genomics.linear.markov import markov_bits

RECIPE = """
task: language_model
set: ecoli_k12
seeds: [0]
learn: [0, 2000]
test: [2500, 3000]
runs:
  letters: {order: 0}
  pairs: {order: 1}
  network: {context_length: 50, max_epochs: 1, options: {width: 8, heads: 2, layers: 1}}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A genome of steps: every base is the one before it or its follower in A, C, G, T."""
    codes = (np.random.default_rng(0).integers(0, 2, 3000).cumsum() % 4).astype(np.uint8)
    (tmp_path / "genome.fa").write_text(f">one\n{decode(codes)}\n")
    monkeypatch.setattr(benchmarks, "reference_genome", lambda name: read_genome(tmp_path / "genome.fa"))
    path = tmp_path / "steps.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_networks_and_chains_share_a_table(recipe: Path) -> None:
    out, page = recipe.with_name("rows.csv"), recipe.with_name("page.md")
    assert main(["recipes", "run", str(recipe), "--output", str(out)]) == 0
    rows = pd.read_csv(out).set_index("run")
    codes = read_genome(recipe.with_name("genome.fa")).fetch("one", 0, 3000)
    expected = markov_bits([codes[:2000]], [codes[2500:]], 1)
    assert rows.loc["pairs", "bits"] == pytest.approx(expected, abs=1e-4)
    assert rows.loc["letters", "bits"] > 1.9 > rows.loc["pairs", "bits"]
    assert 0 < rows.loc["network", "bits"] < 2.5 and rows.loc["network", "epochs"] == 1
    assert (rows["tested"] == 500).all() and np.isnan(rows.loc["pairs", "parameters"])
    page.write_text(f"{START}\n{END}\n", encoding="utf-8")
    assert main(["recipes", "table", "--results", str(out), "--page", str(page)]) == 0
    assert f"| pairs | 1 | {expected:.3f} | – | – | – | – |" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("test: [2500, 3000]", "test: [1999, 3000]", "overlap: the test must be unseen"),
        ("test: [2500, 3000]", "test: 2500", "test must be [start, end), 0-based, got 2500"),
        ("test: [2500, 3000]", "test: [2500, 3001]", "must lie in ecoli_k12, 3,000 bases of one"),
        ("{order: 1}", "{order: 11}", "run 'pairs' must have order: 0 to 10 and nothing else"),
        ("{order: 1}", "{order: 1, block: lmm}", "run 'pairs' must have order: 0 to 10 and nothing else"),
        ("context_length: 50", "window: 50", "run 'network' has unknown entries ['window']"),
    ],
)
def test_broken_recipes(recipe: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str) -> None:
    recipe.write_text(RECIPE.replace(old, new), encoding="utf-8")
    assert main(["recipes", "run", str(recipe)]) == 1
    assert message in capsys.readouterr().err
