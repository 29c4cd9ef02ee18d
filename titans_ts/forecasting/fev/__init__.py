"""The forecaster as a model of fev; needs `titans-ts[fev]`. Names are imported on first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
