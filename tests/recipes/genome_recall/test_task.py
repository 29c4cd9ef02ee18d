"""The task `genome_recall`: what was read is recalled as far as the memory holds it; nothing else is gained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import titans_recipes.genome_recall.kmer_memory as kmer_memory
import titans_recipes.genome_recall.models as models
import titans_recipes.genome_recall.task as genome_task
from titans_cli.main import main
from titans_recipes.genome_recall.kmer_memory import GenomeConfig, GenomeModel, chain_table
from titans_recipes.genome_recall.relatives import homologs, mutated
from titans_recipes.genome_recall.task import Genomes
from titans_recipes.page import END, START

RECIPE = """
task: genome_recall
set: ecoli
seeds: [0]
lengths: [2048, 8192, 16384]
windows: {size: 512, count: 12}
runs:
  kmers: {kind: kmers, width: 64, order: 2, step_size: 0.0001}
  titans:
    kind: titans
    lengths: [1024]
    steps: 1
    backbone: {block: lmm, width: 8, heads: 2, layers: 1, dropout: 0.0}
    memory: {kind: linear, anchor: token}
"""


def random(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, count, dtype=np.uint8)


def small(**changes: object) -> GenomeModel:
    return GenomeModel(GenomeConfig(**{"width": 32, "order": 2, "chunk_size": 16, **changes}), random(500, 5)).double()


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    known = random(16_384, 0)
    genomes = Genomes(known, mutated(known, 0.02, 0.001, np.random.default_rng(1)), random(16_384, 2))
    monkeypatch.setattr(genome_task, "load", lambda name: genomes)
    for name, value in {"STREAM": 256, "SPAN": 128, "WINDOWS": 12, "WINDOW": 256, "STEPS": 120}.items():
        monkeypatch.setattr(models, name, value)
    path = tmp_path / "relatives.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_what_was_read_is_known_again(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture, page = (recipe.with_name(name) for name in ("rows.csv", "picture.png", "page.md"))
    argv = ["recipes", "run", str(recipe), "--only", "kmers", "--output", str(out), "--plot", str(picture)]
    assert main(argv) == 0
    assert "kmers, 8,192 bases read, windows homologous, seed 0: EMPTY" in capsys.readouterr().out
    assert picture.stat().st_size > 1000
    rows = pd.read_csv(out)
    assert rows["length"].tolist() == [2048, 8192, 16384, 16384]
    assert rows["windows"].tolist() == ["homologous", "homologous", "homologous", "everywhere"]
    like = rows[rows["windows"] == "homologous"]
    # Random bases: two bits each with an empty memory and after a stranger, and less the fewer others are remembered.
    assert (like["empty"] - 2).abs().max() < 0.05 and (like["control"] - like["empty"]).abs().max() < 0.05
    assert like["gain"].is_monotonic_decreasing and like["gain"].iloc[0] > 0.5 and like["gain"].iloc[-1] > 0.05
    assert np.allclose(rows["gain"], rows["empty"] - rows["carried"], atol=2e-5)
    # The memory holds one strand.
    assert like["reverse_gain"].abs().max() < 0.05 and (rows["memory"] == 64 * 64).all()
    page.write_text(f"{START}\n{END}\n", encoding="utf-8")
    assert main(["recipes", "table", "--results", str(out), "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "### relatives" in text and "| kmers | 16,384 | 12 everywhere | " in text and "ecoli_k12 read, then" in text


def test_a_titans_network_is_trained_and_scored_alike(recipe: Path) -> None:
    out = recipe.with_name("titans.csv")
    assert main(["recipes", "run", str(recipe), "--only", "titans", "--output", str(out)]) == 0
    rows = pd.read_csv(out)
    assert rows["length"].tolist() == [1024, 1024] and np.isfinite(rows["gain"]).all()
    assert (rows["memory"] == 2 * 4 * 4).all()


@pytest.mark.parametrize("heads", [1, 5])
@pytest.mark.parametrize("cuts", [[1], [17, 40], [5, 6, 7]])
def test_a_stream_may_be_read_in_any_pieces(cuts: list[int], heads: int) -> None:
    model, ids = small(heads=heads), torch.from_numpy(random(120, 3).reshape(2, 60).astype(np.int64))
    whole, _ = model(ids)
    state, parts = None, []
    for piece in torch.tensor_split(ids, cuts, dim=1):
        found, state = model(piece, state)
        parts.append(found)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 5])
def test_the_future_and_other_streams_do_not_matter(heads: int) -> None:
    model, ids = small(heads=heads), torch.from_numpy(random(120, 3).reshape(2, 60).astype(np.int64))
    other = ids.clone()
    other[0, 40:] = 3 - other[0, 40:]
    other[1] = 3 - other[1]
    torch.testing.assert_close(model(other)[0][0, :40], model(ids)[0][0, :40], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(model(other)[0][0, 40:], model(ids)[0][0, 40:])


def test_a_base_written_once_is_recalled_as_one() -> None:
    model, line = small(width=256), random(40, 4)
    ids = torch.from_numpy(np.concatenate([line, line]).astype(np.int64))[None]
    found, _ = model.features(ids)
    foreseen = found.recalled[0, 40 + 14 : 79].gather(1, ids[0, 40 + 15 :, None])[:, 0]
    torch.testing.assert_close(foreseen, torch.ones_like(foreseen), rtol=0, atol=0.3)


def test_more_heads_hold_more() -> None:
    line = random(3000, 4)
    ids = torch.from_numpy(np.concatenate([line, line]).astype(np.int64))[None]
    spread = []
    for heads in (1, 16):
        found, _ = small(heads=heads).features(ids)
        foreseen = found.recalled[0, 3014:-1].gather(1, ids[0, 3015:, None])[:, 0]
        # Each k-mer is read from the head that it was written to; everything else is noise around it.
        assert foreseen.mean() == pytest.approx(1.0, abs=0.1)
        spread.append(float(foreseen.std()))
    assert spread[1] < 0.5 * spread[0]


def test_a_stream_of_one_kmer_is_read_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = (
        small(heads=5),
        torch.cat([torch.zeros(2, 40, dtype=torch.long), torch.ones(2, 40, dtype=torch.long)], 1),
    )
    whole, _ = model(ids)
    monkeypatch.setattr(kmer_memory, "SLOTS", 40)
    torch.testing.assert_close(model(ids)[0], whole, rtol=1e-5, atol=1e-5)


def test_the_chain_counts_both_strands() -> None:
    table = chain_table(np.array([0, 1] * 50, dtype=np.uint8), 1).exp()
    torch.testing.assert_close(table.sum(1), torch.ones(4))
    assert table[0, 1] > 0.85 and table[2, 3] > 0.85


def test_like_windows_are_found_on_their_strand() -> None:
    known = random(5000, 0)
    relative = mutated(known[1000:2536], 0.01, 0.0, np.random.default_rng(0))
    other = np.concatenate([random(1024, 7), relative, 3 - known[::-1][:1024]])
    found = homologs(known, other, 512, 512)
    assert [one.start for one in found] == [1024, 1536, 2048] and [one.place for one in found] == [1000, 1512, 2024]


def test_relatives_differ_as_much_as_requested() -> None:
    codes, rng = random(20_000, 0), np.random.default_rng(0)
    assert (mutated(codes, 0.1, 0.0, rng) != codes).mean() == pytest.approx(0.1, abs=0.01)
    assert abs(len(mutated(codes, 0.0, 0.01, rng)) - len(codes)) < 200
    assert np.array_equal(mutated(codes, 0.0, 0.0, rng), codes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("set: ecoli", "set: yeast", "has no genomes 'yeast': set must be one of ['ecoli']"),
        ("lengths: [2048, 8192, 16384]", "lengths: [8192, 2048]", "lengths must be ascending numbers"),
        ("{size: 512, count: 12}", "{size: 512}", "windows must be {size: bases, count: how many}"),
        ("kind: kmers,", "kind: letters,", "kind of run 'kmers' must be one of kmers, titans, got 'letters'"),
        ("order: 2", "depth: 2", "run 'kmers' has unknown entries ['depth']"),
        ("width: 64", "width: 0", "width must be ≥ 2, got 0"),
    ],
)
def test_broken_recipes(recipe: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str) -> None:
    recipe.write_text(RECIPE.replace(old, new), encoding="utf-8")
    assert main(["recipes", "run", str(recipe)]) == 1
    assert message in capsys.readouterr().err


def test_pictures_and_horizons_are_refused_where_there_are_none(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", "run", str(recipe), "--horizons", "24"]) == 1
    assert "leave --horizons out" in capsys.readouterr().err
    assert main(["recipes", "run", "etth1", "--plot", "a.png"]) == 1
    assert "recipes of tasks recall, demand, genome_recall, suite have: leave --plot out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ecoli", "electricity_demand"])
def test_a_picture_that_cannot_be_written_is_refused_before_the_run(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", "run", name, "--plot", str(tmp_path / "a.txt")]) == 1
    assert "must end in one of" in capsys.readouterr().err
    (tmp_path / "a.png").mkdir()
    assert main(["recipes", "run", name, "--plot", str(tmp_path / "a.png")]) == 1
    assert "is a folder" in capsys.readouterr().err
