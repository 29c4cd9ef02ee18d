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
    config |= {"version": 2, "weights_sha256": hashlib.sha256(b"no tensors").hexdigest()}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match="is no safetensors file"):
        load_model(folder, "forecaster")


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"view": base.T, "shared": base, "also shared": base, "whole": torch.tensor([1, 2])}
    _, found = load_model(save_model(tmp_path / "m", "x", {"a": 1}, tensors), "x")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert kind_of(tmp_path / "m") == "x"


def test_a_changed_configuration_is_found(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", "forecaster", {"horizon": 12, "scale": float("nan")}, {"w": torch.ones(2)})
    config, _ = load_model(folder, "forecaster")
    assert config["horizon"] == 12
    file = folder / "config.json"
    file.write_text(file.read_text(encoding="utf-8").replace("12", "13"), encoding="utf-8")
    with pytest.raises(ValueError, match="was changed after it was written"):
        load_model(folder, "forecaster")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match=r"not finite \(w\)"):
        save_model(tmp_path / "m", "forecaster", {}, {"w": torch.tensor([1.0, value])})
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("content", ["[" * 200_000, "{", "[1]", "\x00"])
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    folder = save_model(tmp_path / "m", "forecaster", {}, {"w": torch.ones(2)})
    (folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"damaged|no model of titans-ts"):
        load_model(folder, "forecaster")
