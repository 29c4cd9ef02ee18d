"""Classifiers as model folders: what is written beside the weights, and how a classifier comes back.

Shapes: none.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from titans_ts.genomics.classifier.fitting import FittedModel
from titans_ts.genomics.language import model_folder as language
from titans_ts.genomics.language.pretrained import is_language_model
from titans_ts.genomics.linear.features import features_from
from titans_ts.genomics.linear.logistic import LogisticMap
from titans_ts.genomics.model.network import SequenceConfig, SequenceNetwork
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

if TYPE_CHECKING:
    from titans_ts.genomics.classifier.classifier import DNAClassifier

KIND = "dna classifier"
PRETRAINED = "pretrained."
Classifier = TypeVar("Classifier", bound="DNAClassifier")


def save_classifier(classifier: DNAClassifier, path: str | PathLike[str]) -> Path:
    """Write parameters, networks, maps and classes; see `core.checkpoint.save_model`.

    A pretrained model that was given as an object is written too: the classifier can then be fitted again; of one that
    was given as a folder its name.
    """
    model = classifier.model_
    config = {
        "params": plain(_params(classifier)),
        "network": plain(model.config.to_dict()),
        "members": len(model.networks),
        "maps": [
            {**one.features.to_dict(), "pair": one.pair, "inverse_penalty": one.inverse_penalty} for one in model.maps
        ],
        "classes": plain(classifier.classes_.tolist()),
        "classes_dtype": classifier.classes_.dtype.str,
        "choices": plain(model.choices),
        "training": plain(model.training),
    }
    tensors = {"scale": torch.from_numpy(model.scale)}
    if is_language_model(classifier.pretrained):
        weights = classifier.pretrained.network_.state_dict()
        tensors.update({PRETRAINED + name: value for name, value in weights.items()})
    for i, network in enumerate(model.networks):
        tensors.update({f"member.{i}.{name}": value for name, value in network.state_dict().items()})
    for i, one in enumerate(model.maps):
        tensors[f"map.{i}.weight"] = torch.from_numpy(one.weight)
        tensors[f"map.{i}.bias"] = torch.from_numpy(one.bias)
    return save_model(path, KIND, config, tensors)


def load_classifier(cls: type[Classifier], path: str | PathLike[str]) -> Classifier:
    """The classifier that `save_classifier` wrote, without training sequences.

    Raises:
        FileNotFoundError, ValueError: see `core.checkpoint.load_model`; or the weights do not fit the configuration.
    """
    config, tensors = load_model(path, KIND)
    with rebuilding(path):
        classifier = cls(**_restored(config["params"], tensors))
        network = SequenceConfig.from_dict(config["network"])
        model = FittedModel(
            [_member(network, tensors, i) for i in range(config["members"])],
            [_map(values, tensors, i) for i, values in enumerate(config["maps"])],
            tensors["scale"].numpy(),
            dict(config["choices"]),
            list(config["training"]),
        )
        classes = np.array(config["classes"], dtype=np.dtype(config["classes_dtype"]))
    classifier.model_, classifier.classes_ = model, classes
    classifier.choices_, classifier.training_ = model.choices, model.training
    classifier.learned_from_ = None
    return classifier


def _params(classifier: DNAClassifier) -> dict[str, Any]:
    """Parameters as JSON holds them; names of classes keep their type as pairs."""
    params = dict(classifier.get_params(deep=False))
    if isinstance(params["class_weight"], dict):
        params["class_weight"] = [[name, weight] for name, weight in params["class_weight"].items()]
    if is_language_model(params["pretrained"]):
        params["pretrained"] = language.described(params["pretrained"])
    elif params["pretrained"] is not None:
        params["pretrained"] = str(params["pretrained"])
    return params


def _restored(params: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Inverse of `_params`."""
    from titans_ts.genomics.language.language_model import DNALanguageModel

    pairs, pretrained = params.get("class_weight"), params.get("pretrained")
    found = dict(params)
    if isinstance(pairs, list):
        found["class_weight"] = {name: weight for name, weight in pairs}
    if isinstance(pretrained, dict):
        weights = {n.removeprefix(PRETRAINED): value for n, value in tensors.items() if n.startswith(PRETRAINED)}
        found["pretrained"] = language.rebuilt(DNALanguageModel, pretrained, weights)
    return found


def _member(config: SequenceConfig, tensors: dict[str, Tensor], place: int) -> SequenceNetwork:
    network = SequenceNetwork(config)
    start = f"member.{place}."
    network.load_state_dict({n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)})
    return network.eval()


def _map(values: dict[str, Any], tensors: dict[str, Tensor], place: int) -> LogisticMap:
    rest = {name: value for name, value in values.items() if name not in ("pair", "inverse_penalty")}
    weight, bias = tensors[f"map.{place}.weight"].numpy(), tensors[f"map.{place}.bias"].numpy()
    return LogisticMap(features_from(rest), weight, bias, values["pair"], values["inverse_penalty"])
