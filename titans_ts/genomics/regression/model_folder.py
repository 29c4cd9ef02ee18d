"""Regressors as model folders: config.json holds parameters and configuration, model.safetensors the weights."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch

from titans_ts.genomics.regression.fitted import FittedRegressor
from titans_ts.genomics.regression.targets import TargetScale
from titans_ts.genomics.supervised.model_folder import (
    parts_config,
    parts_tensors,
    plain_pretrained,
    read_parts,
    restored_pretrained,
)
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

KIND = "dna regressor"


def save_regressor(path: str | PathLike[str], params: dict[str, Any], fitted: FittedRegressor) -> Path:
    """Write parameters and fitted parts; see `titans_ts.support.model_folder.save_model`.

    A pretrained model that was given as an object is written too; of one that was given as a folder only the name.
    """
    scale = fitted.scale
    config = {
        "params": plain({**params, "pretrained": plain_pretrained(params["pretrained"])}),
        "targets": plain(fitted.names),
        "loss": scale.loss,
        "log1p": scale.log1p,
        **parts_config(fitted.parts),
    }
    tensors = parts_tensors(fitted.parts, params)
    tensors |= {"centre": torch.from_numpy(scale.centre), "spread": torch.from_numpy(scale.spread)}
    return save_model(path, KIND, config, tensors)


def load_regressor(path: str | PathLike[str]) -> tuple[dict[str, Any], FittedRegressor]:
    """Parameters and fitted parts that `save_regressor` wrote.

    Raises:
        FileNotFoundError, ValueError: see `titans_ts.support.model_folder.load_model`; or the weights do not fit the
            configuration.
    """
    config, tensors = load_model(path, KIND)
    with rebuilding(path):
        ends = (tensors["centre"].numpy(), tensors["spread"].numpy())
        scale = TargetScale(config["loss"], config["log1p"], *ends)
        params = dict(config["params"])
        params["pretrained"] = restored_pretrained(params.get("pretrained"), tensors)
        return params, FittedRegressor(list(config["targets"]), scale, read_parts(config, tensors))
