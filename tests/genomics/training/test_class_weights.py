"""Recipes of fit: weights of classes, and a language model as the start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from titans_ts.genomics import DNALanguageModel
from titans_ts.genomics.training.data import Outputs
from titans_ts.genomics.training.recipe import EncoderOptions, class_weights, classification_module, regression_module

OUTPUTS = Outputs("sequence_classification", ["a", "b"], 20, 32, 0.0, 1.0, 40, 0, (30, 10))


def test_weights_of_classes() -> None:
    assert class_weights(None, OUTPUTS) is None
    assert class_weights("balanced", OUTPUTS) == pytest.approx([40 / 60, 2.0])
    assert class_weights({"b": 3}, OUTPUTS) == [1.0, 3.0]
    assert class_weights({1: 5}, OUTPUTS._replace(classes=[0, 1])) == [1.0, 5.0]  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("even", "must be null, balanced, or weights of the classes a, b as in {a: 2}, got 'even'"),
        ({"c": 1.0}, "names 'c', which is none of the classes a, b"),
        ({"a": -1.0}, "of 'a' must be a number ≥ 0, got -1.0"),
        ({"a": 0.0, "b": 0.0}, "above 0 for at least one class"),
    ],
)
def test_weights_that_are_none(setting: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        class_weights(setting, OUTPUTS)


def test_weights_multiply_those_of_the_rows() -> None:
    encoder = EncoderOptions(channels=8, stem=5, conv_layers=0, mixing=False)
    module = classification_module(OUTPUTS, encoder=encoder, hidden=8, class_weight={"b": 4}).eval()
    ids = torch.zeros(2, 20, dtype=torch.long)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 1])}
    assert module.row_losses(batch)[1].tolist() == [1.0, 4.0]


def test_a_language_model_is_the_start(tmp_path: Path) -> None:
    options = {"progress": False, "width": 8, "heads": 2, "layers": 1}
    model = DNALanguageModel(context_length=16, max_epochs=1, validation_fraction=0, options=options).fit(
        ["ACGTTGCA" * 8]
    )
    folder = str(model.save(tmp_path / "model"))
    for make in (classification_module, regression_module):
        network = make(OUTPUTS, pretrained=folder, hidden=8).network
        assert network.config.language == "causal" and network.config.backbone.width == 8
        learned = model.network_.state_dict()
        assert all(torch.equal(learned[name], value) for name, value in network.language.state_dict().items())
    with pytest.raises(ValueError, match=r"model.encoder is for networks that are trained from scratch"):
        classification_module(OUTPUTS, pretrained=folder, encoder=EncoderOptions(channels=8))
    with pytest.raises(FileNotFoundError, match=r"model.pretrained: .*nowhere is no folder"):
        classification_module(OUTPUTS, pretrained=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="pretrained_rate must be a number ≥ 0"):
        classification_module(OUTPUTS, pretrained=folder, pretrained_rate=-1.0)
