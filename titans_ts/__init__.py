"""Titans: neural memory that learns at test time, for time series and DNA.

The short way is one class::

    from titans_ts import TitansForecaster, load_weather

    forecaster = TitansForecaster(prediction_length=24, target_column="temp").fit(load_weather())
    forecast = forecaster.predict()

Names are imported when they are first used: ``import titans_ts`` alone loads neither torch nor lightning.
"""

import lazy_loader

from titans_ts.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
