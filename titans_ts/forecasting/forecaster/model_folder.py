"""Forecasters as model folders: what is written beside the weights, and how a forecaster comes back.

Shapes: none.
"""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from titans_datasets.series import CovariateEncoder, SeriesSchema, parse_frequency
from titans_ts.forecasting.model.config import NetworkConfig
from titans_ts.forecasting.model.network import ForecastNetwork
from titans_ts.support.model_folder import load_model, plain, rebuilding, save_model

if TYPE_CHECKING:
    from titans_ts.forecasting.forecaster.forecaster import TitansForecaster

KIND = "forecaster"
LINEAR_HEAD = "linear_head."
Forecaster = TypeVar("Forecaster", bound="TitansForecaster")


def save_forecaster(forecaster: TitansForecaster, path: str | PathLike[str]) -> Path:
    """Write parameters, network, covariate codes and training summary; see `core.checkpoint.save_model`."""
    network = forecaster.network_
    training = forecaster.training_ if isinstance(forecaster.training_, dict) else forecaster.training_._asdict()
    config = {
        "params": plain(forecaster.get_params(deep=False)),
        "network": plain(network.config.to_dict()),
        "schema": plain(asdict(forecaster.schema_)),
        "frequency": forecaster.frequency_.offset_alias,
        "encoder": None if forecaster.encoder_ is None else plain(forecaster.encoder_.to_dict()),
        "channels": plain(forecaster.channels_),
        "training": plain(training),
    }
    tensors = dict(network.state_dict())
    # The head as it was before training: with it the linear map can be told apart after loading too.
    tensors.update({LINEAR_HEAD + name: value for name, value in (network.linear_head or {}).items()})
    return save_model(path, KIND, config, tensors)


def load_forecaster(cls: type[Forecaster], path: str | PathLike[str]) -> Forecaster:
    """The forecaster that `save_forecaster` wrote, without training data.

    Raises:
        FileNotFoundError, ValueError: see `core.checkpoint.load_model`; or the weights do not fit the configuration.
    """
    config, tensors = load_model(path, KIND)
    with rebuilding(path):
        params = {name: _tuple(value) if name != "options" else value for name, value in config["params"].items()}
        forecaster = cls(**params)
        network = ForecastNetwork(NetworkConfig.from_dict(config["network"]))
        _load_weights(network, tensors)
        schema = SeriesSchema(**{name: _tuple(value) for name, value in config["schema"].items()})
        encoder = None if config["encoder"] is None else CovariateEncoder.from_dict(config["encoder"])
        frequency = parse_frequency(config["frequency"])
    forecaster.network_, forecaster.training_ = network.eval(), dict(config.get("training") or {})
    forecaster.schema_, forecaster.frequency_, forecaster.encoder_ = schema, frequency, encoder
    forecaster.channels_, forecaster.panel_, forecaster.rows_ = config.get("channels"), None, None
    forecaster.levels_ = sorted({*network.config.quantiles, 0.5})
    return forecaster


def _load_weights(network: ForecastNetwork, tensors: dict[str, Tensor]) -> None:
    start = {name.removeprefix(LINEAR_HEAD): value for name, value in tensors.items() if name.startswith(LINEAR_HEAD)}
    network.load_state_dict({name: value for name, value in tensors.items() if not name.startswith(LINEAR_HEAD)})
    network.linear_head = start or None


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
