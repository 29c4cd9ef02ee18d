"""Surprise of a language model: the inner losses of its memories, in any pieces, as a track of a genome browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.genomics.common import sequences
from titans_datasets.dna.alphabet import encode
from titans_ts.core import ReadOptions, SurpriseRecord
from titans_ts.genomics import DNALanguageModel

LINE = "".join(sequences(4, 30)[0])


def fitted(**params: object) -> DNALanguageModel:
    options = {"width": 8, "heads": 2, "layers": 2, "memory": {"chunk_size": 8}, "progress": False}
    model = DNALanguageModel(context_length=30, max_epochs=1, device="cpu", options=options, **params)
    return model.fit(sequences(20, 30)[0])


@pytest.fixture(scope="module")
def model() -> DNALanguageModel:
    return fitted(block="mag")


def test_losses_are_those_of_the_memories(model: DNALanguageModel) -> None:
    ids = torch.from_numpy(encode(LINE).astype(np.int64))[None]
    with torch.no_grad():
        state = model.network_.initial_state(1)
        record = SurpriseRecord()
        model.network_.read(ids, torch.ones_like(ids, dtype=torch.bool), state, ReadOptions(surprise=record))
    expected, found = record.stacked(), model.surprise(LINE)
    assert expected is not None and found.loss.shape == found.gradient.shape == (120, 2, 2)
    np.testing.assert_allclose(found.loss, expected.loss[0].numpy(), rtol=1e-5)
    np.testing.assert_allclose(found.score, np.log(found.loss).mean((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 119])
def test_pieces_do_not_matter(model: DNALanguageModel, chunk: int) -> None:
    np.testing.assert_allclose(model.surprise(LINE, chunk=chunk).loss, model.surprise(LINE).loss, rtol=1e-3, atol=1e-5)


def test_the_future_does_not_matter(model: DNALanguageModel) -> None:
    other = LINE[:60] + "A" * 60
    np.testing.assert_allclose(model.surprise(other).loss[:60], model.surprise(LINE).loss[:60], rtol=1e-3, atol=1e-5)
    assert not np.allclose(model.surprise(other).loss[61:], model.surprise(LINE).loss[61:])


def test_track(model: DNALanguageModel, tmp_path: Path) -> None:
    found = model.surprise(LINE)
    found.to_bedgraph(tmp_path / "a.bedgraph", "chr1", 100, "-")
    head, *lines = (tmp_path / "a.bedgraph").read_text().splitlines()
    assert head == 'track type=bedGraph name="surprise of the memory"' and len(lines) == 120
    chrom, start, end, value = lines[0].split("\t")
    assert (chrom, start, end) == ("chr1", "100", "101") and float(value) == pytest.approx(found.score[-1], rel=1e-4)
    with pytest.raises(ValueError, match="chrom must be a name without white space"):
        found.to_bedgraph(tmp_path / "b.bedgraph", "chr 1")
    assert not (tmp_path / "b.bedgraph").exists()


def test_what_cannot_be_surprised(model: DNALanguageModel) -> None:
    with pytest.raises(ValueError, match="chunk must be an integer ≥ 1"):
        model.surprise(LINE, chunk=0)
    with pytest.raises(ValueError, match="is none of A, C, G, T"):
        model.surprise("ACG!")
    with pytest.raises(ValueError, match="surprise needs a block with a memory, got 'attention'"):
        fitted(block="attention").surprise(LINE)
