"""Sets with measured numbers: their columns and splits on small files in their layout, and where to get them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titans_datasets.dna import value_benchmark
from titans_datasets.dna.public.catalogue import VALUES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TITANS_TS_DATA", str(tmp_path))
    monkeypatch.setenv("TITANS_TS_CACHE", str(tmp_path / "cache"))
    for name, file in VALUES.items():
        (tmp_path / file.places[0]).parent.mkdir(exist_ok=True)
        monkeypatch.setitem(VALUES, name, file._replace(rows=4))
    sets = ["training", "test", "validation", "training"]
    sites = {"set": sets, "y": [0.1, 0.2, 0.3, 0.4], "x": ["ACGGUAAAA", "CCGGUAAAA", "GCGGUAAAA", "UCGGUAAAA"]}
    pd.DataFrame(sites).to_csv(tmp_path / "mavenn/mpsa_data.csv.gz", index=False)
    bins = {f"ct_{place}": [int(place == 2), 0, int(place == 9), int(place in (0, 4))] for place in range(10)}
    bins["ct_5"][1] = 3
    pd.DataFrame({"set": sets, **bins, "x": ["ACGT"] * 4}).to_csv(tmp_path / "mavenn/sortseq_data.csv", index=False)
    guides = {"30mer": ["A" * 30, "A" * 30, "C" * 30, "G" * 30], "score_drug_gene_rank": [0.2, 0.4, 1, 0]}
    place = tmp_path / "azimuth/FC_plus_RES_withPredictions.csv"
    pd.DataFrame({**guides, "Target gene": ["one", "one", "two", "six"]}).to_csv(place)
    currents = {"kmer": np.array(["AA", "AC", "AG", "AT"]), "current.mean": np.arange(4, dtype=np.float32)}
    np.savez(tmp_path / "uncalled4/dna_r10.4.1_400bps_9mer.npz", **currents)
    return tmp_path


def test_splice_sites_are_dna(folder: Path) -> None:
    task = value_benchmark("splice_sites")
    assert task.train["sequence"].tolist() == ["ACGGTAAAA", "GCGGTAAAA", "TCGGTAAAA"]
    assert task.test["target"].tolist() == [0.2]


def test_bins_are_averaged(folder: Path) -> None:
    task = value_benchmark("lac_promoter")
    assert task.train["target"].tolist() == [2, 9, 2] and task.test["target"].tolist() == [5]


def test_genes_are_on_one_side(folder: Path) -> None:
    tested = set()
    for seed in range(6):
        task = value_benchmark("guide_activity", seed)
        assert not set(task.train["group"]) & set(task.test["group"]) and len(task.train) + len(task.test) == 3
        whole = pd.concat([task.train, task.test]).set_index("group")["target"]
        assert whole["one"] == pytest.approx(0.3)
        tested |= set(task.test["group"])
    assert tested == {"one", "two", "six"}


def test_k_mers_are_drawn_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titans_datasets.dna.public.values._PORE_TRAIN", 2)
    monkeypatch.setattr("titans_datasets.dna.public.values._PORE_TEST", 1)
    known = {"AA": 0.0, "AC": 1.0, "AG": 2.0, "AT": 3.0}
    for seed in range(3):
        task = value_benchmark("pore_current", seed)
        assert (len(task.train), len(task.test)) == (2, 1) and "seed" in task.protocol
        whole = dict(pd.concat([task.train, task.test]).itertuples(index=False))
        assert len(whole) == 3 and whole.items() <= known.items()


def test_what_is_missing_or_another_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="DNA set with numbers"):
        value_benchmark("splice_site")
    monkeypatch.setitem(VALUES, "splice_sites", VALUES["splice_sites"]._replace(rows=5))
    with pytest.raises(ValueError, match="expected 5 rows, got 4"):
        value_benchmark("splice_sites")
    (folder / "mavenn/mpsa_data.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"pip download --no-deps mavenn==1.1.4, a wheel of sha256 b54"):
        value_benchmark("splice_sites")
