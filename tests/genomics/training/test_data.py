"""DNADataModule: what it reads, what it holds out, and batches that are a function of seed, epoch and number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from titans_datasets.dna import decode, reverse_complement_text
from titans_datasets.dna.public import benchmarks
from titans_datasets.dna.public.task import DNATask
from titans_ts.genomics import DNADataModule
from titans_ts.genomics.training import sources
from titans_ts.genomics.training.batches import PartLoader


def letters(count: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), count))


def texts(part: Any) -> list[str]:
    """The letters of a part's sequences."""
    return [decode(codes) for codes in part.records.codes]


def table(folder: Path, count: int = 60, name: str = "table.csv", **columns: Any) -> str:
    """Sequences of different lengths with labels; further columns are added."""
    frame = pd.DataFrame({"sequence": [letters(20 + i % 5, i) for i in range(count)]})
    frame["label"] = ["no", "yes", "yes"] * (count // 3)
    frame.assign(**columns).to_csv(folder / name, index=False)
    return str(folder / name)


@pytest.fixture
def genome(tmp_path: Path) -> str:
    """Two records, of 1,000 and 500 bases, lower case in places."""
    text = letters(1000)
    (tmp_path / "genome.fa").write_text(f">one\n{text[:500]}{text[500:].lower()}\n>two\n{letters(500, 1)}\n")
    (tmp_path / "genes.bed").write_text("one\t10\t100\ta\t0\t+\none\t200\t300\tb\t0\t-\ntwo\t0\t50\tc\t0\t+\n")
    return str(tmp_path / "genome.fa")


def test_parts_are_disjoint_and_complete(tmp_path: Path) -> None:
    data = DNADataModule(table(tmp_path), test_fraction=0.2, validation_fraction=0.1)
    parts = {name: texts(data.part(name)) for name in ("train", "validation", "test")}
    assert {name: len(found) for name, found in parts.items()} == {"train": 42, "validation": 6, "test": 12}
    everything = pd.read_csv(tmp_path / "table.csv")["sequence"].tolist()
    assert sorted(text for found in parts.values() for text in found) == sorted(everything)
    assert data.outputs.classes == ["no", "yes"] and data.outputs.length == 0
    assert [int((data.part(name).labels == 0).sum()) for name in parts] == [14, 2, 4]


def test_relatives_and_groups_stay_together(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sequence": [letters(30, i // 2) for i in range(60)]})
    frame.loc[1::2, "sequence"] = frame["sequence"][1::2].map(reverse_complement_text)
    frame["label"], frame["family"] = ["a", "a", "b", "b"] * 15, [f"f{i // 6}" for i in range(60)]
    frame.to_csv(tmp_path / "table.csv", index=False)
    columns = sources.SequenceColumns(group="family")
    data = DNADataModule(str(tmp_path / "table.csv"), columns=columns, validation_fraction=0.3)
    family = dict(zip(frame["sequence"], frame["family"], strict=True))
    train, held = ({family[text] for text in texts(data.part(name))} for name in ("train", "validation"))
    assert train and held and not train & held


def test_the_checkpoint_knows_what_was_held_out(tmp_path: Path) -> None:
    path = table(tmp_path)
    first = DNADataModule(path, test_fraction=0.2, seed=3)
    again = DNADataModule(path, test_fraction=0.2, seed=4)
    again.load_state_dict(first.state_dict())
    assert texts(again.part("test")) == texts(first.part("test"))
    pd.read_csv(path)[:57].to_csv(path, index=False)
    changed = DNADataModule(path, test_fraction=0.2)
    changed.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="has 57 sequences, it had 60 in training"):
        changed.part("test")


def test_labels_of_other_files_are_numbers_of_the_training_classes(tmp_path: Path) -> None:
    path, test = table(tmp_path), table(tmp_path, name="test.csv")
    frame = pd.read_csv(test)
    frame[frame["label"] == "yes"].to_csv(test, index=False)
    data = DNADataModule(path, test=test)
    assert set(data.part("test").labels.tolist()) == {1}
    frame.assign(label="perhaps").to_csv(test, index=False)
    with pytest.raises(ValueError, match=r"test\.csv: y has the label 'perhaps'"):
        DNADataModule(path, test=test).part("test")


def test_one_file_per_class_and_intervals(tmp_path: Path, genome: str) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.fa").write_text("".join(f">{i}\n{letters(20, 100 * seed + i)}\n" for i in range(10)))
    data = DNADataModule(f"first={tmp_path}/a.fa,second={tmp_path}/b.fa", validation_fraction=0)
    assert data.outputs.classes == ["first", "second"] and len(data.part("train")) == 20
    assert not data.has("validation") and data.val_dataloader() == []
    data = DNADataModule(str(tmp_path / "genes.bed"), genome=genome, validation_fraction=0)
    assert data.outputs.classes == ["a", "b", "c"]
    assert texts(data.part("train"))[1] == reverse_complement_text(letters(1000)[200:300])


def test_a_public_set_has_a_test_part(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"sequence": [letters(20, i) for i in range(40)], "label": [0, 1] * 20})
    monkeypatch.setattr(sources, "benchmark", lambda name, seed: DNATask(name, frame[:30], frame[30:], ""))
    assert "mouse_3" in benchmarks.benchmark_names()
    data = DNADataModule("mouse_3")
    assert data.outputs.classes == [0, 1] and data.outputs.length == 20
    assert len(data.part("train")) + len(data.part("validation")) == 30
    assert texts(data.part("test")) == frame["sequence"][30:].tolist()


