"""Titans: neural memory that learns at test time, for time series and DNA.

The short way is one class::

    from titans_ts import TitansForecaster, load_weather

    forecaster = TitansForecaster(prediction_length=24, target_column="temp").fit(load_weather())
    forecast = forecaster.predict()

Names are imported when they are first used: ``import titans_ts`` alone loads neither torch nor lightning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titans_datasets.builtin import load_air_passengers, load_weather
    from titans_kernels import MemoryState
    from titans_ts.core import MemoryConfig, NeuralMemory, Titans, TitansConfig, parameter_groups
    from titans_ts.forecasting import (
        ForecastNetwork,
        NetworkConfig,
        TitansEstimator,
        TitansForecaster,
        TitansStream,
        plot_forecast,
    )
    from titans_ts.genomics import DNAClassifier, DNALanguageModel, SequenceConfig, SequenceNetwork

__version__ = "0.1.0"

_HOMES = {
    "titans_datasets.builtin": ("load_air_passengers", "load_weather"),
    "titans_kernels": ("MemoryState",),
    "titans_ts.core": ("MemoryConfig", "NeuralMemory", "Titans", "TitansConfig", "parameter_groups"),
    "titans_ts.forecasting": (
        "ForecastNetwork",
        "NetworkConfig",
        "TitansEstimator",
        "TitansForecaster",
        "TitansStream",
        "plot_forecast",
    ),
    "titans_ts.genomics": ("DNAClassifier", "DNALanguageModel", "SequenceConfig", "SequenceNetwork"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DNAClassifier",
    "DNALanguageModel",
    "ForecastNetwork",
    "MemoryConfig",
    "MemoryState",
    "NetworkConfig",
    "NeuralMemory",
    "SequenceConfig",
    "SequenceNetwork",
    "Titans",
    "TitansConfig",
    "TitansEstimator",
    "TitansForecaster",
    "TitansStream",
    "__version__",
    "load_air_passengers",
    "load_weather",
    "parameter_groups",
    "plot_forecast",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
