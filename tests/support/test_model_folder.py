"""Model folders of any kind; those of forecasters are in tests/forecasting/forecaster."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from titans_ts.support.model_folder import kind_of, load_model, save_model


def test_weights_that_are_no_safetensors(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", "forecaster", {}, {"w": torch.ones(2)})
    (folder / "model.safetensors").write_bytes(b"no tensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["weights_sha256"] = hashlib.sha256(b"no tensors").hexdigest()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match="is no safetensors file"):
        load_model(folder, "forecaster")


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"view": base.T, "shared": base, "also shared": base, "whole": torch.tensor([1, 2])}
    _, found = load_model(save_model(tmp_path / "m", "x", {"a": 1}, tensors), "x")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert kind_of(tmp_path / "m") == "x"
