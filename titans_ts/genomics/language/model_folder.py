"""FittedLanguageModel: what training leaves behind, and how it is written to and read from a model folder."""

from __future__ import annotations

from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from titans_ts.genomics.model.config import LanguageConfig
from titans_ts.genomics.model.language_network import LanguageNetwork
from titans_ts.support.guards.limits import built
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

KIND = "dna language model"


class FittedLanguageModel(NamedTuple):
    """A fitted language model without its scikit-learn facade.

    Attributes:
        params: parameters of the `DNALanguageModel`.
        network: on the CPU, in evaluation mode.
        training: what training did; see `titans_ts.genomics.training.fit.TrainingResult`.
    """

    params: dict[str, Any]
    network: LanguageNetwork
    training: dict[str, Any]

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as plain values."""
        return {
            "params": plain(self.params),
            "network": plain(self.network.config.to_dict()),
            "training": plain(self.training),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], weights: dict[str, Tensor]) -> FittedLanguageModel:
        """Inverse of `config`, with the weights of the network."""
        network = built(partial(LanguageNetwork, LanguageConfig.from_dict(config["network"])), "the network", weights)
        network.load_state_dict(weights)
        return cls(config["params"], network.eval(), dict(config["training"]))


def save_language_model(path: str | PathLike[str], fitted: FittedLanguageModel) -> Path:
    """Write a model folder; see `titans_ts.support.model_folder.save_model`."""
    return save_model(path, KIND, fitted.config(), fitted.network.state_dict())


def load_language_model(path: str | PathLike[str]) -> FittedLanguageModel:
    """Read what `save_language_model` wrote, in this version or in titans-ts 0.1.

    Raises:
        FileNotFoundError, ValueError: see `titans_ts.support.model_folder.load_model`; or the weights do not fit the
            configuration.
    """
    config, tensors = load_model(path, KIND)
    with rebuilding(path):
        return FittedLanguageModel.from_config(config, tensors)
