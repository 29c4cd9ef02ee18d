"""Padding that can be told from bases on either side, and batches that hold every sequence once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_datasets.dna import DNADataModule, LabelledSequences, bucketed, encode_all, pad
from titans_datasets.dna.alphabet import PAD

TEXTS = st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=12), min_size=1, max_size=6)
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["left", "right"]))
def test_the_mask_marks_the_bases(texts: list[str], side: str) -> None:
    arrays = encode_all(texts)
    ids, mask = pad(arrays, side)
    assert ids.dtype == torch.int64 and mask.dtype == torch.bool
    assert ids.shape == mask.shape == (len(texts), max(map(len, texts)))
    for array, row, real in zip(arrays, ids, mask, strict=True):
        np.testing.assert_array_equal(row[real].numpy(), array)
        assert (row[~real] == PAD).all()
        ends = real if side == "right" else real.flip(0)
        assert bool((ends[1:] <= ends[:-1]).all())


@pytest.mark.parametrize(
    ("arrays", "side", "message"),
    [
        ([], "right", "at least one sequence"),
        ([np.zeros(2, np.uint8), np.zeros(0, np.uint8)], "right", "sequence 1 is empty"),
        ([np.array([5], np.uint8)], "right", "numbers 0 … 4"),
        ([np.array([0.5])], "right", "numbers 0 … 4"),
        ([np.zeros(2, np.uint8)], "top", "side must be one of right, left, got 'top'"),
    ],
)
def test_bad_batches_are_refused(arrays: list[np.ndarray], side: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pad(arrays, side)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 2000), st.one_of(st.none(), st.integers(0, 9)))
def test_every_sequence_once_and_no_batch_too_large(lengths: list[int], budget: int, seed: int | None) -> None:
    sizes = np.array(lengths)
    batches = bucketed(lengths, budget, None if seed is None else np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * sizes[batch].max() <= budget for batch in batches)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 2000))
def test_the_number_of_batches_does_not_depend_on_the_draw(lengths: list[int], budget: int) -> None:
    counts = {len(bucketed(lengths, budget, np.random.default_rng(seed))) for seed in range(5)}
    assert len(counts) == 1


def test_buckets_save_padding_and_draws_differ() -> None:
    lengths = np.random.default_rng(0).integers(50, 1000, 2000)
    batches = bucketed(lengths, 8000, np.random.default_rng(1))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.06 * lengths.sum()
    others = bucketed(lengths, 8000, np.random.default_rng(2))
    assert {tuple(batch) for batch in batches}.isdisjoint({tuple(batch) for batch in others})


@pytest.mark.parametrize(("lengths", "budget"), [([], 10), ([0, 1], 10), ([1], 0), ([[1]], 10)])
def test_lengths_and_budget_are_checked(lengths: list[int], budget: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        bucketed(lengths, budget)


def test_the_data_module_gives_every_sequence_with_its_label() -> None:
    texts = ["ACGTN"[: 1 + i % 5] * (1 + i % 7) for i in range(50)]
    module = DNADataModule(
        LabelledSequences(texts, np.arange(50) % 3), validation=texts[:3], tokens_per_batch=60, seed=1
    )
    loader = module.train_dataloader()
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        epochs.append([batch["index"].tolist() for batch in loader])
    assert len(loader) == len(epochs[0]) == len(epochs[1])
    assert epochs[0] == epochs[2] != epochs[1]
    assert sorted(i for batch in epochs[1] for i in batch) == list(range(50))
    arrays = encode_all(texts)
    for batch in loader:
        assert batch["labels"].tolist() == (batch["index"] % 3).tolist()
        assert batch["input_ids"].numel() <= 60
        for i, ids, mask in zip(batch["index"], batch["input_ids"], batch["attention_mask"], strict=True):
            np.testing.assert_array_equal(ids[mask].numpy(), arrays[i])
    (validation,) = list(module.val_dataloader())
    assert "labels" not in validation and validation["index"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="pass predict="):
        module.predict_dataloader()


def test_the_data_module_refuses_another_number_of_labels() -> None:
    assert DNADataModule(["ACGT"]).val_dataloader() == []
    with pytest.raises(ValueError, match="labels must be 1, one a sequence, got 2"):
        DNADataModule(LabelledSequences(["ACGT"], [0, 1])).train_dataloader()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, np.nan], "label 1 is missing or not finite: leave sequence 1 out"),
        (np.array([[0, 1], [np.inf, 1]]), "label 1 is missing"),
        (["a", "b"], "labels must be numbers, got <U1 such as .'a'.: number the classes"),
        ([0, None], "labels must be numbers, got object"),
    ],
)
def test_the_data_module_refuses_labels_that_are_no_numbers(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DNADataModule(LabelledSequences(["ACGT", "GG"], labels)).train_dataloader()
