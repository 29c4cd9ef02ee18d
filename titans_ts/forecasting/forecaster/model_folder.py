"""Forecasters as model folders: written, and read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from titans_datasets.series import CovariateEncoder, SeriesSchema, parse_frequency
from titans_ts.forecasting.combination import Bounds
from titans_ts.forecasting.experts.fitted import FittedMixture
from titans_ts.forecasting.fitted import FittedForecaster
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.forecasting.pretrained.reads import PretrainedReads
from titans_ts.forecasting.pretrained.tuned_reads import TunedReads, is_tuned
from titans_ts.forecasting.pretrained.weights import load_pretrained
from titans_ts.support.guards.limits import built
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

KIND = "forecaster"
# The first version of model folders in which the linear part has its name of today.
OLDEST_VERSION = 2
LINEAR_HEAD = "linear_head."
# Before the names of the weights of tuned reads.
READS = "reads."


def save_forecaster(path: str | PathLike[str], fitted: FittedForecaster, params: Mapping[str, Any]) -> Path:
    """Write parameters, network, covariate codes and training summary; see `support.model_folder.save_model`.

    Args:
        path: the folder.
        fitted: the model.
        params: parameters of the facade, which it is made with again.
    """
    network, training = fitted.network, fitted.training
    config = {
        "params": plain(dict(params)),
        "network": plain(network.config.to_dict()),
        "schema": plain(fitted.schema.to_dict()),
        "frequency": fitted.frequency.offset_alias,
        "encoder": None if fitted.encoder is None else plain(fitted.encoder.to_dict()),
        "channels": plain(fitted.channels),
        "mixture": plain(fitted.mixture.to_dict()),
        "bounds": plain(asdict(fitted.bounds)),
        "training": plain(training if isinstance(training, dict) else training._asdict()),
    }
    tensors = dict(network.state_dict())
    # The head as it was before training: with it the linear part alone can be forecast after loading too.
    tensors.update({LINEAR_HEAD + name: value for name, value in (network.linear_head or {}).items()})
    source = fitted.mixture.companion and fitted.mixture.companion.source
    if isinstance(source, TunedReads):
        tensors.update({READS + name: value for name, value in source.tensors.items()})
    return save_model(path, KIND, config, tensors)


def load_forecaster(path: str | PathLike[str]) -> tuple[FittedForecaster, dict[str, Any]]:
    """The model that `save_forecaster` wrote, without training data, and the parameters of its facade.

    Raises:
        FileNotFoundError, ValueError: see `support.model_folder.load_model`; or the weights do not fit the
            configuration, or the installed pretrained weights are not those it was fitted with.
    """
    config, tensors = load_model(path, KIND, oldest=OLDEST_VERSION)
    with rebuilding(path):
        beside = config["mixture"].get("companion")
        installed = beside is not None and not is_tuned(beside["source"])
        pretrained = () if not installed else (str(beside["source"]["name"]), str(beside["source"]["sha256"]))
    if pretrained:
        # Other weights than those it was fitted with are no damage.
        load_pretrained(*pretrained)
    with rebuilding(path):
        params = {name: _tuple(value) if name != "options" else value for name, value in config["params"].items()}
        reads = {name.removeprefix(READS): tensors.pop(name) for name in list(tensors) if name.startswith(READS)}
        made = partial(ForecastNetwork, NetworkConfig.from_dict(config["network"]))
        own = {name: value for name, value in tensors.items() if not name.startswith(LINEAR_HEAD)}
        network = built(made, "the network", own)
        _load_weights(network, tensors)
        fitted = FittedForecaster(
            network=network.eval(),
            schema=SeriesSchema(**{name: _tuple(value) for name, value in config["schema"].items()}),
            frequency=parse_frequency(config["frequency"]),
            encoder=None if config["encoder"] is None else CovariateEncoder.from_dict(config["encoder"]),
            channels=config.get("channels"),
            panel=None,
            device=params.get("device", "auto"),
            training=dict(config.get("training") or {}),
            mixture=FittedMixture.from_dict(config["mixture"], partial(_source, reads)),
            bounds=Bounds(**config["bounds"]),
        )
    return fitted, params


def _source(tensors: dict[str, Tensor], values: dict[str, Any]) -> PretrainedReads:
    """Reads from what their `to_dict` said, and their weights where they were tuned."""
    return TunedReads.from_tensors(values, tensors) if is_tuned(values) else PretrainedReads.from_dict(values)


def _load_weights(network: ForecastNetwork, tensors: dict[str, Tensor]) -> None:
    start = {name.removeprefix(LINEAR_HEAD): value for name, value in tensors.items() if name.startswith(LINEAR_HEAD)}
    network.load_state_dict({name: value for name, value in tensors.items() if not name.startswith(LINEAR_HEAD)})
    network.linear_head = start or None


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
