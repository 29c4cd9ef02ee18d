"""Titans Zero: networks of reads with weights that come with the package, and forecasts by them without training."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
