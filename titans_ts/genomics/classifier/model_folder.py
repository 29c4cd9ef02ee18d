"""Classifiers as model folders: config.json holds parameters and configuration, model.safetensors the weights."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from titans_ts.genomics.fitted import FittedClassifier
from titans_ts.genomics.language.language_model import DNALanguageModel
from titans_ts.genomics.language.model_folder import FittedLanguageModel
from titans_ts.genomics.linear.features import features_from
from titans_ts.genomics.linear.logistic import LogisticModel
from titans_ts.genomics.model.config import SequenceConfig
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

KIND = "dna classifier"
# Version 1, of titans-ts 0.1, has no weights of the linear part alone.
OLDEST_VERSION = 2


def save_classifier(path: str | PathLike[str], params: dict[str, Any], fitted: FittedClassifier) -> Path:
    """Write parameters and fitted parts; see `titans_ts.support.model_folder.save_model`.

    A pretrained model that was given as an object is written too: the classifier can then be fitted again. Of one that
    was given as a folder only the name is written.
    """
    config = {
        "params": plain(_plain_params(params)),
        "network": plain(fitted.config.to_dict()),
        "ensemble_size": len(fitted.networks),
        "linear": [
            {**model.features.to_dict(), "pair": model.pair, "inverse_penalty": model.inverse_penalty}
            for model in fitted.linear
        ],
        "classes": plain(fitted.classes.tolist()),
        "classes_dtype": fitted.classes.dtype.str,
        "choices": plain(fitted.choices),
        "training": plain(fitted.training),
    }
    tensors = {
        "weights": torch.from_numpy(fitted.weights),
        "linear_weights": torch.from_numpy(fitted.linear_weights),
    }
    if isinstance(params["pretrained"], DNALanguageModel):
        tensors.update(_named("pretrained.", params["pretrained"].network_.state_dict()))
    for i, network in enumerate(fitted.networks):
        tensors.update(_named(f"network.{i}.", network.state_dict()))
    for i, model in enumerate(fitted.linear):
        tensors[f"linear.{i}.weight"] = torch.from_numpy(model.weight)
        tensors[f"linear.{i}.bias"] = torch.from_numpy(model.bias)
    return save_model(path, KIND, config, tensors)


def load_classifier(path: str | PathLike[str]) -> tuple[dict[str, Any], FittedClassifier]:
    """Parameters and fitted parts that `save_classifier` wrote.

    Raises:
        FileNotFoundError, ValueError: see `titans_ts.support.model_folder.load_model`; or the weights do not fit the
            configuration.
    """
    config, tensors = load_model(path, KIND, oldest=OLDEST_VERSION)
    with rebuilding(path):
        network = SequenceConfig.from_dict(config["network"])
        fitted = FittedClassifier(
            np.array(config["classes"], dtype=np.dtype(config["classes_dtype"])),
            [_network(network, tensors, i) for i in range(config["ensemble_size"])],
            [_linear_model(values, tensors, i) for i, values in enumerate(config["linear"])],
            tensors["weights"].numpy(),
            tensors["linear_weights"].numpy(),
            dict(config["choices"]),
            list(config["training"]),
        )
        return _restored_params(config["params"], tensors), fitted


def _plain_params(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as JSON holds them; classes of `class_weight` keep their type as pairs."""
    found = dict(params)
    if isinstance(found["class_weight"], dict):
        found["class_weight"] = [[name, weight] for name, weight in found["class_weight"].items()]
    pretrained = found["pretrained"]
    if isinstance(pretrained, DNALanguageModel):
        found["pretrained"] = pretrained.to_fitted().config()
    elif pretrained is not None:
        found["pretrained"] = str(pretrained)
    return found


def _restored_params(params: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Inverse of `_plain_params`."""
    pairs, pretrained = params.get("class_weight"), params.get("pretrained")
    found = dict(params)
    if isinstance(pairs, list):
        found["class_weight"] = {name: weight for name, weight in pairs}
    if isinstance(pretrained, dict):
        fitted = FittedLanguageModel.from_config(pretrained, _part(tensors, "pretrained."))
        found["pretrained"] = DNALanguageModel.from_fitted(fitted)
    return found


def _network(config: SequenceConfig, tensors: dict[str, Tensor], place: int) -> SequenceNetwork:
    network = SequenceNetwork(config)
    network.load_state_dict(_part(tensors, f"network.{place}."))
    return network.eval()


def _linear_model(values: dict[str, Any], tensors: dict[str, Tensor], place: int) -> LogisticModel:
    rest = {name: value for name, value in values.items() if name not in ("pair", "inverse_penalty")}
    weight, bias = tensors[f"linear.{place}.weight"].numpy(), tensors[f"linear.{place}.bias"].numpy()
    return LogisticModel(features_from(rest), weight, bias, values["pair"], values["inverse_penalty"])


def _named(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {start + name: value for name, value in tensors.items()}


def _part(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """Inverse of `_named`."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
