"""Model folders: same forecasts after loading, nothing lost or half written, clear errors."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.forecasting.common import ROLES, forecaster, frame, with_covariates
from titans_datasets import writing
from titans_datasets.series import SeriesWarning
from titans_ts.forecasting.forecaster.forecaster import TitansForecaster
from titans_ts.forecasting.model.network import linear_part
from titans_ts.support.model_folder import sealed


@pytest.fixture(scope="module")
def fitted() -> TitansForecaster:
    return forecaster(quantiles=(0.1, 0.5, 0.9)).fit(frame())


@pytest.fixture
def folder(fitted: TitansForecaster, tmp_path: Path) -> Path:
    return fitted.save(tmp_path / "model")


def edit(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(sealed({**config, **changes})), encoding="utf-8")


@pytest.mark.parametrize("experts", [True, False])
def test_same_forecast_after_loading(experts: bool, tmp_path: Path) -> None:
    fitted = forecaster(quantiles=(0.1, 0.5, 0.9), options={"experts": experts}).fit(frame())
    folder = fitted.save(tmp_path / "model")
    loaded = TitansForecaster.load(folder)
    pd.testing.assert_frame_equal(loaded.predict(frame()), fitted.predict())
    assert loaded.get_params() == {**fitted.get_params(), "quantiles": (0.1, 0.5, 0.9)}
    assert loaded.training_ == fitted.training_._asdict()
    assert experts or loaded.training_["steps"] == 2
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]
    assert os.listdir(folder.parent) == ["model"]


def test_covariates_after_loading(tmp_path: Path) -> None:
    model = forecaster(**ROLES).fit(with_covariates())
    loaded = TitansForecaster.load(model.save(tmp_path / "model"))
    data = with_covariates(ahead=6)
    with pytest.warns(SeriesWarning, match="read as known future"):
        pd.testing.assert_frame_equal(loaded.predict(data), model.predict(data))
    assert loaded.encoder_ == model.encoder_
    assert loaded.schema_ == model.schema_


def test_linear_part_is_known_after_loading(fitted: TitansForecaster, folder: Path) -> None:
    old, new = linear_part(fitted.network_), linear_part(TitansForecaster.load(folder).network_)
    assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))


def test_loaded_model_needs_the_history(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"no training data: pass the history"):
        TitansForecaster.load(folder).predict()


def test_a_loaded_model_can_be_saved_and_fitted_again(folder: Path) -> None:
    loaded = TitansForecaster.load(folder)
    again = TitansForecaster.load(loaded.save(folder.parent / "copy"))
    pd.testing.assert_frame_equal(again.predict(frame()), loaded.predict(frame()))
    assert loaded.fit(frame()).predict().shape == (12, 6)


def test_a_model_is_replaced_as_a_whole(fitted: TitansForecaster, folder: Path) -> None:
    (folder / "left from an older model").write_text("x", encoding="utf-8")
    assert fitted.save(folder) == folder
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]
    assert os.listdir(folder.parent) == ["model"]


def test_foreign_folders_are_not_overwritten(fitted: TitansForecaster, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x", encoding="utf-8")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for name in ("photos", "file"):
        with pytest.raises(FileExistsError, match="is no model of titans-ts"):
            fitted.save(tmp_path / name)
    assert os.listdir(tmp_path / "photos") == ["cat.jpg"]
    assert sorted(os.listdir(tmp_path)) == ["file", "photos"]


@pytest.mark.parametrize(("place", "step"), [(Path, "write_bytes"), (writing, "_swap"), (writing, "_sync")])
def test_an_interrupted_save_leaves_the_old_model(
    fitted: TitansForecaster, folder: Path, monkeypatch: pytest.MonkeyPatch, place: object, step: str
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(place, step, fail)
        fitted.save(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert os.listdir(folder.parent) == ["model"]


def test_a_failed_rename_puts_the_old_model_back(
    fitted: TitansForecaster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def rename(source: object, target: object) -> None:
        if Path(str(source)).name.startswith(".") and not str(source).endswith(".old"):
            raise OSError("disk full")
        real(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(OSError, match="disk full"):
        patched.setattr(os, "rename", rename)
        fitted.save(folder)
    assert TitansForecaster.load(folder).levels_ == [0.1, 0.5, 0.9]
    assert os.listdir(folder.parent) == ["model"]


def test_truncated_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors .* is damaged"):
        TitansForecaster.load(folder)


def test_missing_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks model\.safetensors"):
        TitansForecaster.load(folder)


def test_truncated_config(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8")[:200], encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        TitansForecaster.load(folder)


def test_weights_of_another_model(folder: Path, tmp_path: Path) -> None:
    other = forecaster(random_state=1).fit(frame()).save(tmp_path / "other")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="does not belong to the config"):
        TitansForecaster.load(folder)


def test_config_that_does_not_fit_its_weights(folder: Path) -> None:
    network = json.loads((folder / "config.json").read_text(encoding="utf-8"))["network"]
    edit(folder, network={**network, "prediction_length": 7})
    with pytest.raises(ValueError, match="damaged or was written by another version"):
        TitansForecaster.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 99}, "written by a newer titans-ts .* upgrade"),
        ({"format": "other"}, "is no model of titans-ts"),
        ({"kind": "classifier"}, "holds a classifier, expected a forecaster"),
        ({"weights_sha256": None}, "lacks weights_sha256"),
        ({"params": {"no_such": 1}}, "damaged or was written by another version"),
        ({"encoder": {}}, "damaged or was written by another version"),
    ],
)
def test_other_configs(folder: Path, changes: dict[str, object], message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ValueError, match=message):
        TitansForecaster.load(folder)


def test_a_folder_of_titans_ts_0_1_is_refused_with_what_to_do(fitted: TitansForecaster, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network = {{"linear": "shortcut"}.get(name, name): value for name, value in config["network"].items()}
    tensors = {
        name.replace("linear_head.", "linear_map.").replace("linear.", "shortcut."): value
        for name, value in load_file(folder / "model.safetensors").items()
    }
    save_file(tensors, folder / "model.safetensors")
    checksum = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit(folder, version=1, network=network, weights_sha256=checksum)
    with pytest.raises(ValueError, match=r"holds a forecaster written by titans-ts 0\.1 .*: fit again and save"):
        TitansForecaster.load(folder)
    # It may be replaced, as any other folder of this library.
    assert TitansForecaster.load(fitted.save(folder)).levels_ == [0.1, 0.5, 0.9]


def test_no_folder_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no folder"):
        TitansForecaster.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"lacks config\.json"):
        TitansForecaster.load(tmp_path)


def test_parameters_that_only_code_could_restore(fitted: TitansForecaster, tmp_path: Path) -> None:
    model = forecaster(random_state=np.random.RandomState(3)).fit(frame())
    assert TitansForecaster.load(model.save(tmp_path / "m")).random_state is None
    model.options = {"width": object()}
    with pytest.raises(TypeError, match="cannot be saved"):
        model.save(tmp_path / "other")
    assert os.listdir(tmp_path) == ["m"]
