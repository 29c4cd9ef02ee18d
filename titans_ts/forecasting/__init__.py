"""Forecasting: networks, training, the scikit-learn and gluonts facades, plots. Names are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titans_ts.forecasting.batch import predict_dataset
    from titans_ts.forecasting.estimator import TitansEstimator
    from titans_ts.forecasting.estimator_predictor import TitansPredictor
    from titans_ts.forecasting.forecaster import TitansForecaster
    from titans_ts.forecasting.network import Forecast, ForecastNetwork, NetworkConfig
    from titans_ts.forecasting.plot import plot_forecast
    from titans_ts.forecasting.stream import TitansStream
    from titans_ts.forecasting.surprise_plot import plot_surprise

_HOMES = {
    "batch": ("predict_dataset",),
    "estimator": ("TitansEstimator",),
    "estimator_predictor": ("TitansPredictor",),
    "forecaster": ("TitansForecaster",),
    "network": ("Forecast", "ForecastNetwork", "NetworkConfig"),
    "plot": ("plot_forecast",),
    "stream": ("TitansStream",),
    "surprise_plot": ("plot_surprise",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Forecast",
    "ForecastNetwork",
    "NetworkConfig",
    "TitansEstimator",
    "TitansForecaster",
    "TitansPredictor",
    "TitansStream",
    "plot_forecast",
    "plot_surprise",
    "predict_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
