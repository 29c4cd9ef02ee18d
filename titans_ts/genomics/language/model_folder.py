"""Language models as model folders: what is written beside the weights, and how a model comes back.

Shapes: none.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from titans_ts.genomics.model.language_network import LanguageConfig, LanguageNetwork
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

if TYPE_CHECKING:
    from titans_ts.genomics.language.language_model import DNALanguageModel

KIND = "dna language model"
Model = TypeVar("Model", bound="DNALanguageModel")


def save_language_model(model: DNALanguageModel, path: str | PathLike[str]) -> Path:
    """Write parameters and network; see `core.checkpoint.save_model`."""
    return save_model(path, KIND, described(model), model.network_.state_dict())


def load_language_model(cls: type[Model], path: str | PathLike[str]) -> Model:
    """The model that `save_language_model` wrote.

    Raises:
        FileNotFoundError, ValueError: see `core.checkpoint.load_model`; or the weights do not fit the configuration.
    """
    config, tensors = load_model(path, KIND)
    with rebuilding(path):
        return rebuilt(cls, config, tensors)


def described(model: DNALanguageModel) -> dict[str, Any]:
    """All of a fitted model but the weights, as plain values."""
    return {
        "params": plain(model.get_params(deep=False)),
        "network": plain(model.network_.config.to_dict()),
        "training": plain(model.training_),
    }


def rebuilt(cls: type[Model], config: dict[str, Any], tensors: dict[str, Tensor]) -> Model:
    """The model of what `described` says, and of the weights of its network."""
    model = cls(**config["params"])
    network = LanguageNetwork(LanguageConfig.from_dict(config["network"]))
    network.load_state_dict(tensors)
    model.network_, model.training_ = network.eval(), dict(config["training"])
    return model