def test_labels_of_bases_in_a_table_stay_text(tmp_path: Path) -> None:
    rows = [letters(12, i) for i in range(30)]
    marks = ["0" * 6 + "1" * 6 for _ in rows]
    pd.DataFrame({"sequence": rows, "label": marks}).to_csv(tmp_path / "t.csv", index=False)
    data = DNADataModule(str(tmp_path / "t.csv"), task="base_labels")
    assert data.outputs.classes == ["0", "1"]
    batch = next(iter(data.train_dataloader()))
    assert batch["labels"].tolist() == [[0] * 6 + [1] * 6] * len(batch["labels"])
    (tmp_path / "t.csv").write_text("sequence,label\nACGT,00011\nACGA,0001\n")
    with pytest.raises(ValueError, match=r"row 0 \(from 0\): 4 bases need as many labels, got 5"):
        DNADataModule(str(tmp_path / "t.csv"), task="base_labels").part("train")


def test_windows_of_both_strands(tmp_path: Path, genome: str) -> None:
    """A window that is read on the other strand has the mirrored labels, + and − exchanged."""
    data = DNADataModule(
        genome, task="base_labels", labels=str(tmp_path / "genes.bed"), context_length=100, validation_fraction=0
    )
    part = data.part("train")
    assert part.has_strands and data.outputs.classes == ["+", "-", "none"]
    rows = np.array([0, 2])
    one, other = (part.batch(rows, np.full(2, turned)) for turned in (False, True))
    assert torch.equal(other["input_ids"], 3 - one["input_ids"].flip(1))
    assert torch.equal(other["labels"], torch.tensor([1, 0, 2])[one["labels"].flip(1)])
    assert one["labels"][0].tolist() == [2] * 10 + [0] * 90


def test_regions_and_case_of_a_language_model(genome: str) -> None:
    regions = {"train": (450, 700), "test": (0, 300)}
    data = DNADataModule(genome, task="language_model", regions=regions, context_length=100, validation_fraction=0)
    train = data.part("train")
    assert train.records.starts is not None and train.records.starts.tolist() == [450, 550, 650]
    assert train.batch(np.array([0]), np.array([False]))["soft_mask"].sum() == 50
    assert train.batch(np.array([0]), np.array([True]))["soft_mask"][0, :50].all()
    assert texts(data.part("test")) == [letters(1000)[:300]]
    with pytest.raises(ValueError, match="must lie in"):
        DNADataModule(genome, task="language_model", regions={"train": (0, 2000)}).part("train")
    with pytest.raises(ValueError, match="must not overlap"):
        DNADataModule(genome, task="language_model", regions={"train": (0, 200), "test": (100, 300)})


def batches(loader: PartLoader, count: int) -> list[dict[str, torch.Tensor]]:
    """The next batches of a training loop, epoch by epoch."""
    found: list[dict[str, torch.Tensor]] = []
    while len(found) < count:
        for batch in loader:
            found.append(batch)
            if len(found) == count:
                break
    return found


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("stop", [1, 5, 6, 8])
def test_a_loader_resumes_anywhere(genome: str, stop: int) -> None:
    def loader() -> PartLoader:
        data = DNADataModule(genome, task="language_model", context_length=60, batch_size=5, validation_fraction=0)
        return data.train_dataloader()

    assert len(loader()) == 6
    whole, begun, resumed = batches(loader(), 13), loader(), loader()
    batches(begun, stop)
    resumed.load_state_dict(begun.state_dict())
    assert all(same(one, other) for one, other in zip(whole[stop:], batches(resumed, 13 - stop), strict=True))
    assert not same(whole[0], whole[6])


def test_processes_share_batches(tmp_path: Path) -> None:
    part = DNADataModule(table(tmp_path), validation_fraction=0).part("train")
    alone = batches(PartLoader(part, 25 * 7, seed=1), 20)
    shares = [batches(PartLoader(part, 25 * 7, 1, rank, 3), 20) for rank in range(3)]
    for whole, *pieces in zip(alone, *shares, strict=True):
        rows = [row for piece in pieces if piece["counted"] for row in piece["index"].tolist()]
        assert sorted(rows) == sorted(whole["index"].tolist())
    lonely = [batches(PartLoader(part, 20, 1, rank, 2), 1)[0] for rank in range(2)]
    assert [float(batch["counted"]) for batch in lonely] == [1, 0]


def test_a_loader_with_other_batches_does_not_continue_within_an_epoch(tmp_path: Path) -> None:
    part = DNADataModule(table(tmp_path), validation_fraction=0).part("train")
    begun, other = PartLoader(part, 200, 1), PartLoader(part, 300, 1)
    batches(begun, 2)
    with pytest.raises(ValueError, match=r"stopped within epoch 0 .* bases a batch was 200, is 300"):
        other.load_state_dict(begun.state_dict())
    begun = PartLoader(part, 200, 1)
    batches(begun, len(begun))
    other.load_state_dict(begun.state_dict())
    assert len(batches(other, 1)) == 1 and other.epoch == 1


def test_a_letter_that_is_not_dna_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sequence,label\nACGJ,a\nACGT,b\n")
    with pytest.raises(ValueError, match=r"t\.csv: sequence 0, position 4: letter 'J'"):
        DNADataModule(str(tmp_path / "t.csv")).part("train")
