"""The parts of classifiers and regressors in model folders: plain values for config.json, tensors for the weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from titans_ts.genomics.fitted import CountedModel, FittedParts
from titans_ts.genomics.language.model_folder import FittedLanguageModel
from titans_ts.genomics.linear.features import features_from
from titans_ts.genomics.linear.kernel import KernelModel
from titans_ts.genomics.linear.model import LinearModel
from titans_ts.genomics.model.config import SequenceConfig
from titans_ts.genomics.model.network import SequenceNetwork
from titans_ts.support.guards.limits import built
from titans_ts.support.model_folder import plain


def parts_config(parts: FittedParts) -> dict[str, Any]:
    """Plain values of everything but the weights."""
    return {
        "network": plain(parts.config.to_dict()),
        "ensemble_size": len(parts.networks),
        "linear": [_linear_config(model) for model in parts.linear],
        "choices": plain(parts.choices),
        "training": plain(parts.training),
    }


def parts_tensors(parts: FittedParts, params: dict[str, Any]) -> dict[str, Tensor]:
    """Weights by name, those of a pretrained model that was given as an object among them.

    Args:
        parts: of the estimator.
        params: its parameters.
    """
    tensors = {
        "weights": torch.from_numpy(parts.weights),
        "linear_weights": torch.from_numpy(parts.linear_weights),
    }
    if (given := _given(params["pretrained"])) is not None:
        tensors.update(_named("pretrained.", given.network.state_dict()))
    for i, network in enumerate(parts.networks):
        tensors.update(_named(f"network.{i}.", network.state_dict()))
    for i, model in enumerate(parts.linear):
        tensors[f"linear.{i}.weight"] = torch.from_numpy(model.weight)
        tensors[f"linear.{i}.bias"] = torch.from_numpy(model.bias)
        if isinstance(model, KernelModel):
            tensors[f"linear.{i}.letters"] = torch.from_numpy(np.concatenate(model.codes))
            tensors[f"linear.{i}.lengths"] = torch.tensor([len(x) for x in model.codes])
    return tensors


def read_parts(config: dict[str, Any], tensors: dict[str, Tensor]) -> FittedParts:
    """Inverse of `parts_config` and `parts_tensors`."""
    network = SequenceConfig.from_dict(config["network"])
    return FittedParts(
        [_network(network, tensors, i) for i in range(config["ensemble_size"])],
        [_linear_model(values, tensors, i) for i, values in enumerate(config["linear"])],
        tensors["weights"].numpy(),
        tensors["linear_weights"].numpy(),
        dict(config["choices"]),
        list(config["training"]),
    )


def plain_pretrained(value: Any) -> Any:
    """The parameter `pretrained` as JSON holds it: of a model its configuration, of a folder the name."""
    if (given := _given(value)) is not None:
        return given.config()
    return None if value is None else str(value)


def restored_pretrained(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverse of `plain_pretrained`."""
    if not isinstance(value, dict):
        return value
    # Imported here: scikit-learn comes with it, whose import takes longer than to label a sequence.
    from titans_ts.genomics.language.language_model import DNALanguageModel

    return DNALanguageModel.from_fitted(FittedLanguageModel.from_config(value, _part(tensors, "pretrained.")))


def _given(value: Any) -> FittedLanguageModel | None:
    """The pretrained `DNALanguageModel` that was given as an object; None for a folder, or none."""
    return value.to_fitted() if hasattr(value, "to_fitted") else None


def _network(config: SequenceConfig, tensors: dict[str, Tensor], place: int) -> SequenceNetwork:
    weights = _part(tensors, f"network.{place}.")
    network = built(partial(SequenceNetwork, config), "the network", weights)
    network.load_state_dict(weights)
    return network.eval()


def _linear_config(model: CountedModel) -> dict[str, Any]:
    config = {**model.features.to_dict(), "pair": model.pair, "inverse_penalty": model.inverse_penalty}
    return {**config, "gamma": model.gamma} if isinstance(model, KernelModel) else config


def _linear_model(values: dict[str, Any], tensors: dict[str, Tensor], place: int) -> CountedModel:
    rest = dict(values)
    pair, penalty, gamma = rest.pop("pair"), rest.pop("inverse_penalty"), rest.pop("gamma", None)
    features = features_from(rest)
    weight, bias = tensors[f"linear.{place}.weight"].numpy(), tensors[f"linear.{place}.bias"].numpy()
    if gamma is None:
        return LinearModel(features, weight, bias, pair, penalty)
    letters, lengths = (tensors[f"linear.{place}.{name}"].numpy() for name in ("letters", "lengths"))
    codes = np.split(letters, np.cumsum(lengths)[:-1])
    return KernelModel(features, codes, weight, bias, pair, penalty, gamma)


def _named(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {start + name: value for name, value in tensors.items()}


def _part(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """Inverse of `_named`."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
