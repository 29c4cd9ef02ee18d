"""Classifiers as model folders: config.json holds parameters and configuration, model.safetensors the weights."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from titans_ts.genomics.fitted import FittedClassifier
from titans_ts.genomics.supervised.model_folder import (
    parts_config,
    parts_tensors,
    plain_pretrained,
    read_parts,
    restored_pretrained,
)
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
        "classes": plain(fitted.classes.tolist()),
        "classes_dtype": fitted.classes.dtype.str,
        **parts_config(fitted.parts),
    }
    return save_model(path, KIND, config, parts_tensors(fitted.parts, params))


def load_classifier(path: str | PathLike[str]) -> tuple[dict[str, Any], FittedClassifier]:
    """Parameters and fitted parts that `save_classifier` wrote.

    Raises:
        FileNotFoundError, ValueError: see `titans_ts.support.model_folder.load_model`; or the weights do not fit the
            configuration.
    """
    config, tensors = load_model(path, KIND, oldest=OLDEST_VERSION)
    with rebuilding(path):
        classes = np.array(config["classes"], dtype=np.dtype(config["classes_dtype"]))
        fitted = FittedClassifier(classes, read_parts(config, tensors))
        params = dict(config["params"])
        params["pretrained"] = restored_pretrained(params.get("pretrained"), tensors)
        if isinstance(params.get("class_weight"), list):
            params["class_weight"] = {name: weight for name, weight in params["class_weight"]}
        return params, fitted


def _plain_params(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as JSON holds them; classes of `class_weight` keep their type as pairs."""
    found = {**params, "pretrained": plain_pretrained(params["pretrained"])}
    if isinstance(found["class_weight"], dict):
        found["class_weight"] = [[name, weight] for name, weight in found["class_weight"].items()]
    return found
